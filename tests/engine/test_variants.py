from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import toy_model
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edge.engine import commands
from edge.engine.manifest import ModelFolder, load_folder
from edge.engine.trt import quantise, variants
from edge.engine.trt.make_variants import (
    ACCURACY_LIMITS,
    ReferenceGraph,
    accuracy_fault,
    make_variant,
    measure_accuracy,
    report_line,
)
from edge.engine.trt.onnx_editing import OnnxGraphEditor, open_onnx, to_fp16
from edge.engine.trt.quantise import CalibrationRow, CalibrationSet, DiverseSampler, QuantisationPlan
from edge.engine.trt.variants import GraphVariant, VariantAccuracy
from edge.errors import InputError, ModelError, RuntimeUnavailable

CHANNELS = 16


def seeing_graph() -> onnx.ModelProto:
    """The toy, its brightness seen through four convolutions; the weights of the second are 16-bit behind a Cast."""
    made, rng = toy_model.graph(), np.random.default_rng(3)
    shapes = [(CHANNELS, 3, 3, 3), (CHANNELS, CHANNELS, 1, 1), (CHANNELS, CHANNELS, 1, 1), (1, CHANNELS, 1, 1)]
    nodes = [
        helper.make_node("Cast", ["frames"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean_picture"], axes=[1], keepdims=0),
        helper.make_node("Transpose", ["mean_picture"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "scale"], ["x0"]),
    ]
    for n, shape in enumerate(shapes):
        weight = rng.normal(0.1, 0.3, shape).astype(np.float32 if n != 1 else np.float16)
        stored = f"w{n}" if n != 1 else "w1_stored"
        made.graph.initializer.append(numpy_helper.from_array(weight, stored))
        if n == 1:
            nodes.append(helper.make_node("Cast", [stored], ["w1"], to=TensorProto.FLOAT))
        out = f"y{n}" if n < 3 else "map"
        nodes.append(helper.make_node("Conv", [f"x{n}", f"w{n}"], [out], name=f"conv{n}", strides=[2, 2][: 2 * (n == 0)]
                     or [1, 1], kernel_shape=list(shape[2:])))  # fmt: skip
        if n < 3:
            nodes.append(helper.make_node("Relu", [out], [f"x{n + 1}"]))
    nodes.append(helper.make_node("ReduceMean", ["map"], ["wide"], axes=[2, 3], keepdims=0))
    nodes.append(helper.make_node("Sigmoid", ["wide"], ["v"]))
    kept = list(made.graph.node)[4:]
    del made.graph.node[:]
    made.graph.node.extend([*nodes, *kept])
    return made


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return seeing_folder(tmp_path)


def seeing_folder(path: Path) -> ModelFolder:
    proto, inputs = seeing_graph(), toy_model.golden_inputs()
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return toy_model.toy_folder(path, proto, **dict(zip(names, session.run(names, inputs), strict=True)))


def recorded(folder: ModelFolder, n: int = 12) -> CalibrationSet:
    rows = []
    graphs = ReferenceGraph(folder)
    inputs = toy_model.golden_inputs(n)
    for k in range(n):
        row = {name: value[k : k + 1] for name, value in inputs.items()}
        rows.append(CalibrationRow(row, graphs.run(row)["logits"][0]))
    return CalibrationSet(rows[: n // 2], rows[n // 2 :])


def going_on(*_: Any) -> bool:
    return True


def test_layers_are_learned_convolutions_with_plain_weights(folder: ModelFolder) -> None:
    net = open_onnx(folder.graph)
    assert [node.name for node in net.learned_convolutions()] == ["conv0", "conv1", "conv2"]  # the last has 16 weights
    assert net.weights["w1"].dtype == np.float32
    assert net.elementwise_chain(net.learned_convolutions()) == {"y0", "x1", "y1", "x2", "y2"}


def test_what_makes_a_spectrum_is_no_layer() -> None:
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Conv", ["audio", "table"], ["spectrum"], name="table"),
        helper.make_node("Log", ["spectrum"], ["mel"]),
        helper.make_node("Conv", ["mel", "learned"], ["z"], name="learned"),
        helper.make_node("Relu", ["z"], ["p"]),
        helper.make_node("Log", ["p"], ["logits"]),
    ]
    tables = [numpy_helper.from_array(np.ones((16, 16, 1, 1), np.float32), name) for name in ("table", "learned")]
    f = TensorProto.FLOAT
    made = helper.make_graph(
        nodes, "g", [value("audio", f, ["B", 16, 4, 4])], [value("logits", f, ["B", 16, 4, 4])], tables
    )
    assert [node.name for node in OnnxGraphEditor(helper.make_model(made)).learned_convolutions()] == ["learned"]


def test_half_runs_and_keeps_inputs_and_outputs(folder: ModelFolder) -> None:
    content = to_fp16(folder.graph)
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    assert {kinds[f"w{n}_half"] for n in range(3)} == {TensorProto.FLOAT16}
    assert kinds["w3"] == TensorProto.FLOAT
    assert {o.type.tensor_type.elem_type for o in model.graph.output} == {TensorProto.FLOAT}
    inputs, session = toy_model.golden_inputs(), ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], inputs)
    np.testing.assert_allclose(found, ReferenceGraph(folder).run(inputs)["logits"], atol=0.002)


def test_eight_bits_stand_before_inner_layers_alone(folder: ModelFolder) -> None:
    given_ = recorded(folder)
    seen: list[int] = []

    def progress(done: int) -> bool:
        seen.append(done)
        return True

    content = quantise.quantise(folder.graph, [row.inputs for row in given_.calibrate], QuantisationPlan(), progress)
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["QuantizeLinear"] == 1
    assert kinds["DequantizeLinear"] == 2
    assert seen == [1, 2, 3, 4, 5, 6]
    tables = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    (pair,) = (node for node in model.graph.node if node.op_type == "QuantizeLinear")
    assert pair.input[0] == "x1"
    assert tables[pair.input[2]].dtype == np.int8
    assert tables[pair.input[2]] == 0  # signed and symmetric
    assert [t.shape for t in tables.values() if t.dtype == np.int8 and t.ndim == 4] == [(CHANNELS, CHANNELS, 1, 1)]
    assert any(t.shape == (CHANNELS,) and t.dtype == np.float32 for t in tables.values())  # a scale a channel


def test_nothing_to_quantise_or_to_calibrate_with_is_said(folder: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no window to calibrate"):
        quantise.quantise(folder.graph, [], QuantisationPlan())
    with pytest.raises(ModelError, match="no layer"):
        quantise.quantise(folder.graph, [], QuantisationPlan(narrowest=999))
    rows = [row.inputs for row in recorded(folder).calibrate]
    with pytest.raises(KeyboardInterrupt):
        quantise.quantise(folder.graph, rows, QuantisationPlan(), lambda _done: False)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_what_was_made_and_admitted_is_found(folder: ModelFolder, precision: variants.Precision) -> None:
    made = make_variant(folder, precision, recorded(folder), "a.mp4", going_on)
    assert made.is_admitted
    assert made.accuracy is not None
    assert made.accuracy.worst < ACCURACY_LIMITS[precision].worst
    assert variants.admitted_path(folder, precision) == made.path
    assert variants.list_variants(folder) == [made]
    assert made.made["from"] == "a.mp4"
    assert "admitted" in report_line(made)


def test_what_is_not_there_says_how_to_make_it(folder: ModelFolder) -> None:
    with pytest.raises(ModelError, match=r"edge engine build .* --precision int8 --from RECORDING"):
        variants.admitted_path(folder, "int8")


def test_another_graph_does_not_find_it(folder: ModelFolder) -> None:
    make_variant(folder, "fp16", recorded(folder), "a.mp4", going_on)
    exchanged = seeing_graph()
    exchanged.graph.name = "newer"
    toy_model.toy_folder(folder.path, exchanged)
    newer = load_folder(folder.path)
    assert variants.list_variants(newer) == []
    with pytest.raises(ModelError, match="has not been made of this graph"):
        variants.admitted_path(newer, "fp16")


def test_a_damaged_file_is_refused(folder: ModelFolder) -> None:
    made = make_variant(folder, "fp16", recorded(folder), "a.mp4", going_on)
    made.path.write_bytes(made.path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="damaged"):
        variants.admitted_path(folder, "fp16")


def test_what_differs_too_much_is_kept_but_not_used(folder: ModelFolder) -> None:
    windows = recorded(folder)
    other = [dataclasses.replace(row, logits=row.logits + 9) for row in windows.compare]
    made = make_variant(folder, "fp16", CalibrationSet(windows.calibrate, other), "a.mp4", going_on)
    assert not made.is_admitted
    with pytest.raises(ModelError, match=r"is not admitted: the mean difference"):
        variants.admitted_path(folder, "fp16")
    with pytest.raises(ModelError, match="no graph was admitted"):
        report_line(made)


def test_an_interrupted_build_leaves_what_was_there(folder: ModelFolder) -> None:
    windows = recorded(folder)
    before = make_variant(folder, "int8", windows, "a.mp4", going_on)
    with pytest.raises(KeyboardInterrupt):
        make_variant(folder, "int8", windows, "b.mp4", lambda _phase, step, _steps: step < 3)
    assert variants.list_variants(folder) == [before]


def test_the_source_itself_differs_by_nothing(folder: ModelFolder) -> None:
    found = measure_accuracy(folder, "fp16", folder.graph, recorded(folder).compare)
    assert (found.mean, found.worst, found.crossed, found.golden, found.fault) == (0, 0, 0, 0, "")


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_fault_is_named_for_each_limit_that_is_passed(
    mean: float, worst: float, crossed: float, golden: float
) -> None:
    limits = ACCURACY_LIMITS["int8"]
    passed = [mean > limits.mean, worst > limits.worst, crossed > limits.crossed, golden > limits.golden]
    fault = accuracy_fault(VariantAccuracy(1, mean, worst, crossed, golden), limits)
    assert len([part for part in fault.split("; ") if part]) == sum(passed)


def test_not_a_number_is_a_fault() -> None:
    assert accuracy_fault(VariantAccuracy(1, float("nan"), 0, 0, 0), ACCURACY_LIMITS["fp16"])


def look(value: float, there: bool = True) -> CalibrationRow:
    frames = np.full((1, 2, 32, 64, 3), value, np.uint8)
    inputs = {
        "frames": frames,
        "video_ok": np.full((1, 2), there, np.float32),
        "audio": np.zeros((1, 800), np.float32),
        "audio_ok": np.ones(1, np.float32),
    }
    return CalibrationRow(inputs, np.zeros(3, np.float32))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=40), st.integers(2, 6))
