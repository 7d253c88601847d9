// SPDX-License-Identifier: Apache-2.0
// The form for the token. It exists in the script only: it is never sent as a form.

export function askForToken(content, use) {
  const input = element("input", {
    id: "token", type: "password", required: "", autocomplete: "off", "aria-describedby": "token-help",
  });
  const help = element(
    "p",
    { id: "token-help", class: "soft" },
    "The page shows what this token may read. Create one for example with ",
    element("code", {}, "kubectl create token NAME --namespace NAMESPACE"),
    "; it is kept in this tab only.",
  );
  const form = element(
    "form",
    { id: "sign-in", method: "dialog" },
    element("h1", {}, "Sign in"),
    element("label", { for: "token" }, "Bearer token"),
    input,
    help,
    element("button", { class: "main" }, "Sign in"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    use(input.value.trim());
  });
  content.replaceChildren(form);
  document.title = "Sign in · Fine-tuning";
  input.focus();
}

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  made.append(...children);
  return made;
}
