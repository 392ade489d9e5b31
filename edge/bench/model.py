"""What one row of the model costs on one runtime, by part, and what it asks of the processor.

``python -m edge.bench.model RUNTIME PRECISION`` prints one JSON object. In a process of its own, so that a library that
cannot be used here harms nothing and leaves no threads behind.

What one row of the model asks of the processor: operations counted from the shapes that ONNX Runtime really ran.

ONNX Runtime's profile names every node with the shapes of what it read and wrote. Counted are the multiplications and
additions of convolutions and matrix products, which are nearly all of a graph's; each of both is an operation.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from edge.engine.manifest import DEFAULT_MODEL, GRAPH_PARTS
from edge.errors import EdgeError

ROWS = 8
RUNS = 12


def main(runtime: str, precision: str, name: str = DEFAULT_MODEL) -> dict[str, Any]:
    """Open it as the daemon would and time it; ``refused`` says why where it cannot be used."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from edge.bench.floor import fill_with_golden
    from edge.config.models import ModelConfig as Settings
    from edge.engine.manifest import find_folder, load_folder
    from edge.engine.select import open_runtime
    from edge.engine.selftest import self_test

    try:
        folder = load_folder(find_folder(name))
        began_s = time.process_time()
        opened: Any = open_runtime(folder, Settings.model_validate({"runtime": runtime, "precision": precision}), ROWS)
        load_s = time.process_time() - began_s
        self_test(folder, opened)
    except (EdgeError, ValueError) as error:
        return {"runtime": runtime, "precision": precision, "refused": " ".join(str(error).split())[:300]}
    fill_with_golden(opened.inputs, folder)
    parts = {part: time_call(calls) for part, calls in timed_calls(opened).items()}
    found = {
        "runtime": opened.info.name,
        "version": opened.info.version,
        "device": opened.info.device,
        "precision": opened.info.precision,
        "load_s": load_s,
        "row_ms": sum(one["row_ms"] for one in parts.values()),
        "full_ms": sum(one["full_ms"] for one in parts.values()),
        "parts": parts,
    }
    opened.close()
    return found


def timed_calls(opened: Any) -> dict[str, Callable[[int], object]]:
    """What there is to time: each part, or the whole where the model is one graph."""
    if not all(hasattr(opened, f"run_{part}") for part in GRAPH_PARTS):
        return {"model": opened.run}
    return {
        "vision": lambda rows: opened.run_vision(range(rows)),
        "audio": lambda rows: opened.run_audio(range(rows)),
        "fusion": lambda rows: opened.run_fusion(range(rows)),
    }


