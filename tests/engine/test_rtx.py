"""Graphs through a real TensorRT, without a GPU: tensorrt_rtx parses them and builds them ahead of time."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import toy_model
from onnx import helper, numpy_helper

from edge.engine import built
from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.engine.trt.build import build_ahead
from edge.engine.trt.onnx_editing import to_fp16
from edge.engine.trt.quantise import QuantisationPlan, quantise
from edge.errors import ModelError

pytestmark = [pytest.mark.rtx, pytest.mark.slow]
pytest.importorskip("tensorrt_rtx", reason="install the extra `rtx`")


def go_on(phase: str, step: int, steps: int) -> bool:
    return True


@pytest.fixture
def shipped(tmp_path: Path) -> ModelFolder:
    shutil.copytree(find_folder("fused"), tmp_path / "fused", ignore=shutil.ignore_patterns("built"))
    return load_folder(tmp_path / "fused")


@pytest.fixture
def layered(tmp_path: Path) -> ModelFolder:
    """The toy graph with convolutions between frames and picture."""
    proto, rng, layers = toy_model.graph(), np.random.default_rng(3), []
    constants = {"planes_shape": np.array([0, -1, toy_model.HEIGHT, toy_model.WIDTH]), "flat_shape": np.array([0, -1])}
    layers.append(helper.make_node("Reshape", ["pixels", "planes_shape"], ["at0"]))
    for n in range(4):
        constants[f"weight{n}"] = rng.normal(0, 0.1, (16, 16 if n else 6, 3, 3)).astype(np.float32)
        layers += [
            helper.make_node("Conv", [f"at{n}", f"weight{n}"], [f"conv{n}"], name=f"conv{n}", pads=[1] * 4),
            helper.make_node("Relu", [f"conv{n}"], [f"at{n + 1}"]),
        ]
    constants["last_weight"] = rng.normal(0, 0.1, (16, 5)).astype(np.float32)
    layers += [
        helper.make_node("GlobalAveragePool", ["at4"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "flat_shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "last_weight"], ["picture"]),
    ]
    kept = [node for node in proto.graph.node if "picture" not in node.output]
    del proto.graph.node[:]
    proto.graph.node.extend([*kept, *layers])
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    onnx.checker.check_model(proto)
    return toy_model.toy_folder(tmp_path, proto)


@pytest.mark.timeout(900)
def test_the_shipped_graph_builds_for_ampere_and_ada(shipped: ModelFolder) -> None:
    told: list[str] = []
    engine = build_ahead(shipped, "sm_86,sm_89", 8, lambda phase, step, steps: told.append(phase) is None)
    assert engine.path.stat().st_size > 1 << 20
    assert built.read_engine(engine)
    assert told
    assert (engine.key.device, engine.key.precision, engine.is_admitted) == ("sm_86,sm_89", "fp32", False)


@pytest.mark.parametrize(("precision", "sign"), [("fp16", "Cast"), ("int8", "DequantizeLinear")])
def test_graphs_of_fewer_bits_have_the_form_that_strong_typing_wants(
    layered: ModelFolder, monkeypatch: pytest.MonkeyPatch, precision: str, sign: str
) -> None:
    inputs = toy_model.golden_inputs(4)
    rows = [{name: array[n : n + 1] for name, array in inputs.items()} for n in range(4)]
    content = to_fp16(layered.graph) if precision == "fp16" else quantise(layered.graph, rows, QuantisationPlan())
    path = layered.path / f"{precision}.onnx"
    path.write_bytes(content)
    made = [node.op_type for node in onnx.load(path).graph.node].count(sign)
    assert made > [node.op_type for node in onnx.load(layered.graph).graph.node].count(sign)
    monkeypatch.setattr("edge.engine.trt.runtime.admitted_path", lambda folder, precision: path)
    engine = build_ahead(layered, "sm_86,sm_89", 4, go_on, precision=precision)
    assert engine.key.precision == precision


def test_a_graph_that_tensorrt_cannot_take_is_named(tmp_path: Path) -> None:
    proto = toy_model.graph()
    proto.graph.node[0].CopyFrom(helper.make_node("Reshape", ["frames", "same"], ["still"]))
    proto.graph.node.insert(1, helper.make_node("Cast", ["still"], ["pixels"], to=onnx.TensorProto.FLOAT))
    shape = np.array([0, 0, 0, 0, 0])
    proto.graph.initializer.append(numpy_helper.from_array(shape, "same"))
    with pytest.raises(ModelError, match=r"cannot take this graph: .*UInt8"):
        build_ahead(toy_model.toy_folder(tmp_path, proto), "sm_86", 2, go_on)


def test_unknown_targets_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="sm_86, sm_89"):
        build_ahead(toy_model.toy_folder(tmp_path), "sm_87", 8, go_on)