def test_diverse_keeps_at_most_so_many_and_never_crowds(values: list[int], most: int) -> None:
    kept = DiverseSampler(most)
    gaps = []
    for value in values:
        kept.offer(look(value))
        looks = [quantise.row_descriptor(row.inputs) for row in kept.rows]
        if len(looks) == most:
            gaps.append(min(np.linalg.norm(a - b) for k, a in enumerate(looks) for b in looks[:k]))
    assert len(kept.rows) == min(most, len(values))
    assert all(later >= earlier - 1e-5 for earlier, later in pairwise(gaps))


def test_diverse_prefers_what_looks_different() -> None:
    kept = DiverseSampler(3)
    for value in (10, 11, 12, 13, 200, 12, 90):
        kept.offer(look(value))
    values = sorted(int(row.inputs["frames"].mean()) for row in kept.rows)
    assert values[-1] == 200
    assert values[1] == 90


def test_windows_are_split_in_blocks_and_holes_are_added() -> None:
    found = quantise.split_recordings([[look(k * 3) for k in range(40)]], 64)
    assert (len(found.calibrate), len(found.compare)) == (28, 12)
    given_ = list(quantise.with_missing_inputs(found.calibrate, every=8))
    assert len(given_) == 28 + 4
    assert sum(not inputs["video_ok"].any() for inputs in given_) == 1


