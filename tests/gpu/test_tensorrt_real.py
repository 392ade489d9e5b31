"""The shipped graph through the real libraries. Building ahead needs tensorrt_rtx and no GPU; the rest needs one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge.config.models import Model as Settings
from edge.engine.build import build, build_ahead
from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.engine.model import Model
from edge.engine.tensorrt import TensorRtRuntime
from edge.errors import ModelError
from edge.metrics import Metrics

pytestmark = [pytest.mark.gpu, pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    shutil.copytree(find_folder("fused"), tmp_path / "fused", ignore=shutil.ignore_patterns("built"))
    return load_folder(tmp_path / "fused")


def go_on(phase: str, step: int, steps: int) -> bool:
    return True


@pytest.mark.parametrize("target", ["sm_86", "sm_89"])
def test_the_graph_builds_ahead_for_other_gpus(folder: ModelFolder, target: str) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx")
    told: list[str] = []
    engine = build_ahead(folder, target, 8, lambda phase, step, steps: told.append(phase) is None)
    assert engine.path.stat().st_size > 1 << 20
    assert told
    assert not engine.is_admitted


def test_unknown_targets_are_named(folder: ModelFolder) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx")
    with pytest.raises(ModelError, match="sm_86"):
        build_ahead(folder, "sm_1", 8, go_on)


def need_gpu() -> None:
    driver = pytest.importorskip("pycuda.driver", reason="install the extra `gpu`")
    try:
        driver.init()
    except driver.Error as error:
        pytest.skip(f"no NVIDIA GPU: {error}")


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_an_engine_built_here_is_admitted_and_serves(folder: ModelFolder, precision: str) -> None:
    need_gpu()
    engine = build(folder, precision, 8, go_on)
    assert engine.is_admitted
    runtime = TensorRtRuntime.open(folder, engine.key.precision, 8)
    assert runtime.inputs["frames"].shape[0] == 8
    assert set(runtime.run(3)) >= {"logits", "token"}
    assert len(runtime.run(8)["logits"]) == 8
    runtime.close()


def test_auto_serves_from_the_engine(folder: ModelFolder) -> None:
    need_gpu()
    build(folder, "fp32", 4, go_on)
    model = Model.open(folder, Settings(), 4, Metrics())
    assert model.info.name.startswith("tensorrt")
    model.close()