def time_call(call: Callable[[int], object]) -> dict[str, float]:
    """Processor ms a row, one row and `ROWS` rows at a time, and by the clock; medians."""
    call(1)
    call(ROWS)
    cpu_ms, clock, full, full_clock = [], [], [], []
    for _ in range(RUNS):
        spent_ns, passed_ns = time.process_time_ns(), time.perf_counter_ns()
        call(1)
        cpu_ms.append((time.process_time_ns() - spent_ns) / 1e6)
        clock.append((time.perf_counter_ns() - passed_ns) / 1e6)
    for _ in range(max(2, RUNS // ROWS)):
        spent_ns, passed_ns = time.process_time_ns(), time.perf_counter_ns()
        call(ROWS)
        full.append((time.process_time_ns() - spent_ns) / 1e6 / ROWS)
        full_clock.append((time.perf_counter_ns() - passed_ns) / 1e6 / ROWS)
    return {
        "row_ms": median(cpu_ms),
        "best_ms": min(cpu_ms),
        "clock_ms": median(clock),
        "full_ms": median(full),
        "full_clock_ms": median(full_clock),
    }


def graph_work_by_part(name: str = DEFAULT_MODEL) -> dict[str, Any]:
    """Operations and bytes of a row, by part."""
    from edge.engine.manifest import find_folder, load_folder
    from edge.engine.selftest import load_golden

    folder = load_folder(find_folder(name))
    golden = {key: value[:1] for key, value in load_golden(folder.golden)[0].items()}
    if folder.manifest.parts is None:
        return {"model": _as_json(profile_graph(folder.graph, golden))}
    found: dict[str, Any] = {}
    known = dict(golden)
    for part in folder.parts:
        path = folder.graph_of(part)
        feed, answers = _run_graph(path, known)
        found[part] = _as_json(profile_graph(path, feed))
        known.update(answers)
    return found


def _run_graph(graph: Any, known: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What ``graph`` takes of what is ``known``, and its answers by name."""
    import onnxruntime as ort

    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    feed = {node.name: known[node.name] for node in session.get_inputs()}
    names = [node.name for node in session.get_outputs()]
    return feed, dict(zip(names, session.run(names, feed), strict=True))


def _as_json(work: Any) -> dict[str, Any]:
    return {"operations": work.operations, "bytes": work.bytes, "ms": work.ms, "ms_by_kind": work.ms_by_kind}


_PRODUCTS = {"MatMul", "FusedMatMul", "Gemm", "FusedGemm", "MatMulInteger", "QLinearMatMul", "QGemm",
             "MatMulIntegerToFloat", "DynamicQuantizeMatMul"}  # fmt: skip
_CONVOLUTIONS = {"Conv", "FusedConv", "NhwcFusedConv", "ConvInteger", "QLinearConv"}
PROFILE_RUNS = 6


@dataclass(frozen=True, slots=True)
class GraphWork:
    """One row of one graph: operations, bytes read and written, and milliseconds by kind of node (best run)."""

    operations: float
    bytes: float
    ms_by_kind: Mapping[str, float]

    @property
    def ms(self) -> float:
        """All nodes together."""
        return sum(self.ms_by_kind.values())


def profile_graph(graph: Path, feed: Mapping[str, Any]) -> GraphWork:
    """Profile ``graph`` on one thread with ``feed`` (one row); shared ONNX Runtime options with the daemon."""
    import onnxruntime as ort

    from edge.engine.onnx_graph import session_options

    with TemporaryDirectory() as folder:
        chosen = session_options(1)
        chosen.enable_profiling = True
        chosen.profile_file_prefix = f"{folder}/profile"
        session = ort.InferenceSession(str(graph), chosen, providers=["CPUExecutionProvider"])
        for _ in range(PROFILE_RUNS):
            session.run(None, dict(feed))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return sum_profile(events)


def sum_profile(events: Sequence[Mapping[str, Any]]) -> GraphWork:
    """The profile of several equal runs as one row's work: each node's counts once, its shortest time."""
    nodes: dict[str, tuple[Mapping[str, Any], float]] = {}
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        shortest = nodes[event["name"]][1] if event["name"] in nodes else float("inf")
        nodes[event["name"]] = (event["args"], min(shortest, event["dur"]))
    ms: dict[str, float] = {}
    for args, us in nodes.values():
        ms[args["op_name"]] = ms.get(args["op_name"], 0.0) + us / 1000
    return GraphWork(
        sum(node_operations(args) for args, _ in nodes.values()),
        sum(float(args.get("activation_size", 0)) + float(args.get("parameter_size", 0))
            + float(args.get("output_size", 0)) for args, _ in nodes.values()),
        dict(sorted(ms.items(), key=lambda one: -one[1])),
    )  # fmt: skip


def node_operations(args: Mapping[str, Any]) -> float:
    """Multiplications and additions of one node, from its profile's ``args``; 0 for what is neither kind of product."""
    kind = args["op_name"]
    out, inputs = _shapes(args["output_type_shape"]), _shapes(args["input_type_shape"])
    if not out or not inputs:
        return 0.0
    if kind in _PRODUCTS:
        return 2.0 * prod(out[0]) * inputs[0][-1]
    if kind in _CONVOLUTIONS:
        kernel = next((shape for shape in inputs[1:] if len(shape) == len(out[0])), None)
        return 2.0 * prod(out[0]) * prod(kernel[1:]) if kernel else 0.0
    return 0.0


def _shapes(typed: Sequence[Mapping[str, Sequence[int]]]) -> list[Sequence[int]]:
    return [shape for one in typed for shape in one.values() if shape]


if __name__ == "__main__":
    print(json.dumps(graph_work_by_part() if sys.argv[1] == "asked" else main(*sys.argv[1:])))
