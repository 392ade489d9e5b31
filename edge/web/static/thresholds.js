// A threshold held against the scores of a day: drag it and see what would have begun and ended.

import { get, part, send } from "./api.js";
import { canvasOf, curve, dashed, grid, tint, yOf } from "./chart.js";
import { clock, colour, count, dayName, dayOf, dayStart, h, lasted, tell, words } from "./dom.js";
import { counted } from "./held.js";

export const title = "Thresholds";
const [LEFT, BOTTOM, LANE] = [28, 58, 14];
const STEPS = [60, 300, 900, 1800, 3600, 10800, 21600];

export async function show(root, { rest: [askedCamera, askedLabel], node, query, go }) {
  const all = await get("/api/thresholds");
  const cameras = node.cameras.map((c) => c.name);
  const camera = cameras.includes(askedCamera) ? askedCamera : cameras[0];
  const labels = all.filter((t) => t.camera === camera).map((t) => t.label);
  const label = labels.includes(askedLabel) ? askedLabel : labels[0];
  const asked = query.get("day");
  const day = asked && /^\d{4}-\d{2}-\d{2}$/.test(asked) ? dayOf(asked) : dayStart();
  const to = (c, l, d) => go(`/thresholds/${part(c)}/${part(l)}?day=${dayName(d)}`);
  const state = { all, camera, label, since: day, until: dayStart(new Date(day * 1000), -1), node };
  state.rule = all.find((t) => t.camera === camera && t.label === label);
  if (!state.rule) {
    root.append(h("p", { class: "empty" }, "There is nothing with a threshold here."));
    return null;
  }
  state.enter = state.rule.enter;
  const pick = (name, values, chosen, use) => h("label", {}, h("span", {}, name), h("select", { onchange: (e) => use(e.target.value) }, values.map((v) => h("option", { value: v, selected: v === chosen }, words(v)))));
  const days = h("input", { type: "date", value: dayName(day), max: dayName(Date.now() / 1000), onchange: (e) => e.target.value && to(camera, label, dayOf(e.target.value)) });
  root.append(
    h("h1", {}, "Thresholds"),
    h("div", { class: "fields" }, pick("Camera", cameras, camera, (c) => to(c, label, day)), pick("What", labels, label, (l) => to(camera, l, day)), h("label", {}, h("span", {}, "Day"), days)),
  );
  const view = viewOf(state);
  root.append(view.element, view.nearMisses, origins(state, to, day));
  await view.load();
  return view.stop;
}

