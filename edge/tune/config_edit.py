"""Edits thresholds in a configuration's text; everything else, including comments, stays as written. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from edge.config import OFFLINE, Config, parse
from edge.config.rules import RuleConfig
from edge.errors import ConfigError, InputError

_RATE = "false_alarms_per_day"


@dataclass(frozen=True, slots=True)
class _TextEdit:
    """Replace the text from ``begin`` to ``end`` by ``text``."""

    begin: int
    end: int
    text: str


def with_enters(text: str, enters: Mapping[str, float], path: Path = Path("config.yaml")) -> str:
    """``text`` with new ``events.<label>.enter``; a leave above it is lowered, false_alarms_per_day is removed.

    The result is parsed again and must have exactly these values; InputError when the text cannot be edited (such as
    an alias for all events).
    """
    if not enters:
        return text
    before = parse(text, path, needs=OFFLINE).config
    edited = text
    for label, enter in enters.items():
        edited = _put(edited, label, enter)
    wanted = {**before.events, **{label: expected(before, label, enter) for label, enter in enters.items()}}
    try:
        after = parse(edited, path, needs=OFFLINE).config
    except ConfigError as error:
        raise InputError(_by_hand(path, enters)) from error
    if after != before.model_copy(update={"events": wanted}):
        raise InputError(_by_hand(path, enters))
    return edited


def expected(config: Config, label: str, enter: float) -> RuleConfig:
    """The rule that the edited text must give."""
    rule = config.events.get(label, RuleConfig())
    leave = rule.leave if rule.leave is None or rule.leave <= enter else leave_of(enter)
    return rule.model_copy(update={"enter": enter, "leave": leave, _RATE: None})


def leave_of(enter: float) -> float:
    """leave when only enter is set: two thirds of it."""
    return round(enter * 2 / 3, 4)


def difference(before: str, after: str, path: Path) -> str:
    """A unified diff, for `patch -p0` or by hand; empty when nothing changed."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), str(path), str(path), n=2
    )
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def _put(text: str, label: str, enter: float) -> str:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    events = _entry(root, "events")
    if events is None:
        return f"{_ended(text)}\nevents:\n  {label}: {{enter: {enter:g}}}\n"
    rules = events[1]
    if not isinstance(rules, yaml.MappingNode) or not rules.value:
        at = events[0].end_mark.index
        stop = max(rules.end_mark.index, text.index(":", at) + 1)
        return _apply(text, [_TextEdit(at, stop, f":\n  {label}: {{enter: {enter:g}}}")])
    rule = _entry(rules, label)
    if rule is None:
        return _apply(text, [_added(text, rules, f"{label}: {{enter: {enter:g}}}")])
    return _apply(text, _within(text, rule, enter))


def _within(text: str, rule: tuple[yaml.Node, yaml.Node], enter: float) -> list[_TextEdit]:
    """The changes inside one rule that is there."""
    key, value = rule
    if value.start_mark.index < key.end_mark.index or not isinstance(value, yaml.MappingNode):  # an alias: *name
        at = text.index("*", key.end_mark.index)
        stop = at + len(text[at:].split(maxsplit=1)[0].rstrip(",}"))
        return [_TextEdit(at, stop, f"{{<<: {text[at:stop]}, enter: {enter:g}}}")]
    there, rate, leave = (_entry(value, name) for name in ("enter", _RATE, "leave"))
    changes = []
    if there is not None:
        changes.append(_TextEdit(there[1].start_mark.index, there[1].end_mark.index, f"{enter:g}"))
    elif rate is not None:
        changes.append(_TextEdit(rate[0].start_mark.index, rate[1].end_mark.index, f"enter: {enter:g}"))
    elif value.value:
        changes.append(_added(text, value, f"enter: {enter:g}"))
    else:
        changes.append(_TextEdit(value.start_mark.index, value.end_mark.index, f"{{enter: {enter:g}}}"))
    if leave is not None and isinstance(leave[1], yaml.ScalarNode) and float(leave[1].value) > enter:
        changes.append(_TextEdit(leave[1].start_mark.index, leave[1].end_mark.index, f"{leave_of(enter):g}"))
    return changes


def _added(text: str, mapping: yaml.MappingNode, entry: str) -> _TextEdit:
    """One entry more at the end of a mapping that has some."""
    last = _leaf_end(mapping)
    if mapping.flow_style:
        return _TextEdit(last, last, f", {entry}")
    line_end = text.find("\n", last)
    at = len(text) if line_end < 0 else line_end
    return _TextEdit(at, at, "\n" + " " * mapping.value[0][0].start_mark.column + entry)


def _leaf_end(node: yaml.Node, at: int = 0) -> int:
    """The end of the last value below ``node``: the end of a block itself lies after its comments."""
    if isinstance(node, yaml.MappingNode) and node.value and (not node.flow_style or at == 0):
        key, value = node.value[-1]
        is_alias = value.start_mark.index < key.end_mark.index
        return key.end_mark.index if is_alias else _leaf_end(value, key.end_mark.index)
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return _leaf_end(node.value[-1], node.start_mark.index)
    return max(node.end_mark.index, at)


def _entry(mapping: yaml.MappingNode, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    return next(((key, value) for key, value in mapping.value if key.value == name), None)


def _apply(text: str, changes: list[_TextEdit]) -> str:
    for change in sorted(changes, key=lambda one: one.begin, reverse=True):
        text = text[: change.begin] + change.text + text[change.end :]
    return text


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _by_hand(path: Path, enters: Mapping[str, float]) -> str:
    lines = "; ".join(f"events.{label}.enter: {enter:g}" for label, enter in enters.items())
    return f"{path}: its events are written in a way that is not edited here; put in by hand: {lines}"
