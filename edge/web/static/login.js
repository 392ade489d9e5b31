// The login: a name and a password, or the token where the box has no password.

import { current, logIn } from "./api.js";
import { h } from "./dom.js";

export const title = "Log in";

export function show(root, { go }) {
  const asksName = current().asks_name;
  const name = h("input", { id: "name", autocomplete: "username", required: true, value: "admin" });
  const word = h("input", { id: "word", type: "password", autocomplete: "current-password", required: true });
  const wrong = h("p", { class: "bad", role: "alert" });
  const form = h(
    "form",
    { class: "card login" },
    h("h1", {}, "Log in"),
    asksName && h("label", { for: "name" }, "Name", name),
    h("label", { for: "word" }, asksName ? "Password" : "Token", word),
    h("button", { class: "main", type: "submit" }, "Log in"),
    wrong,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await logIn(asksName ? name.value : "", word.value);
      go(location.pathname === "/login" ? "/" : location.pathname + location.search, { replace: true });
    } catch (error) {
      wrong.textContent = error.message;
      word.select();
    }
  });
  root.append(form);
  word.focus();
}
