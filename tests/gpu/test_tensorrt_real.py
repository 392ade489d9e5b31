"""The shipped graph as an engine on a real GPU, against ONNX Runtime on the processor. Runs wherever an NVIDIA GPU,
TensorRT (or TensorRT-RTX) and pycuda are: `pytest -m gpu`. An engine is built once for each precision: minutes.

Has not been run yet, for want of a GPU. The limits of 16 and 8 bits are what is expected; a first run has to confirm
them.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.config.models import ModelConfig as Settings
from edge.engine import built
from edge.engine.built import BuiltEngine
from edge.engine.contract import Array
from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.engine.model import Model
from edge.engine.onnx_graph import open_whole_graph
from edge.engine.selftest import load_golden, self_test
from edge.engine.trt.build import build_engine
from edge.engine.trt.cuda import CudaContext
from edge.engine.trt.library import load_library
from edge.engine.trt.runtime import TensorRtRuntime
from edge.errors import ModelError, RuntimeUnavailable
from edge.metrics import Metrics

pytestmark = [pytest.mark.gpu, pytest.mark.slow, pytest.mark.timeout(1800)]
ROWS = 8
PRECISIONS = ("fp32", "fp16", "int8")
PROBABILITY = {"fp32": 0.002, "fp16": 0.02, "int8": 0.08}
"""Largest difference of a label's probability."""
COSINE = {"fp32": 0.99999, "fp16": 0.999, "int8": 0.98}
"""Least agreement of a whole output, as the cosine between both answers."""

Engines = Callable[[str], BuiltEngine]


