// What happens now: every camera's picture, sound, scores and open events.

import { get, part, send } from "./api.js";
import { canvasOf, curve, dashed, grid, tint, waterfall, yOf } from "./chart.js";
import { clock, colour, h, lasted, tell, words } from "./dom.js";
import { limited, sentence, WHY } from "./held.js";
import { listening } from "./listen.js";
import { follow } from "./news.js";
import { ageOf, drawBoxes, drawPlaces, picture } from "./picture.js";

export const title = "Live";
const SPAN_S = 180;
const MOST_CURVES = 5;
const SOUND_MS = 400;

export async function show(root, { node }) {
  const thresholds = await get("/api/thresholds").catch(() => []);
  const link = h("p", { class: "lost", role: "status", hidden: true }, "The box does not answer; trying again.");
  const cards = new Map(node.cameras.map((camera) => [camera.name, card(camera, node, thresholds)]));
  root.append(link, h("h1", { class: "hidden" }, "Live"), h("div", { class: "cards" }, [...cards.values()].map((c) => c.element)));
  const leave = follow({
    hello: (hello) => {
      link.hidden = true;
      for (const [name, one] of cards) one.arm(hello.armed[name] ?? true);
      for (const one of cards.values()) one.open(hello.open.filter((e) => e.camera === one.name));
      hello.facts.forEach((facts) => cards.get(facts.camera)?.facts(facts));
      for (const one of cards.values()) one.held(hello.held_back);
    },
    scores: (moment) => cards.get(moment.camera)?.scores(moment),
    event: (event) => cards.get(event.camera)?.event(event),
    facts: (all) => all.forEach((facts) => cards.get(facts.camera)?.facts(facts)),
    held_back: (all) => cards.forEach((one) => one.held(all)),
    changed: async () => {
      const [now, limits] = [await get("/api/node"), await get("/api/thresholds")];
      for (const camera of now.cameras) cards.get(camera.name)?.change(camera, limits);
    },
    lost: () => {
      link.hidden = false;
      cards.forEach((one) => one.unknown());
    },
    found: () => (link.hidden = true),
  });
  return () => {
    leave();
    cards.forEach((one) => one.stop());
  };
}

function card(camera, node, thresholds) {
  const state = h("span", { class: "pill" }, "…");
  const armed = h("input", { type: "checkbox", role: "switch", checked: camera.armed });
  armed.addEventListener("change", async () => {
    try {
      tell((await send("PUT", `/api/cameras/${part(camera.name)}/armed`, { armed: armed.checked })).done);
    } catch (error) {
      armed.checked = !armed.checked;
      tell(error.message, true);
    }
  });
  const boxes = h("div", { class: "boxes", "aria-hidden": "true" });
  const eye = camera.picture ? picture(camera.name, { onPicture: (found) => drawBoxes(boxes, element.classList.contains("gone") ? [] : found) }) : null;
  eye?.element.append(boxes);
  const ear = camera.sound ? soundOf(camera) : null;
  const chart = scoresOf(camera.name, node.labels, thresholds);
  const open = opened();
  const held = heldBack();
  const sensors = h("p", { class: "sensors dim", hidden: true });
  const head = h(
    "header",
    {},
    h("h2", {}, camera.name),
    state,
    h("label", { class: "switch" }, armed, h("span", {}, "Armed")),
  );
  const element = h("article", { class: "card camera", "data-camera": camera.name }, head, eye?.element, ear?.element, open.element, held.element, sensors, chart.element);
  const places = (now) => {
    if (!eye) return;
    eye.shapes.replaceChildren();
    eye.names.replaceChildren();
    drawPlaces(eye.shapes, eye.names, now);
  };
  places(camera);
  const old = (isOld, when) => {
    element.classList.toggle("gone", isOld);
    eye?.age(isOld, when);
    if (isOld) boxes.replaceChildren();
  };
  return {
    name: camera.name,
    element,
    arm: (on) => {
      armed.checked = on;
      element.classList.toggle("disarmed", !on);
    },
    open: open.set,
    event: open.take,
    held(all) {
      const own = all.filter((one) => one.camera === camera.name);
      held.set(own);
      chart.held(own);
    },
    facts(facts) {
      state.textContent = facts.state === "up" ? "up" : `${facts.state}${facts.detail ? `: ${facts.detail}` : ""}`;
      state.className = `pill ${facts.state}`;
      old(...ageOf(facts));
      sensors.hidden = !facts.sensors.length;
      sensors.replaceChildren(...facts.sensors.map(reading));
    },
    unknown() {
      state.textContent = "unknown";
      state.className = "pill";
      old(true, null);
    },
    scores(moment) {
      chart.push(moment);
    },
    change(now, limits) {
      armed.checked = now.armed;
      places(now);
      chart.limits(limits);
    },
    stop() {
      eye?.stop();
      ear?.stop();
      chart.stop();
    },
  };
}

