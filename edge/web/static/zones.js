// Drawing on the picture: zones and lines with mouse, finger or keys, and rules made from them.

import { get, part, send } from "./api.js";
import { h, place, s, tell, words } from "./dom.js";
import { corners, picture } from "./picture.js";

export const title = "Zones";
const NEAR = 0.03;
const inside = (v) => Math.min(1, Math.max(0, v));

export async function show(root, { rest: [asked], node, go }) {
  const cameras = node.cameras.filter((camera) => camera.picture);
  if (!cameras.length) {
    root.append(h("p", { class: "empty" }, "No camera here has a picture to draw on."));
    return null;
  }
  const camera = cameras.find((one) => one.name === asked)?.name ?? cameras[0].name;
  const chooser = h("select", { "aria-label": "Camera", onchange: (e) => go(`/zones/${part(e.target.value)}`) }, cameras.map((c) => h("option", { selected: c.name === camera }, c.name)));
  const eye = picture(camera);
  const state = { drawn: await get("/api/drawn"), camera, eye, chosen: null, tool: null, draft: [], labels: node.labels };
  const aside = h("div", { class: "aside" });
  const tools = h("div", { class: "row tools", role: "toolbar", "aria-label": "Drawing" });
  const hint = h("p", { class: "dim hint", role: "status" });
  root.append(
    h("div", { class: "row" }, h("h1", {}, "Zones"), chooser),
    h("div", { class: "columns" }, h("section", {}, tools, eye.element, hint), aside),
  );
  eye.element.classList.add("board");
  const board = boardOf(state, { tools, hint, aside });
  board.render();
  return () => {
    eye.stop();
    board.stop();
  };
}

