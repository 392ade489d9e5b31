// How the box and its sources are.

import { get } from "./api.js";
import { bytes, count, h, lasted, words } from "./dom.js";
import { counted, limited } from "./held.js";
import { follow } from "./news.js";

export const title = "Health";

export async function show(root) {
  const place = h("div", { class: "health" });
  root.append(h("h1", { class: "hidden" }, "Health"), place);
  let [ended, held] = [false, []];
  async function refresh() {
    try {
      const now = await get("/api/health");
      if (!ended) {
        held = now.held_back;
        place.replaceChildren(box(now), ...now.cameras.map((facts) => camera(facts, held)));
      }
    } catch (error) {
      if (ended || error.status === 401) return;
      place.querySelector(".lost")?.remove();
      place.prepend(h("p", { class: "lost" }, `${error.message}; what stands here is of before`));
    }
  }
  await refresh();
  const timer = setInterval(() => document.hidden || refresh(), 5000);
  const leave = follow({ facts: (all) => all.forEach((facts) => swap(place, facts, held)), held_back: (all) => (held = all) });
  return () => {
    ended = true;
    clearInterval(timer);
    leave();
  };
}

function swap(place, facts, held) {
  const old = [...place.querySelectorAll("article[data-camera]")].find((e) => e.dataset.camera === facts.camera);
  old?.replaceWith(camera(facts, held));
}

const line = (name, value, bad = false) => h("div", { class: bad ? "bad" : "" }, h("dt", {}, name), h("dd", {}, value));

function box(now) {
  return h(
    "article",
    { class: "card" },
    h("h2", {}, `${now.site} / ${now.id}`),
    h(
      "dl",
      { class: "facts" },
      line("Version", now.version),
      line("Model", now.model),
      line("Runs on", now.runtime || "starting"),
      line("Up for", lasted(now.uptime_s)),
      line("Broker", now.broker),
      now.load && line("Room for more", `${Math.round(100 * now.load.room)} % (processor ${Math.round(100 * now.load.processor)} %, model ${Math.round(100 * now.load.engine)} %)`, now.load.room < 0.05),
      line("Waiting to be sent", String(now.outbox_messages), now.outbox_messages > 1000),
      line("Held back", limited(now.held_back.reduce((n, one) => n + one.limited, 0)) || "nothing this hour"),
      line("Free on the disk", bytes(now.disk_free_bytes), now.disk_free_bytes < 2e9),
      now.evidence && line("Events kept", `${now.evidence.events}${now.evidence.bytes === null ? "" : `, ${bytes(now.evidence.bytes)}`} (at most ${count(now.evidence.keep_days, "day")}, ${now.evidence.keep_gb} GB)`),
      Object.entries(now.details).map(([name, value]) => line(words(name), value)),
    ),
  );
}

function camera(facts, held) {
  const own = held.filter((one) => one.camera === facts.camera && counted(one.this_hour));
  const offset = facts.av_offset_s;
  const drops = Object.entries(facts.drops).filter(([, n]) => n > 0);
  const level = (stream, unit) => (stream.level === null ? "–" : `${stream.level.toFixed(0)} ${unit}`);
  const stream = (name, one, unit, rate) =>
    one && [
      line(name, `${one.rate_hz.toFixed(one.rate_hz < 100 ? 1 : 0)} ${rate}, ${level(one, unit)}`),
      line(`${name}: newest`, one.age_s === null ? "nothing yet" : `${one.age_s.toFixed(1)} s ago`, (one.age_s ?? 0) > 10),
      one.quiet_s > 1 && line(`${name}: ${unit === "dBFS" ? "silent" : "dark"} for`, lasted(one.quiet_s), one.quiet_s > 60),
      one.frozen_s > 1 && line(`${name}: unchanged for`, lasted(one.frozen_s), one.frozen_s > 30),
      one.drift_ppm !== null && line(`${name}: clock`, `${one.drift_ppm.toFixed(0)} ppm`),
    ];
  return h(
    "article",
    { class: "card", "data-camera": facts.camera },
    h("h2", {}, facts.camera, " ", h("span", { class: `pill ${facts.state}` }, facts.state)),
    facts.detail && h("p", { class: "dim" }, facts.detail),
    h(
      "dl",
      { class: "facts" },
      stream("Picture", facts.video, "of 255 bright", "a second"),
      facts.pictures && line("Pictures looked at", facts.pictures),
      stream("Sound", facts.audio, "dBFS", "samples a second"),
      line("Sound after picture", offset === null ? "not measured yet" : `${(offset * 1000).toFixed(0)} ms`, offset !== null && Math.abs(offset) > 0.1),
      facts.sensors.map((one) => line(`Sensor: ${words(one.name)}`, one.value === null ? "nothing yet" : `${Number(one.value.toPrecision(5))} ${one.unit}, ${lasted(one.age_s)} ago`, one.stale)),
      own.map((one) => line(`No event: ${words(one.label)}`, `${counted(one.this_hour)}, this hour`)),
      line("Dropped", drops.length ? drops.map(([place, n]) => `${n} ${place}`).join(", ") : "nothing"),
    ),
  );
}