function viewOf(state) {
  const { camera, label } = state;
  const canvas = h("canvas", { class: "history", role: "img" });
  const slider = h("input", { type: "range", id: "enter", min: "0.01", max: "1", step: "0.01", value: state.enter });
  const shown = h("output", { for: "enter" }, state.enter.toFixed(2));
  const summary = h("p", { class: "summary", role: "status" }, "…");
  const apply = h("button", { type: "button", class: "main", onclick: () => put(Number(slider.value)) }, "Apply");
  const back = h("button", { type: "button", class: "quiet", onclick: () => put(null) }, "Back to what the configuration says");
  const list = h("ul", { class: "wouldbe", "aria-label": "What there would have been" });
  const element = h(
    "section",
    { class: "card tune" },
    canvas,
    h("div", { class: "row slide" }, h("label", { for: "enter" }, "Begins at"), slider, shown),
    summary,
    h("div", { class: "row" }, apply, back),
    list,
  );
  const nearMisses = h("section", { class: "card near", hidden: true });
  const data = { trace: null, now: null, would: null, marks: [] };
  const span = () => ({ label, since: state.since, until: state.until });
  const previewOf = (enter, leave) => get(`/api/cameras/${part(camera)}/preview`, { ...span(), enter, leave });
  let [turn, timer, fitted] = [0, 0, false];

  async function load() {
    const { until, since } = state;
    [data.trace, data.now, data.marks] = await Promise.all([
      get(`/api/cameras/${part(camera)}/trace`, { ...span(), points: 1200 }),
      previewOf(state.rule.enter, state.rule.leave),
      get("/api/events", { camera, label, since, until, limit: 200 }).then((page) => page.events, () => []),
    ]);
    data.would = data.now;
    showNearMisses(await get("/api/near-misses", { camera, label, since, until }).catch(() => []));
    if (!fitted && fit()) await load();
    else render();
  }

  // Moments that stayed below the threshold: a click tries the threshold that would have told of one.
  function showNearMisses(found) {
    nearMisses.hidden = !found.length;
    const attempt = (value) => {
      slider.value = Math.max(0.01, Math.floor(value * 100) / 100);
      moved(Number(slider.value));
    };
    const item = (one) =>
      h(
        "li",
        {},
        h(
          "button",
          { type: "button", class: "quiet", title: "Try a threshold that would have told of it", onclick: () => attempt(one.value) },
          one.thumbnail ? h("img", { src: one.thumbnail, alt: "", loading: "lazy", width: 160, height: 90 }) : h("span", { class: "dim" }, "no picture"),
          h("span", {}, h("time", {}, clock(one.at_s, false)), ` ${one.value.toFixed(2)}`),
        ),
      );
    nearMisses.replaceChildren(h("h2", {}, "What came near"), h("ul", { class: "nearmisses", "aria-label": "Moments below the threshold" }, found.map(item)));
  }

  // Where scores were kept for a part of the day only, that part is shown.
  function fit() {
    fitted = true;
    const there = data.trace.high.flatMap((v, i) => (v === null ? [] : [i]));
    if (!there.length) return false;
    const per = (state.until - state.since) / data.trace.high.length;
    const [from, to] = [state.since + there[0] * per, state.since + (there.at(-1) + 1) * per];
    const room = Math.max(120, (to - from) * 0.04);
    if (to - from + 2 * room > 0.6 * (state.until - state.since)) return false;
    [state.since, state.until] = [Math.max(state.since, Math.floor((from - room) / 60) * 60), Math.min(state.until, Math.ceil((to + room) / 60) * 60)];
    return true;
  }

  function render() {
    draw();
    const { now, would } = data;
    const isNew = Math.abs(would.enter - state.rule.enter) > 1e-6;
    const seen = now.covered_s > 0 ? ` in ${lasted(now.covered_s)} of scores` : "";
    if (!data.trace.labels.includes(label)) summary.textContent = `No scores of ${words(label)} were kept that day.`;
    else if (isNew) summary.textContent = `With ${would.enter.toFixed(2)}: ${count(would.total, "event")}; with ${state.rule.enter.toFixed(2)}, as now: ${count(now.total, "event")}${seen}.`;
    else summary.textContent = `With ${would.enter.toFixed(2)}, as now: ${count(now.total, "event")}${seen}.`;
    const held = counted(would.held_back);
    if (held) summary.textContent += ` Held back: ${held}.`;
    if (now.total || would.total) summary.textContent += limitOf(state.rule);
    if (!state.rule.enabled) summary.textContent += " It is switched off here: nothing of it is told.";
    else if (!state.node.cameras.find((one) => one.name === camera)?.armed) summary.textContent += " The camera is disarmed.";
    summary.dataset.total = would.total;
    apply.disabled = !isNew;
    back.hidden = state.rule.origins.enter !== "command";
    list.replaceChildren(...would.events.slice(0, 12).map((e) => h("li", {}, h("time", {}, clock(e.begin_s, false)), ` ${lasted(e.end_s - e.begin_s)}, peak ${e.peak.toFixed(2)}`)));
    if (would.total > 12) list.append(h("li", { class: "dim" }, `and ${would.total - 12} more`));
  }

  function draw() {
    if (!data.trace || !canvas.isConnected) return;
    const { pen, width, height } = canvasOf(canvas);
    const ink = colour(label, state.node.labels);
    const { high, low } = data.trace;
    const toY = (v) => yOf(v, height, BOTTOM);
    const xOf = (time) => LEFT + ((time - state.since) / (state.until - state.since)) * (width - LEFT - 2);
    grid(pen, width, height, LEFT, BOTTOM);
    pen.strokeStyle = ink;
    pen.lineWidth = Math.max(1, (width - LEFT) / high.length);
    pen.beginPath();
    for (let i = 0; i < high.length; i++) {
      if (high[i] === null) continue;
      const x = LEFT + ((i + 0.5) / high.length) * (width - LEFT - 2);
      pen.moveTo(x, toY(high[i]) - 0.5);
      pen.lineTo(x, toY(low[i]) + 0.5);
    }
    pen.stroke();
    const per = (state.until - state.since) / high.length;
    const middles = high.map((_, i) => state.since + (i + 0.5) * per);
    curve(pen, middles, high, xOf, toY, ink, { weight: 1.3, longest: Math.max(3, 1.5 * per) });
    hours(pen, xOf, width, height);
    lane(pen, data.now.events, xOf, height - BOTTOM + 8, tint("dim"));
    lane(pen, data.would.events, xOf, height - BOTTOM + 8 + LANE, tint("accent"));
    for (const event of data.marks) mark(pen, event, xOf(event.begin_s), height - BOTTOM + 8);
    dashed(pen, toY(state.rule.enter), LEFT, width, tint("dim"));
    pen.strokeStyle = tint("accent");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(LEFT, toY(data.would.enter));
    pen.lineTo(width, toY(data.would.enter));
    pen.stroke();
    canvas.setAttribute("aria-label", `Scores of ${words(label)} on ${camera}, ${dayName(state.since)}: ${count(data.now.total, "event")} as now, ${data.would.total} with ${data.would.enter.toFixed(2)}`);
  }

  function hours(pen, xOf, width, height) {
    pen.fillStyle = tint("dim");
    pen.textAlign = "center";
    pen.textBaseline = "alphabetic";
    const least = ((state.until - state.since) * 72) / width;
    const step = STEPS.find((s) => s >= least) ?? STEPS.at(-1);
    const day = new Date(state.since * 1000);
    const midnight = dayStart(day);
    for (let time = midnight; time < state.until; time += step) {
      const x = xOf(time);
      if (x < LEFT + 16 || x > width - 16) continue;
      const at = new Date(time * 1000);
      pen.fillText(`${String(at.getHours()).padStart(2, "0")}:${String(at.getMinutes()).padStart(2, "0")}`, x, height - 4);
    }
  }

  function lane(pen, events, xOf, y, ink) {
    pen.fillStyle = ink;
    for (const e of events) pen.fillRect(xOf(e.begin_s), y, Math.max(2, xOf(e.end_s) - xOf(e.begin_s)), LANE - 5);
  }

  function mark(pen, event, x, y) {
    if (!event.mark) return;
    pen.fillStyle = tint(event.mark.verdict === "true" ? "good" : "bad");
    pen.textAlign = "center";
    pen.font = "bold 13px system-ui, sans-serif";
    pen.fillText(event.mark.verdict === "true" ? "✓" : "✗", x, y - 1);
  }

  async function consider(enter) {
    const mine = ++turn;
    try {
      const would = await previewOf(enter);
      if (mine !== turn) return;
      data.would = would;
      render();
    } catch (error) {
      summary.textContent = error.message;
    }
  }

  function moved(value) {
    shown.textContent = value.toFixed(2);
    if (data.would) {
      data.would = { ...data.would, enter: value };
      draw();
    }
    clearTimeout(timer);
    timer = setTimeout(() => consider(value), 90);
  }
  slider.addEventListener("input", () => moved(Number(slider.value)));
  canvas.addEventListener("pointerdown", (event) => {
    const pull = (e) => {
      const { top, height } = canvas.getBoundingClientRect();
      const value = 1 - (e.clientY - top - 7) / (height - BOTTOM - 14);
      slider.value = Math.min(1, Math.max(0.01, value));
      moved(Number(slider.value));
    };
    canvas.setPointerCapture(event.pointerId);
    const held = new AbortController();
    canvas.addEventListener("pointermove", pull, { signal: held.signal });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => held.abort(), { signal: held.signal });
    pull(event);
  });

  async function put(enter) {
    try {
      tell((await send("PUT", `/api/cameras/${part(camera)}/thresholds/${part(label)}`, { enter })).done);
      state.all = await get("/api/thresholds");
      state.rule = state.all.find((t) => t.camera === camera && t.label === label);
      slider.value = state.rule.enter;
      shown.textContent = state.rule.enter.toFixed(2);
      data.now = data.would = await previewOf(state.rule.enter, state.rule.leave);
      render();
      element.dispatchEvent(new CustomEvent("edge:applied", { bubbles: true }));
    } catch (error) {
      tell(error.message, true);
    }
  }

  const resized = new ResizeObserver(draw);
  resized.observe(canvas);
  window.addEventListener("edge:theme", draw);
  return {
    element,
    nearMisses,
    load,
    stop() {
      resized.disconnect();
      clearTimeout(timer);
      window.removeEventListener("edge:theme", draw);
    },
  };
}