def built(*args: str, record: commands.Record | None = None) -> int:
    parser = argparse.ArgumentParser()
    commands.register(parser.add_subparsers(), record)
    parsed = parser.parse_args(["engine", "build", *args])
    code = parsed.handler(parsed)
    assert isinstance(code, int)
    return code


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT as far as making its graph: it takes types from the graph, and builds nothing."""

    def cannot_build(*args: Any, **kwargs: Any) -> None:
        raise RuntimeUnavailable("no GPU here")

    monkeypatch.setattr("edge.engine.trt.library.load_library", lambda: SimpleNamespace(is_weakly_typed=False))
    monkeypatch.setattr(commands, "build", cannot_build)


@pytest.mark.usefixtures("no_engine")
def test_build_makes_the_int8_graph_of_recordings_first(
    folder: ModelFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clips" / "a.mp4"
    clip.parent.mkdir()
    clip.write_bytes(b"")
    (clip.parent / "notes.txt").write_text("no recording", encoding="utf-8")
    asked: list[Any] = []

    def record(one: ModelFolder, files: Any, most: int, progress: commands.Progress) -> CalibrationSet:
        asked.append((list(files), most))
        progress("reading recordings", 1, 1)
        return recorded(one)

    options = ["--precision", "int8", "--from", str(clip.parent), "--windows", "32"]
    with pytest.raises(RuntimeUnavailable, match="no GPU here"):
        built("--model", str(folder.path), *options, record=record)
    assert asked == [([clip], 32)]
    assert "onnx: int8, probabilities off by" in capsys.readouterr().out
    assert variants.admitted_path(folder, "int8").is_file()


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(("precision", "made"), [("auto", True), ("fp16", True), ("fp32", False)])
def test_a_graph_is_made_only_where_the_engine_needs_another(folder: ModelFolder, precision: str, made: bool) -> None:
    with pytest.raises(RuntimeUnavailable, match="no GPU here"):
        built("--model", str(folder.path), "--precision", precision, record=lambda one, *_: recorded(one))
    assert (variants.find_variant(folder, "fp16") is not None) is made


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize("precision", ["auto", "fp32", "fp16", "int8"])
def test_nothing_is_built_for_a_cpu(folder: ModelFolder, runtime: str, precision: str) -> None:
    with pytest.raises(InputError, match=r"a CPU runs the model's graphs as they are.*edge engine choose"):
        built("--model", str(folder.path), "--runtime", runtime, "--precision", precision)


def test_recordings_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.mp4: no such file"):
        commands.find_recordings([tmp_path / "gone.mp4"])
    with pytest.raises(InputError, match="no recording in it"):
        commands.find_recordings([tmp_path])


def test_a_note_that_is_not_one_is_passed_over(folder: ModelFolder) -> None:
    path = variants.variant_path(folder, "int8")
    variants.save_variant(GraphVariant(path, "int8", folder.manifest.sha256, "0" * 64), b"graph")
    assert variants.find_variant(folder, "int8") is not None
    with pytest.raises(ModelError, match="were not compared"):
        variants.admitted_path(folder, "int8")
    path.with_suffix(".json").write_text("[]", encoding="utf-8")
    assert variants.find_variant(folder, "int8") is None
