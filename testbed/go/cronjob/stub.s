// SPDX-License-Identifier: Apache-2.0

// Makes the compiler accept the function without a body in main.go.