// "temperature 21.5 °C, 3 s ago"
function reading(one) {
  const text = one.value === null ? "nothing yet" : `${Number(one.value.toPrecision(5))} ${one.unit}, ${lasted(one.age_s)} ago`;
  return h("span", { class: one.stale ? "bad" : "" }, `${words(one.name)}: `, h("b", {}, text), one.stale && one.value !== null && " (too old to count)");
}

// What is above its threshold and told nowhere, with the reason. What only waits is said beside its score.
function heldBack() {
  const list = h("ul", { class: "held", "aria-label": "Held back", hidden: true });
  const set = (all) => {
    const shown = all.filter((one) => one.reason && one.reason !== "waiting");
    list.hidden = !shown.length;
    list.replaceChildren(...shown.map((one) => h("li", { "data-label": one.label, "data-reason": one.reason }, h("span", {}, sentence(one)), h("time", {}, clock(one.since_s, false)))));
  };
  return { element: list, set };
}

function opened() {
  const list = h("ul", { class: "open", "aria-label": "Open events" });
  const events = new Map();
  const render = () => {
    list.hidden = !events.size;
    list.replaceChildren(
      ...[...events.values()].map((event) =>
        h(
          "li",
          { class: event.severity },
          h("a", { href: `/events/${part(event.id)}`, "data-link": true }, words(event.label)),
          h("span", { class: "why" }, event.why),
          h("time", {}, clock(event.begin_s, false)),
        ),
      ),
    );
  };
  const set = (all) => {
    events.clear();
    all.forEach((event) => events.set(event.id, event));
    render();
  };
  const take = (event) => {
    if (event.phase === "end") events.delete(event.id);
    else events.set(event.id, event);
    render();
  };
  render();
  return { element: list, set, take };
}

function soundOf({ name: camera, ...rest }) {
  const canvas = h("canvas", { class: "waterfall", role: "img", "aria-label": `Spectrogram of ${camera}, low tones at the bottom` });
  const ear = rest.listening ? listening({ name: camera, speech: rest.speech }) : null;
  const bar = h("div", { class: "bar" });
  const value = h("output", {}, "–");
  const meter = h("div", { class: "level", role: "meter", "aria-label": "Sound level in dBFS", "aria-valuemin": "-100", "aria-valuemax": "0" }, bar);
  const element = h("div", { class: "sound" }, canvas, h("div", { class: "meter" }, meter, value, ear?.element));
  const draw = waterfall(canvas, 64, 400);
  let [next, timer, ended, silent] = [-1, 0, false, 0];
  async function listen() {
    if (ended) return;
    if (!document.hidden) {
      try {
        const heard = await get(`/api/cameras/${part(camera)}/sound`, { after: next });
        next = heard.next;
        draw(Uint8Array.from(atob(heard.columns), (c) => c.charCodeAt(0)));
        if (heard.levels.length) {
          const level = Math.max(...heard.levels);
          bar.style.width = `${Math.max(0, 100 + level)}%`;
          bar.classList.toggle("loud", level > -6);
          meter.setAttribute("aria-valuenow", Math.round(level));
          value.textContent = `${Math.round(level)} dBFS`;
          silent = 0;
        } else if (++silent > 5) {
          bar.style.width = 0;
          meter.removeAttribute("aria-valuenow");
          value.textContent = "no sound";
        }
      } catch {
        // Away for a moment; the page says so.
      }
    }
    timer = setTimeout(listen, SOUND_MS);
  }
  listen();
  return {
    element,
    stop() {
      ended = true;
      clearTimeout(timer);
      ear?.stop();
    },
  };
}

