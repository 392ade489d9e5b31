"""What is unusual is found, is said in words, keeps its order in the tail, and survives the disk."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from anomaly_parts import body, street, window

from edge.detect.anomaly import ANOMALY, ANY_CAMERA, AnomalyScorer, load_normals, to_profile_part
from edge.detect.anomaly.density import MAX_DISTANCE, SAMPLE_SIZE, FeatureBank, RarityScale
from edge.detect.anomaly.model import MAX_WINDOWS, NormalModel, NormalTrainer, value_of
from edge.detect.anomaly.scorer import place_name
from edge.errors import InputError
from edge.profile import ProfilePart, load_part, save_part
from edge.types import Box, DerivedScore, Scores


@pytest.fixture(scope="module")
def normal() -> NormalModel:
    collector = NormalTrainer()
    for recording in range(8):
        for one in street(60, seed=recording):
            collector.add(recording, one)
    return collector.fit().normal


@pytest.fixture
def scorer(normal: NormalModel) -> AnomalyScorer:
    return AnomalyScorer({ANY_CAMERA: normal})


def judged(scorer: AnomalyScorer, one: Scores) -> DerivedScore:
    return scorer.derive(one)[ANOMALY]


def test_ordinary_windows_are_seldom_unusual(scorer: AnomalyScorer) -> None:
    values = [judged(scorer, one).value for one in street(400, seed=99)]
    assert np.median(values) < 0.1
    assert np.mean([value > 0.6 for value in values]) < 0.02


def test_the_faster_the_more_unusual_and_never_saturated(scorer: AnomalyScorer) -> None:
    rng = np.random.default_rng(5)
    base = window(1.0, rng)
    values = []
    for speed in (4.0, 8.0, 12.0, 16.0, 23.0):
        motion = np.zeros((16, 28, 14), np.float32)
        body(motion, 8, 10, speed)
        assert base.features is not None
        values.append(judged(scorer, replace(base, features=replace(base.features, motion=motion))).value)
    assert values[0] < 0.2
    assert values[1] > 0.5
    assert all(f"{a:.6f}" < f"{b:.6f}" for a, b in itertools.pairwise(values))
    assert values[-1] < 1


def test_it_says_what_was_unusual_and_where(scorer: AnomalyScorer) -> None:
    rng = np.random.default_rng(6)
    fast = window(1.0, rng)
    motion = np.zeros((16, 28, 14), np.float32)
    body(motion, 8, 3, 16.0)
    assert fast.features is not None
    told = judged(scorer, replace(fast, features=replace(fast.features, motion=motion)))
    assert told.why.startswith("faster than anything learned here, middle left: 3")
    assert told.contribution.video > 0
    assert told.contribution.audio == 0
    motion = np.zeros((16, 28, 14), np.float32)
    body(motion, 0, 24, 4.0)
    above = judged(scorer, replace(fast, features=replace(fast.features, motion=motion)))
    assert above.why.startswith("movement where nothing was seen to move, upper right")


def test_a_kind_of_thing_never_seen(scorer: AnomalyScorer) -> None:
    rng = np.random.default_rng(7)
    horse = Box("horse", 0.9, 0.1, 0.7, 0.3, 0.95)
    sure = judged(scorer, window(1.0, rng, boxes=(horse,)))
    assert sure.value > 0.6
    assert sure.why.startswith("horse never learned here, lower left")
    unsure = judged(scorer, window(1.0, rng, boxes=(replace(horse, score=0.41),)))
    assert unsure.value < sure.value
    assert judged(scorer, window(1.0, rng, boxes=(replace(horse, score=0.39),))).value < 0.3


def test_a_strange_sound_counts_for_sound(scorer: AnomalyScorer) -> None:
    rng = np.random.default_rng(8)
    odd = np.array([3, -3] * 4, np.float32)
    told = judged(scorer, window(1.0, rng, sound=odd))
    assert told.value > 0.6
    assert told.contribution.audio > told.contribution.video
    assert "sound" in told.why
    assert "Shatter" in told.why
    deaf = judged(scorer, window(1.0, rng, sound=odd, audio_ok=False))
    assert deaf.value < 0.3


def test_one_cell_alone_is_noise(scorer: AnomalyScorer) -> None:
    rng = np.random.default_rng(9)
    one = window(1.0, rng)
    assert one.features is not None
    before = judged(scorer, one).value
    motion = one.features.motion.copy()
    motion[2, 2, :4] = 20.0, 0.0, 9.0, 0.9
    assert judged(scorer, replace(one, features=replace(one.features, motion=motion))).value == pytest.approx(before)


def test_without_a_normal_nothing_is_said(normal: NormalModel) -> None:
    one = street(1)[0]
    assert AnomalyScorer({}).derive(one) == {}
    assert AnomalyScorer({"yard": normal}).derive(one) == {}
    assert ANOMALY in AnomalyScorer({"gate": normal}).derive(one)


def test_a_model_without_movement_is_judged_by_the_rest(scorer: AnomalyScorer) -> None:
    one = street(1)[0]
    assert one.features is not None
    still = replace(one, features=replace(one.features, motion=np.zeros((8, 14, 4), np.float32)))
    assert judged(scorer, still).value < 0.3


def test_the_disk_changes_nothing(normal: NormalModel, tmp_path: Path) -> None:
    save_part(tmp_path / "normal.npz", to_profile_part({ANY_CAMERA: normal}, {ANY_CAMERA}))
    again = AnomalyScorer.from_part(load_part(tmp_path / "normal.npz"))
    rng = np.random.default_rng(10)
    for speed in (4.0, 9.0, 18.0):
        one = window(1.0, rng, speed=speed)
        before = judged(AnomalyScorer({ANY_CAMERA: normal}), one)
        assert judged(again, one).value == pytest.approx(before.value, abs=0.01)
    kept = to_profile_part(load_normals(load_part(tmp_path / "normal.npz")), ())
    assert {*kept.arrays} == {*to_profile_part({ANY_CAMERA: normal}, ()).arrays}


@pytest.mark.parametrize("facts", [{}, {"schema": 2, "cameras": {}}, {"schema": 1, "cameras": {"*": {"windows": 3}}}])
def test_a_part_that_cannot_be_read_says_what_to_do(facts: dict[str, object]) -> None:
    with pytest.raises(InputError, match="learn it again"):
        AnomalyScorer.from_part(ProfilePart({}, facts))


def test_too_little_is_refused() -> None:
    collector = NormalTrainer()
    for one in street(10):
        collector.add(0, one)
    with pytest.raises(InputError, match="too few"):
        collector.fit()


def test_a_single_recording_is_held_out_in_stretches() -> None:
    collector = NormalTrainer()
    for one in street(200):
        collector.add(0, one)
    fitted = collector.fit()
    assert len(fitted.held_out) == 200
    assert fitted.normal.windows == 200
    assert np.mean(fitted.held_out > 0.6) < 0.05


def test_long_recordings_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.detect.anomaly.model.MAX_WINDOWS", 64)
    assert MAX_WINDOWS > 64
    collector = NormalTrainer()
    kept = [collector.add(0, one) for one in street(300)]
    assert len(collector.numbers) <= 64
    assert collector.numbers == [n for n in range(300) if n % collector.stride == 0]
    assert sum(kept) >= len(collector.numbers)


def test_a_bank_is_bounded_and_knows_what_it_saw() -> None:
    bank = FeatureBank(2, 50, 0.01)
    rng = np.random.default_rng(0)
    for _ in range(40):
        bank.add(rng.normal(size=(50, 2)).astype(np.float32))
    assert len(bank) <= 50
    assert bank.counts.sum() == pytest.approx(2000)
    near, far = bank.distances(np.array([[0, 0], [9, 0]], np.float32))
    assert near < 0.6
    assert 4 < far < 9


def test_what_was_seen_once_is_not_yet_normal() -> None:
    bank = FeatureBank(1, 10, 0.1)
    bank.add(np.zeros((5, 1), np.float32))
    bank.add(np.full((1, 1), 5.0, np.float32))
    assert bank.distances(np.full((1, 1), 5.0, np.float32))[0] == pytest.approx(5.0)
    bank.add(np.full((2, 1), 5.0, np.float32))
    assert bank.distances(np.full((1, 1), 5.0, np.float32))[0] == pytest.approx(0.0)
    bank.decay(0.2)
    assert len(bank) == 2
    bank.decay(0.1)
    assert len(bank) == 0
    assert bank.distances(np.zeros((1, 1), np.float32))[0] == MAX_DISTANCE


@pytest.mark.parametrize("draw", ["exponential", "normal", "rare"])
def test_a_rarity_is_what_it_says(draw: str) -> None:
    rng = np.random.default_rng(1)
    values = {
        "exponential": lambda n: rng.exponential(2, n),
        "normal": lambda n: np.abs(rng.normal(0, 1, n)),
        "rare": lambda n: np.where(rng.random(n) < 0.1, rng.exponential(1, n), 0.0),
    }[draw]
    rarity = RarityScale()
    for value in values(4000).tolist():
        rarity.add(value)
    later = np.array([rarity.rarity(v) for v in values(100_000).tolist()])
    for level in (0.7, 1.5, 2.5):
        share = float((later >= level).mean())
        # A tail that ends sooner than an exponential one is taken for exponential: rather too cautious than too loud.
        assert level - 0.35 < -np.log10(share) < level + (0.6 if draw == "normal" else 0.35)


def test_rarity_grows_without_end_and_stays_bounded_in_memory() -> None:
    rarity = RarityScale()
    for value in np.random.default_rng(2).exponential(1, SAMPLE_SIZE + 500).tolist():
        rarity.add(value)
    assert len(rarity.values) == SAMPLE_SIZE
    assert rarity.count == SAMPLE_SIZE + 500
    grown = [rarity.rarity(x) for x in np.linspace(0, 60, 200)]
    assert all(a < b for a, b in itertools.pairwise(grown))
    assert value_of(rarity.rarity(60.0)) > value_of(rarity.rarity(59.0))


def test_places_in_words() -> None:
    assert place_name((0.1, 0.9)) == "lower left"
    assert place_name((0.5, 0.5)) == "in the middle"
    assert place_name((0.9, 0.5)) == "middle right"
    assert place_name((1.0, 0.0)) == "upper right"