@pytest.fixture(scope="module", autouse=True)
def _gpu() -> None:
    driver = pytest.importorskip("pycuda.driver", reason="install the extra `gpu`")
    try:
        driver.init()
        load_library()
    except (driver.Error, RuntimeUnavailable) as error:
        pytest.skip(f"no TensorRT on an NVIDIA GPU: {error}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """The shipped model; graphs of other precisions that were made in the checkout come along."""
    shutil.copytree(find_folder("fused"), path := tmp_path_factory.mktemp("models") / "fused")
    copy = load_folder(path)
    for engine in built.list_engines(copy):
        built.remove_engine(engine)
    return copy


@pytest.fixture(scope="module")
def engines(folder: ModelFolder) -> Engines:
    """Engines by precision, each built when it is first asked for."""
    there: dict[str, BuiltEngine] = {}

    def engine(precision: str) -> BuiltEngine:
        if precision not in there:
            try:
                there[precision] = build_engine(folder, precision, ROWS, lambda *_: True)
            except ModelError as error:
                if "has not been made" in str(error):
                    pytest.skip(str(error))
                raise
        return there[precision]

    return engine


@pytest.fixture
def opened(folder: ModelFolder, engines: Engines) -> Iterator[Callable[..., TensorRtRuntime]]:
    """``opened(precision, graphs=True)``: the runtime on its engine; closed at the end."""
    runtimes: list[TensorRtRuntime] = []

    def runtime(precision: str, *, graphs: bool = True) -> TensorRtRuntime:
        library, cuda = load_library(), CudaContext()
        runtimes.append(TensorRtRuntime(folder, library, cuda, engines(precision), ROWS, graphs=graphs))
        return runtimes[-1]

    yield runtime
    for one in reversed(runtimes):
        one.close()


def free_bytes() -> int:
    """GPU memory that nobody has taken."""
    from pycuda import driver

    return int(driver.mem_get_info()[0])


@pytest.fixture(scope="module")
def reference(folder: ModelFolder) -> tuple[dict[str, Array], dict[str, Array]]:
    """``ROWS`` rows of input, and what ONNX Runtime answers on the processor in 32 bits."""
    golden, _ = load_golden(folder.golden)
    runtime = open_whole_graph(folder, 2, ROWS)
    rng = np.random.default_rng(7)
    inputs = {name: np.resize(array, (ROWS, *array.shape[1:])) for name, array in golden.items()}
    inputs["audio"] = inputs["audio"] + rng.normal(0, 1e-3, inputs["audio"].shape).astype(np.float32)
    fill(runtime.inputs, inputs, ROWS)
    outputs = {name: array.copy() for name, array in runtime.run(ROWS).items()}
    runtime.close()
    return inputs, outputs


def fill(buffers: object, inputs: dict[str, Array], rows: int) -> None:
    for name, buffer in buffers.items():  # type: ignore[attr-defined]
        buffer[:rows] = inputs[name][:rows]


def probability(logits: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))))


def cosine(a: Array, b: Array) -> float:
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / length if length else float(np.array_equal(x, y))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rows", range(1, ROWS + 1))
def test_every_output_agrees_with_the_processor(
    opened: Callable[..., TensorRtRuntime],
    reference: tuple[dict[str, Array], dict[str, Array]],
    folder: ModelFolder,
    precision: str,
    rows: int,
) -> None:
    runtime, (inputs, expected) = opened(precision), reference
    golden = folder.manifest.golden
    for _ in range(3):  # plain, recorded, launched
        fill(runtime.inputs, inputs, rows)
        found = runtime.run(rows)
        assert set(found) >= set(expected)
        for name, array in expected.items():
            assert found[name].shape == (rows, *array.shape[1:]), name
            assert np.isfinite(found[name]).all(), name
            assert cosine(found[name], array[:rows]) >= COSINE[precision], name
            if precision == "fp32":
                np.testing.assert_allclose(found[name], array[:rows], golden.rtol, golden.atol, err_msg=name)
        off = np.abs(probability(found["logits"]) - probability(expected["logits"][:rows]))
        assert off.max() <= PROBABILITY[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_graph_answers_as_the_plain_calls_do(
    opened: Callable[..., TensorRtRuntime],
    reference: tuple[dict[str, Array], dict[str, Array]],
    precision: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "edge.engine")
    inputs, _ = reference
    answers = []
    for graphs in (False, True):
        runtime = opened(precision, graphs=graphs)
        for rows in (ROWS, 1, ROWS, 1, ROWS, 1, 3):  # back and forth between recordings
            fill(runtime.inputs, {name: np.roll(array, rows, 0) for name, array in inputs.items()}, rows)
            found = runtime.run(rows)
        fill(runtime.inputs, inputs, ROWS)
        found = runtime.run(ROWS)
        answers.append({name: array.copy() for name, array in found.items()})
    assert "without a CUDA graph" not in caplog.text, "recording was refused"
    plain, recorded = answers
    for name, array in plain.items():
        np.testing.assert_array_equal(recorded[name], array, err_msg=name)


def test_inputs_are_page_locked(opened: Callable[..., TensorRtRuntime]) -> None:
    for name, array in opened("fp32").inputs.items():
        assert "agelocked" in type(array.base).__name__, f"{name} is {type(array.base)}"
        assert array.flags["C_CONTIGUOUS"]


def test_it_is_admitted_and_reproduces_the_golden_file(
    folder: ModelFolder, engines: Engines, opened: Callable[..., TensorRtRuntime]
) -> None:
    assert engines("fp32").is_admitted
    assert engines("fp32") in built.list_engines(folder)
    self_test(folder, opened("fp32"))


def test_the_daemons_model_serves_from_the_engine(folder: ModelFolder, engines: Engines) -> None:
    engines("fp32")
    model = Model.open(folder, Settings(runtime="tensorrt", precision="fp32"), ROWS, Metrics())
    assert model.info.name.startswith("tensorrt")
    model.close()


def test_a_damaged_engine_is_refused(folder: ModelFolder, engines: Engines, tmp_path: Path) -> None:
    engine = engines("fp32")
    shutil.copytree(folder.path, tmp_path / "fused")
    copy = load_folder(tmp_path / "fused")
    path = built.build_dir(copy) / engine.path.name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(RuntimeUnavailable, match="is damaged"):
        TensorRtRuntime.open(copy, "fp32", ROWS)


def test_closing_twice_is_fine_and_memory_comes_back(folder: ModelFolder, engines: Engines) -> None:
    engines("fp32")
    cuda = CudaContext()
    try:
        free = []
        for _ in range(3):
            runtime = TensorRtRuntime.open(folder, "fp32", ROWS)
            runtime.run(1)
            runtime.run(1)
            runtime.close()
            runtime.close()
            free.append(free_bytes())
        assert free[0] - free[-1] < 8 << 20, "each opening leaves memory behind"
    finally:
        cuda.close()


def test_calls_do_not_grow(opened: Callable[..., TensorRtRuntime]) -> None:
    runtime = opened("fp32")
    for rows in (1, 2, 1, 2):
        runtime.run(rows)
    before = free_bytes()
    for n in range(200):
        runtime.run(1 + n % 2)
    assert before - free_bytes() < 8 << 20


def test_a_version_compatible_engine_loads(folder: ModelFolder) -> None:
    if load_library().name == "tensorrt_rtx":
        pytest.skip("tensorrt_rtx has no lean runtime")
    engine = build_engine(folder, "fp32", 2, lambda *_: True, is_version_compatible=True)
    assert engine.is_admitted
    built.remove_engine(engine)
