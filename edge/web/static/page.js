// Which page is shown: one module a page, real URLs, and the login before all of them.

import { current, get, logOut, look } from "./api.js";
import { h, tell } from "./dom.js";

const PAGES = {
  live: () => import("./live.js"),
  events: () => import("./events.js"),
  event: () => import("./event.js"),
  zones: () => import("./zones.js"),
  thresholds: () => import("./thresholds.js"),
  health: () => import("./health.js"),
  digest: () => import("./digest.js"),
  login: () => import("./login.js"),
};
const root = document.getElementById("page");
let leave = () => {};
let turn = 0;

export function go(path, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", path);
  return show();
}

function where() {
  const [page = "live", ...rest] = location.pathname.split("/").filter(Boolean).map(decodeURIComponent);
  return page === "events" && rest.length ? ["event", rest] : [page in PAGES ? page : "live", rest];
}

async function show() {
  const mine = ++turn;
  leave();
  leave = () => {};
  const { guarded, user } = current();
  let [page, rest] = where();
  if (guarded && !user) page = "login";
  document.body.dataset.page = page;
  document.getElementById("logout").hidden = !(guarded && user);
  document.getElementById("nav").hidden = page === "login";
  for (const link of document.querySelectorAll("#nav a")) {
    const own = new URL(link.href).pathname;
    const here = own === "/" ? page === "live" : location.pathname.startsWith(own);
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  root.replaceChildren(h("p", { class: "empty" }, "…"));
  try {
    const module = await PAGES[page]();
    const node = page === "login" ? null : await get("/api/node");
    if (mine !== turn) return;
    if (node) document.getElementById("brand").textContent = node.id;
    document.title = `${module.title || "edge"}${node ? ` · ${node.id}` : ""}`;
    root.replaceChildren();
    const left = await module.show(root, { rest, node, query: new URLSearchParams(location.search), go });
    if (mine === turn) leave = left || (() => {});
    else left?.();
  } catch (error) {
    if (mine !== turn || error.status === 401) return;
    const again = h("button", { type: "button", onclick: show }, "Try again");
    root.replaceChildren(h("div", { class: "empty", role: "alert" }, h("p", {}, error.message), again));
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-link]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.getAttribute("href")).then(() => {
    window.scrollTo(0, 0);
    root.focus({ preventScroll: true });
  });
});
window.addEventListener("popstate", show);
window.addEventListener("edge:login", () => look().then(show));

document.getElementById("logout").addEventListener("click", async () => {
  await logOut().catch((error) => tell(error.message, true));
  go("/login");
});

function dress(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}
document.getElementById("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  localStorage.setItem("edge-theme", dark ? "light" : "dark");
  dress(dark ? "light" : "dark");
  window.dispatchEvent(new Event("edge:theme"));
});
dress(localStorage.getItem("edge-theme"));

look()
  .then(show)
  .catch((error) => root.replaceChildren(h("p", { class: "empty" }, error.message)));
