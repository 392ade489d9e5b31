"""Training on rows: a killed run goes on, runs repeat, what is hidden is not asked for, ablation skips what is done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cv2")
# ruff: noqa: E402
from edge.train import checkpoint
from edge.train import labels as L  # noqa: N812
from edge.train.nets.heads import FusionHead, HopFeatures
from edge.train.nets.image import MAP_CHANNELS, TOP_CHANNELS
from edge.train.nets.network import empty_body_features
from edge.train.recipe import ablation
from edge.train.recipe.features import FeatureRows, scene_weights
from edge.train.recipe.fusion import FusionTrainingConfig, contrastive_loss, label_loss, train_fusion_head
from edge.train.scenes.compose import HOPS

pytestmark = pytest.mark.learn
SIREN = L.LABEL_NAMES.index("siren")
FIRE = L.LABEL_NAMES.index("fire")


def rows(scenes: int, seed: int) -> FeatureRows:
    """Scenes in every third of which a siren is heard in the second half, and a fire is sensed in every other."""
    g, n = torch.Generator().manual_seed(seed), scenes * HOPS
    evident = torch.zeros(scenes, HOPS, 3, len(L.LABELS))
    evident[::3, HOPS // 2 :, 1, SIREN] = 1
    evident[::2, HOPS // 2 :, 2, FIRE] = 1
    evident = evident.reshape(n, 3, -1)
    tags = torch.full((n, L.TAGS), -6.0)
    tags[:, 396] = evident[:, 1, SIREN] * 7 - 6
    sensors = torch.randn(n, 8, generator=g) * 0.2
    sensors[:, 0] += 3 * evident[:, 2, FIRE]
    top = torch.randn(n, TOP_CHANNELS, generator=g) * 0.1
    features = HopFeatures(
        torch.randn(n, 14, MAP_CHANNELS, generator=g) * 0.1, top, torch.full((n, 4), -5.0), torch.full((n, 3), -5.0),
        *empty_body_features(top), torch.randn(n, 384, generator=g) * 0.1, tags, sensors, torch.ones(n, 2),
        torch.ones(n),
        torch.ones(n, 8),
    )  # fmt: skip
    return FeatureRows(features, evident, torch.arange(n) // HOPS)


def fitted(run: FusionTrainingConfig, path: Path | None = None) -> FusionHead:
    torch.manual_seed(1)
    head = FusionHead("weighted_sum")
    train_fusion_head(head, rows(6, 1), rows(3, 2), run, path)
    return head


def test_a_killed_run_goes_on_and_ends_where_it_would_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, path = FusionTrainingConfig(steps=6, batch=32, patience=9, check_every=2), tmp_path / "run.pt"
    whole = fitted(run)
    real, calls = checkpoint.save, []

    def kill_after_two(where: Path, state: object) -> None:
        real(where, state)
        calls.append(where)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", kill_after_two)
    with pytest.raises(KeyboardInterrupt):
        fitted(run, path)
    monkeypatch.setattr(checkpoint, "save", real)
    again = fitted(run, path)
    for (name, a), b in zip(whole.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_the_same_seed_gives_the_same_head_and_another_seed_another() -> None:
    one, two, other = (fitted(FusionTrainingConfig(steps=2, batch=32, seed=s)) for s in (1, 1, 2))
    assert torch.equal(one.probe.weight, two.probe.weight)
    assert not torch.equal(one.probe.weight, other.probe.weight)


def test_what_the_senses_say_stays_as_it_is() -> None:
    before, after = FusionHead("weighted_sum"), fitted(FusionTrainingConfig(steps=4, batch=64))
    f = rows(3, 7).features
    with torch.no_grad():
        torch.testing.assert_close(after.likelihood_ratios(f), before.likelihood_ratios(f), atol=1e-5, rtol=0)
    assert float(after.probe.weight.detach().abs().max()) > 0


def test_what_nobody_there_could_tell_is_not_judged() -> None:
    evident = torch.zeros(2, 3, len(L.LABELS))
    evident[:, 1, SIREN] = 1
    logits = torch.zeros(2, len(L.LABELS))
    logits[:, SIREN] = -9.0
    deaf, all_ears = torch.tensor([[1.0, 0.0, 1.0]]), torch.ones(1, 3)
    assert (
        float(label_loss(logits, evident, deaf.expand(2, 3)))
        < float(label_loss(logits, evident, all_ears.expand(2, 3))) - 5
    )


def test_contrast_wants_what_is_seen_and_heard_of_one_event_together() -> None:
    head = FusionHead("weighted_sum").eval()
    f = rows(1, 3).features
    hop, known, evident = head.encode_hop(f), f.available_modalities(), torch.zeros(HOPS, 3, len(L.LABELS))
    assert float(contrastive_loss(head, hop, known, evident).detach()) == 0
    evident[:16, :2, FIRE] = 1
    evident[16:, :2, L.LABEL_NAMES.index("explosion")] = 1
    loss = contrastive_loss(head, hop, known, evident)
    assert float(loss.detach()) > 0
    loss.backward()
    assert float(head.embed.weight.grad.abs().sum()) > 0


def test_scenes_with_rare_events_are_drawn_more_often() -> None:
    some = rows(6, 4)
    chances = scene_weights(some)
    assert float(chances[1]) == pytest.approx(1)  # nothing in it
    assert float(chances[0]) > float(chances[2]) > 1  # siren (a third) and fire (half), against fire alone


def test_ablation_keeps_every_result_and_runs_none_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, run = tmp_path / "ablation.json", FusionTrainingConfig(steps=2, batch=32)
    done = ablation.run_ablation({}, rows(4, 1), rows(3, 2), run, [1], path, ["concat", "product"])
    assert {x.fusion for x in done} == {"none", "concat", "product"}
    assert len(json.loads(path.read_text())) == 3
    monkeypatch.setattr(ablation, "train_fusion_head", lambda *_: pytest.fail("was run again"))
    again = ablation.run_ablation({}, rows(4, 1), rows(3, 2), run, [1], path, ["concat", "product"])
    assert again == done
    text = ablation.ablation_table(done)
    assert text.count("\n") == 5
    assert np.isfinite([v for x in done for v in x.precision.values()]).all()


def test_a_checkpoint_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    assert checkpoint.load(path) is None
    checkpoint.save(path, {"a": torch.ones(3), "n": 4})
    assert checkpoint.load(path)["n"] == 4
    assert [p.name for p in tmp_path.iterdir()] == ["x.pt"]
