"""Measuring the ways to run the model on this box: `edge engine choose`. The daemon never measures.

`edge engine choose`: measure once per box, remember, and say what came of it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge.engine import runtime_choice
from edge.engine.contract import Array
from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.engine.precision.variants import Part
from edge.engine.runtime import InferenceGraph, trim_heap
from edge.engine.runtime_choice import REFERENCE, Choice, ExecutionMode, GraphMeasurement, MeasurementTable
from edge.engine.select import compose_runtime, has_bf16, open_graph
from edge.engine.selftest import load_golden, self_test
from edge.errors import EdgeError

_log = logging.getLogger(__name__)


def measure_and_save(folder: ModelFolder, threads: int) -> tuple[MeasurementTable, Choice]:
    """Measure every way to run the model here and keep what was found; `select` goes by it from now on."""

    folder.verify()
    table = measure_modes(folder, threads, lambda text: _log.info("measuring %s", text))
    runtime_choice.save_measurements(folder, threads, table)
    choice = runtime_choice.choose_modes(table, runtime_choice.graph_parts(folder), "auto", runtime_choice.spare_mb())
    assert choice is not None, "32 bits on ONNX Runtime were measured"
    return table, choice


def handle(args: argparse.Namespace) -> int:
    """The command; 0."""
    folder = load_folder(find_folder(args.model))
    table, choice = measure_and_save(folder, args.threads)
    if args.json:
        print(json.dumps(as_json(table, choice)))
    else:
        print("\n".join(table_lines(table, choice)))
    return 0


def as_json(table: MeasurementTable, choice: Choice) -> dict[str, object]:
    """For programs: every measurement, and the choice with its reason."""
    rows = [{**asdict(m), "how": str(m.how), "chosen": choice[m.part] == m.how} for m in table.rows]
    return {"rows": rows, "library_mb": dict(table.library_mb), "why": runtime_choice.explain_choice(table, choice)}


def table_lines(table: MeasurementTable, choice: Choice) -> list[str]:
    """A table for people; what is chosen has an arrow."""
    rows = [f"  {'part':6}{'way':15}{'CPU ms':>8}{'wall ms':>9}{'MB':>6}"]
    for m in table.rows:
        arrow = ">" if choice[m.part] == m.how else " "
        figures = f"{m.cpu_ms:8.1f}{m.wall_ms:9.1f}{m.memory_mb:6.0f}"
        rows.append(f"{arrow} {m.part:6}{m.how!s:15}" + (f"  no: {m.fault}" if m.fault else figures))
    libraries = ", ".join(f"{name} {mb:.0f} MB" for name, mb in table.library_mb.items())
    return [*rows, f"libraries: {libraries}", runtime_choice.explain_choice(table, choice)]


def saved_choice_line(name: str) -> str:
    """One line for `edge engine list`: what was chosen on this box with one thread."""
    folder = load_folder(find_folder(name))
    table = runtime_choice.read_measurements(folder, 1)
    choice = None
    if table is not None:
        choice = runtime_choice.choose_modes(
            table, runtime_choice.graph_parts(folder), "auto", runtime_choice.spare_mb()
        )
    if table is None or choice is None:
        return "CPU: not measured on this box; ONNX Runtime in 32 bits runs. Measure: edge engine choose"
    parts = ", ".join(f"{part} on {mode}" for part, mode in choice.items())
    return f"CPU: {parts}: {runtime_choice.explain_choice(table, choice)}"


ROUNDS = 12
Progress = Callable[[str], None]


def measure_modes(folder: ModelFolder, threads: int, progress: Progress, rounds: int = ROUNDS) -> MeasurementTable:
    """Try every way there is for every part of the model; seconds to a minute of work.

    Each must reproduce the golden file with the other parts as they are. Times are the least of ``rounds`` rows, the
    ways by turns, so that what else the box does falls on all of them. ModelError or RuntimeUnavailable when not even
    32 bits on ONNX Runtime work.
    """
    library_mb = {
        name: _import_cost_mb(name) for name in ("onnxruntime", "openvino") if runtime_choice.installed_version(name)
    }
    can_bf16 = has_bf16()
    rows: list[GraphMeasurement] = []
    with ExitStack() as opened:
        plain = {
            part: _OpenedGraph.open(folder, part, REFERENCE, threads) for part in runtime_choice.graph_parts(folder)
        }
        for opened_graph in plain.values():
            opened.callback(opened_graph.graph.close)
        graphs = {part: one.graph for part, one in plain.items()}
        feeds_by_part = golden_feeds(folder, graphs)
        for part, opened_graph in plain.items():
            opened_graph.run(feeds_by_part[part])
        self_test(folder, compose_runtime(folder, graphs, 1))
        for part, opened_graph in plain.items():
            modes = runtime_choice.execution_modes(folder, part, can_bf16)
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
