"""Parses YAML to plain values with the line of every key, within limits that a real configuration never reaches.

Error messages never repeat parts of the text, because it may hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from edge.errors import ConfigError

KeyPath = tuple[str | int, ...]
BYTES_AT_MOST = 256 * 1024
NODES_AT_MOST = 10_000  # with aliases expanded
DEPTH_AT_MOST = 32
_QUOTED = re.compile(r"'([^']*)'|\"[^\"]*\"")
_TOKEN = re.compile(r".{0,2}|<[a-z ]+>")  # PyYAML's own names, as in '<block end>', and single characters
_TAB = "a tab; indent with spaces"
_WORDS = {
    "found character '\\t'": _TAB,
    "could not find expected ':'": "a key without its colon, or a colon without the space after it: write `key: value`",
    "mapping values are not allowed": "a colon where none can stand: look at the indentation, at the line before for a "
    "colon without the space after it, and put text with a colon in quotes",
}


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """The values of a text, the line of every key, and the keys that stand twice in one mapping."""

    raw: Any
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    twice: tuple[KeyPath, ...] = ()


def read_text(path: Path) -> str:
    """A file's text; ConfigError when it is no UTF-8 text or far too large, OSError when it cannot be read."""
    with path.open("rb") as file:
        data = file.read(BYTES_AT_MOST + 1)
    if len(data) > BYTES_AT_MOST:
        raise ConfigError([f"{path}: is larger than {BYTES_AT_MOST // 1024} kB; is it the right file?"])
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 text (byte {error.start})"]) from None


def read_yaml(text: str, path: Path) -> YamlDocument:
    """The values of ``text`` from file ``path``; ConfigError with the line of the fault."""
    if len(text) > BYTES_AT_MOST:
        raise ConfigError([f"{path}: is larger than {BYTES_AT_MOST // 1024} kB; is it the right file?"])
    try:
        loader = _LimitedLoader(text)
        try:
            node = loader.get_single_node()
            lines: dict[KeyPath, int] = {}
            twice = _index(node, (), lines)
            raw = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f":{mark.line + 1}"
        raise ConfigError([f"{path}{where}: not readable as YAML: {_problem(error, text)}"]) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        fault = f"the character U+{ord(text[error.position]):04X}, which YAML does not allow; remove it"
        raise ConfigError([f"{path}:{line}: not readable as YAML: {fault}"]) from None
    return YamlDocument(raw, lines, tuple(twice))


class _LimitedLoader(yaml.SafeLoader):
    """PyYAML's safe loader with limits on depth and number, and without tags, which have no use in a configuration."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._count = 0
        self._sizes: dict[str, int] = {}

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:  # noqa: N803 - PyYAML's name
        if self.flow_level >= DEPTH_AT_MOST:
            raise _fault(f"nested more than {DEPTH_AT_MOST} deep", self.get_mark())
        super().fetch_flow_collection_start(TokenClass)

    def add_indent(self, column: int) -> bool:
        if len(self.indents) > DEPTH_AT_MOST:
            raise _fault(f"nested more than {DEPTH_AT_MOST} deep", self.get_mark())
        return bool(super().add_indent(column))

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        anchor: str | None = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor not in self._sizes:
                raise _fault(
                    "`*` stands for an alias that is not there; a value that starts with * needs quotes", event
                )
            self._add(self._sizes[anchor], event)
            return super().compose_node(parent, index)
        if getattr(event, "tag", None) is not None:
            raise _fault("`!` makes a tag, which has no use here; a value that starts with ! needs quotes", event)
        before = self._count
        self._add(1, event)
        node = super().compose_node(parent, index)
        if anchor is not None:
            self._sizes[anchor] = self._count - before
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault("a key that is a list or mapping; keys are plain words", key)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError):
            raise _fault("a number or date that there cannot be; put text in quotes", node) from None

    def _add(self, count: int, event: Any) -> None:
        self._count += count
        if self._count > NODES_AT_MOST:
            raise _fault(f"more than {NODES_AT_MOST} values, counting what aliases repeat", event)


def _fault(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=getattr(at, "start_mark", at))


def _problem(error: yaml.MarkedYAMLError, text: str) -> str:
    problem = str(error.problem or error.context)
    if error.problem_mark is not None:
        line = (text.splitlines() + [""] * 2)[error.problem_mark.line]
        if "\t" in line[: len(line) - len(line.lstrip())]:
            return _TAB
    return next((plain for part, plain in _WORDS.items() if part in problem), _QUOTED.sub(_hide_quoted, problem))


def _hide_quoted(quoted: re.Match[str]) -> str:
    return quoted[0] if quoted[1] is not None and _TOKEN.fullmatch(quoted[1]) else "(…)"


def _index(node: yaml.Node | None, key: KeyPath, lines: dict[KeyPath, int]) -> list[KeyPath]:
    """Note the line of every key below ``node``; returns the keys that stand twice in one mapping."""
    twice: list[KeyPath] = []
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            below = (*key, str(name.value))
            if below in lines:
                twice.append(below)
            lines[below] = name.start_mark.line + 1
            twice += _index(value, below, lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            item: KeyPath = (*key, i)
            lines[item] = value.start_mark.line + 1
            twice += _index(value, item, lines)
    return twice
