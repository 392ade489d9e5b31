"""OpenVINO's own promises: nothing is copied, bfloat16 only where it holds."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import openvino as ov
import pytest
import toy_model
from onnx import TensorProto, helper, numpy_helper

from edge.config.models import ModelConfig as Settings
from edge.engine.cpu import bf16
from edge.engine.openvino_graph import OpenVinoGraph, has_bf16
from edge.engine.select import open_runtime
from edge.errors import RuntimeUnavailable

SIDE = 64


def two_outputs(path: Path) -> Path:
    """``learned`` = x W; ``difference`` = (x shifted - x V) W: small differences of numbers near 100."""
    rng = np.random.default_rng(3)
    weights = {
        "w": rng.normal(0, 0.1, (SIDE, SIDE)).astype(np.float32),
        "v": -np.roll(np.eye(SIDE, dtype=np.float32), 2, 1),
        "pads": np.array([0, 1, 0, 0], np.int64),
        "starts": np.array([0], np.int64),
        "ends": np.array([SIDE], np.int64),
        "axis": np.array([1], np.int64),
        "hundred": np.float32(100),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["learned"]),
        helper.make_node("Pad", ["x", "pads", "hundred"], ["wide"]),
        helper.make_node("Slice", ["wide", "starts", "ends", "axis"], ["shifted"]),
        helper.make_node("MatMul", ["x", "v"], ["same"]),
        helper.make_node("Add", ["same", "shifted"], ["small"]),
        helper.make_node("MatMul", ["small", "w"], ["difference"]),
    ]
    made = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", SIDE])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["B", SIDE]) for n in ("learned", "difference")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (path / "two.onnx").write_bytes(model.SerializeToString())
    return path / "two.onnx"


def answers(graph: OpenVinoGraph, x: np.ndarray) -> dict[str, np.ndarray]:
    out = {name: np.zeros(x.shape, np.float32) for name in graph.outputs}
    graph.run({"x": x}, out)
    return out


def test_results_are_written_where_the_caller_wants_them(tmp_path: Path) -> None:
    graph = OpenVinoGraph(two_outputs(tmp_path), 1)
    x = np.random.default_rng(0).normal(0, 1, (3, SIDE)).astype(np.float32)
    buffer = np.full((5, SIDE), 7, np.float32)
    graph.run({"x": x[1:2]}, {"learned": buffer[2:3], "difference": np.zeros((1, SIDE), np.float32)})
    assert (buffer[[0, 1, 3, 4]] == 7).all()
    np.testing.assert_array_equal(buffer[2], answers(graph, x)["learned"][1])


def test_what_bfloat16_would_spoil_is_found(tmp_path: Path) -> None:
    if not has_bf16():
        with pytest.raises(RuntimeUnavailable, match="no bfloat16"):
            OpenVinoGraph(two_outputs(tmp_path), 1, "bf16")
        return
    graph = two_outputs(tmp_path)
    x = (100 + np.random.default_rng(0).normal(0, 0.2, (2, SIDE))).astype(np.float32)
    exact = answers(OpenVinoGraph(graph, 1), x)
    assert bf16.prepare(graph, tmp_path / "two.xml", {"x": x}, 1) == ("difference",)
    found = answers(OpenVinoGraph(tmp_path / "two.xml", 1, "bf16"), x)
    assert 0 < np.abs(found["learned"] - exact["learned"]).max() < 0.05 * np.abs(exact["learned"]).max()


def test_marks_lie_on_all_that_leads_to_an_output_and_on_nothing_else(tmp_path: Path) -> None:
    ov.serialize(ov.Core().read_model(two_outputs(tmp_path)), tmp_path / "two.xml")
    ir = (tmp_path / "two.xml").read_bytes()
    root = ET.fromstring(bf16.marked(ir, ["difference"]))
    marks = {
        layer.get("type", ""): layer.get("version")
        for layer in root.iter("layer")
        if layer.find("rt_info/attribute[@name='precise']") is not None
    }
    assert {"Pad", "Add"} <= set(marks)
    assert marks["Pad"] == "opset1"
    assert not {"Const", "Parameter", "Result"} & set(marks)
    products = [layer for layer in root.iter("layer") if layer.get("type") == "MatMul"]
    assert [p.find("rt_info/attribute[@name='precise']") is not None for p in products].count(True) == 2
    assert b"precise" not in bf16.marked(ir, [])


def test_the_cache_is_used_where_it_can_be_written(tmp_path: Path) -> None:
    graph = two_outputs(tmp_path)
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
