"""The TensorRT runtime and builder against recording doubles: the order of calls, and what is said when it fails."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import toy_model
from recorded_gpu import INPUTS, OUTPUTS, Recorder, fake_driver, fake_tensorrt

from edge.config.models import Model as Settings
from edge.engine import build as building
from edge.engine import built
from edge.engine.library import load_library
from edge.engine.manifest import ModelFolder
from edge.engine.model import Model
from edge.engine.select import open_runtime
from edge.engine.selftest import self_test
from edge.engine.tensorrt import TensorRtRuntime
from edge.errors import ModelError, RuntimeUnavailable
from edge.metrics import Metrics


def go_on(phase: str, step: int, steps: int) -> bool:
    return True


def install(monkeypatch: pytest.MonkeyPatch, r: Recorder, tensorrt: Any = None, has_gpu: bool = True) -> None:
    driver = fake_driver(r, has_gpu)
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt or fake_tensorrt(r))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace(driver=driver))
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)


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
    building.build(folder, "auto", 4, go_on)
    r.calls.clear()
    return TensorRtRuntime.open(folder, "auto", 4)


def test_opening_sets_shapes_then_addresses_once(runtime: TensorRtRuntime, r: Recorder) -> None:
    names = r.names()
    assert names.index("push") < names.index("deserialize_cuda_engine") < names.index("create_execution_context")
    last_shape = len(names) - names[::-1].index("set_input_shape")
    assert names.index("create_execution_context") < names.index("set_input_shape")
    assert last_shape <= names.index("mem_alloc") < names.index("set_tensor_address")
    assert names.count("set_tensor_address") == len(INPUTS) + len(OUTPUTS)
    assert (runtime.info.name, runtime.info.device, runtime.info.precision) == ("tensorrt", "Orin sm_87", "fp16")


def test_a_run_copies_in_enqueues_copies_out_and_waits(runtime: TensorRtRuntime, r: Recorder) -> None:
    r.calls.clear()
    runtime.run(4)
    assert r.names() == [
        *["memcpy_htod_async"] * len(INPUTS),
        "execute_async_v3",
        *["memcpy_dtoh_async"] * len(OUTPUTS),
        "synchronize",
    ]


def test_shapes_are_set_only_when_the_number_of_rows_changes(runtime: TensorRtRuntime, r: Recorder) -> None:
    runtime.run(4)
    r.calls.clear()
    runtime.run(2)
    runtime.run(2)
    shapes = [call for call in r.calls if call[0] == "set_input_shape"]
    assert shapes == [("set_input_shape", name, (2, *shape[1:])) for name, (_, shape) in INPUTS.items()]
    assert "set_tensor_address" not in r.names()
    assert all(call[2][0] == 2 for call in r.calls if call[0].startswith("memcpy"))


def test_it_computes_what_was_put_into_its_buffers(runtime: TensorRtRuntime, folder: ModelFolder) -> None:
    self_test(folder, runtime)
    runtime.inputs["audio"][1] = 0.25
    found = runtime.run(2)
    np.testing.assert_allclose(found["logits"][:, 1], [0, 0.25])
    before = found["logits"].copy()
    runtime.inputs["audio"][1] = 0.5
    runtime.run(2)
    assert not np.array_equal(found["logits"], before), "results are views of the runtime's own buffers"


def test_closing_drops_the_context_before_its_memory(runtime: TensorRtRuntime, r: Recorder) -> None:
    r.calls.clear()
    runtime.close()
    runtime.close()
    names = r.names()
    assert names.index("context gone") < names.index("free") < names.index("pop") < names.index("detach")
    assert names.count("free") == len(INPUTS) + len(OUTPUTS)


@pytest.mark.parametrize("what", ["shape", "execute"])
def test_a_refused_call_is_an_error(runtime: TensorRtRuntime, r: Recorder, what: str) -> None:
    r.refuse = what
    with pytest.raises(RuntimeUnavailable, match="edge engine build"):
        runtime.run(1)


def test_building_makes_one_profile_from_one_row_to_the_largest_batch(r: Recorder, folder: ModelFolder) -> None:
    engine = building.build(folder, "auto", 4, go_on)
    (profile,) = [call[1] for call in r.calls if call[0] == "add_optimization_profile"]
    assert profile["audio"] == ((1, 8000), (4, 8000), (4, 8000))
    assert set(profile) == set(INPUTS)
    assert ("set_flag", 0) in r.calls
    assert engine.is_admitted
    assert built.listing(folder) == [engine]


def test_building_again_uses_the_timings(r: Recorder, folder: ModelFolder) -> None:
    building.build(folder, "auto", 4, go_on)
    building.build(folder, "auto", 2, go_on)
    assert [call[1] for call in r.calls if call[0] == "create_timing_cache"] == [b"", b"timings"]


def test_an_engine_that_answers_otherwise_is_not_admitted(r: Recorder, folder: ModelFolder) -> None:
    r.wrong = {"fp16": 0.1, "fp32": 0.1}
    with pytest.raises(ModelError, match=r"logits differs by 0\.1"):
        building.build(folder, "auto", 4, go_on)
    assert built.listing(folder) == []
    assert "detach" in r.names()


def test_auto_builds_32_bits_when_16_differ_too_much(
    r: Recorder, folder: ModelFolder, caplog: pytest.LogCaptureFixture
) -> None:
    r.wrong["fp16"] = 0.1
    engine = building.build(folder, "auto", 4, go_on)
    assert (engine.key.precision, engine.is_admitted) == ("fp32", True)
    assert built.listing(folder) == [engine]
    assert ("clear_flag", 1) in r.calls
    assert "building fp32 instead" in caplog.text
    with pytest.raises(ModelError):
        building.build(folder, "fp16", 4, go_on)


def test_progress_is_told_and_can_stop_the_build(r: Recorder, folder: ModelFolder) -> None:
    told: list[tuple[str, int, int]] = []
    building.build(folder, "auto", 4, lambda *step: told.append(step) is None)
    assert told == [("Tactics", 1, 2), ("Tactics", 2, 2)]

    def interrupted(phase: str, step: int, steps: int) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(RuntimeUnavailable, match="built no engine"):
        building.build(folder, "auto", 2, interrupted)


def test_unsupported_operators_are_named(r: Recorder, folder: ModelFolder) -> None:
    r.parse_errors = ["In node 3 (parseNode): UNSUPPORTED_NODE: NonMaxSuppression"]
    with pytest.raises(ModelError, match="NonMaxSuppression"):
        building.build(folder, "auto", 4, go_on)


def test_where_types_come_from_the_graph_there_is_no_fp16(
    monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder
) -> None:
    install(monkeypatch, r, fake_tensorrt(r, "11.0.0", fp16=False))
    with pytest.raises(RuntimeUnavailable, match="auto or fp32"):
        building.build(folder, "fp16", 4, go_on)
    assert building.build(folder, "auto", 4, go_on).key.precision == "fp32"
    assert ("create_network", 1) in r.calls
    assert "set_flag" not in r.names()


def test_older_versions_build_without_a_monitor(
    monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder
) -> None:
    install(monkeypatch, r, fake_tensorrt(r, "8.6.2", monitor=False))
    assert building.build(folder, "auto", 4, go_on).key.version == "8.6.2"


@pytest.mark.parametrize(
    ("change", "max_batch"),
    [({"version": "10.4.0"}, 4), ({"device": "Xavier sm_72"}, 4), ({"graph": "0" * 64}, 4), ({}, 5)],
    ids=["version", "device", "graph", "batch"],
)
def test_an_engine_made_for_something_else_is_not_taken(
    r: Recorder, folder: ModelFolder, change: dict[str, str], max_batch: int
) -> None:
    engine = building.build(folder, "auto", 4, go_on)
    other = replace(engine, key=replace(engine.key, **change))
    built.save(other, b"engine bytes")
    with pytest.raises(RuntimeUnavailable, match=r"no engine is built for toy .*run: edge engine build"):
        TensorRtRuntime.open(folder, "auto", max_batch)
    assert r.names().count("push") == r.names().count("pop")


def test_auto_takes_the_engine_when_there_is_one(
    r: Recorder, folder: ModelFolder, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_runtime(folder, Settings(), 4).info.name == "onnx"
    building.build(folder, "auto", 4, go_on)
    with caplog.at_level(logging.INFO, "edge.engine.select"):
        assert open_runtime(folder, Settings(), 2).info.name == "tensorrt"
    assert "a matching engine is built" in caplog.text


def test_auto_goes_on_without_an_engine_that_fails_its_self_test(
    r: Recorder, folder: ModelFolder, caplog: pytest.LogCaptureFixture
) -> None:
    building.build(folder, "fp32", 4, go_on)
    r.wrong["fp32"] = 0.1
    assert Model.open(folder, Settings(), 4, Metrics()).info.name == "onnx"
    assert "does not reproduce" in caplog.text
    with pytest.raises(ModelError):
        Model.open(folder, Settings(runtime="tensorrt"), 4, Metrics())
    assert r.names().count("push") == r.names().count("pop")


def test_a_damaged_engine_says_to_build_again(r: Recorder, folder: ModelFolder) -> None:
    engine = building.build(folder, "auto", 4, go_on)
    engine.path.write_bytes(b"half")
    with pytest.raises(RuntimeUnavailable, match="build it again"):
        TensorRtRuntime.open(folder, "auto", 4)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder) -> None:
    install(monkeypatch, r, has_gpu=False)
    with pytest.raises(RuntimeUnavailable, match="nvidia-smi"):
        TensorRtRuntime.open(folder, "auto", 4)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(RuntimeUnavailable, match="pycuda"):
        TensorRtRuntime.open(folder, "auto", 4)
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(r, "8.5.3"))
    with pytest.raises(RuntimeUnavailable, match="too old"):
        load_library()
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(RuntimeUnavailable, match="JetPack"):
        load_library()


def test_an_ahead_of_time_engine_waits_for_its_machine(
    monkeypatch: pytest.MonkeyPatch, r: Recorder, folder: ModelFolder
) -> None:
    with pytest.raises(RuntimeUnavailable, match="tensorrt_rtx"):
        building.build_ahead(folder, "sm_87", 4, go_on)
    engine = building.build(folder, "auto", 4, go_on)
    waiting = replace(engine, is_admitted=False)
    built.save(waiting, b"engine bytes")
    with pytest.raises(RuntimeUnavailable):
        TensorRtRuntime.open(folder, "auto", 4)
    assert building.admit(folder, waiting).is_admitted
    assert TensorRtRuntime.open(folder, "auto", 4).info.name == "tensorrt"
    with pytest.raises(RuntimeUnavailable, match="build it here"):
        building.admit(folder, replace(waiting, key=replace(waiting.key, device="Xavier sm_72")))


def test_notes_that_cannot_be_read_are_passed_over(r: Recorder, folder: ModelFolder) -> None:
    engine = building.build(folder, "auto", 4, go_on)
    (engine.path.parent / "x.json").write_text("{", encoding="utf-8")
    (engine.path.parent / "y.json").write_text("{}", encoding="utf-8")
    assert built.listing(folder) == [engine]
