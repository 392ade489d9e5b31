"""Building engines against recording doubles: what the builder is told, what is kept, what is said when it fails."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy_model
from gpu_fixtures import go_on, install
from recorded_cuda import Recorder
from recorded_gpu import INPUTS, fake_rtx, fake_tensorrt

from edge.engine import built
from edge.engine.manifest import ModelFolder, sha256_of
from edge.engine.trt import build as building
from edge.engine.trt.library import explain_messages, load_library
from edge.engine.trt.runtime import TensorRtRuntime
from edge.errors import ModelError, RuntimeUnavailable


@pytest.fixture
def r(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    install(monkeypatch, recorder)
    return recorder


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return toy_model.toy_folder(tmp_path)


def variants(monkeypatch: pytest.MonkeyPatch, folder: ModelFolder, *made: str) -> None:
    """Graph files of these precisions have been made; of others the real word is said."""
    for precision in made:
        (folder.path / f"{precision}.onnx").write_bytes(folder.graph.read_bytes() + precision.encode())

    def variant(folder: ModelFolder, precision: str) -> Path:
        if precision not in made:
            raise ModelError(f"toy in {precision} has not been made; make it: edge engine build --from RECORDING")
        return folder.path / f"{precision}.onnx"

    monkeypatch.setattr("edge.engine.trt.runtime.admitted_path", variant)


def parsed(r: Recorder) -> list[str]:
    return [Path(call[1]).name for call in r.calls if call[0] == "parse"]


def test_building_makes_one_profile_from_one_row_to_the_largest_batch(r: Recorder, folder: ModelFolder) -> None:
    engine = building.build_engine(folder, "auto", 4, go_on)
    (profile,) = [call[1] for call in r.calls if call[0] == "add_optimization_profile"]
    assert profile["audio"] == ((1, 8000), (4, 8000), (4, 8000))
    assert set(profile) == set(INPUTS)
    assert ("set_flag", "FP16") in r.calls
    assert engine.is_admitted
    assert built.list_engines(folder) == [engine]


def test_building_again_uses_the_timings(r: Recorder, folder: ModelFolder) -> None:
    building.build_engine(folder, "auto", 4, go_on)
    building.build_engine(folder, "auto", 2, go_on)
    assert [call[1] for call in r.calls if call[0] == "create_timing_cache"] == [b"", b"timings"]


def test_an_engine_that_answers_otherwise_is_not_admitted(r: Recorder, folder: ModelFolder) -> None:
    r.wrong = {"fp16": 2.0, "fp32": 0.1}
    with pytest.raises(ModelError, match=r"logits differs by 0\.1"):
        building.build_engine(folder, "auto", 4, go_on)
    assert built.list_engines(folder) == []
    assert "detach" in r.names()


def test_auto_builds_32_bits_when_16_differ_too_much(
    r: Recorder, folder: ModelFolder, caplog: pytest.LogCaptureFixture
) -> None:
    r.wrong["fp16"] = 2.0
    engine = building.build_engine(folder, "auto", 4, go_on)
    assert (engine.key.precision, engine.is_admitted) == ("fp32", True)
    assert built.list_engines(folder) == [engine]
    assert ("clear_flag", "TF32") in r.calls
    assert "building fp32 instead" in caplog.text
    with pytest.raises(ModelError):
        building.build_engine(folder, "fp16", 4, go_on)


@pytest.mark.parametrize(
    ("version", "precision", "graph", "flags"),
    [
        ("10.3.0", "fp32", "toy.onnx", []),
        ("10.3.0", "fp16", "toy.onnx", ["FP16"]),
        ("10.3.0", "int8", "int8.onnx", ["FP16", "INT8"]),
        ("10.16.2", "fp16", "fp16.onnx", []),
        ("10.16.2", "int8", "int8.onnx", []),
        ("11.4.0", "fp16", "fp16.onnx", []),
        ("11.4.0", "int8", "int8.onnx", []),
    ],
)
def test_types_come_from_flags_or_from_the_graph(
    monkeypatch: pytest.MonkeyPatch,
    r: Recorder,
    folder: ModelFolder,
    version: str,
    precision: str,
    graph: str,
    flags: list[str],
) -> None:
    variants(monkeypatch, folder, "fp16", "int8")
    install(monkeypatch, r, fake_tensorrt(r, version, fp16=not version.startswith("11")))
    engine = building.build_engine(folder, precision, 4, go_on)
    assert parsed(r) == [graph]
    assert [call[1] for call in r.calls if call[0] == "set_flag"] == flags
    is_strong = version != "10.3.0"
    assert ("create_network", 2 if is_strong else 1) in r.calls
    assert (("clear_flag", "TF32") in r.calls) == (precision == "fp32")
    assert engine.key.graph == sha256_of(folder.path / graph), "of the very file that was built from"
    assert TensorRtRuntime.open(folder, precision, 4).info.precision == precision


def test_a_new_variant_makes_the_old_engine_stale(
    monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder
) -> None:
    variants(monkeypatch, folder, "int8")
    building.build_engine(folder, "int8", 4, go_on)
    (folder.path / "int8.onnx").write_bytes(b"calibrated again")
    with pytest.raises(RuntimeUnavailable, match="edge engine build"):
        TensorRtRuntime.open(folder, "int8", 4)


def test_auto_serves_8_bits_only_where_nothing_else_was_built(
    monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder
) -> None:
    variants(monkeypatch, folder, "int8")
    building.build_engine(folder, "int8", 4, go_on)
    assert TensorRtRuntime.open(folder, "auto", 4).info.precision == "int8"
    building.build_engine(folder, "fp32", 4, go_on)
    assert TensorRtRuntime.open(folder, "auto", 4).info.precision == "fp32"


def test_a_graph_that_has_not_been_made_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder, caplog: pytest.LogCaptureFixture
) -> None:
    variants(monkeypatch, folder)
    install(monkeypatch, r, fake_tensorrt(r, "11.0.0", fp16=False))
    for precision in ("fp16", "int8"):
        with pytest.raises(ModelError, match="edge engine build --from RECORDING"):
            building.build_engine(folder, precision, 4, go_on)
    assert building.build_engine(folder, "auto", 4, go_on).key.precision == "fp32"
    assert "building fp32 instead" in caplog.text
    with pytest.raises(RuntimeUnavailable, match="toy in int8 has not been made"):
        TensorRtRuntime.open(folder, "int8", 4)


def test_progress_is_told_and_can_stop_the_build(r: Recorder, folder: ModelFolder) -> None:
    told: list[tuple[str, int, int]] = []
    building.build_engine(folder, "auto", 4, lambda *step: told.append(step) is None)
    assert told == [("Tactics", 1, 2), ("Tactics", 2, 2)]

    def interrupted(phase: str, step: int, steps: int) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(RuntimeUnavailable, match="built no engine"):
        building.build_engine(folder, "auto", 2, interrupted)


def test_older_versions_build_without_a_monitor(
    monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder
) -> None:
    install(monkeypatch, r, fake_tensorrt(r, "8.6.2", monitor=False, scratch=False))
    assert building.build_engine(folder, "auto", 4, go_on).key.version == "8.6.2"


def test_unsupported_operators_are_named(r: Recorder, folder: ModelFolder) -> None:
    r.parse_errors = ["In node 3 (parseNode): UNSUPPORTED_NODE: NonMaxSuppression"]
    with pytest.raises(ModelError, match="NonMaxSuppression"):
        building.build_engine(folder, "fp32", 4, go_on)


SAID = [
    ("CUDA initialization failure with error: 35. CUDA driver version is insufficient", "driver is too old"),
    ("Cuda Runtime (cudaError 100: no CUDA-capable device is detected)", "no NVIDIA GPU is visible"),
    ("[virtualMemoryBuffer] OutOfMemory (Requested size was 4294967296 bytes.)", "not enough GPU memory"),
    ("Unable to load library: libnvinfer_lean.so.10: cannot open shared object file", "lacks the lean runtime"),
    ("Unable to load library: libnvinfer_builder_resource.so.10.3.0", "parts of TensorRT are missing"),
    ("write failed: No space left on device", "the disk is full"),
]


@pytest.mark.parametrize(("message", "advice"), SAID)
def test_what_the_builder_complains_of_is_explained(
    r: Recorder, folder: ModelFolder, message: str, advice: str
) -> None:
    r.says = message
    with pytest.raises(RuntimeUnavailable, match=advice):
        building.build_engine(folder, "fp32", 4, go_on)
    assert built.list_engines(folder) == []


@pytest.mark.parametrize(
    ("messages", "advice"),
    [
        (["Engine deserialization failed.", "expecting library version 10.3.0 got 8.6.1"], "another version"),
        (["Engine deserialization failed.", "Target GPU SM 87 is not compatible with SM 86"], "another GPU"),
        (["Serialization assertion magicTagRead == kMAGIC_TAG failed. Magic tag does not match"], "is damaged"),
    ],
)
def test_why_an_engine_does_not_load_is_said(
    r: Recorder, folder: ModelFolder, messages: list[str], advice: str
) -> None:
    assert advice in (explain_messages(messages) or "")
    building.build_engine(folder, "fp32", 4, go_on)
    r.refuse, r.says = "engine", messages[-1]
    with pytest.raises(RuntimeUnavailable, match=f"does not load with tensorrt 10.3.0: .*{advice}.*edge engine build"):
        TensorRtRuntime.open(folder, "fp32", 4)


def test_unknown_complaints_point_to_the_log() -> None:
    assert explain_messages(["something new"]) is None
    assert explain_messages([]) is None


@pytest.mark.parametrize(("refused", "said"), [("driver", "driver is too old"), ("memory", "no GPU memory")])
def test_a_machine_that_cannot_is_told_why(r: Recorder, folder: ModelFolder, refused: str, said: str) -> None:
    r.refuse = refused
    with pytest.raises(RuntimeUnavailable, match=said):
        building.build_engine(folder, "fp32", 4, go_on)


def test_a_runtime_that_cannot_be_made_says_why(r: Recorder, folder: ModelFolder) -> None:
    building.build_engine(folder, "fp32", 4, go_on)
    r.refuse, r.says = "runtime", SAID[0][0]
    with pytest.raises(RuntimeUnavailable, match=r"cannot be used here .*driver is too old"):
        TensorRtRuntime.open(folder, "fp32", 4)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder) -> None:
    building.build_engine(folder, "fp32", 4, go_on)
    install(monkeypatch, r, has_gpu=False)
    with pytest.raises(RuntimeUnavailable, match=r"no NVIDIA GPU .*nvidia-smi"):
        TensorRtRuntime.open(folder, "fp32", 4)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(RuntimeUnavailable, match="pycuda"):
        TensorRtRuntime.open(folder, "fp32", 4)
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(r, "8.5.3"))
    with pytest.raises(RuntimeUnavailable, match="too old"):
        load_library()
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(RuntimeUnavailable, match="JetPack"):
        load_library()


def test_a_full_disk_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder) -> None:
    def full(self: Path, target: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ModelError, match=r"No space left on device.*free space"):
        building.build_engine(folder, "fp32", 4, go_on)
    assert not list(built.build_dir(folder).glob("*.part"))
    assert r.names().count("push") == r.names().count("pop")


def test_an_ahead_of_time_engine_waits_for_its_machine(r: Recorder, folder: ModelFolder) -> None:
    with pytest.raises(RuntimeUnavailable, match="tensorrt_rtx"):
        building.build_ahead(folder, "sm_87", 4, go_on)
    engine = building.build_engine(folder, "auto", 4, go_on)
    waiting = replace(engine, is_admitted=False)
    built.save_engine(waiting, b"engine bytes")
    with pytest.raises(RuntimeUnavailable):
        TensorRtRuntime.open(folder, "auto", 4)
    assert building.admit_engine(folder, waiting).is_admitted
    assert TensorRtRuntime.open(folder, "auto", 4).info.name == "tensorrt"
    with pytest.raises(RuntimeUnavailable, match="build it here"):
        building.admit_engine(folder, replace(waiting, key=replace(waiting.key, device="Xavier sm_72")))
    with pytest.raises(ModelError, match="from another graph"):
        building.admit_engine(folder, replace(waiting, key=replace(waiting.key, graph="0" * 64)))


def test_building_ahead_names_its_target_and_takes_no_timings(
    monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder
) -> None:
    variants(monkeypatch, folder, "int8")
    install(monkeypatch, r, rtx=fake_rtx(r))
    engine = building.build_ahead(folder, "sm_89", 4, go_on, precision="int8")
    assert ("set_compute_capability", 1) in r.calls
    assert "create_timing_cache" not in r.names()
    assert "push" not in r.names(), "no GPU is looked for"
    assert (engine.key.device, engine.key.precision, engine.is_admitted) == ("sm_89", "int8", False)
    assert parsed(r) == ["int8.onnx"]
    both = building.build_ahead(folder, "sm_86, SM_89", 4, go_on)
    assert [call[1] for call in r.calls if call[0] == "set_compute_capability"] == [1, 0, 1]
    here = {name: replace(both.key, device=name) for name in ("sm_86", "sm_89", "sm_8", "sm_120")}
    assert [name for name, key in here.items() if both.fits(key)] == ["sm_86", "sm_89"]
    with pytest.raises(ModelError, match="it knows sm_86, sm_89"):
        building.build_ahead(folder, "sm_87", 4, go_on)
    r.says = "Cuda Runtime (cudaError 35: CUDA driver version is insufficient for CUDA runtime version)"
    with pytest.raises(RuntimeUnavailable, match="built no engine: its messages are in the log"):
        building.build_ahead(folder, "sm_86", 4, go_on)  # that there is no GPU is not why
    r.says = ""
    with pytest.raises(RuntimeUnavailable, match="no lean runtime"):
        building.build_engine(folder, "fp32", 4, go_on, is_version_compatible=True)


def test_notes_that_cannot_be_read_are_passed_over(r: Recorder, folder: ModelFolder) -> None:
    engine = building.build_engine(folder, "auto", 4, go_on)
    for name, text in (("x", "{"), ("y", "{}"), ("z", "[]")):
        (engine.path.parent / f"{name}.json").write_text(text, encoding="utf-8")
    assert built.list_engines(folder) == [engine]
