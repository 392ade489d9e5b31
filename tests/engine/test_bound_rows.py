"""Rows that were bound once are read and written where they lie."""

from __future__ import annotations

import weakref

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge.engine.onnx_graph import MAX_BINDINGS, OnnxGraph


@pytest.fixture(scope="module")
def doubling(tmp_path_factory: pytest.TempPathFactory) -> OnnxGraph:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", [x], [y])
    path = tmp_path_factory.mktemp("graph") / "doubling.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return OnnxGraph(path, 1)


def test_the_same_rows_give_the_answer_to_what_is_in_them_now(doubling: OnnxGraph) -> None:
    x, y = np.zeros((4, 3), np.float32), np.zeros((4, 3), np.float32)
    for turn in range(1, 6):
        for rows in (slice(0, 1), slice(1, 3), slice(0, 4)):
            x[:] = turn * np.arange(12).reshape(4, 3)
            y[:] = -1
            doubling.run({"x": x[rows]}, {"y": y[rows]})
            assert (y[rows] == 2 * x[rows]).all()
            y[rows] = -1
            assert (y == -1).all(), "no other row is written"


def test_arrays_that_come_once_are_not_kept_for_ever(doubling: OnnxGraph) -> None:
    given: list[weakref.ref[np.ndarray]] = []
    for turn in range(3 * MAX_BINDINGS):
        x, y = np.full((2, 3), turn, np.float32), np.empty((2, 3), np.float32)
        doubling.run({"x": x}, {"y": y})
        assert (y == 2 * turn).all()
        given.append(weakref.ref(x))
    assert sum(array() is not None for array in given) <= MAX_BINDINGS


def test_rows_in_pieces_are_a_bug(doubling: OnnxGraph) -> None:
    with pytest.raises(ValueError, match="in one piece"):
        doubling.run({"x": np.zeros((4, 6), np.float32)[:, ::2]}, {"y": np.zeros((4, 3), np.float32)})