// How many are told, as the rule has it.
function limitOf(rule) {
  if (rule.limit === "hard") return ` At most ${rule.most_per_hour} an hour are told.`;
  const more = rule.limit === "repetitions" ? "; live, who or what is new is told at once" : "";
  return ` After ${rule.most_per_hour} in an hour one in ${lasted(3600 / rule.most_per_hour)} is told${more}.`;
}

const FROM = { default: "the model's advice", learned: "learned here", config: "config.yaml", command: "set by hand" };

function origins(state, to, day) {
  const own = state.all.filter((t) => t.camera === state.camera);
  return h(
    "details",
    { class: "plain" },
    h("summary", {}, `All thresholds of ${state.camera}, and where they come from`),
    h(
      "div",
      { class: "wide" },
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, ["What", "Begins at", "Ends below", "After", "Not again for", "Severity"].map((t) => h("th", { scope: "col" }, t)))),
        h(
          "tbody",
          {},
          own.map((t) => {
            const cell = (text, name) => h("td", {}, text, h("small", { class: "dim" }, FROM[t.origins[name]] ?? t.origins[name]));
            const link = h("button", { type: "button", class: "quiet", onclick: () => to(state.camera, t.label, day) }, words(t.label));
            return h("tr", { class: t.enabled ? "" : "off" }, h("th", { scope: "row" }, link), cell(t.enter.toFixed(2), "enter"), cell(t.leave.toFixed(2), "leave"), cell(`${t.min_s} s`, "min_s"), cell(`${t.cooldown_s} s`, "cooldown_s"), t.enabled ? cell(t.severity, "severity") : cell("off", "enabled"));
          }),
        ),
      ),
    ),
  );
}
