"""`edge engine choose`: measure once per box which runtime each graph is cheapest on, keep it, and print it.

The daemon never measures.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.engine import runtime_choice
from edge.engine.contract import Array
from edge.engine.manifest import ModelFolder, Part, find_folder, load_folder
from edge.engine.runtime import InferenceGraph
from edge.engine.runtime_choice import REFERENCE, Choice, CpuRuntime, GraphMeasurement, MeasurementTable
from edge.engine.select import compose_runtime, open_graph
from edge.engine.selftest import load_golden, self_test
from edge.errors import EdgeError
from edge.heap import trim_heap

_log = logging.getLogger(__name__)


def measure_and_save(folder: ModelFolder, threads: int) -> tuple[MeasurementTable, Choice]:
    """Measure every runtime that is installed here and keep what was found; `select` goes by it from now on."""
    folder.verify()
    table = measure_runtimes(folder, threads, lambda text: _log.info("measuring %s", text))
    runtime_choice.save_measurements(folder, threads, table)
    choice = runtime_choice.choose_runtimes(table, folder.parts, runtime_choice.spare_mb())
    assert choice is not None, "ONNX Runtime was measured"
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
    rows = [runtime_choice.measurement_json(m, choice, "chosen") for m in table.rows]
    return {"rows": rows, "library_mb": dict(table.library_mb), "why": runtime_choice.explain_choice(table, choice)}


def table_lines(table: MeasurementTable, choice: Choice) -> list[str]:
    """A table for people; what is chosen has an arrow."""
    rows = [f"  {'part':8}{'runtime':10}{'CPU ms':>8}{'wall ms':>9}{'MB':>6}"]
    for m in table.rows:
        arrow = ">" if choice[m.part] == m.runtime else " "
        figures = f"{m.cpu_ms:8.1f}{m.wall_ms:9.1f}{m.memory_mb:6.0f}"
        rows.append(f"{arrow} {m.part:8}{m.runtime:10}" + (f"  no: {m.fault}" if m.fault else figures))
    libraries = ", ".join(f"{name} {mb:.0f} MB" for name, mb in table.library_mb.items())
    return [*rows, f"libraries: {libraries}", runtime_choice.explain_choice(table, choice)]


def saved_choice_line(name: str) -> str:
    """One line for `edge engine list`: what was chosen on this box with one thread."""
    folder = load_folder(find_folder(name))
    saved = runtime_choice.read_choice(folder, 1)
    if saved is None:
        return "CPU: not measured on this box; ONNX Runtime runs. Measure: edge engine choose"
    table, choice = saved
    parts = ", ".join(f"{part} on {runtime}" for part, runtime in choice.items())
    return f"CPU: {parts}: {runtime_choice.explain_choice(table, choice)}"


ROUNDS = 12
Progress = Callable[[str], None]


def measure_runtimes(folder: ModelFolder, threads: int, progress: Progress, rounds: int = ROUNDS) -> MeasurementTable:
    """Try every installed runtime for every part of the model; seconds to a minute of work.

    Each must reproduce the golden file with the other parts on `REFERENCE`. Times are the least of ``rounds`` rows, the
    runtimes by turns, so that what else the box does falls on all of them. ModelError or RuntimeUnavailable when not
    even ONNX Runtime works.
    """
    packages = {"onnx": "onnxruntime", "openvino": "openvino"}
    there = {name: package for name, package in packages.items() if runtime_choice.installed_version(package)}
    library_mb = {name: _import_cost_mb(package) for name, package in there.items()}
    others: list[CpuRuntime] = ["openvino"] if "openvino" in there else []
    rows: list[GraphMeasurement] = []
    with ExitStack() as opened:
        plain = {part: _OpenedGraph.open(folder, part, REFERENCE, threads) for part in folder.parts}
        for one in plain.values():
            opened.callback(one.graph.close)
        graphs = {part: one.graph for part, one in plain.items()}
        feeds_by_part = golden_feeds(folder, graphs)
        for part, one in plain.items():
            one.run(feeds_by_part[part])
        self_test(folder, compose_runtime(folder, graphs, 1))
        for part, one in plain.items():
            progress(f"{part}: {', '.join((REFERENCE, *others))}")
            rows += _measure_part(folder, graphs, one, others, feeds_by_part[part], threads, rounds)
    return MeasurementTable(tuple(rows), library_mb)


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
    """One graph on one runtime, open; what it has added to the process so far."""

    part: Part
    runtime: CpuRuntime
    graph: InferenceGraph
    memory_mb: float = 0.0

    @classmethod
    def open(cls, folder: ModelFolder, part: Part, runtime: CpuRuntime, threads: int) -> _OpenedGraph:
        before = resident_mb()
        graph = open_graph(folder, part, runtime, threads)
        return cls(part, runtime, graph, max(0.0, resident_mb() - before))

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
    others: Sequence[CpuRuntime],
    feed: Mapping[str, Array],
    threads: int,
    rounds: int,
) -> list[GraphMeasurement]:
    """One part on ``reference`` and all ``others``; those that fail come with their fault."""
    part, opened_graphs, failed = reference.part, [reference], []
    with ExitStack() as opened:
        for runtime in others:
            try:
                opened_graph = _OpenedGraph.open(folder, part, runtime, threads)
                opened.callback(opened_graph.graph.close)
                opened_graph.run(feed)
                self_test(folder, compose_runtime(folder, {**plain, part: opened_graph.graph}, 1))
            except EdgeError as error:
                failed.append(GraphMeasurement(part, runtime, fault=str(error)))
            else:
                opened_graphs.append(opened_graph)
        times = _time_graphs({one.runtime: one.graph for one in opened_graphs}, feed, rounds)
    measured = [GraphMeasurement(part, t.runtime, *times[t.runtime], round(t.memory_mb, 1)) for t in opened_graphs]
    return [*measured, *failed]


def _time_graphs(
    graphs: Mapping[CpuRuntime, InferenceGraph], feed: Mapping[str, Array], rounds: int
) -> dict[CpuRuntime, tuple[float, float]]:
    """Least processor and wall milliseconds of one row."""
    count = len(next(iter(feed.values())))
    out = {runtime: _outputs(graph, 1) for runtime, graph in graphs.items()}
    least = dict.fromkeys(graphs, (np.inf, np.inf))
    for turn in range(rounds):
        row = {name: array[turn % count : turn % count + 1] for name, array in feed.items()}
        for runtime, graph in graphs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            graph.run(row, out[runtime])
            spent = (time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3
            least[runtime] = min(least[runtime][0], spent[0]), min(least[runtime][1], spent[1])
    return {runtime: (round(cpu, 3), round(wall, 3)) for runtime, (cpu, wall) in least.items()}


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
