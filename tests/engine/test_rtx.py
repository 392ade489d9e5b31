"""The shipped graph through a real TensorRT, without a GPU: tensorrt_rtx parses it and builds it ahead of time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import toy_model

from edge.engine import built
from edge.engine.build import build_ahead
from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.errors import ModelError

pytestmark = [pytest.mark.rtx, pytest.mark.slow]
pytest.importorskip("tensorrt_rtx", reason="install the extra `rtx`")


def go_on(phase: str, step: int, steps: int) -> bool:
    return True


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    shutil.copytree(find_folder("fused"), tmp_path / "fused", ignore=shutil.ignore_patterns("built"))
    return load_folder(tmp_path / "fused")


def test_the_shipped_graph_builds_for_ampere_and_ada(folder: ModelFolder) -> None:
    told: list[str] = []
    engine = build_ahead(folder, "sm_86,sm_89", 8, lambda phase, step, steps: told.append(phase) is None)
    assert engine.path.stat().st_size > 1 << 20
    assert built.content(engine)
    assert told
    assert (engine.key.device, engine.key.precision, engine.is_admitted) == ("sm_86,sm_89", "fp32", False)


def test_unknown_targets_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="sm_86, sm_89"):
        build_ahead(toy_model.toy_folder(tmp_path), "sm_87", 8, go_on)
