"""What may train the shipped weights, how the fire clip is read, and what bounds labels without real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cv2")
# ruff: noqa: E402

from edge.train import labels as L  # noqa: N812
from edge.train.data import is_permitted_licence, open_recordings
from edge.train.recipe.audio import interpolate_weights
from edge.train.recipe.calibration import (
    CalibrationSamples,
    balanced_weights,
    cross_validated_ece,
    fit_platt,
)
from edge.train.scenes.backgrounds import boxes_to_cells, read_fire_boxes, zoom_boxes, zoom_picture

pytestmark = pytest.mark.learn


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("CC0 1.0 (repo LICENSE)", True), ("CC BY 3.0 (ESC-10 subset)", True), ("CC BY 4.0", True),
        ("ODbL 1.0 / DbCL 1.0", True), ("Freesound CC BY (per samples/README.md)", True), ("MIT", True),
        ("Apache-2.0 AND BSD-3-Clause (Debian copyright file, Files: *)", True),
        ("Freesound CC Sampling+ (per samples/README.md)", False), ("CC BY-NC 3.0", False), ("CC BY-NC-SA 4.0", False),
        ("CC BY-SA 4.0", False), ("none stated", False), ("", False),
        ("Freesound Creative Commons (variant not listed for this file) (per samples/README.md)", False),
    ],
)  # fmt: skip
def test_only_named_open_licences_train(licence: str, allowed: bool) -> None:
    assert is_permitted_licence(licence) is allowed


def test_recordings_leave_out_what_only_lies_in_the_open_folder(tmp_path: Path) -> None:
    header = "file,label,split,group,licence,tier,dataset\n"
    rows = "a.ogg,dog,,,CC BY 4.0,open,x\nb.ogg,dog,,,CC Sampling+,open,x\nc.ogg,dog,,,CC BY 4.0,restricted,x\n"
    (tmp_path / "manifest.csv").write_text(header + rows, encoding="utf-8")
    assert [r.path.name for r in open_recordings(tmp_path)] == ["a.ogg"]


def test_fire_boxes_follow_the_label_file(tmp_path: Path) -> None:
    text = """<frames><_><frameNumber>0</frameNumber>
    <annotations>
      <_>
        176 84 24 33</_>
      <_>
        -2 152 17 44</_></annotations></_>
  <_><frameNumber>1</frameNumber>
    <annotations/></_></frames>"""
    (tmp_path / "x.xml").write_text(text, encoding="utf-8")
    assert read_fire_boxes(tmp_path / "x.xml") == [[(176, 84, 24, 33), (-2, 152, 17, 44)], []]


def test_boxes_move_with_the_zoomed_picture() -> None:
    picture = np.zeros((L.HEIGHT, L.WIDTH, 3), np.uint8)
    picture[96:128, 192:224] = 255
    box = [(192, 96, 32, 32)]
    assert boxes_to_cells(box)[3, 6] == 1
    assert boxes_to_cells(box).sum() == 1
    ((x, y, w, h),) = zoom_boxes(box, 1.5)
    bright = np.argwhere(zoom_picture(picture, 1.5)[..., 0] > 127)
    np.testing.assert_allclose(bright.min(0), [y, x], atol=1.5)
    np.testing.assert_allclose(bright.max(0) + 1, [y + h, x + w], atol=1.5)


def test_the_share_moves_weights_part_of_the_way() -> None:
    begin, tuned = {"a": torch.zeros(2), "n": torch.tensor(3)}, {"a": torch.ones(2), "n": torch.tensor(9)}
    mixed = interpolate_weights(begin, tuned, 0.25)
    assert mixed["a"].tolist() == [0.25, 0.25]
    assert int(mixed["n"]) == 3


def samples(z: list[float], y: list[float], source: list[int], whole: list[float]) -> CalibrationSamples:
    return CalibrationSamples(
        torch.tensor(z), torch.tensor(y), torch.ones(len(z)), torch.tensor(source), torch.tensor(whole)
    )


def test_positives_are_their_share_and_recordings_count_as_much_as_windows() -> None:
    x = samples([0.0] * 10, [1, 0, 0, 0, 0, 0, 0, 0, 1, 0], list(range(10)), [0] * 8 + [1, 1])
    weight = balanced_weights(x)
    for kind in (0, 1):
        part = x.whole == kind
        assert float(weight[part].sum()) == pytest.approx(1.0)
        assert float(weight[part & (x.y > 0.5)].sum()) == pytest.approx(0.1)


def test_the_fit_finds_the_scale_and_offset_that_made_the_scores() -> None:
    odds = torch.linspace(-6, 6, 4001)
    p = torch.sigmoid(odds)
    whole = (torch.arange(8002) % 2).float()
    truth = torch.cat([torch.ones(4001), torch.zeros(4001)])
    weight = torch.cat([p / p.sum() * 0.1, (1 - p) / (1 - p).sum() * 0.9])  # every score, as often true as it should be
    z = torch.cat([odds, odds])
    shift = float(np.log(0.1 / 0.9) - torch.log(p.sum() / (1 - p).sum()))
    scale, offset = fit_platt(CalibrationSamples((z + shift - 0.7) / 1.4, truth, weight, torch.arange(8002), whole))
    assert scale == pytest.approx(1.4, abs=0.05)
    assert offset == pytest.approx(0.7, abs=0.1)


def test_calibration_error_is_judged_on_sources_that_the_fit_had_not_seen() -> None:
    z = torch.cat([torch.full((40,), 3.0), torch.full((40,), -3.0)])
    y = torch.cat([torch.ones(40), torch.zeros(40)])
    source = (torch.arange(80) % 4).long()
    y[(source == 0)] = 1 - y[source == 0]  # one quarter of the sources says the opposite
    both = torch.arange(80) // 4 % 2
    x = CalibrationSamples(z, y, torch.ones(80), source, both.float())
    assert min(cross_validated_ece(x)) > 0.1
