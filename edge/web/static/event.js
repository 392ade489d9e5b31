// One event: its clip with sound, what it was judged from, and what people say of it.

import { get, part, send } from "./api.js";
import { bytes, clock, dayName, h, lasted, tell, words } from "./dom.js";

export const title = "Event";
const PARTS = [["video", "picture"], ["audio", "sound"], ["sensors", "sensors"]];

export async function show(root, { rest: [id] }) {
  const event = await get(`/api/events/${part(id)}`);
  const element = h("article", { class: "detail" }, head(event), h("div", { class: "columns" }, media(event), side(event)));
  root.append(h("a", { href: "/events", "data-link": true, class: "back" }, "← Events"), element);
  const keys = (pressed) => {
    if (pressed.target.closest("input, textarea, select") || pressed.ctrlKey || pressed.metaKey || pressed.altKey) return;
    const button = element.querySelector(`[data-key="${CSS.escape(pressed.key.toLowerCase())}"]`);
    if (button) {
      pressed.preventDefault();
      button.click();
    }
  };
  document.addEventListener("keydown", keys);
  return () => document.removeEventListener("keydown", keys);
}

function head(event) {
  return h(
    "header",
    {},
    h("h1", {}, words(event.label), " ", h("span", { class: `pill ${event.severity}` }, event.severity)),
    h("p", { class: "dim" }, [event.camera, ...event.zones].join(" · "), " · ", h("time", { datetime: event.begin }, clock(event.begin_s)), " · ", lasted(event.duration_s)),
  );
}

function media(event) {
  const { clip, snapshot, spectrogram } = event.files;
  const parts = [];
  if (clip) {
    parts.push(h("video", { controls: true, preload: "metadata", playsinline: true, src: clip.url, poster: snapshot?.url, "aria-label": `Clip of ${words(event.label)}` }));
  }
  if (snapshot) {
    const shown = h("div", { class: "picture" }, h("img", { src: snapshot.url, alt: `Snapshot: ${event.why}` }));
    parts.push(clip ? h("details", { class: "plain" }, h("summary", {}, "Snapshot"), shown) : shown);
  }
  if (spectrogram) {
    parts.push(h("figure", {}, h("img", { class: "heard", src: spectrogram.url, alt: "Spectrogram of the sound, low tones at the bottom" }), h("figcaption", { class: "dim" }, "What was heard")));
  }
  for (const [kind, reason] of Object.entries(event.missing)) parts.push(h("p", { class: "empty" }, `No ${kind}: ${reason}.`));
  if (!parts.length) parts.push(h("p", { class: "empty" }, event.kind === "health" ? "The equipment's own events have no picture." : "No picture or sound was kept of it."));
  return h("section", { class: "media" }, parts);
}

function side(event) {
  const files = Object.entries(event.files).filter(([kind]) => kind !== "thumbnail");
  return h(
    "section",
    { class: "side" },
    h("p", { class: "sentence" }, event.why),
    event.caption && h("p", { class: "caption" }, event.caption),
    marks(event),
    event.contribution && contributions(event.contribution),
    facts(event),
    files.length > 0 && h("ul", { class: "files", "aria-label": "Files" }, files.map(([kind, file]) => h("li", {}, h("a", { href: `${file.url}?download=1`, download: true }, `Download ${kind}`), h("span", { class: "dim" }, ` ${bytes(file.size)}`)))),
  );
}

function contributions(shares) {
  const most = Math.max(1, ...PARTS.map(([key]) => Math.abs(shares[key])));
  return h(
    "section",
    {},
    h("h2", {}, "What spoke for it"),
    h(
      "dl",
      { class: "shares" },
      PARTS.map(([key, name]) => {
        const value = shares[key];
        const bar = h("span", { class: value < 0 ? "against" : "for" });
        bar.style.width = `${(Math.abs(value) / most) * 100}%`;
        const text = `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;
        return h("div", {}, h("dt", {}, name), h("dd", {}, h("span", { class: "track" }, bar), h("b", {}, text)));
      }),
    ),
  );
}

function facts(event) {
  const tags = Object.entries(event.tags).sort((a, b) => b[1] - a[1]).slice(0, 3);
  const tune = event.kind === "event" && h("a", { href: `/thresholds/${part(event.camera)}/${part(event.label)}?day=${dayName(event.begin_s)}`, "data-link": true }, event.threshold.toFixed(2));
  const lines = [
    ["Peak", event.peak.toFixed(2)],
    ["Threshold", tune || event.threshold.toFixed(2)],
    tags.length && ["Sounds like", tags.map(([name, value]) => `${name} ${value.toFixed(2)}`).join(", ")],
    event.boxes.length && ["Seen", event.boxes.map((b) => `${words(b.label)} ${b.score.toFixed(2)}`).join(", ")],
    event.model && ["Model", event.model],
  ].filter(Boolean);
  return h("dl", { class: "facts" }, lines.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function marks(event) {
  const said = h("p", { class: "dim", role: "status" });
  const buttons = [["true", "t", "Right"], ["false", "f", "False alarm"]].map(([verdict, key, text]) =>
    h("button", { type: "button", "data-key": key, "data-verdict": verdict, "aria-keyshortcuts": key, class: `verdict ${verdict}`, onclick: () => mark(verdict) }, text, h("kbd", { "aria-hidden": "true" }, key.toUpperCase())),
  );
  const undo = h("button", { type: "button", class: "quiet", "data-key": "u", onclick: () => mark(null) }, "Take back");
  function render() {
    for (const button of buttons) button.setAttribute("aria-pressed", String(event.mark?.verdict === button.dataset.verdict));
    undo.hidden = !event.mark;
    const by = event.mark?.by.replace(/^page:/, "");
    said.textContent = event.mark ? `Marked by ${by} at ${clock(Date.parse(event.mark.time) / 1000)}${event.mark.note ? `: ${event.mark.note}` : ""}` : "Was it that? Marks teach the box.";
  }
  async function mark(verdict) {
    try {
      event.mark = (await send("POST", `/api/events/${part(event.id)}/mark`, { verdict })).mark;
      render();
    } catch (error) {
      tell(error.message, true);
    }
  }
  render();
  return h("div", { class: "marks" }, h("div", { class: "row" }, buttons, undo), said);
}
