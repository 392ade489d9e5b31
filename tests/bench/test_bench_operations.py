"""Operations are counted as the graph's author would; the peaks' probes compute what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.bench.bench_run import run_child
from edge.bench.model import node_operations, profile_graph, sum_profile
from edge.bench.peaks import node_model


def graph(nodes: list[onnx.NodeProto], shapes: dict[str, list[int]], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    held = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    made = helper.make_graph(nodes, "g", given, [out], held)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def counted(model: onnx.ModelProto, shapes: dict[str, list[int]], folder: Path) -> float:
    onnx.save(model, folder / "g.onnx")
    feed = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    return profile_graph(folder / "g.onnx", feed).operations


def test_a_grouped_convolution(tmp_path: Path) -> None:
    shapes = {"x": [1, 16, 12, 10]}
    kernel = np.ones((32, 4, 3, 3), np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=4, pads=[1, 1, 1, 1])
    assert counted(graph([node], shapes, {"w": kernel}), shapes, tmp_path) == 2 * 32 * 12 * 10 * 4 * 9


@pytest.mark.parametrize("kind", ["MatMul", "Gemm"])
def test_a_product_with_packed_weights(kind: str, tmp_path: Path) -> None:
    shapes = {"x": [5, 24]}
    node = helper.make_node(kind, ["x", "w"], ["y"])
    assert counted(graph([node], shapes, {"w": np.ones((24, 7), np.float32)}), shapes, tmp_path) == 2 * 5 * 24 * 7


def test_a_product_of_two_inputs_in_a_batch(tmp_path: Path) -> None:
    shapes = {"a": [3, 5, 24], "b": [3, 24, 6]}
    node = helper.make_node("MatMul", ["a", "b"], ["y"])
    assert counted(graph([node], shapes, {}), shapes, tmp_path) == 2 * 3 * 5 * 24 * 6


def test_what_is_no_product_counts_nothing() -> None:
    shapes = [{"float": [1, 100]}]
    assert node_operations({"op_name": "Add", "input_type_shape": shapes, "output_type_shape": shapes}) == 0


def test_of_several_runs_a_node_counts_once_with_its_shortest_time() -> None:
    args = {"op_name": "MatMul", "input_type_shape": [{"float": [2, 3]}], "output_type_shape": [{"float": [2, 4]}]}
    event = {"cat": "Node", "name": "n_kernel_time", "args": args}
    found = sum_profile(
        [{**event, "dur": 30}, {**event, "dur": 10}, {"cat": "Session", "name": "model_run", "dur": 99}]
    )
    assert (found.operations, found.ms) == (48, 0.01)


def test_a_probe_is_the_product_that_it_says() -> None:
    x, w = (np.random.default_rng(k).random((4, 4), dtype=np.float32) for k in (0, 1))
    model = node_model("MatMul", (4, 4), TensorProto.FLOAT, {"w": ((4, 4), TensorProto.FLOAT, w.tobytes())}, 1)
    (y,) = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    np.testing.assert_allclose(y, x @ w, rtol=1e-6)


def test_a_process_of_its_own_counts_what_each_part_asks() -> None:
    asked = run_child("edge.bench.model", "asked")
    assert set(asked) == {"vision", "audio", "fusion"}
    assert all(part["operations"] > 0 for part in asked.values())
