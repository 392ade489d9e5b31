"""What every runtime promises, checked on those that run here; and the ONNX runtime's own refusals."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_model
from pydantic import ValidationError

from edge.config.models import ModelConfig as Settings
from edge.engine.manifest import ModelFolder, load_folder
from edge.engine.onnx_graph import open_whole_graph
from edge.engine.runtime import Runtime
from edge.engine.select import open_runtime
from edge.engine.selftest import load_golden, self_test
from edge.errors import ModelError, RuntimeUnavailable


class Rounded:
    """A runtime that says that it has fewer bits, or that gives numbers which are none."""

    def __init__(self, runtime: Runtime, broken: str = "") -> None:
        self._runtime, self._broken = runtime, broken
        self.info = dataclasses.replace(runtime.info, precision="int8+fp32")
        self.max_batch, self.inputs, self.close = runtime.max_batch, runtime.inputs, runtime.close

    def run(self, rows: int) -> dict[str, np.ndarray[Any, Any]]:
        found = {name: array.copy() for name, array in self._runtime.run(rows).items()}
        if self._broken:
            found[self._broken][0] = np.nan
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return toy_model.toy_folder(tmp_path_factory.mktemp("toy"))


@pytest.fixture(params=["onnx", "openvino"])
def runtime(request: pytest.FixtureRequest, folder: ModelFolder) -> Runtime:
    return open_runtime(folder, Settings(runtime=request.param), 4)


def test_buffers_belong_to_the_runtime_and_stay_in_place(runtime: Runtime) -> None:
    before = {name: buffer.ctypes.data for name, buffer in runtime.inputs.items()}
    runtime.run(2)
    runtime.run(4)
    assert {name: buffer.ctypes.data for name, buffer in runtime.inputs.items()} == before
    assert {buffer.shape[0] for buffer in runtime.inputs.values()} == {runtime.max_batch} == {4}


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_a_row_s_answer_does_not_depend_on_the_others(runtime: Runtime, folder: ModelFolder, rows: int) -> None:
    inputs, golden = load_golden(folder.golden)
    for name, buffer in runtime.inputs.items():
        buffer[...] = np.resize(inputs[name], buffer.shape)
    found = runtime.run(rows)
    for name, expected in golden.items():
        np.testing.assert_allclose(found[name], np.resize(expected, (rows, *expected.shape[1:])), rtol=1e-4, atol=1e-5)


def test_results_are_views_until_the_next_run(runtime: Runtime) -> None:
    runtime.inputs["audio"][0] = 0.5
    found = runtime.run(1)["logits"]
    runtime.inputs["audio"][0] = 0.25
    runtime.run(4)
    assert found[0, 1] == 0.25


@pytest.mark.parametrize("rows", [0, 5])
def test_rows_outside_the_batch_are_a_bug(runtime: Runtime, rows: int) -> None:
    with pytest.raises(ValueError, match="takes 1 to 4"):
        runtime.run(rows)


def test_closing_twice_is_fine(runtime: Runtime) -> None:
    runtime.close()
    runtime.close()


def test_the_self_test_splits_golden_rows_over_small_batches(folder: ModelFolder) -> None:
    runtime = open_whole_graph(folder, 1, 2)
    self_test(folder, runtime)
    assert not any(buffer.any() for buffer in runtime.inputs.values())


def test_the_self_test_names_the_worst_tensor(tmp_path: Path) -> None:
    golden = toy_model.golden_outputs(toy_model.golden_inputs())
    folder = toy_model.toy_folder(tmp_path, token=golden["token"] + 0.0005, tags=golden["tags"] + 0.25)
    with pytest.raises(ModelError, match=r"onnx .* does not reproduce golden.npz: tags differs by 0.25"):
        self_test(folder, open_whole_graph(folder, 1, 4))


def test_the_self_test_allows_the_tolerance(tmp_path: Path) -> None:
    golden = toy_model.golden_outputs(toy_model.golden_inputs())
    folder = toy_model.toy_folder(tmp_path, token=golden["token"] * 1.0009)
    self_test(folder, open_whole_graph(folder, 1, 4))


def test_a_golden_file_with_other_sizes_is_refused(tmp_path: Path) -> None:
    folder = toy_model.toy_folder(tmp_path, boxes=np.zeros((3, 9, 6), np.float32))
    with pytest.raises(ModelError, match="golden output boxes"):
        self_test(folder, open_whole_graph(folder, 1, 4))
    folder = toy_model.toy_folder(tmp_path, tags=np.zeros((2, 7), np.float32))
    with pytest.raises(ModelError, match="numbers of rows"):
        self_test(folder, open_whole_graph(folder, 1, 4))


def test_an_unreadable_golden_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    path.write_bytes(b"not a zip")
    with pytest.raises(ModelError, match="golden"):
        load_golden(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": 5},
            r"outputs do not fit model.yaml: logits float32\[B,5\], but model.yaml says logits float32\[B,3",
        ),
        ({"audio": 4000}, r"inputs do not fit model.yaml: audio float32\[B,4000\]"),
    ],
)
def test_a_graph_that_does_not_fit_its_manifest_is_refused(
    tmp_path: Path, changes: dict[str, int], message: str
) -> None:
    folder = toy_model.toy_folder(tmp_path, toy_model.graph(**changes))
    with pytest.raises(ModelError, match=message):
        open_whole_graph(folder, 1, 1)


@pytest.mark.parametrize("content", [b"", b"rubbish that is no graph"])
def test_a_file_that_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = toy_model.toy_folder(tmp_path)
    folder.graph.write_bytes(content)
    with pytest.raises(ModelError, match="cannot load it"):
        open_whole_graph(folder, 1, 1)
    with pytest.raises(ModelError, match="cannot load it"):
        open_runtime(folder, Settings(runtime="openvino"), 1)


def test_fewer_bits_are_held_to_what_fewer_bits_can_do(tmp_path: Path) -> None:
    golden = toy_model.golden_outputs(toy_model.golden_inputs())
    off = {"tags": golden["tags"] + 0.1, "logits": golden["logits"] + 0.05}
    runtime = open_runtime(toy_model.toy_folder(tmp_path, **off), Settings(runtime="onnx"), 4)
    folder = load_folder(tmp_path)
    with pytest.raises(ModelError, match="does not reproduce"):
        self_test(folder, runtime)
    self_test(folder, Rounded(runtime))
    toy_model.toy_folder(tmp_path, logits=golden["logits"] + 0.5)
    with pytest.raises(ModelError, match="logits differs"):
        self_test(folder, Rounded(runtime))


@pytest.mark.parametrize("name", ["tags", "logits"])
def test_no_precision_excuses_what_is_not_finite(tmp_path: Path, name: str) -> None:
    folder = toy_model.toy_folder(tmp_path)
    runtime = open_runtime(folder, Settings(runtime="onnx"), 4)
    with pytest.raises(ModelError, match=f"{name} differs by nan"):
        self_test(folder, Rounded(runtime, broken=name))


def test_auto_says_once_what_it_chose(folder: ModelFolder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "edge.engine"):
        assert open_runtime(folder, Settings(), 1).info.name == "onnx"
    (record,) = caplog.records
    assert "on onnx" in record.getMessage()
    assert "no TensorRT engine is built" in record.getMessage()


@pytest.mark.parametrize(
    "settings",
    [
        Settings(runtime="tensorrt"),
        Settings(runtime="onnx", precision="fp16"),
        Settings(runtime="onnx", precision="int8"),
        Settings(runtime="openvino", precision="fp16"),
        Settings(runtime="auto", precision="fp16"),
        Settings(runtime="auto", precision="int8"),
        Settings(runtime="openvino", precision="int8"),
    ],
    ids=lambda settings: f"{settings.runtime}-{settings.precision}",
)
def test_an_explicit_choice_never_falls_back(folder: ModelFolder, settings: Settings) -> None:
    with pytest.raises(RuntimeUnavailable, match="edge engine build"):
        open_runtime(folder, settings, 1)


def test_a_precision_that_is_gone_says_what_to_set() -> None:
    with pytest.raises(ValidationError, match=r"bf16 is no longer there.*Set precision: auto"):
        Settings.model_validate({"precision": "bf16"})
