"""Reads config.yaml, with ``${NAME}`` secrets and errors that name the nearest valid key, and drawings of the page.

Zones, lines and rules that were drawn are saved in ``data_dir/drawn.yaml``; the program never writes config.yaml. A
drawn zone or rule replaces one of the same name in config.yaml.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from edge.config.explain import ConfigSourceMap, all_keys, find_credentials, name_hint
from edge.config.models import Config
from edge.config.values import VARIABLE
from edge.config.yaml_reader import KeyPath, read_text, read_yaml
from edge.errors import ConfigError
from edge.files import atomic_write

__all__ = ["OFFLINE", "KeyPath", "LoadedConfig", "load", "name_hint", "parse", "save_drawn"]

OFFLINE = frozenset({"node", "model", "events", "prompts", "anomaly", "health", "windows", "location", "evidence"})
"""The sections that commands need which open neither camera nor broker nor page."""
_KEYS = all_keys(Config)
_CREDENTIALS = "CREDENTIALS_DIRECTORY"
_PATH_KEYS = ("_file", "_dir", "path", "profile")  # keys of files and folders, which messages name
_OF_SYSTEMD = (
    ": systemd sets it for the service alone. Elsewhere set it to the folder that holds the file, as in "
    f"`sudo {_CREDENTIALS}=/etc/edge edge watch`"
)
FILE = "drawn.yaml"
_DRAWN_KINDS = ("zones", "lines")


@dataclass(frozen=True)
class LoadedConfig:
    """A configuration, and the line of each of its keys.

    ``unset``: messages for values whose ``${NAME}`` is not set and not needed; the values stay as written.
    """

    config: Config
    path: Path
    source: ConfigSourceMap
    unset: Mapping[KeyPath, str] = field(default_factory=dict)

    def fault(self, key: KeyPath, message: str) -> str:
        """One problem as a line: file, line, path and message."""
        return self.source.fault(key, message)

    def resolve(self, path: Path) -> Path:
        """A path of the configuration; relative ones start at the configuration's folder."""
        return path if path.is_absolute() else self.path.parent / path

    def has_unset(self, *key: str) -> bool:
        """Whether something at or below ``key`` names a variable that is not set."""
        return any(unset[: len(key)] == key for unset in self.unset)


