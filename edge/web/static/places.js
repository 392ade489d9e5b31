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

// "Tell me as [alert] when [person] is in [zone] for [2] s …". What is filled in stays over a refusal, in `state.form`.
function ruleForm(state, { places, attempt }) {
  const spots = ["zone", "line"].flatMap((kind) => Object.keys(places()[`${kind}s`]).map((name) => [kind, name]));
  const filled = state.form;
  const option = (value, text, selected = false) => h("option", { value, selected }, text);
  const own = Object.entries(state.drawn.rules).filter(([, { rule }]) => isOwn(rule)).map(([one]) => one);
  const what = filled.when ?? "person";
  const spot = state.chosen ? `${state.chosen.kind}:${state.chosen.name}` : filled.where;
  const when = h("select", { name: "when", "aria-label": "What" }, state.labels.filter((l) => !own.includes(l)).map((l) => option(l, words(l), l === what)));
  const where = h("select", { name: "where", "aria-label": "Where" }, spots.map(([kind, name]) => option(`${kind}:${name}`, `${kind === "line" ? "crosses " : "is in "}${name}`, `${kind}:${name}` === spot)));
  const after = h("input", { type: "number", name: "after", min: "0", max: "3600", step: "0.5", value: filled.after ?? "2", "aria-label": "Seconds" });
  const schedule = h("input", { name: "schedule", placeholder: "always, or 22:00-06:00", value: filled.schedule ?? "", "aria-label": "Schedule" });
  const severity = h("select", { name: "severity", "aria-label": "Severity" }, ["alert", "warning", "info"].map((one) => option(one, one, one === filled.severity)));
  const name = h("input", { name: "name", pattern: "[a-z][a-z0-9_]{0,63}", required: true, maxlength: "64", autocomplete: "off", value: filled.name ?? "", title: "a name of its own: lower-case letters, digits and _", "aria-label": "Name of the rule" });
  const lasting = h("span", {}, " for ", after, " s");
  const taken = h("div", { class: "taken", role: "status", hidden: true });
  const save = h("button", { class: "main", disabled: !spots.length }, "Save the rule");
  const form = h(
    "form",
    { class: "rule" },
    h("h2", {}, "A rule from it"),
    h("p", {}, "Tell me as ", severity, " when ", when, " ", where, lasting, "; at these times: ", schedule, "; call it ", name, "."),
    taken,
    save,
  );
  const seen = () => (lasting.hidden = where.value.startsWith("line:"));
  const keep = () => Object.assign(filled, { when: when.value, where: where.value, after: after.value, schedule: schedule.value, severity: severity.value, name: name.value });
  const check = () => showTaken(taken, save, name.value, state.drawn.rules[name.value]);
  form.addEventListener("input", () => (keep(), seen()));
  name.addEventListener("input", check);
  if (!spots.length) form.append(h("p", { class: "dim" }, "Draw a zone or a line first."));
  else seen();
  check();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep();
    saveRule(state, attempt, name.value, ruleOf(state.camera, filled), Boolean(taken.querySelector("input")?.checked));
  });
  return form;
}

const isOwn = (rule) => rule.when || rule.sequence || rule.all_of;

function ruleOf(camera, { when, where, after, schedule, severity }) {
  const [kind, spot] = where.split(/:(.*)/s);
  const rule = { when, cameras: [camera], severity, [`${kind}s`]: [spot] };
  if (kind === "zone" && Number(after) > 0) rule.after_s = Number(after);
  if (schedule.trim() && schedule.trim() !== "always") rule.schedule = schedule.trim();
  return rule;
}

// What a rule of that name says now, and would say no more; it is replaced only where that is ticked.
function showTaken(element, save, name, known) {
  element.hidden = !known;
  save.textContent = known ? "Replace the rule" : "Save the rule";
  if (!known) {
    element.replaceChildren();
    return;
  }
  const from = known.drawn ? "drawn here" : "from config.yaml";
  const agree = h("input", { type: "checkbox", required: true });
  element.replaceChildren(
    h("p", {}, "There is a rule ", h("b", {}, name), ` already (${from}): `, h("span", { class: "was" }, told(known.rule) || "for all it sees"), "."),
    h("label", {}, agree, " Replace it: what it says is in force no more"),
  );
}

const ruleUrl = (name, replace = false) => `/api/rules/${part(name)}${replace ? "?replace=true" : ""}`;

function saveRule(state, attempt, name, rule, replace) {
  const old = state.drawn.rules[name];
  const undo = old && (() => (old.drawn ? send("PUT", ruleUrl(name, true), old.rule) : send("DELETE", ruleUrl(name))));
  attempt(() => send("PUT", ruleUrl(name, replace), rule), () => (state.form = {}), undo);
}

function ruleList(state, attempt) {
  const own = Object.entries(state.drawn.rules).filter(([, { rule }]) => rule.zones || rule.lines || isOwn(rule));
  if (!own.length) return h("span");
  const remove = (name, rule) => attempt(() => send("DELETE", ruleUrl(name)), () => {}, () => send("PUT", ruleUrl(name, true), rule));
  return h(
    "section",
    {},
    h("h2", {}, "Rules"),
    h("ul", { class: "places" }, own.map(([name, { rule, drawn, covers }]) =>
      h(
        "li",
        {},
        h("span", { class: "said" }, h("b", {}, words(name)), " ", h("span", { class: "dim" }, told(rule)), covers && h("span", { class: "dim covers" }, ` in place of config.yaml's: ${told(covers)}`)),
        drawn ? h("button", { type: "button", class: "quiet", "aria-label": `Remove rule ${name}`, onclick: () => remove(name, rule) }, covers ? "Back to config.yaml's" : "Remove") : h("small", { class: "dim" }, "config.yaml"),
      ),
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
