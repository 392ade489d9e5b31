// A camera's sound in the browser's loudspeaker: asked for piece by piece, played one after the other.

import { fetched, part } from "./api.js";
import { h, tell } from "./dom.js";

const PAUSE_MS = 250;
const AHEAD_S = 0.4;
const MOST_AHEAD_S = 4;

export function listening(camera) {
  const title = camera.speech ? "Hear what is heard now" : "Hear it about three seconds late, silent where somebody may be speaking";
  const button = h("button", { type: "button", class: "quiet listen", "aria-pressed": "false", title }, "Listen");
  let [context, next, at, timer] = [null, -1, 0, 0];

  async function pull(mine) {
    try {
      const answer = await fetched(`/api/cameras/${part(camera.name)}/sound.pcm`, { after: next });
      const samples = new Int16Array(await answer.arrayBuffer());
      if (mine !== context) return;
      next = Number(answer.headers.get("x-edge-next"));
      play(samples, Number(answer.headers.get("x-edge-rate")));
    } catch (error) {
      if (mine !== context) return;
      if (error.status) {
        stop();
        tell(error.message, true);
        return;
      }
    }
    timer = setTimeout(() => pull(mine), PAUSE_MS);
  }

  function play(samples, rate) {
    if (!samples.length) return;
    const buffer = context.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(Float32Array.from(samples, (v) => v / 32768), 0);
    const source = context.createBufferSource();
    source.buffer = buffer;
    source.connect(context.destination);
    const now = context.currentTime;
    if (at < now || at > now + MOST_AHEAD_S) at = now + AHEAD_S;
    source.start(at);
    at += buffer.duration;
  }

  function start() {
    [context, next, at] = [new AudioContext(), -1, 0];
    context.resume();
    button.textContent = "Stop listening";
    button.setAttribute("aria-pressed", "true");
    pull(context);
  }

  function stop() {
    clearTimeout(timer);
    context?.close();
    context = null;
    button.textContent = "Listen";
    button.setAttribute("aria-pressed", "false");
  }

  button.addEventListener("click", () => (context ? stop() : start()));
  return { element: button, stop };
}
