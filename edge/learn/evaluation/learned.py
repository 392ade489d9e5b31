"""What is learned on top of the model, each by its own protocol; results are kept beside the recordings' answers.

Each protocol gives lines: setting, figure, value, how many, and the bar that it answers, if any.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from edge.clock import SystemClock
from edge.errors import EdgeError
from edge.learn.evaluation.bars import Line
from edge.learn.evaluation.collect import Asked, read_json, write_json
from edge.learn.evaluation.recordings import Bench

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol: its name, its sets, what it is, and the function that measures it."""

    name: str
    title: str
    sets: tuple[str, ...]
    measure: Callable[[Asked, Bench], Sequence[Line]]


def _esc10(asked: Asked, bench: Bench) -> Sequence[Line]:
    from edge.learn.evaluation.learned_events import esc10

    return esc10(asked, bench)


def _fights(asked: Asked, bench: Bench) -> Sequence[Line]:
    from edge.learn.evaluation.learned_events import fights

    return fights(asked, bench)


def _prompts(asked: Asked, bench: Bench) -> Sequence[Line]:
    from edge.learn.evaluation.learned_more import prompts

    return prompts(asked, bench)


def _ped2(asked: Asked, bench: Bench) -> Sequence[Line]:
    from edge.learn.evaluation.learned_more import ped2

    return ped2(asked, bench)


PROTOCOLS: Final[tuple[Protocol, ...]] = (
    Protocol("prompts", "ESC-50 and ESC-10 by prompts", ("esc10", "esc50_part"), _prompts),
    Protocol("esc10", "ESC-10 from examples", ("esc10",), _esc10),
    Protocol("fights", "surveillance fights from examples", ("fight_surv",), _fights),
    Protocol("ped2", "UCSD Ped2, normal learned from its training clips", ("ucsd_ped2",), _ped2),
)


def measure_learned(asked: Asked, bench: Bench, protocols: Sequence[Protocol] = PROTOCOLS) -> dict[str, Any]:
    """Every protocol whose sets were asked for, by name: title, lines, seconds, or why it was not measured."""
    clock = SystemClock()
    found: dict[str, Any] = {}
    for protocol in protocols:
        if protocol.name in asked.skip or (asked.only and not set(protocol.sets) & set(asked.only)):
            continue
        place = bench.cache / f"learned-{protocol.name}.json"
        held: Mapping[str, Any] | None = read_json(place)
        if held is None:
            _log.info("measuring: %s", protocol.title)
            begun_ns = clock.mono_ns()
            try:
                lines = [asdict(line) for line in protocol.measure(asked, bench)]
            except (ImportError, AttributeError, EdgeError, OSError, RuntimeError, ValueError) as error:
                _log.warning("%s: not measured: %s", protocol.title, error)
                found[protocol.name] = {"title": protocol.title, "lines": [], "failed": type(error).__name__}
                continue
            held = {"title": protocol.title, "lines": lines, "seconds": (clock.mono_ns() - begun_ns) / 1e9}
            write_json(place, held)
        found[protocol.name] = held
    return found
