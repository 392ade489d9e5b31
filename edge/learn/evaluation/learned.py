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
from edge.learn.evaluation.bars import ProtocolFigure
from edge.learn.evaluation.collect import EvaluationOptions, read_json, write_json
from edge.learn.evaluation.recordings import RecordingRunner

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """One protocol: its name, its sets, what it is, and the function that measures it."""

    name: str
    title: str
    sets: tuple[str, ...]
    measure: Callable[[EvaluationOptions, RecordingRunner], Sequence[ProtocolFigure]]


def _esc10(asked: EvaluationOptions, bench: RecordingRunner) -> Sequence[ProtocolFigure]:
    from edge.learn.evaluation.learned_events import esc10_accuracy

    return esc10_accuracy(asked, bench)


def _fights(asked: EvaluationOptions, bench: RecordingRunner) -> Sequence[ProtocolFigure]:
    from edge.learn.evaluation.learned_events import fight_precision

    return fight_precision(asked, bench)


def _prompts(asked: EvaluationOptions, bench: RecordingRunner) -> Sequence[ProtocolFigure]:
    from edge.learn.evaluation.learned_more import prompt_accuracy

    return prompt_accuracy(asked, bench)


def _ped2(asked: EvaluationOptions, bench: RecordingRunner) -> Sequence[ProtocolFigure]:
    from edge.learn.evaluation.learned_more import ped2_auc

    return ped2_auc(asked, bench)


PROTOCOLS: Final[tuple[EvaluationProtocol, ...]] = (
    EvaluationProtocol("prompts", "ESC-50 and ESC-10 by prompts", ("esc10", "esc50_part"), _prompts),
    EvaluationProtocol("esc10", "ESC-10 from examples", ("esc10",), _esc10),
    EvaluationProtocol("fights", "surveillance fights from examples", ("fight_surv",), _fights),
    EvaluationProtocol("ped2", "UCSD Ped2, normal learned from its training clips", ("ucsd_ped2",), _ped2),
)


def run_protocols(
    options: EvaluationOptions, runner: RecordingRunner, protocols: Sequence[EvaluationProtocol] = PROTOCOLS
) -> dict[str, Any]:
    """Every protocol whose sets were asked for, by name: title, lines, seconds, or why it was not measured."""
    clock = SystemClock()
    results: dict[str, Any] = {}
    for protocol in protocols:
        if protocol.name in options.skip or (options.only and not set(protocol.sets) & set(options.only)):
            continue
        place = runner.cache / f"learned-{protocol.name}.json"
        cached: Mapping[str, Any] | None = read_json(place)
        if cached is None:
            _log.info("measuring: %s", protocol.title)
            begun_ns = clock.mono_ns()
            try:
                lines = [asdict(line) for line in protocol.measure(options, runner)]
            except (ImportError, AttributeError, EdgeError, OSError, RuntimeError, ValueError) as error:
                _log.warning("%s: not measured: %s", protocol.title, error)
                results[protocol.name] = {"title": protocol.title, "lines": [], "failed": type(error).__name__}
                continue
            cached = {"title": protocol.title, "lines": lines, "seconds": (clock.mono_ns() - begun_ns) / 1e9}
            write_json(place, cached)
        results[protocol.name] = cached
    return results