function scoresOf(camera, labels, thresholds) {
  const canvas = h("canvas", { class: "scores", role: "img" });
  const legend = h("ul", { class: "legend" });
  const element = h("div", { class: "trace" }, canvas, legend);
  const times = [];
  const rows = [];
  let enter = {};
  let held = {};
  let due = 0;
  const limits = (all) => {
    enter = Object.fromEntries(all.filter((t) => t.camera === camera).map((t) => [t.label, t]));
    later();
  };
  get(`/api/cameras/${part(camera)}/recent`).then((past) => {
    past.times_s.forEach((time, i) => {
      if (!times.length || time > times.at(-1)) {
        times.push(time);
        rows.push(Object.fromEntries(Object.entries(past.values).map(([name, values]) => [name, values[i]])));
      }
    });
    const order = times.map((_, i) => i).sort((a, b) => times[a] - times[b]);
    const [t, r] = [order.map((i) => times[i]), order.map((i) => rows[i])];
    times.splice(0, times.length, ...t);
    rows.splice(0, rows.length, ...r);
    later();
  }, () => {});
  function chosen() {
    const best = {};
    for (const row of rows) for (const [name, v] of Object.entries(row)) if (v !== null) best[name] = Math.max(best[name] ?? 0, v);
    return Object.keys(best)
      .sort((a, b) => best[b] - best[a])
      .slice(0, MOST_CURVES);
  }
  function draw() {
    due = 0;
    if (document.hidden || !canvas.isConnected) return;
    const { pen, width, height } = canvasOf(canvas);
    const [left, bottom] = [28, 2];
    const now = times.at(-1) ?? 0;
    grid(pen, width, height, left, bottom);
    if (!times.length) {
      pen.textAlign = "center";
      pen.fillText("No scores yet", (width + left) / 2, height / 4);
    }
    const xOf = (time) => left + ((time - now + SPAN_S) / SPAN_S) * (width - left - 2);
    const toY = (value) => yOf(value, height, bottom);
    const shown = chosen();
    for (const name of shown) {
      const ink = colour(name, labels);
      if (enter[name]) dashed(pen, toY(enter[name].enter), left, width, ink);
      curve(pen, times, rows.map((row) => row[name] ?? null), xOf, toY, ink);
    }
    pen.fillStyle = tint("dim");
    legend.replaceChildren(
      ...shown.map((name) => {
        const swatch = h("i", { "aria-hidden": "true" });
        swatch.style.background = colour(name, labels);
        const value = rows.at(-1)?.[name];
        const text = value === null || value === undefined ? "–" : value.toFixed(2);
        const href = `/thresholds/${part(camera)}/${part(name)}`;
        const limit = enter[name] ? ` of ${enter[name].enter.toFixed(2)}` : "";
        const one = held[name];
        const why = one && (one.reason ? WHY[one.reason] : limited(one.limited));
        return h("li", {}, h("a", { href, "data-link": true }, swatch, words(name), h("b", {}, text), h("small", {}, limit), why && h("small", { class: "why" }, ` ${why}`)));
      }),
    );
    canvas.setAttribute("aria-label", `Scores of the last three minutes: ${shown.map((n) => `${words(n)} ${rows.at(-1)?.[n] ?? "unknown"}`).join(", ")}`);
  }
  function later() {
    if (!due) due = requestAnimationFrame(draw);
  }
  const resized = new ResizeObserver(later);
  resized.observe(canvas);
  window.addEventListener("edge:theme", later);
  limits(thresholds);
  return {
    element,
    limits,
    held(all) {
      held = Object.fromEntries(all.map((one) => [one.label, one]));
      later();
    },
    push(moment) {
      times.push(moment.time_s);
      rows.push(moment.values);
      while (times.length && times[0] < moment.time_s - SPAN_S) {
        times.shift();
        rows.shift();
      }
      later();
    },
    stop() {
      resized.disconnect();
      window.removeEventListener("edge:theme", later);
    },
  };
}
