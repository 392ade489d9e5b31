// Curves and spectrograms on a canvas, in the page's own colours.

export function canvasOf(canvas) {
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

export const tint = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function grid(pen, width, height, left, bottom) {
  pen.strokeStyle = tint("hair");
  pen.fillStyle = tint("dim");
  pen.font = "11px system-ui, sans-serif";
  pen.lineWidth = 1;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const level of [0, 0.5, 1]) {
    const y = Math.round(yOf(level, height, bottom)) + 0.5;
    pen.beginPath();
    pen.moveTo(left, y);
    pen.lineTo(width, y);
    pen.stroke();
    pen.fillText(level.toFixed(1), left - 5, y);
  }
}

export const yOf = (value, height, bottom) => (1 - value) * (height - bottom - 14) + 7;

// `times` and `values` of one curve; a hole where a value is null or `longest` seconds are missing.
export function curve(pen, times, values, xOf, toY, ink, { weight = 1.6, longest = 3 } = {}) {
  pen.strokeStyle = ink;
  pen.lineWidth = weight;
  pen.lineJoin = "round";
  pen.beginPath();
  let last = null;
  for (let i = 0; i < times.length; i++) {
    if (values[i] === null || values[i] === undefined) {
      last = null;
      continue;
    }
    const [x, y] = [xOf(times[i]), toY(values[i])];
    if (last === null || times[i] - last > longest) pen.moveTo(x, y);
    else pen.lineTo(x, y);
    last = times[i];
  }
  pen.stroke();
}

export function dashed(pen, y, from, to, ink) {
  pen.save();
  pen.setLineDash([5, 4]);
  pen.strokeStyle = ink;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(from, y);
  pen.lineTo(to, y);
  pen.stroke();
  pen.restore();
}

// From quiet to loud: night blue, violet, orange, pale yellow.
const STOPS = [
  [0, [10, 12, 24]],
  [0.3, [48, 28, 94]],
  [0.55, [158, 46, 98]],
  [0.78, [238, 130, 52]],
  [1, [252, 244, 190]],
];
const PALETTE = Array.from({ length: 256 }, (_, i) => {
  const v = i / 255;
  const k = Math.max(0, STOPS.findIndex(([at]) => at >= v) - 1);
  const [[a, from], [b, to]] = [STOPS[k], STOPS[k + 1]];
  return from.map((c, j) => Math.round(c + ((to[j] - c) * (v - a)) / (b - a)));
});

// A picture that moves to the left: each column is u8[bands], low bands first, drawn from the bottom up.
export function waterfall(canvas, bands, columns) {
  canvas.width = columns;
  canvas.height = bands;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = `rgb(${PALETTE[0]})`;
  pen.fillRect(0, 0, columns, bands);
  return (data) => {
    const count = Math.min(columns, data.length / bands);
    if (!count) return;
    pen.drawImage(canvas, -count, 0);
    const strip = pen.createImageData(count, bands);
    for (let x = 0; x < count; x++) {
      for (let band = 0; band < bands; band++) {
        const level = data[(data.length / bands - count + x) * bands + band];
        const at = ((bands - 1 - band) * count + x) * 4;
        const shown = Math.min(255, Math.max(0, (level - 60) * 1.45)) | 0;
        [strip.data[at], strip.data[at + 1], strip.data[at + 2]] = PALETTE[shown];
        strip.data[at + 3] = 255;
      }
    }
    pen.putImageData(strip, columns - count, 0);
  };
}
