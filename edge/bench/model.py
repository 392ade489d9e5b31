"""What one row of the model costs on one runtime, by part, and what it asks of the processor.

``python -m edge.bench.model RUNTIME PRECISION`` prints one JSON object. In a process of its own, so that a library that
cannot be used here harms nothing and leaves no threads behind.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from edge.errors import EdgeError

PARTS = ("see", "hear", "fuse")
ROWS = 8
RUNS = 12


def main(runtime: str, precision: str, name: str = "fused") -> dict[str, Any]:
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
    if not all(hasattr(opened, part) for part in PARTS):
        return {"model": opened.run}
    return {
        "see": lambda rows: opened.see(range(rows)),
        "hear": lambda rows: opened.hear(range(rows)),
        "fuse": opened.fuse,
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


def graph_work_by_part(name: str = "fused") -> dict[str, Any]:
    """Operations and bytes of a row, by part."""
    from edge.bench.operations import profile_graph
    from edge.engine.manifest import find_folder, load_folder
    from edge.engine.selftest import load_golden

    folder = load_folder(find_folder(name))
    parts = folder.manifest.parts
    golden = {key: value[:1] for key, value in load_golden(folder.golden)[0].items()}
    if parts is None:
        return {"model": _as_json(profile_graph(folder.graph, golden))}
    found, known = {}, dict(golden)
    for part in PARTS:
        path = folder.path / getattr(parts, part).file
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


if __name__ == "__main__":
    print(json.dumps(graph_work_by_part() if sys.argv[1] == "asked" else main(*sys.argv[1:])))
