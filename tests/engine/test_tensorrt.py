"""The TensorRT runtime against recording doubles: the order of calls, and what is said when it fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy_model
from gpu_fixtures import go_on, install
from recorded_cuda import Recorder
from recorded_gpu import INPUTS, OUTPUTS, fake_rtx, fake_tensorrt

from edge.config.models import ModelConfig as Settings
from edge.engine import built
from edge.engine.manifest import ModelFolder
from edge.engine.model import Model
from edge.engine.select import open_runtime
from edge.engine.selftest import self_test
from edge.engine.trt import build as building
from edge.engine.trt import runtime as contexts
from edge.engine.trt.runtime import TensorRtRuntime
from edge.errors import ModelError, RuntimeUnavailable
from edge.metrics import Metrics

PLAIN = [
    *["memcpy_htod_async"] * len(INPUTS),
    "execute_async_v3",
    *["memcpy_dtoh_async"] * len(OUTPUTS),
]
WAIT = ["record", "wait"]


@pytest.fixture
def r(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    install(monkeypatch, recorder)
    return recorder


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return toy_model.toy_folder(tmp_path)


@pytest.fixture
def runtime(r: Recorder, folder: ModelFolder) -> TensorRtRuntime:
    building.build_engine(folder, "auto", 4, go_on)
    r.calls.clear()
    return TensorRtRuntime.open(folder, "auto", 4)


def calls_of(r: Recorder, work: Callable[[], object]) -> list[str]:
    r.calls.clear()
    work()
    return r.names()


def test_opening_sets_shapes_then_addresses_once(runtime: TensorRtRuntime, r: Recorder) -> None:
    names = r.names()
    assert names.index("push") < names.index("deserialize_cuda_engine") < names.index("create_execution_context")
    last_shape = len(names) - names[::-1].index("set_input_shape")
    assert names.index("create_execution_context") < names.index("set_device_memory") < names.index("set_input_shape")
    assert last_shape <= names.index("set_tensor_address")
    assert names.count("set_tensor_address") == len(INPUTS) + len(OUTPUTS)
    assert (runtime.info.name, runtime.info.device, runtime.info.precision) == ("tensorrt", "Orin sm_87", "fp16")


def test_a_first_run_copies_in_enqueues_copies_out_and_waits(runtime: TensorRtRuntime, r: Recorder) -> None:
    assert calls_of(r, lambda: runtime.run(4)) == PLAIN + WAIT


def test_the_second_run_is_recorded_and_further_ones_are_one_launch(runtime: TensorRtRuntime, r: Recorder) -> None:
    runtime.run(4)
    recorded = ["begin capture", *PLAIN, "end capture", "instantiate", "destroy graph", "launch"]
    assert calls_of(r, lambda: runtime.run(4)) == recorded + WAIT
    assert calls_of(r, lambda: runtime.run(4)) == ["launch", *WAIT]


def test_a_launch_computes_what_was_put_into_the_buffers_since(runtime: TensorRtRuntime) -> None:
    for value in (0.25, 0.5, -1.0, 2.0):  # plain, recorded, launched, launched
        runtime.inputs["audio"][1] = value
        np.testing.assert_allclose(runtime.run(2)["logits"][:, 1], [0, value])


def test_each_number_of_rows_has_a_context_of_its_own(runtime: TensorRtRuntime, r: Recorder) -> None:
    for rows in (4, 2, 4, 2, 4, 2):
        runtime.inputs["audio"][...] = rows
        np.testing.assert_allclose(runtime.run(rows)["logits"][:, 1], [rows] * rows)
    names = r.names()
    assert names.count("create_execution_context") == 2, "one for 4 rows from the start, one for 2"
    assert names.count("instantiate") == 2
    scratch = {call[1] for call in r.calls if call[0] == "set_device_memory"}
    assert len(scratch) == 1, "they run one after the other, and share it"
    shapes = [call[2][0] for call in r.calls if call[0] == "set_input_shape"]
    assert shapes == [4] * len(INPUTS) + [2] * len(INPUTS)


def test_what_was_not_used_for_longest_makes_room(
    folder: ModelFolder, r: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert contexts.MAX_CONTEXTS >= 24
    monkeypatch.setattr(contexts, "MAX_CONTEXTS", 2)
    building.build_engine(folder, "auto", 4, go_on)
    runtime = TensorRtRuntime.open(folder, "auto", 4)
    r.calls.clear()
    for rows in (4, 4, 1, 1, 4):
        runtime.run(rows)
    assert "destroy recording" not in r.names()
    names = calls_of(r, lambda: runtime.run(2))
    assert names.index("destroy recording") < names.index("context gone") < names.index("create_execution_context")
    assert calls_of(r, lambda: runtime.run(4)) == ["launch", *WAIT], "it was 1 row that went"


@pytest.mark.parametrize("what", ["capture", "record", "instantiate"])
def test_where_recording_is_refused_calls_stay_plain(
    runtime: TensorRtRuntime, r: Recorder, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.run(4)
    r.refuse = what
    with caplog.at_level(logging.INFO, "edge.engine"):
        for value in (0.5, 0.75):
            runtime.inputs["audio"][...] = value
            np.testing.assert_allclose(runtime.run(4)["logits"][:, 1], [value] * 4)
    assert len([line for line in caplog.messages if "without a CUDA graph" in line]) == 1
    r.refuse = ""
    assert calls_of(r, lambda: runtime.run(4)) == PLAIN + WAIT, "it is not tried again"


def test_a_driver_without_graphs_runs_plainly(
    r: Recorder, folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    building.build_engine(folder, "auto", 4, go_on)
    runtime = TensorRtRuntime.open(folder, "auto", 4)

    def missing(name: str) -> None:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr("edge.engine.trt.cuda.ctypes.CDLL", missing)
    runtime.run(4)
    with caplog.at_level(logging.INFO, "edge.engine"):
        assert calls_of(r, lambda: runtime.run(4)) == PLAIN + WAIT
    assert "this driver has no CUDA graphs" in caplog.text


def test_tensorrt_rtx_keeps_graphs_itself(monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder) -> None:
    install(monkeypatch, r, rtx=fake_rtx(r))
    building.build_engine(folder, "fp32", 4, go_on)
    runtime = TensorRtRuntime.open(folder, "fp32", 4)
    assert [call[1] for call in r.calls if call[0] == "create_execution_context"] == ["whole graph"] * 2
    r.calls.clear()
    for rows in (4, 4, 2, 2, 4):
        runtime.inputs["audio"][...] = rows
        np.testing.assert_allclose(runtime.run(rows)["logits"][:, 1], [rows] * rows)
    names = r.names()
    assert "create_execution_context" not in names
    assert "begin capture" not in names
    assert [call[2][0] for call in r.calls if call[0] == "set_input_shape"] == [2] * len(INPUTS) + [4] * len(INPUTS)


def test_before_version_10_contexts_have_memory_of_their_own(
    monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder
) -> None:
    install(monkeypatch, r, fake_tensorrt(r, "8.6.2", monitor=False, scratch=False))
    building.build_engine(folder, "auto", 4, go_on)
    runtime = TensorRtRuntime.open(folder, "auto", 4)
    for rows in (2, 2, 2):
        runtime.run(rows)
    assert "set_device_memory" not in r.names()
    assert r.names().count("instantiate") == 1


def test_it_computes_what_was_put_into_its_buffers(runtime: TensorRtRuntime, folder: ModelFolder) -> None:
    self_test(folder, runtime)
    runtime.inputs["audio"][1] = 0.25
    found = runtime.run(2)
    np.testing.assert_allclose(found["logits"][:, 1], [0, 0.25])
    before = found["logits"].copy()
    runtime.inputs["audio"][1] = 0.5
    runtime.run(2)
    assert not np.array_equal(found["logits"], before), "results are views of the runtime's own buffers"


def test_closing_drops_recordings_and_contexts_before_their_memory(runtime: TensorRtRuntime, r: Recorder) -> None:
    runtime.run(4)
    runtime.run(4)
    r.calls.clear()
    runtime.close()
    runtime.close()
    names = r.names()
    order = ["destroy recording", "context gone", "free", "pop", "detach"]
    assert [names.index(name) for name in order] == sorted(names.index(name) for name in order)
    assert names.count("free") == len(INPUTS) + len(OUTPUTS) + 1, "and the scratch memory"
    assert not any(r.graphs.values())


@pytest.mark.parametrize("rows", [0, -1, 5])
def test_impossible_numbers_of_rows_are_refused(runtime: TensorRtRuntime, rows: int) -> None:
    with pytest.raises(ValueError, match="takes 1 to 4"):
        runtime.run(rows)


@pytest.mark.parametrize("what", ["shape", "execute", "context"])
def test_a_refused_call_is_an_error(runtime: TensorRtRuntime, r: Recorder, what: str) -> None:
    r.refuse = what
    with pytest.raises(RuntimeUnavailable):
        runtime.run(1)


def test_a_gpu_that_fails_is_an_error(runtime: TensorRtRuntime, r: Recorder) -> None:
    r.refuse = "wait"
    with pytest.raises(RuntimeUnavailable, match="illegal memory access"):
        runtime.run(4)
    r.refuse = ""
    runtime.run(4)
    r.refuse = "launch"
    with pytest.raises(RuntimeUnavailable, match="cuGraphLaunch: CUDA_ERROR_UNKNOWN"):
        runtime.run(4)


@pytest.mark.parametrize(
    ("change", "max_batch"),
    [({"version": "10.4.0"}, 4), ({"device": "Xavier sm_72"}, 4), ({"graph": "0" * 64}, 4), ({}, 5)],
    ids=["version", "device", "graph", "batch"],
)
def test_an_engine_made_for_something_else_is_not_taken(
    r: Recorder, folder: ModelFolder, change: dict[str, str], max_batch: int
) -> None:
    engine = building.build_engine(folder, "auto", 4, go_on)
    other = replace(engine, key=replace(engine.key, **change))
    built.save_engine(other, b"engine bytes")
    with pytest.raises(RuntimeUnavailable, match=r"no TensorRT engine is built for toy .*run: edge engine build"):
        TensorRtRuntime.open(folder, "auto", max_batch)
    assert r.names().count("push") == r.names().count("pop")


def test_an_engine_of_another_version_is_named(
    monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder
) -> None:
    building.build_engine(folder, "auto", 4, go_on)
    install(monkeypatch, r, fake_tensorrt(r, "10.4.0"))
    with pytest.raises(RuntimeUnavailable, match=r"there are engines of tensorrt 10\.3\.0.*edge engine build"):
        TensorRtRuntime.open(folder, "auto", 4)


def test_a_version_compatible_engine_serves_newer_versions_but_not_older_ones(
    monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder
) -> None:
    engine = building.build_engine(folder, "fp32", 4, go_on, is_version_compatible=True)
    assert ("set_flag", "VERSION_COMPATIBLE") in r.calls
    assert engine.is_version_compatible
    for version, is_taken in (("10.3.0", True), ("10.16.2.10", True), ("11.4.0", True), ("10.2.0", False)):
        install(monkeypatch, r, fake_tensorrt(r, version))
        r.calls.clear()
        if not is_taken:
            with pytest.raises(RuntimeUnavailable, match="edge engine build"):
                TensorRtRuntime.open(folder, "fp32", 4)
            continue
        TensorRtRuntime.open(folder, "fp32", 4).close()
        assert ("deserialize_cuda_engine", b"engine bytes", True) in r.calls, "its code may be run"


def test_other_engines_may_not_bring_code_of_their_own(runtime: TensorRtRuntime, r: Recorder) -> None:
    assert [call[2] for call in r.calls if call[0] == "deserialize_cuda_engine"] == [False]


def test_auto_takes_the_engine_when_there_is_one(
    r: Recorder, folder: ModelFolder, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_runtime(folder, Settings(), 4).info.name == "onnx"
    building.build_engine(folder, "auto", 4, go_on)
    with caplog.at_level(logging.INFO, "edge.engine.select"):
        assert open_runtime(folder, Settings(), 2).info.name == "tensorrt"
    assert "a matching engine is built" in caplog.text


def test_auto_goes_on_without_an_engine_that_fails_its_self_test(
    r: Recorder, folder: ModelFolder, caplog: pytest.LogCaptureFixture
) -> None:
    building.build_engine(folder, "fp32", 4, go_on)
    r.wrong["fp32"] = 0.1
    assert Model.open(folder, Settings(), 4, Metrics()).info.name == "onnx"
    assert "does not reproduce" in caplog.text
    with pytest.raises(ModelError):
        Model.open(folder, Settings(runtime="tensorrt"), 4, Metrics())
    assert r.names().count("push") == r.names().count("pop")


def test_a_damaged_engine_is_not_shown_to_the_library(r: Recorder, folder: ModelFolder) -> None:
    engine = building.build_engine(folder, "auto", 4, go_on)
    engine.path.write_bytes(b"engine bytEs")
    r.calls.clear()
    with pytest.raises(RuntimeUnavailable, match="is damaged; build it again"):
        TensorRtRuntime.open(folder, "auto", 4)
    assert "deserialize_cuda_engine" not in r.names()
    assert r.names().count("push") == r.names().count("pop")


def test_without_an_engine_nothing_heavy_is_imported(
    monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder
) -> None:
    monkeypatch.setattr("edge.engine.trt.runtime.load_library", lambda: pytest.fail("imported"))
    with pytest.raises(RuntimeUnavailable, match="no TensorRT engine is built for toy; run: edge engine build"):
        TensorRtRuntime.open(folder, "auto", 4)
