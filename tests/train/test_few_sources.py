"""Training with little: no clips, photographs or packages, few sources of a label, an export that was done before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
# ruff: noqa: E402
from recipe_parts import write_data

from edge.errors import InputError
from edge.train import checkpoint
from edge.train.body.calibration import limit_false_alarms, recording_logits
from edge.train.body.open_clips import BodySequences
from edge.train.body.projection import HOPS as HOPS_OF_BODIES
from edge.train.body.training import predict_all
from edge.train.labels import BODY_CHANNELS, BODY_DIM, LABELS, TAGS
from edge.train.nets.body import BodyHead
from edge.train.nets.heads import FusionHead
from edge.train.nets.network import FusedNet
from edge.train.recipe import export
from edge.train.recipe.export import ExportedModel, export_work_folder, is_exported
from edge.train.recipe.features import ScenePlan, cache_pictures
from edge.train.recipe.senses import SOURCES_TO_CALIBRATE, fit_heard
from edge.train.recipe.sounds import SoundRows
from edge.train.scenes.compose import HOPS

pytestmark = pytest.mark.learn


def test_scenes_play_in_made_rooms_where_there_are_no_clips(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    manifest = data / "manifest.csv"
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if ".mp4" not in line), encoding="utf-8")
    plan = ScenePlan(scenes=1, glimpses=0, unseen=0, plain=1, fires=0, made=1)
    path = cache_pictures(FusedNet().eval(), data, None, None, tmp_path, plan, False)
    with np.load(path) as stored:
        assert len(stored["grid"]) == HOPS
        assert stored["hops"][:, 0].tolist() == [0] * HOPS


@pytest.mark.parametrize("sources", [0, SOURCES_TO_CALIBRATE - 1, SOURCES_TO_CALIBRATE])
def test_a_label_with_few_sources_leaves_what_its_tags_say(sources: int) -> None:
    torch.manual_seed(1)
    head, n, dog = FusionHead("weighted_sum"), 40, [label.name for label in LABELS].index("dog_bark")
    truth = torch.zeros(n, len(LABELS))
    truth[:sources, dog] = 1
    rows = SoundRows(
        torch.randn(n, TAGS), torch.randn(n, 384), truth, torch.zeros(n), torch.ones(n), torch.arange(n) + 1
    )
    before = head.sound.gain.detach().clone()
    fit_heard(head, rows, torch.randn(n, len(LABELS)))
    assert torch.equal(head.sound.gain, before) == (sources < SOURCES_TO_CALIBRATE)


def ordinary(count: int) -> BodySequences:
    """Ordinary scenes of some movement, one a recording."""
    truth = torch.zeros(count, HOPS_OF_BODIES, BODY_CHANNELS)
    is_ordinary = torch.ones(count, dtype=torch.bool)
    return BodySequences(torch.rand(count, HOPS_OF_BODIES, BODY_DIM), truth, is_ordinary, torch.arange(count))


def test_false_alarms_are_limited_by_what_there_is() -> None:
    def moved(held: int, real: int) -> float:
        torch.manual_seed(2)
        head, rows = BodyHead().eval(), [ordinary(held), ordinary(real)]
        before = head.state_dict()["members.0.out.2.bias"].clone()
        limit_false_alarms(head, [recording_logits(predict_all(head, some), some) for some in rows])
        return float((head.state_dict()["members.0.out.2.bias"] - before).abs().sum())

    assert moved(0, 0) == 0
    assert moved(3, 0) > 0
    assert moved(0, 3) > 0


def test_an_export_is_done_while_work_and_folder_are_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(net: FusedNet, folder: Path, version: str, *names: list[str]) -> ExportedModel:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("fused.onnx", "model.yaml"):
            (folder / name).write_text(version, encoding="utf-8")
        return ExportedModel(folder / "fused.onnx", "", 0.0, 0.0, 0.0, 0.0)

    monkeypatch.setattr(export, "export_engine", write)
    monkeypatch.setattr(export, "read_tag_names", lambda _: ([], []))
    work, out = tmp_path / "work", tmp_path / "engine"
    state = {"net": FusedNet().state_dict(), "fusion": "attention", "enters": {}}
    checkpoint.save(work / "calibrated.pt", state)
    assert not is_exported(work, out, "1")
    export_work_folder(work, tmp_path, out, "1")
    assert is_exported(work, out, "1")
    assert not is_exported(work, out, "2")
    assert not is_exported(work, tmp_path / "elsewhere", "1")
    (out / "fused.onnx").write_text("another", encoding="utf-8")
    assert not is_exported(work, out, "1")
    export_work_folder(work, tmp_path, out, "1")
    state["net"]["head.probe.bias"] += 1
    checkpoint.save(work / "calibrated.pt", state)
    assert not is_exported(work, out, "1")


def test_what_an_older_edge_calibrated_is_not_exported(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "calibrated.pt", {"net": {}, "fusion": "attention"})
    with pytest.raises(InputError, match=r"has no thresholds.*run edge train anew"):
        export_work_folder(tmp_path, tmp_path, tmp_path / "engine", "1")
