// A camera's picture that renews itself while it can be seen, with room for what lies over it.

import { clock, h, place, s, words } from "./dom.js";
import { part } from "./api.js";

const PAUSE_MS = 220;
const OLD_S = 5;

// Whether a camera's picture is not of now, and when it was taken (null: unknown).
export function ageOf(facts) {
  const age = facts.video?.age_s ?? null;
  return [facts.state !== "up" || (age ?? 0) > OLD_S, age === null ? null : Date.now() / 1000 - age];
}

// `onPicture` is given what was found in each picture as it is shown.
export function picture(camera, { renew = true, onPicture = () => {} } = {}) {
  const image = h("img", { alt: `What ${camera} sees`, draggable: false });
  const shapes = s("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  const names = h("div", { class: "names", "aria-hidden": "true" });
  const none = h("p", { class: "nopicture" }, "No picture yet");
  const stamp = h("p", { class: "stamp", role: "status", hidden: true });
  const element = h("div", { class: "picture" }, image, shapes, names, none, stamp);
  let [url, number, timer, seen, ended] = ["", -1, 0, true, false];
  let [came, isOld, taken] = [null, false, null];

  async function look() {
    if (ended) return;
    if (!document.hidden && seen) {
      try {
        const answer = await fetch(`/api/cameras/${part(camera)}/picture.jpg?after=${number}`);
        if (answer.status === 200) {
          number = Number(answer.headers.get("x-edge-number"));
          await swap(await answer.blob());
          onPicture(JSON.parse(answer.headers.get("x-edge-boxes") ?? "[]"));
        }
      } catch {
        // The box is away: the page says so elsewhere, and the next look may succeed.
      }
    }
    if (renew || !url) timer = setTimeout(look, PAUSE_MS);
  }

  async function swap(blob) {
    const next = URL.createObjectURL(blob);
    image.src = next;
    await image.decode().catch(() => {});
    if (url) URL.revokeObjectURL(url);
    url = next;
    came = Date.now() / 1000;
    none.hidden = true;
    dress();
  }

  // Grey, and stamped with its time: the picture is not of now. `when` null: the time it came.
  function age(old, when = null) {
    [isOld, taken] = [old, when];
    dress();
  }

  function dress() {
    element.classList.toggle("stale", isOld);
    stamp.hidden = !isOld || !url;
    if (!stamp.hidden) stamp.textContent = `Last picture: ${clock(taken ?? came)}`;
  }

  const watch = new IntersectionObserver((entries) => (seen = entries.at(-1).isIntersecting), { rootMargin: "80px" });
  watch.observe(element);
  look();

  return {
    element,
    shapes,
    names,
    age,
    stop() {
      ended = true;
      clearTimeout(timer);
      watch.disconnect();
      if (url) URL.revokeObjectURL(url);
    },
  };
}

export const corners = (points) => points.map(([x, y]) => `${x},${y}`).join(" ");

// Zones, lines and masks as they are in force.
export function drawPlaces(shapes, names, camera) {
  const tag = (name, [x, y], kind) => {
    const label = h("span", { class: `tag ${kind}` }, words(name));
    place(label, { left: x, top: y });
    names.append(label);
  };
  for (const mask of camera.masks) shapes.append(s("polygon", { points: corners(mask), class: "mask" }));
  for (const [name, points] of Object.entries(camera.zones)) {
    shapes.append(s("polygon", { points: corners(points), class: "zone" }));
    tag(name, points.reduce((best, p) => (p[1] < best[1] ? p : best)), "zone");
  }
  for (const [name, [a, b]] of Object.entries(camera.lines)) {
    shapes.append(s("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1], class: "line" }));
    tag(name, [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], "line");
  }
}

// Boxes of what is seen; `layer` is emptied first.
export function drawBoxes(layer, boxes) {
  layer.replaceChildren(
    ...boxes.map(({ label, score, at: [x1, y1, x2, y2] }) => {
      const name = h("span", {}, `${words(label)} ${Math.round(score * 100)}`);
      const box = h("div", { class: "box" }, name);
      place(box, { left: x1, top: y1, width: x2 - x1, height: y2 - y1 });
      if (y1 < 0.08) box.classList.add("under");
      return box;
    }),
  );
}
