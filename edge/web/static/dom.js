// Elements without a framework. Text is always set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  dress(element, given);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function s(tag, given = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function dress(element, given) {
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "at") place(element, value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
}

export function place(element, at) {
  for (const [side, value] of Object.entries(at)) element.style[side] = `${(value * 100).toFixed(3)}%`;
}

export const words = (name) => name.replaceAll("_", " ");

// `undo` is offered for as long as the line stands.
export function tell(sentence, isTrouble = false, undo = null) {
  const line = h("p", { class: isTrouble ? "toast bad" : "toast" }, sentence);
  if (undo) line.append(" ", h("button", { type: "button", class: "undo", onclick: () => (line.remove(), undo()) }, "Undo"));
  document.getElementById("told").append(line);
  setTimeout(() => line.remove(), undo ? 20000 : isTrouble ? 9000 : 4000);
}

export function clock(seconds, withDay = true) {
  const time = new Date(seconds * 1000);
  const day = time.toLocaleDateString(undefined, { weekday: "short", day: "numeric", month: "short" });
  const hour = time.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return withDay ? `${day}, ${hour}` : hour;
}

export function lasted(seconds) {
  if (seconds === null || seconds === undefined) return "going on";
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.round(seconds / 86400)} days`;
}

export const count = (n, noun) => `${n} ${n === 1 ? noun : `${noun}s`}`;

export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  while (n >= 1000 && i < units.length - 1) [n, i] = [n / 1000, i + 1];
  return `${n.toFixed(n < 10 && i ? 1 : 0)} ${units[i]}`;
}

// The beginning of a local day, in Unix seconds; `back` days earlier.
export function dayStart(when = new Date(), back = 0) {
  return new Date(when.getFullYear(), when.getMonth(), when.getDate() - back).getTime() / 1000;
}

export function dayName(seconds) {
  const d = new Date(seconds * 1000);
  const two = (n) => String(n).padStart(2, "0");
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

export function dayOf(name) {
  const [y, m, d] = name.split("-").map(Number);
  return new Date(y, m - 1, d).getTime() / 1000;
}

const HUES = [168, 22, 262, 340, 200, 48, 300, 100, 230, 5];
export function hueOf(label, all) {
  const i = Math.max(0, all.indexOf(label));
  return HUES[i % HUES.length] + (i >= HUES.length ? 14 * Math.floor(i / HUES.length) : 0);
}
export const isDark = () => getComputedStyle(document.documentElement).colorScheme === "dark";
export const colour = (label, all) => `hsl(${hueOf(label, all)} ${isDark() ? "62% 62%" : "66% 36%"})`;
