// Kept events: a list that goes on as one scrolls, filters, and a search in words.

import { asked, get, part } from "./api.js";
import { clock, dayName, dayOf, dayStart, h, lasted, words } from "./dom.js";

export const title = "Events";

export async function show(root, { node, query, go }) {
  if (!node.keeps_evidence) {
    root.append(h("p", { class: "empty" }, "No events are kept here: `evidence` is switched off in config.yaml."));
    return null;
  }
  const list = h("ol", { class: "events", "aria-label": "Events" });
  const more = h("button", { type: "button", class: "more", hidden: true }, "More");
  const said = h("p", { class: "dim", role: "status" });
  const form = filters(node, query, go);
  root.append(h("h1", { class: "hidden" }, "Events"), form, said, list, more);
  let next = null;
  let busy = false;
  async function load() {
    if (busy) return;
    busy = true;
    try {
      const page = await get("/api/events", { ...wanted(query), limit: 30, before: next });
      list.append(...page.events.map(row));
      next = page.next;
      more.hidden = next === null;
      const none = query.size ? "Nothing matches." : "Nothing has happened yet.";
      said.textContent = [page.understood, list.children.length ? "" : none].filter(Boolean).join(" ");
    } catch (error) {
      said.textContent = error.message;
    }
    busy = false;
  }
  more.addEventListener("click", load);
  const watch = new IntersectionObserver((entries) => entries.at(-1).isIntersecting && !more.hidden && load(), { rootMargin: "400px" });
  await load();
  watch.observe(more);
  return () => watch.disconnect();
}

function wanted(query) {
  const day = query.get("day");
  const at = day && /^\d{4}-\d{2}-\d{2}$/.test(day) ? dayOf(day) : null;
  return {
    text: query.get("text"),
    camera: query.getAll("camera"),
    label: query.getAll("label"),
    zone: query.getAll("zone"),
    kind: query.get("kind"),
    marked: query.get("marked"),
    since: at,
    until: at && dayStart(new Date(at * 1000), -1),
  };
}

function filters(node, query, go) {
  const choice = (name, label, options) =>
    h(
      "label",
      {},
      h("span", {}, label),
      h(
        "select",
        { name },
        h("option", { value: "" }, "any"),
        options.map(([value, text]) => h("option", { value, selected: query.get(name) === value }, text)),
      ),
    );
  const text = h("input", { type: "search", name: "text", value: query.get("text") || "", placeholder: "glass breaking near the gate last night", maxlength: "200", "aria-label": "Search in words" });
  const day = h("input", { type: "date", name: "day", value: query.get("day") || "", max: dayName(Date.now() / 1000) });
  const chosen = ["camera", "label", "zone", "day", "kind", "marked"].filter((name) => query.get(name)).length;
  const rest = h(
    "details",
    { class: "filters", open: chosen > 0 || matchMedia("(min-width: 800px)").matches },
    h("summary", {}, chosen ? `Filters (${chosen})` : "Filters"),
    h(
      "div",
      { class: "fields" },
      choice("camera", "Camera", node.cameras.map((c) => [c.name, c.name])),
      choice("label", "What", node.labels.map((l) => [l, words(l)])),
      node.zones.length ? choice("zone", "Zone", node.zones.map((z) => [z, z])) : null,
      h("label", {}, h("span", {}, "Day"), day),
      choice("kind", "Kind", [["event", "of the scene"], ["health", "of the equipment"]]),
      choice("marked", "Marked", [["true", "right"], ["false", "false alarm"], ["none", "not yet"]]),
    ),
  );
  const form = h("form", { class: "search", role: "search" }, h("div", { class: "ask" }, text, h("button", { class: "main" }, "Search")), rest);
  const submit = () => go(`/events${asked(Object.fromEntries(new FormData(form)))}`);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  rest.addEventListener("change", submit);
  return form;
}

export const MARKS = { true: ["✓", "right"], false: ["✗", "false alarm"] };

export function row(event) {
  const image = event.files.thumbnail
    ? h("img", { src: event.files.thumbnail.url, alt: "", loading: "lazy", width: 160, height: 90 })
    : h("div", { class: "nothumb", "aria-hidden": "true" }, event.kind === "health" ? "⚙" : "♪");
  const mark = event.mark ? MARKS[event.mark.verdict] : null;
  return h(
    "li",
    {},
    h(
      "a",
      { href: `/events/${part(event.id)}`, "data-link": true, class: `event ${event.severity}` },
      h("span", { class: "thumb" }, image, event.files.clip && h("span", { class: "has", "aria-hidden": "true" }, "▶")),
      h(
        "span",
        { class: "what" },
        h("strong", {}, words(event.label), mark && h("span", { class: `mark ${event.mark.verdict}`, title: mark[1] }, mark[0], h("span", { class: "hidden" }, mark[1]))),
        h("span", { class: "dim" }, [event.camera, ...event.zones].join(" · ")),
        h("span", { class: "why" }, event.caption || event.why),
      ),
      h("span", { class: "when" }, h("time", { datetime: event.begin }, clock(event.begin_s)), h("span", { class: "dim" }, lasted(event.duration_s))),
    ),
  );
}
