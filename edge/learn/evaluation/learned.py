"""What is learned on top of the model, each by its own protocol; results are kept beside the recordings' answers.

Each protocol gives lines: setting, figure, value, how many, and the bar that it answers, if any.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edge.clock import SystemClock
from edge.errors import EdgeError
from edge.learn.evaluation.collect import Asked, read_json, write_json

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of a protocol."""

    setting: str
    figure: str
    value: float
    note: str = ""
    bar: str = ""


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol: its name, its sets, what it is, and the function that measures it."""

    name: str
    title: str
    sets: tuple[str, ...]
    measure: Callable[[Asked], Sequence[Line]]


PROTOCOLS: Final[tuple[Protocol, ...]] = ()


def measure_learned(asked: Asked, cache: Path, protocols: Sequence[Protocol] = PROTOCOLS) -> dict[str, Any]:
    """Every protocol whose sets were asked for, by name: title, lines, seconds, or why it was not measured."""
    clock = SystemClock()
    found: dict[str, Any] = {}
    for protocol in protocols:
        if protocol.name in asked.skip or (asked.only and not set(protocol.sets) & set(asked.only)):
            continue
        place = cache / f"learned-{protocol.name}.json"
        held: Mapping[str, Any] | None = read_json(place)
        if held is None:
            _log.info("measuring: %s", protocol.title)
            begun_ns = clock.mono_ns()
            try:
                lines = [asdict(line) for line in protocol.measure(asked)]
            except (ImportError, AttributeError, EdgeError, OSError, ValueError) as error:
                _log.warning("%s: not measured: %s", protocol.title, error)
                found[protocol.name] = {"title": protocol.title, "lines": [], "failed": str(error)}
                continue
            held = {"title": protocol.title, "lines": lines, "seconds": (clock.mono_ns() - begun_ns) / 1e9}
            write_json(place, held)
        found[protocol.name] = held
    return found


def function(module: str, name: str) -> Any:
    """A protocol's function; ImportError or AttributeError where this build has none."""
    return getattr(importlib.import_module(module), name)
