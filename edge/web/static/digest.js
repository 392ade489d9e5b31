// A day in a few lines, with a sheet of small pictures for each camera.

import { asked, get } from "./api.js";
import { clock, dayName, dayOf, dayStart, h, words } from "./dom.js";
import { row } from "./events.js";

export const title = "Digest";

export async function show(root, { rest: [given], node, go }) {
  if (!node.keeps_evidence) {
    root.append(h("p", { class: "empty" }, "Nothing is kept here: `evidence` is switched off in config.yaml."));
    return;
  }
  const since = /^\d{4}-\d{2}-\d{2}$/.test(given ?? "") ? dayOf(given) : dayStart();
  const until = dayStart(new Date(since * 1000), -1);
  const name = dayName(since);
  const to = (seconds) => go(`/digest/${dayName(seconds)}`);
  const day = h("input", { type: "date", value: name, max: dayName(Date.now() / 1000), "aria-label": "Day", onchange: (e) => e.target.value && to(dayOf(e.target.value)) });
  const step = (text, label, seconds) => h("button", { type: "button", class: "quiet", "aria-label": label, disabled: seconds > Date.now() / 1000, onclick: () => to(seconds) }, text);
  root.append(h("div", { class: "row" }, h("h1", {}, "Digest"), h("div", { class: "days" }, step("←", "The day before", dayStart(new Date(since * 1000), 1)), day, step("→", "The day after", until))));
  const made = await get("/api/digest", { since, until });
  root.append(h("p", { class: "sentence" }, made.text));
  const cameras = [...new Set(made.happened.map((one) => one.camera))];
  root.append(...cameras.map((camera) => story(camera, made, name)));
  if (made.notable.length) root.append(h("h2", {}, "Most notable"), h("ol", { class: "events" }, made.notable.map(row)));
}

function story(camera, made, day) {
  const rows = made.happened.filter((one) => one.camera === camera);
  const sheet = made.storyboards[camera];
  return h(
    "section",
    { class: "card story" },
    h("h2", {}, camera),
    h("ul", { class: "counts" }, rows.map((one) => {
      const span = `${clock(Date.parse(one.first) / 1000, false)} to ${clock(Date.parse(one.last) / 1000, false)}`;
      const said = [one.marked_true && `${one.marked_true} right`, one.marked_false && `${one.marked_false} false`].filter(Boolean).join(", ");
      return h("li", {}, h("a", { href: `/events${asked({ camera, label: one.label, day })}`, "data-link": true, title: span }, `${words(one.label)} `, h("b", {}, String(one.count)), said && h("small", {}, ` ${said}`)));
    })),
    sheet && h("img", { src: sheet, alt: `The day's most notable events of ${camera}`, loading: "lazy" }),
  );
}