function boardOf(state, { tools, hint, aside }) {
  const { eye, camera } = state;
  const handles = h("div", { class: "handles" });
  eye.element.append(handles);
  const places = () => state.drawn.cameras[camera];
  const chosen = () => state.chosen && places()[`${state.chosen.kind}s`][state.chosen.name];
  const url = ({ kind, name }) => `/api/cameras/${part(camera)}/${kind}s/${part(name)}`;

  async function attempt(work, after = () => {}) {
    try {
      const { done } = await work();
      state.drawn = await get("/api/drawn");
      after();
      tell(done);
    } catch (error) {
      state.drawn = await get("/api/drawn").catch(() => state.drawn);
      tell(error.message, true);
    }
    render();
  }
  const save = (what, points) => attempt(() => send("PUT", url(what), { points }), () => (state.chosen = what));
  const remove = (what) => attempt(() => send("DELETE", url(what)), () => (state.chosen = null));

  function begin(tool) {
    [state.tool, state.draft, state.chosen] = [tool, [], null];
    render();
  }
  function free(kind) {
    const taken = Object.keys(places()[`${kind}s`]);
    for (let i = 1; ; i++) if (!taken.includes(`${kind}${i}`)) return `${kind}${i}`;
  }
  function finish() {
    const [kind, points] = [state.tool, state.draft];
    if (points.length < (kind === "line" ? 2 : 3)) return;
    [state.tool, state.draft] = [null, []];
    save({ kind, name: free(kind) }, points);
  }
  const cancel = () => begin(null);

  function at(event) {
    const r = eye.element.getBoundingClientRect();
    return [inside((event.clientX - r.left) / r.width), inside((event.clientY - r.top) / r.height)];
  }

  function pressed(event) {
    if (event.button) return;
    if (!state.tool) {
      grab(event);
      return;
    }
    event.preventDefault();
    const point = at(event);
    const first = state.draft[0];
    if (state.tool === "zone" && state.draft.length >= 3 && Math.hypot(point[0] - first[0], point[1] - first[1]) < NEAR) {
      finish();
      return;
    }
    state.draft.push(point);
    if (state.tool === "line" && state.draft.length === 2) finish();
    else render();
  }

  // Pick a shape up, or choose it.
  function grab(event) {
    const shape = event.target.closest("[data-name]");
    if (!shape) {
      if (event.target.closest(".handles")) return;
      state.chosen = null;
      render();
      return;
    }
    event.preventDefault();
    state.chosen = { kind: shape.dataset.kind, name: shape.dataset.name };
    render();
    const start = at(event);
    const before = chosen().points.map((p) => [...p]);
    drag(event, (now) => {
      const shift = [0, 1].map((i) => {
        const values = before.map((p) => p[i]);
        return Math.min(1 - Math.max(...values), Math.max(-Math.min(...values), now[i] - start[i]));
      });
      chosen().points = before.map((p) => [p[0] + shift[0], p[1] + shift[1]]);
    });
  }

  function drag(event, move) {
    let moved = false;
    const onMove = (e) => {
      if (e.pointerId !== event.pointerId) return;
      moved = true;
      move(at(e));
      draw();
    };
    const onUp = (e) => {
      if (e.pointerId !== event.pointerId) return;
      window.removeEventListener("pointermove", onMove);
      window.removeEventListener("pointerup", onUp);
      window.removeEventListener("pointercancel", onUp);
      if (moved) save(state.chosen, chosen().points);
    };
    window.addEventListener("pointermove", onMove);
    window.addEventListener("pointerup", onUp);
    window.addEventListener("pointercancel", onUp);
  }

  function handle(point, i) {
    const name = `Corner ${i + 1}: arrow keys move it, Delete removes it`;
    const dot = h("button", { type: "button", class: "handle", "aria-label": name, "data-i": String(i) });
    place(dot, { left: point[0], top: point[1] });
    dot.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      event.stopPropagation();
      drag(event, (now) => (chosen().points[i] = now));
    });
    dot.addEventListener("keydown", (event) => nudge(event, i));
    return dot;
  }

  let settle = 0;
  function nudge(event, i) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const points = chosen().points;
    if (steps[event.key]) {
      event.preventDefault();
      const step = event.shiftKey ? 0.05 : 0.01;
      points[i] = [inside(points[i][0] + steps[event.key][0] * step), inside(points[i][1] + steps[event.key][1] * step)];
      draw();
      handles.querySelector(`[data-i="${i}"]`)?.focus();
      clearTimeout(settle);
      const what = state.chosen;
      settle = setTimeout(() => save(what, points), 700);
    } else if (event.key === "Delete" && points.length > 3 && state.chosen.kind === "zone") {
      points.splice(i, 1);
      save(state.chosen, points);
    }
  }

  // A place halfway along an edge where a new corner can be pulled out.
  function between(points, i) {
    const [a, b] = [points[i], points[(i + 1) % points.length]];
    const middle = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const dot = h("span", { class: "handle mid", "aria-hidden": "true" });
    place(dot, { left: middle[0], top: middle[1] });
    dot.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      event.stopPropagation();
      chosen().points.splice(i + 1, 0, middle);
      drag(event, (now) => (chosen().points[i + 1] = now));
    });
    return dot;
  }

  function draw() {
    const { zones, lines, masks } = places();
    const shapes = [];
    const names = [];
    const tag = (name, [x, y], kind) => {
      const label = h("span", { class: `tag ${kind}` }, words(name));
      place(label, { left: x, top: y });
      names.push(label);
    };
    for (const mask of masks) shapes.push(s("polygon", { points: corners(mask), class: "mask" }));
    for (const [name, zone] of Object.entries(zones)) {
      const on = state.chosen?.kind === "zone" && state.chosen.name === name;
      shapes.push(s("polygon", { points: corners(zone.points), class: `zone${on ? " on" : ""}`, "data-kind": "zone", "data-name": name }));
      tag(name, zone.points.reduce((best, p) => (p[1] < best[1] ? p : best)), "zone");
    }
    for (const [name, { points: [a, b] }] of Object.entries(lines)) {
      const on = state.chosen?.kind === "line" && state.chosen.name === name;
      const ends = { x1: a[0], y1: a[1], x2: b[0], y2: b[1], "data-kind": "line", "data-name": name };
      shapes.push(s("line", { ...ends, class: `line${on ? " on" : ""}` }), s("line", { ...ends, class: "reach" }));
      tag(name, [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], "line");
    }
    if (state.draft.length) shapes.push(s("polyline", { points: corners(state.draft), class: "draft" }));
    eye.shapes.replaceChildren(...shapes);
    eye.names.replaceChildren(...names);
    const points = chosen()?.points ?? [];
    const middles = state.chosen?.kind === "zone" && points.length < 64 ? points.map((_, i) => between(points, i)) : [];
    handles.replaceChildren(...middles, ...points.map(handle), ...state.draft.map((p) => {
      const dot = h("span", { class: "handle draft" });
      place(dot, { left: p[0], top: p[1] });
      return dot;
    }));
  }

  function render() {
    draw();
    const tool = (kind, text) => h("button", { type: "button", "aria-pressed": String(state.tool === kind), onclick: () => begin(state.tool === kind ? null : kind) }, text);
    const middle = [[0.3, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7]];
    tools.replaceChildren(
      tool("zone", "Draw a zone"),
      tool("line", "Draw a line"),
      h("button", { type: "button", class: "quiet", onclick: () => save({ kind: "zone", name: free("zone") }, middle) }, "Zone in the middle"),
      ...(state.tool === "zone" && state.draft.length >= 3 ? [h("button", { type: "button", class: "main", onclick: finish }, "Done")] : []),
      ...(state.tool ? [h("button", { type: "button", class: "quiet", onclick: cancel }, "Cancel")] : []),
    );
    eye.element.classList.toggle("drawing", Boolean(state.tool));
    hint.textContent = {
      zone: "Tap the corners one after another; tap the first one again, or Done, to close.",
      line: "Tap where the line begins, then where it ends. To its left is the left of whoever walks along it.",
    }[state.tool] ?? (state.chosen ? "Drag a corner or the whole shape; it is saved and in force as you let go." : "Choose a shape to move it. Grey areas are privacy masks: they are set in config.yaml.");
    aside.replaceChildren(...listing(state, { places, url, remove, attempt, choose: (what) => ((state.chosen = what), (state.tool = null), render()) }));
  }

  const keys = (event) => {
    if (event.key === "Escape" && state.tool) cancel();
    if (event.key === "Enter" && state.tool === "zone" && !event.target.closest("button, input, select")) finish();
  };
  eye.element.addEventListener("pointerdown", pressed);
  document.addEventListener("keydown", keys);
  return { render, stop: () => document.removeEventListener("keydown", keys) };
}

