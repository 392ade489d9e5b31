// Why a score above its threshold made no event, in words.

import { words } from "./dom.js";

export const WHY = {
  rate_limited: "told often enough this hour",
  cooldown: "one has ended only just now",
  waiting: "has not lasted long enough yet",
  merged: "belongs to the one before",
  disarmed: "the camera is disarmed",
  outside_schedule: "out of its hours",
  outside_zone: "not where the rule wants it",
  not_agreed: "picture and sound do not agree",
  low_coverage: "too little picture or sound to tell",
};

const COUNTED = {
  rate_limited: (n) => `${n} by the limit an hour`,
  cooldown: (n) => `${n} by the cooldown`,
  waiting: (n) => `${n} too short`,
  merged: (n) => `${n} joined to the one before`,
  disarmed: (n) => `${n} while disarmed`,
  outside_schedule: (n) => `${n} out of hours`,
  outside_zone: (n) => `${n} outside of the rule's places`,
  not_agreed: (n) => `${n} without agreement of picture and sound`,
  low_coverage: (n) => `${n} of which too little was seen or heard`,
};

// "7 by the limit an hour, 2 by the cooldown": limits first; nothing where nothing was held back.
export function counted(counts) {
  return Object.keys(COUNTED)
    .filter((reason) => counts[reason])
    .map((reason) => COUNTED[reason](counts[reason]))
    .join(", ");
}

export const limited = (n) => (n ? `${n} held back this hour` : "");

export function sentence(one) {
  const more = one.limited ? `; ${limited(one.limited)}` : "";
  return `${words(one.label)} ${one.score.toFixed(2)} of ${one.enter.toFixed(2)}: ${WHY[one.reason] ?? words(one.reason)}${more}`;
}
