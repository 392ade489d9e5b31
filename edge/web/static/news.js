// One stream of news from the box, open only while somebody here wants it.

const wanted = new Map();
let source = null;
let closing = 0;

export function follow(kinds) {
  for (const [kind, take] of Object.entries(kinds)) {
    if (!wanted.has(kind)) wanted.set(kind, new Set());
    wanted.get(kind).add(take);
  }
  clearTimeout(closing);
  if (source) {
    source.close();
    source = null;
  }
  open();
  return () => {
    for (const [kind, take] of Object.entries(kinds)) wanted.get(kind)?.delete(take);
    if ([...wanted.values()].every((takers) => !takers.size)) closing = setTimeout(close, 0);
  };
}

function open() {
  source = new EventSource("/api/live");
  for (const kind of ["hello", "scores", "event", "facts", "held_back", "changed", "missed"]) {
    source.addEventListener(kind, (message) => give(kind, JSON.parse(message.data)));
  }
  source.onerror = () => give("lost", null);
  source.onopen = () => give("found", null);
}

function close() {
  source?.close();
  source = null;
}

function give(kind, value) {
  for (const take of wanted.get(kind) || []) take(value);
}

window.addEventListener("pagehide", close);