function listing(state, { places, url, remove, attempt, choose }) {
  const rows = ["zone", "line"].flatMap((kind) =>
    Object.entries(places()[`${kind}s`]).map(([name, one]) => {
      const on = state.chosen?.kind === kind && state.chosen.name === name;
      return h(
        "li",
        { class: on ? "on" : "" },
        h("button", { type: "button", class: "quiet name", "aria-pressed": String(on), onclick: () => choose({ kind, name }) }, h("i", { class: kind, "aria-hidden": "true" }), name),
        h("small", { class: "dim" }, one.drawn ? kind : `${kind}, config.yaml`),
        one.drawn && h("button", { type: "button", class: "quiet", "aria-label": `Remove ${kind} ${name}`, onclick: () => remove({ kind, name }) }, "Remove"),
      );
    }),
  );
  const parts = [h("h2", {}, "On this picture"), rows.length ? h("ul", { class: "places" }, rows) : h("p", { class: "dim" }, "Nothing is drawn yet.")];
  if (state.chosen && places()[`${state.chosen.kind}s`][state.chosen.name]?.drawn) parts.push(rename(state, { places, url, attempt }));
  parts.push(ruleForm(state, { places, attempt }), ruleList(state, attempt));
  if (state.drawn.yaml) parts.push(paste(state.drawn.yaml));
  return parts;
}

function rename(state, { places, url, attempt }) {
  const { kind, name } = state.chosen;
  const field = h("input", { value: name, pattern: "[a-zA-Z0-9][a-zA-Z0-9_\\-]{0,63}", required: true, title: "letters, digits, - and _" });
  const form = h("form", { class: "row rename" }, h("label", {}, h("span", {}, `Name of the ${kind}`), field), h("button", {}, "Rename"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (field.value === name) return;
    const what = { kind, name: field.value };
    if (places()[`${kind}s`][what.name]) {
      tell(`there is a ${kind} called ${what.name} already`, true);
      return;
    }
    attempt(async () => {
      await send("PUT", url(what), { points: places()[`${kind}s`][name].points });
      try {
        return await send("DELETE", url(state.chosen));
      } catch (error) {
        await send("DELETE", url(what));
        throw error;
      }
    }, () => (state.chosen = what));
  });
  return form;
}

