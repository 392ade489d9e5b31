// Drawing on the picture: zones and lines with mouse, finger or keys, and rules made from them.

import { get, part, send } from "./api.js";
import { h, place, s, tell, words } from "./dom.js";
import { follow } from "./news.js";
import { ageOf, corners, picture } from "./picture.js";
import { listing } from "./places.js";

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
  const state = { drawn: await get("/api/drawn"), camera, eye, chosen: null, tool: null, draft: [], labels: node.labels, form: {} };
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
  const look = (all) => all.filter((facts) => facts.camera === camera).forEach((facts) => eye.age(...ageOf(facts)));
  const leave = follow({ hello: (hello) => look(hello.facts), facts: look, lost: () => eye.age(true) });
  return () => {
    leave();
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

  // `undo` is offered when it was done.
  async function attempt(work, after = () => {}, undo = null) {
    try {
      const { done } = await work();
      state.drawn = await get("/api/drawn");
      after();
      tell(done, false, undo && (() => attempt(undo)));
    } catch (error) {
      state.drawn = await get("/api/drawn").catch(() => state.drawn);
      tell(error.message, true);
    }
    render();
  }
  const save = (what, points, isNew = false) => attempt(() => send("PUT", url(what) + (isNew ? "?new=true" : ""), { points }), () => (state.chosen = what));
  const remove = (what) => {
    const { points } = places()[`${what.kind}s`][what.name];
    attempt(() => send("DELETE", url(what)), () => (state.chosen = null), () => send("PUT", url(what), { points }));
  };

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
    save({ kind, name: free(kind) }, points, true);
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
      h("button", { type: "button", class: "quiet", onclick: () => save({ kind: "zone", name: free("zone") }, middle, true) }, "Zone in the middle"),
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
