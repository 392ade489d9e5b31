"""The area under the curve of Ped2's frames, from a table of windows."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import InputError
from edge.train.evaluation.protocols import PED2_LABELS, measure_ped2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / PED2_LABELS
    path.parent.mkdir(parents=True)
    path.write_text(
        "clip,n_frames,start_frame_1based,end_frame_1based_inclusive,source\n01,40,21,40,x\n02,40,1,20,x\n07,40,1,9,x\n"
    )
    return tmp_path


def table(root: Path, values: dict[str, list[str]]) -> Path:
    lines = ["file,t_s,person,anomaly"]
    for clip, column in values.items():
        lines += [f"/clips/{clip}.mp4,{0.5 * (i + 1):.3f},0.1,{value}" for i, value in enumerate(column)]
    path = root / "scores.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.learn
def test_a_frame_has_the_score_of_the_latest_window(root: Path) -> None:
    pytest.importorskip("sklearn")
    # Clip 01 gets anomalous at 2.0 s, where its fourth window ends; clip 02 stops there.
    scores = table(root, {"01": ["0.1"] * 3 + ["0.9"] * 4, "02": ["0.9"] * 3 + ["0.1"] * 4})
    assert measure_ped2(root, scores).raw == pytest.approx(1.0)
    late = table(root, {"01": ["0.1"] * 4 + ["0.9"] * 3, "02": ["0.9"] * 3 + ["0.1"] * 4})
    assert measure_ped2(root, late).raw == pytest.approx(1 - 0.5 * 5 / 40)


@pytest.mark.learn
def test_one_threshold_for_all_clips_or_one_a_clip(root: Path) -> None:
    pytest.importorskip("sklearn")
    scores = table(root, {"01": ["0.3"] * 3 + ["0.4"] * 4, "02": ["0.2"] * 3 + ["0.1"] * 4})
    found = measure_ped2(root, scores)
    assert found.raw < 0.8
    assert found.normalised == pytest.approx(1.0)
    assert measure_ped2(root, scores, interpolate=True).normalised != found.normalised


def test_nothing_to_measure_is_said(root: Path) -> None:
    with pytest.raises(InputError, match="anomaly is empty"):
        measure_ped2(root, table(root, {"01": [""]}))
    with pytest.raises(InputError, match="no test clip"):
        measure_ped2(root, table(root, {"street": ["0.1"]}))
    with pytest.raises(InputError, match="cannot be read"):
        measure_ped2(root, root / "missing.csv")
