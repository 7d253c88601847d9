// SPDX-License-Identifier: Apache-2.0
// The user's own token, which stays in this tab until it is closed or signed out.

const KEY = "token";

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};
