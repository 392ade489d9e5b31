"""Reading config.yaml: YAML with line numbers, ``${NAME}`` secrets, and errors that name the nearest valid key."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from edge.config.drawn import FILE, drawn_path, merged, read_drawn, write_drawn
from edge.config.models import Config
from edge.errors import ConfigError

KeyPath = tuple[str | int, ...]
_NAMED = re.compile(r"([A-Za-z0-9_.-]+): (.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Loaded:
    """A configuration and where each of its keys stands."""

    config: Config
    path: Path
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def fault(self, key: KeyPath, message: str) -> str:
        """One problem as a line: file, line, path and message."""
        return _fault(self.path, self.lines, key, message)

    def resolve(self, path: Path) -> Path:
        """A path of the configuration; relative ones start at the configuration's folder."""
        return path if path.is_absolute() else self.path.parent / path


def load(path: Path, env: Mapping[str, str] | None = None) -> Loaded:
    """Read and check a configuration file; ConfigError lists every problem."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror}); give the file with -c"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 text (byte {error.start})"]) from error
    return parse(text, path, env, drawn=True)


def save_drawn(loaded: Loaded, drawn: Mapping[str, Any]) -> None:
    """Keep what was drawn (``cameras`` and ``events``), if the configuration holds with it.

    ConfigError, and nothing is written, when it does not; SinkError when the disk refuses.
    """
    text = loaded.path.read_text(encoding="utf-8")
    parse(text, loaded.path, drawn=drawn)
    write_drawn(loaded.resolve(loaded.config.node.data_dir) / FILE, drawn)


def parse(
    text: str,
    path: Path = Path("config.yaml"),
    env: Mapping[str, str] | None = None,
    drawn: Mapping[str, Any] | bool = False,
) -> Loaded:
    """Check a configuration's text; relative paths in it start at ``path``'s folder.

    ``drawn``: what was drawn on the page and stands above it; True: as it is kept in the data folder.
    """
    lines: dict[KeyPath, int] = {}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        duplicates = _index(node, (), lines, set())
        raw = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError([f"{path}:{line}: not readable as YAML: {error.problem}"]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError([f"{path}: not readable as YAML: {error}"]) from error
    problems = [_fault(path, lines, key, "is given twice; keep one") for key in duplicates]
    if not isinstance(raw, dict):
        raise ConfigError([f"{path}: must be a mapping with at least `cameras:`; see docs/config.md"])
    if drawn is True:
        drawn = read_drawn(drawn_path(raw, path.parent))
    if drawn:
        raw = merged(raw, drawn)
    expanded = _expand(raw, (), os.environ if env is None else env, problems, path, lines)
    try:
        config = Config.model_validate(expanded)
    except ValidationError as error:
        problems += [_explain(path, lines, dict(e)) for e in error.errors(include_url=False, include_input=False)]
        raise ConfigError(problems) from None  # the cause would show the input, and with it secrets
    if problems:
        raise ConfigError(problems)
    return Loaded(config, path, lines)


def nearest(name: str, valid: list[str]) -> str:
    """A hint that names the closest valid name, or all when none is close."""
    close = difflib.get_close_matches(name, valid, n=1)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(sorted(valid))}"


def _index(node: yaml.Node | None, key: KeyPath, lines: dict[KeyPath, int], seen: set[int]) -> list[KeyPath]:
    """Note the line of every key below ``node``; returns the keys that stand twice in one mapping."""
    duplicates: list[KeyPath] = []
    if node is None or id(node) in seen:
        return duplicates
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            below = (*key, str(name.value))
            if below in lines:
                duplicates.append(below)
            lines[below] = name.start_mark.line + 1
            duplicates += _index(value, below, lines, seen)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            item: KeyPath = (*key, i)
            lines[item] = value.start_mark.line + 1
            duplicates += _index(value, item, lines, seen)
    return duplicates


def _expand(
    value: Any,
    key: KeyPath,
    env: Mapping[str, str],
    problems: list[str],
    path: Path,
    lines: Mapping[KeyPath, int],
) -> Any:
    """``${NAME}`` in every string replaced from ``env``; unset names become problems."""
    if isinstance(value, dict):
        return {
            (str(k) if isinstance(k, int) else k): _expand(v, (*key, str(k)), env, problems, path, lines)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [_expand(v, (*key, i), env, problems, path, lines) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    unset = [name for name in _VARIABLE.findall(value) if name not in env]
    problems += [_fault(path, lines, key, f"environment variable {name} is not set") for name in unset]
    return _VARIABLE.sub(lambda match: env.get(match.group(1), ""), value)


def _explain(path: Path, lines: Mapping[KeyPath, int], error: dict[str, Any]) -> str:
    key: KeyPath = tuple(error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if not key and (named := _NAMED.match(message)):  # found where sections are compared with each other
        key, message = tuple(named[1].split(".")), named[2]
    if error["type"] == "extra_forbidden":
        key = _without_tags(key, lines)
        message = f"unknown key; {nearest(str(key[-1]), _keys_at(tuple(error['loc'][:-1])))}"
    elif error["type"] == "missing":
        message = "is missing"
    elif error["type"] == "string_pattern_mismatch" and key and key[-1] == "[key]":
        message = "names are letters, digits, - and _, at most 64"
        if key[0] == "prompts":
            message = "event names are lower-case letters, digits and _, and start with a letter"
    return _fault(path, lines, _without_tags(key, lines), message)


def _without_tags(key: KeyPath, lines: Mapping[KeyPath, int]) -> KeyPath:
    """The path as written in the file: pydantic's union tags and markers left out."""
    kept: KeyPath = ()
    for i, part in enumerate(key):
        is_last = i == len(key) - 1
        if part != "[key]" and ((*kept, part) in lines or (is_last and not _is_tag(part))):
            kept = (*kept, part)
    return kept


def _is_tag(part: str | int) -> bool:
    return isinstance(part, str) and ("[" in part or part in {"file", "rtsp", "v4l2", "device", "SensorTopic"})


def _keys_at(key: KeyPath) -> list[str]:
    """The keys that the model at ``key`` knows."""
    kinds: list[Any] = [Config]
    for part in key:
        kinds = [inner for kind in kinds for inner in _step(kind, part)]
    models = [model for kind in kinds for model in _models(kind)]
    return [name for model in models for name in model.model_fields]


def _step(kind: Any, part: str | int) -> list[Any]:
    below: list[Any] = []
    for model in _models(kind):
        if part in model.model_fields:
            below.append(model.model_fields[str(part)].annotation)
        elif "type" in model.model_fields and part in get_args(model.model_fields["type"].annotation):
            below.append(model)
    return below or [a for a in _flat(kind) if not isinstance(a, type) or a is not kind]


def _models(kind: Any) -> list[type[BaseModel]]:
    return [k for k in _flat(kind) if isinstance(k, type) and issubclass(k, BaseModel)]


def _flat(kind: Any) -> list[Any]:
    """A type and everything inside its unions, dicts and annotations."""
    return [kind, *(inner for arg in get_args(kind) for inner in _flat(arg))]


def _fault(path: Path, lines: Mapping[KeyPath, int], key: KeyPath, message: str) -> str:
    where = key
    while where and where not in lines:
        where = where[:-1]
    line = f":{lines[where]}" if where else ""
    dotted = ".".join(map(str, key))
    return f"{path}{line}: {dotted + ': ' if dotted else ''}{message}"
