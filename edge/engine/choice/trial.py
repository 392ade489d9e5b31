"""Measuring the ways to run the model on this box: `edge engine choose`. The daemon never measures."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.engine.choice import chosen
from edge.engine.choice.chosen import REFERENCE, ExecutionMode, GraphMeasurement, MeasurementTable
from edge.engine.contract import Array
from edge.engine.cpu.heap import trim_heap
from edge.engine.cpu.open import compose_runtime, has_bf16, open_graph
from edge.engine.manifest import ModelFolder
from edge.engine.parts import InferenceGraph
from edge.engine.precision.variants import Part
from edge.engine.selftest import load_golden, self_test
from edge.errors import EdgeError

_log = logging.getLogger(__name__)
ROUNDS = 12
Progress = Callable[[str], None]


def measure_modes(folder: ModelFolder, threads: int, progress: Progress, rounds: int = ROUNDS) -> MeasurementTable:
    """Try every way there is for every part of the model; seconds to a minute of work.

    Each must reproduce the golden file with the other parts as they are. Times are the least of ``rounds`` rows, the
    ways by turns, so that what else the box does falls on all of them. ModelError or RuntimeUnavailable when not even
    32 bits on ONNX Runtime work.
    """
    library_mb = {name: _import_cost_mb(name) for name in ("onnxruntime", "openvino") if chosen.installed_version(name)}
    can_bf16 = has_bf16()
    rows: list[GraphMeasurement] = []
    with ExitStack() as opened:
        plain = {part: _OpenedGraph.open(folder, part, REFERENCE, threads) for part in chosen.graph_parts(folder)}
        for opened_graph in plain.values():
            opened.callback(opened_graph.graph.close)
        graphs = {part: one.graph for part, one in plain.items()}
        feeds_by_part = golden_feeds(folder, graphs)
        for part, opened_graph in plain.items():
            opened_graph.run(feeds_by_part[part])
        self_test(folder, compose_runtime(folder, graphs, 1))
        for part, opened_graph in plain.items():
            modes = chosen.execution_modes(folder, part, can_bf16)
            progress(f"{part}: {', '.join(map(str, modes))}")
            rows += _measure_part(folder, graphs, opened_graph, modes[1:], feeds_by_part[part], threads, rounds)
    return MeasurementTable(tuple(rows), {name.removesuffix("runtime"): mb for name, mb in library_mb.items()})


def golden_feeds(folder: ModelFolder, graphs: Mapping[Part, InferenceGraph]) -> dict[Part, dict[str, Array]]:
    """The golden inputs of every part; what a part takes of the parts before it is computed by ``graphs``."""
    known, _ = load_golden(folder.golden)
    by_part: dict[Part, dict[str, Array]] = {}
    for part, graph in graphs.items():
        by_part[part] = {name: np.ascontiguousarray(known[name]) for name in graph.inputs}
        known.update(_run_all(graph, by_part[part]))
    return by_part


@dataclass(slots=True)
class _OpenedGraph:
    """One graph in one way, open; what it has added to the process so far."""

    part: Part
    how: ExecutionMode
    graph: InferenceGraph
    memory_mb: float = 0.0

    @classmethod
    def open(
        cls, folder: ModelFolder, part: Part, how: ExecutionMode, threads: int, feed: Mapping[str, Array] | None = None
    ) -> _OpenedGraph:
        before = resident_mb()
        graph = open_graph(folder, part, how, threads, feed)
        return cls(part, how, graph, max(0.0, resident_mb() - before))

    def run(self, feed: Mapping[str, Array]) -> None:
        """All rows, so that memory that only running takes is there."""
        before = resident_mb()
        _run_all(self.graph, feed)
        trim_heap()
        self.memory_mb += max(0.0, resident_mb() - before)


def _measure_part(
    folder: ModelFolder,
    plain: Mapping[Part, InferenceGraph],
    reference: _OpenedGraph,
    ways: list[ExecutionMode],
    feed: Mapping[str, Array],
    threads: int,
    rounds: int,
) -> list[GraphMeasurement]:
    """One part in all of its ways; those that fail are told with their fault."""
    part, opened_graphs, failed = reference.part, [reference], []
    with ExitStack() as opened:
        for how in ways:
            try:
                opened_graph = _OpenedGraph.open(folder, part, how, threads, feed)
                opened.callback(opened_graph.graph.close)
                opened_graph.run(feed)
                self_test(folder, compose_runtime(folder, {**plain, part: opened_graph.graph}, 1))
            except EdgeError as error:
                failed.append(GraphMeasurement(part, how, fault=str(error)))
            else:
                opened_graphs.append(opened_graph)
        times = _time_graphs({one.how: one.graph for one in opened_graphs}, feed, rounds)
    measured = [GraphMeasurement(part, t.how, *times[t.how], round(t.memory_mb, 1)) for t in opened_graphs]
    return [*measured, *failed]


def _time_graphs(
    graphs: Mapping[ExecutionMode, InferenceGraph], feed: Mapping[str, Array], rounds: int
) -> dict[ExecutionMode, tuple[float, float]]:
    """Least processor and wall milliseconds of one row."""
    count = len(next(iter(feed.values())))
    out = {how: _outputs(graph, 1) for how, graph in graphs.items()}
    least = dict.fromkeys(graphs, (np.inf, np.inf))
    for turn in range(rounds):
        row = {name: array[turn % count : turn % count + 1] for name, array in feed.items()}
        for how, graph in graphs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            graph.run(row, out[how])
            spent = (time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3
            least[how] = min(least[how][0], spent[0]), min(least[how][1], spent[1])
    return {how: (round(cpu, 3), round(wall, 3)) for how, (cpu, wall) in least.items()}


def _run_all(graph: InferenceGraph, feed: Mapping[str, Array]) -> dict[str, Array]:
    """All rows of ``feed``, one by one."""
    rows = len(next(iter(feed.values())))
    out = _outputs(graph, rows)
    for row in range(rows):
        one = slice(row, row + 1)
        graph.run({name: a[one] for name, a in feed.items()}, {name: a[one] for name, a in out.items()})
    return out


def _outputs(graph: InferenceGraph, rows: int) -> dict[str, Array]:
    return {t.name: np.zeros((rows, *(n or 0 for n in t.tail)), t.dtype) for t in graph.outputs.values()}


def _import_cost_mb(name: str) -> float:
    """MB that importing a library takes; a broken one is as good as none."""
    before = resident_mb()
    try:
        importlib.import_module(name)
    except ImportError as error:
        _log.warning("%s is installed but cannot be imported: %s", name, error)
    return round(max(0.0, resident_mb() - before), 1)


def resident_mb(path: Path = Path("/proc/self/statm")) -> float:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        return int(path.read_text(encoding="ascii").split()[1]) * 4096 / 2**20
    except (OSError, ValueError, IndexError):
        return 0.0
