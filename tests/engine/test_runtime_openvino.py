"""OpenVINO's own promises: nothing is copied, the cache is used, open sizes are worked out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import toy_model
from onnx import TensorProto, helper, numpy_helper

from edge.config.models import ModelConfig as Settings
from edge.engine.openvino_graph import OpenVinoGraph
from edge.engine.select import open_runtime

SIDE = 64


def product(path: Path) -> Path:
    """``y`` = x W."""
    weights = np.random.default_rng(3).normal(0, 0.1, (SIDE, SIDE)).astype(np.float32)
    made = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", SIDE])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (path / "product.onnx").write_bytes(model.SerializeToString())
    return path / "product.onnx"


def answers(graph: OpenVinoGraph, x: np.ndarray) -> dict[str, np.ndarray]:
    out = {name: np.zeros(x.shape, np.float32) for name in graph.outputs}
    graph.run({"x": x}, out)
    return out


def test_results_are_written_where_the_caller_wants_them(tmp_path: Path) -> None:
    graph = OpenVinoGraph(product(tmp_path), 1)
    x = np.random.default_rng(0).normal(0, 1, (3, SIDE)).astype(np.float32)
    buffer = np.full((5, SIDE), 7, np.float32)
    graph.run({"x": x[1:2]}, {"y": buffer[2:3]})
    assert (buffer[[0, 1, 3, 4]] == 7).all()
    np.testing.assert_array_equal(buffer[2], answers(graph, x)["y"][1])


def test_the_cache_is_used_where_it_can_be_written(tmp_path: Path) -> None:
    graph = product(tmp_path)
    OpenVinoGraph(graph, 1, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir())
    (tmp_path / "file").write_text("", encoding="utf-8")
    OpenVinoGraph(graph, 1, cache=tmp_path / "file" / "cache")


def test_a_graph_whose_sizes_are_open_is_refused(tmp_path: Path) -> None:
    proto = toy_model.graph()
    boxes = next(output for output in proto.graph.output if output.name == "boxes")
    boxes.type.tensor_type.shape.dim[1].dim_param = "found"
    assert isinstance(proto, onnx.ModelProto)
    folder = toy_model.toy_folder(tmp_path, proto)
    assert open_runtime(folder, Settings(runtime="openvino"), 1).info.name == "openvino"  # it works the size out
