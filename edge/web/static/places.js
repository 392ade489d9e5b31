// Beside the picture: what lies on it, the rules made from that, and both as text.

import { part, send } from "./api.js";
import { h, tell, words } from "./dom.js";

export function listing(state, { places, url, remove, attempt, choose }) {
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