def load(path: Path, env: Mapping[str, str] | None = None, needs: Collection[str] | None = None) -> LoadedConfig:
    """Read and check a configuration file; ConfigError lists every problem.

    ``needs``: the sections in which each ``${NAME}`` must be set; None: in all.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror}); give the file with -c"]) from error
    return parse(text, path, env, drawn=True, needs=needs)


def save_drawn(loaded: LoadedConfig, drawn: Mapping[str, Any]) -> None:
    """Save drawings (``cameras`` and ``events``), if the configuration is valid with them.

    ConfigError, and nothing is written, when it is not; SinkError when the disk fails.
    """
    parse(read_text(loaded.path), loaded.path, drawn=drawn)
    write_drawn(loaded.resolve(loaded.config.node.data_dir) / FILE, drawn)


def parse(
    text: str,
    path: Path = Path("config.yaml"),
    env: Mapping[str, str] | None = None,
    drawn: Mapping[str, Any] | bool = False,
    needs: Collection[str] | None = None,
) -> LoadedConfig:
    """Check a configuration's text; its relative paths start at the folder of ``path``.

    ``drawn``: drawings that take precedence; True: those saved in the data folder. ``needs``: as for `load`.
    """
    document = read_yaml(text, path)
    raw = document.raw
    if not isinstance(raw, dict):
        raise ConfigError([f"{path}: must be a mapping with at least `cameras:`; see docs/reference/config.md"])
    expansion = _VariableExpansion(os.environ if env is None else env, needs)
    if drawn is True:
        drawn = read_drawn(drawn_path(expansion.expand(raw), path.parent))
    if drawn:
        raw = merge_drawn(raw, drawn)
    expansion = _VariableExpansion(os.environ if env is None else env, needs)
    expanded = expansion.expand(raw)
    secrets = find_credentials(expanded) | find_credentials(raw) | expansion.values
    source = ConfigSourceMap(
        path, document.lines, secrets - _KEYS
    )  # a password that is a key's name does not hide the key
    faults = [*((key, "is given twice; keep one") for key in document.twice), *expansion.problems]
    try:
        config = Config.model_validate(expanded)
    except ValidationError as error:
        errors = [dict(one) for one in error.errors(include_url=False)]
        problems = source.format_problems(Config, faults, errors, expansion.unset)
        raise ConfigError(problems) from None  # the cause would show the input, and with it secrets
    if faults:
        raise ConfigError(source.format_problems(Config, faults))
    return LoadedConfig(config, path, source, expansion.unset)


class _VariableExpansion:
    """Replaces ``${NAME}`` in every text of a configuration from ``env``; notes by key what is not set."""

    def __init__(self, env: Mapping[str, str], needs: Collection[str] | None) -> None:
        self._env = env
        self._needs = needs
        self._values: set[str] = set()
        self.problems: list[tuple[KeyPath, str]] = []
        self.unset: dict[KeyPath, str] = {}

    @property
    def values(self) -> frozenset[str]:
        """The inserted values, which may be secrets."""
        return frozenset(value for value in self._values if len(value) > 3)

    def expand(self, value: Any, key: KeyPath = ()) -> Any:
        """``value`` with its variables replaced."""
        if isinstance(value, dict):
            return {(str(k) if isinstance(k, int) else k): self.expand(v, (*key, str(k))) for k, v in value.items()}
        if isinstance(value, list):
            return [self.expand(v, (*key, i)) for i, v in enumerate(value)]
        if not isinstance(value, str):
            return value
        if unusable := _unusable(value):
            self.problems.append((key, unusable))
            return ""
        return VARIABLE.sub(lambda match: self._replaced(match, key), value)

    def _replaced(self, match: re.Match[str], key: KeyPath) -> str:
        name = match.group(1)
        if name in self._env:
            if not str(key[-1]).endswith(_PATH_KEYS):
                self._values.add(self._env[name])
            return self._env[name]
        message = f"environment variable {name} is not set{_OF_SYSTEMD if name == _CREDENTIALS else ''}"
        if self._needs is None or key[0] in self._needs:
            self.problems.append((key, message))
            return ""
        self.unset.setdefault(key, message)
        return match.group(0)


def _unusable(text: str) -> str:
    if "\0" in text:
        return "holds a NUL character, which no path and no name can; remove it"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "holds half a character (a surrogate); write the character itself"
    return ""


def drawn_path(raw: Mapping[str, Any], base: Path) -> Path:
    """The path of drawn.yaml, for a configuration's raw values whose relative paths start at ``base``."""
    node = raw.get("node")
    data_dir = node.get("data_dir") if isinstance(node, dict) else None
    return base / (data_dir if isinstance(data_dir, str) else "var") / FILE


def read_drawn(path: Path) -> dict[str, Any]:
    """The saved drawings; empty when there are none. ConfigError when the file is not valid."""
    advice = "mend or remove it: it holds what was drawn"
    try:
        raw = read_yaml(read_text(path), path).raw
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror}); {advice}"]) from error
    except ConfigError as error:
        raise ConfigError([f"{problem}; {advice}" for problem in error.problems]) from None
    if not isinstance(raw, dict) or not set(raw) <= {"cameras", "events"}:
        raise ConfigError([f"{path}: must hold cameras and events alone; mend or remove it"])
    return raw


def merge_drawn(raw: Mapping[str, Any], drawn: Mapping[str, Any]) -> dict[str, Any]:
    """``raw`` with the drawings added, except those of cameras that no longer exist."""
    cameras = {name: dict(spec) if isinstance(spec, dict) else spec for name, spec in _section(raw, "cameras").items()}
    for name, places in _section(drawn, "cameras").items():
        if isinstance(cameras.get(name), dict) and isinstance(places, dict):
            for kind in _DRAWN_KINDS:
                if kind in places:
                    cameras[name][kind] = {**_section(cameras[name], kind), **_section(places, kind)}
    events = {**_section(raw, "events"), **_section(drawn, "events")}
    return {**raw, "cameras": cameras or raw.get("cameras"), "events": events}


def write_drawn(path: Path, drawn: Mapping[str, Any]) -> None:
    """Put it on the disk whole or not at all; SinkError when that cannot be done."""
    text = yaml.safe_dump(dict(drawn), sort_keys=False, allow_unicode=True)
    atomic_write(path, f"# Written by the page; config.yaml stands below it.\n{text}", "check node.data_dir")


def _section(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = raw.get(name)
    return dict(section) if isinstance(section, dict) else {}
