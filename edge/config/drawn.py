"""What was drawn on the page: zones, lines and rules beside config.yaml, in ``data_dir/drawn.yaml``.

config.yaml is never written by the program. What is drawn stands above it: a zone or rule of the same name takes the
place of the file's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from edge.config.yaml_reader import read_text, read_yaml
from edge.errors import ConfigError
from edge.files import atomic_write

FILE = "drawn.yaml"
_DRAWN_KINDS = ("zones", "lines")


def drawn_path(raw: Mapping[str, Any], base: Path) -> Path:
    """Where it lies, for a configuration's raw values whose relative paths start at ``base``."""
    node = raw.get("node")
    data_dir = node.get("data_dir") if isinstance(node, dict) else None
    return base / (data_dir if isinstance(data_dir, str) else "var") / FILE


def read_drawn(path: Path) -> dict[str, Any]:
    """What was drawn; empty when nothing was. ConfigError when the file is not ours."""
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
    """``raw`` with what was drawn put in. What belongs to a camera that is no more is left out."""
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
