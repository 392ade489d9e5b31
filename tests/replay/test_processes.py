"""Work on recordings in processes side by side."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config.models import ModelConfig
from edge.engine import runtime_choice
from edge.engine.manifest import find_folder, load_folder
from edge.engine.select import open_runtime
from edge.errors import MediaError, SinkError
from edge.replay import processes
from edge.replay.processes import SHARED_THREADS, in_order, run_in_processes, share_calls

STATE: dict[str, int] = {}


def begin(offset: int) -> None:
    STATE["offset"] = offset


def add(n: int) -> int:
    return n + STATE["offset"]


def refuse(n: int) -> int:
    raise MediaError(f"{n} cannot be read")


def die(_n: int) -> int:
    os._exit(9)


def test_every_item_is_worked_on_once_by_a_process_that_was_set_up() -> None:
    assert sorted(run_in_processes(begin, (10,), add, [1, 2, 3, 4])) == [11, 12, 13, 14]
    assert not STATE, "not in this process"


def test_errors_of_the_work_are_raised_here() -> None:
    with pytest.raises(MediaError, match="1 cannot be read"):
        list(run_in_processes(begin, (10,), refuse, [1]))


def test_a_process_that_was_killed_is_told() -> None:
    with pytest.raises(SinkError, match="was killed"):
        list(run_in_processes(begin, (10,), die, [1, 2]))


@given(st.permutations(range(8)))
def test_results_come_in_their_order_whenever_they_end(ended: list[int]) -> None:
    assert list(in_order((n, str(n)) for n in ended)) == [str(n) for n in range(8)]


def test_a_result_whose_turn_it_is_does_not_wait_for_later_ones() -> None:
    results = in_order((n, n) for n in (0, 2, 1))
    assert next(results) == 0


@pytest.mark.parametrize(
    ("settings", "threads"),
    [
        ({}, 2),
        ({"runtime": "onnx"}, 2),
        ({"runtime": "openvino"}, 1),
        ({"runtime": "tensorrt"}, 1),
        ({"threads": 3}, 3),
        ({"threads": 0}, 0),
    ],
)
def test_only_calls_of_onnx_runtime_are_shared_and_only_where_nothing_else_is_set(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], threads: int
) -> None:
    monkeypatch.setattr(runtime_choice, "read_choice", lambda _folder, _threads: None)
    monkeypatch.setattr(processes, "core_count", lambda: 4)
    folder = load_folder(find_folder("fused"))
    assert share_calls(folder, ModelConfig(**settings)).threads == threads


@pytest.mark.parametrize(("measured", "runtime", "threads"), [(1, "openvino", 1), (2, "openvino", 1), (1, "onnx", 2)])
def test_a_runtime_that_was_chosen_on_this_box_stays(
    monkeypatch: pytest.MonkeyPatch, measured: int, runtime: str, threads: int
) -> None:
    table = runtime_choice.MeasurementTable((), {})

    def read(_folder: object, count: int) -> object:
        return (table, {"vision": runtime, "audio": "onnx", "fusion": "onnx"}) if count == measured else None

    monkeypatch.setattr(runtime_choice, "read_choice", read)
    monkeypatch.setattr(processes, "core_count", lambda: 4)
    assert share_calls(load_folder(find_folder("fused")), ModelConfig()).threads == threads


def test_answers_of_a_shared_call_are_the_same_to_the_bit() -> None:
    folder = load_folder(find_folder("fused"))
    answers = []
    for threads in (1, SHARED_THREADS):
        runtime = open_runtime(folder, ModelConfig(runtime="onnx", threads=threads), 1)
        rng = np.random.default_rng(5)
        for name, array in runtime.inputs.items():
            if array.dtype == np.uint8:
                array[...] = rng.integers(0, 255, array.shape)
            else:
                array[...] = 1 if name.endswith("ok") else rng.normal(0, 0.1, array.shape)
        answers.append({name: array.copy() for name, array in runtime.run(1).items()})
        runtime.close()
    assert all(np.array_equal(answers[0][name], answers[1][name]) for name in answers[0])