// "Alert when [person] is in [zone] for [2] s …"
function ruleForm(state, { places, attempt }) {
  const spots = ["zone", "line"].flatMap((kind) => Object.keys(places()[`${kind}s`]).map((name) => [kind, name]));
  const option = (value, text, selected = false) => h("option", { value, selected }, text);
  const own = Object.entries(state.drawn.rules).filter(([, { rule }]) => rule.when || rule.sequence || rule.all_of).map(([one]) => one);
  const when = h("select", { name: "when", "aria-label": "What" }, state.labels.filter((l) => !own.includes(l)).map((l) => option(l, words(l), l === "person")));
  const where = h("select", { name: "where", "aria-label": "Where" }, spots.map(([kind, name]) => option(`${kind}:${name}`, `${kind === "line" ? "crosses " : "is in "}${name}`, state.chosen?.kind === kind && state.chosen.name === name)));
  const after = h("input", { type: "number", name: "after", min: "0", max: "3600", step: "0.5", value: "2", "aria-label": "Seconds" });
  const schedule = h("input", { name: "schedule", placeholder: "always, or 22:00-06:00", "aria-label": "Schedule" });
  const severity = h("select", { name: "severity", "aria-label": "Severity" }, ["alert", "warning", "info"].map((one) => option(one, one)));
  const name = h("input", { name: "name", pattern: "[a-z][a-z0-9_]{0,63}", placeholder: "intrusion", title: "lower-case letters, digits and _", "aria-label": "Name of the rule" });
  const lasting = h("span", {}, " for ", after, " s");
  const seen = () => (lasting.hidden = where.value.startsWith("line:"));
  where.addEventListener("change", seen);
  const form = h(
    "form",
    { class: "rule" },
    h("h2", {}, "A rule from it"),
    h("p", {}, "Tell me as ", severity, " when ", when, " ", where, lasting, "; at these times: ", schedule, "; call it ", name, "."),
    h("button", { class: "main", disabled: !spots.length }, "Save the rule"),
  );
  if (!spots.length) form.append(h("p", { class: "dim" }, "Draw a zone or a line first."));
  else seen();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [kind, spot] = where.value.split(/:(.*)/s);
    const rule = { when: when.value, cameras: [state.camera], severity: severity.value, [`${kind}s`]: [spot] };
    if (kind === "zone" && Number(after.value) > 0) rule.after_s = Number(after.value);
    if (schedule.value.trim() && schedule.value.trim() !== "always") rule.schedule = schedule.value.trim();
    const called = name.value || (kind === "zone" ? "intrusion" : "crossing");
    attempt(() => send("PUT", `/api/rules/${part(called)}`, rule));
  });
  return form;
}

function ruleList(state, attempt) {
  const own = Object.entries(state.drawn.rules).filter(([, { rule }]) => rule.zones || rule.lines || rule.when || rule.sequence || rule.all_of);
  if (!own.length) return h("span");
  return h(
    "section",
    {},
    h("h2", {}, "Rules"),
    h("ul", { class: "places" }, own.map(([name, { rule, drawn }]) =>
      h("li", {}, h("span", { class: "said" }, h("b", {}, words(name)), " ", h("span", { class: "dim" }, told(rule))), drawn ? h("button", { type: "button", class: "quiet", "aria-label": `Remove rule ${name}`, onclick: () => attempt(() => send("DELETE", `/api/rules/${part(name)}`)) }, "Remove") : h("small", { class: "dim" }, "config.yaml")),
    )),
  );
}

function told(rule) {
  const list = (value) => [value].flat().map(words);
  return [
    rule.when && list(rule.when).join(" or "),
    rule.sequence && list(rule.sequence).join(", then "),
    rule.all_of && list(rule.all_of).join(" and "),
    rule.zones && `in ${list(rule.zones).join(" or ")}`,
    rule.lines && `crosses ${list(rule.lines).join(" or ")}`,
    rule.after_s && `for ${rule.after_s} s`,
    rule.schedule && [rule.schedule].flat().join(" and "),
    rule.cameras && `on ${rule.cameras.join(", ")}`,
    rule.severity,
  ].filter(Boolean).join(" · ");
}

function paste(text) {
  const copy = h("button", { type: "button", class: "quiet", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      tell("Copied");
    } catch {
      tell("The browser does not let pages copy here; select the text instead", true);
    }
  } }, "Copy");
  return h("details", { class: "plain" }, h("summary", {}, "As text for config.yaml"), h("pre", { tabindex: "0" }, text), copy);
}
