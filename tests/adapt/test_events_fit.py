"""The arithmetic of learning from few clips: bags, weights, folds and figures."""

from __future__ import annotations

import numpy as np
import pytest
from events_parts import clip

from edge.adapt.cross_validation import fit_head_cross_validated
from edge.adapt.examples import NO_EVENT, balanced_folds, deduplicate, group_folds, regroup_single_groups
from edge.adapt.quality_gate import THRESHOLDS, ClipMetrics, average_precision, best_f1, clip_metrics
from edge.adapt.regression import (
    ClipEvidence,
    RegressionSettings,
    bags_of,
    clip_probabilities,
    fit_reliability,
    fit_source,
    lbfgs,
)
from edge.errors import InputError

RNG = np.random.default_rng(3)
WINDOWS = 6


def bag(at: int | None, size: int = 8) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Windows of noise, one of which shows the event's feature if ``at`` says where in the vector it is."""
    windows = RNG.normal(0, 0.3, (WINDOWS, size))
    if at is not None:
        windows[RNG.integers(WINDOWS), at] += 4
    return windows


def test_minimise_finds_rosenbrocks_valley() -> None:
    def rosenbrock(x: np.ndarray) -> tuple[float, np.ndarray]:  # type: ignore[type-arg]
        a, b = x
        value = (1 - a) ** 2 + 100 * (b - a * a) ** 2
        return value, np.array([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)])

    np.testing.assert_allclose(lbfgs(rosenbrock, np.array([-1.2, 1.0]), 500, 1e-14), [1, 1], atol=1e-3)


def test_an_event_in_one_window_of_a_clip_is_learned() -> None:
    bags = bags_of([bag(None) for _ in range(12)] + [bag(2) for _ in range(12)], [0] * 12 + [1] * 12)
    source = fit_source(bags, 1, (8,), RegressionSettings(0.1))
    quiet, event = np.zeros((1, 8), np.float32), np.eye(8, dtype=np.float32)[2:3] * 4
    assert source.evidence(event)[0, 0] > 1
    assert source.evidence(quiet)[0, 0] < -0.5


def test_a_label_without_clips_of_a_modality_stays_neutral() -> None:
    bags = bags_of([bag(None) for _ in range(8)] + [bag(2) for _ in range(8)], [0] * 8 + [1] * 8)
    source = fit_source(bags, 2, (8,), RegressionSettings(0.1))
    np.testing.assert_array_equal(source.evidence(bag(2).astype(np.float32))[:, 1], 0)


def test_without_normal_clips_none_of_them_is_the_average() -> None:
    bags = bags_of([bag(1) for _ in range(8)] + [bag(2) for _ in range(8)], [1] * 8 + [2] * 8)
    source = fit_source(bags, 2, (8,), RegressionSettings(0.1))
    np.testing.assert_allclose(source.evidence(bag(None).astype(np.float32)).sum(1), 0, atol=1e-4)


def test_learning_twice_gives_the_same() -> None:
    clips = [clip("slam", n, bag(1)) for n in range(6)] + [clip(NO_EVENT, n, bag(None)) for n in range(6)]
    one, other = (fit_head_cross_validated(clips, ["slam"], np.zeros(0, np.float32)) for _ in range(2))
    np.testing.assert_array_equal(one.fused, other.fused)


def test_held_out_values_separate_what_can_be_separated() -> None:
    clips = [clip("slam", n, bag(1)) for n in range(10)] + [clip(NO_EVENT, n, bag(None)) for n in range(10)]
    learned = fit_head_cross_validated(clips, ["slam"], np.zeros(0, np.float32))
    assert learned.fused[:10, 0].min() > learned.fused[10:, 0].max()
    np.testing.assert_array_equal(learned.fused, learned.sound_only)
    assert np.isnan(learned.picture_only).all()
    assert learned.head.cases == ("audio",)


def test_held_out_values_of_noise_separate_nothing() -> None:
    clips = [clip("slam" if n % 2 else NO_EVENT, n, RNG.normal(0, 1, (WINDOWS, 40))) for n in range(60)]
    values = fit_head_cross_validated(clips, ["slam"], np.zeros(0, np.float32)).fused[:, 0]
    slams, others = values[1::2], values[::2]
    area = (slams[:, None] > others).mean()
    assert 0.2 < area < 0.75


def test_the_reliable_modality_is_believed() -> None:
    truth = np.array([n % 2 for n in range(80)])
    knows, guesses = np.where(truth, 3.0, -3.0), RNG.normal(0, 3, 80)
    clips = [
        ClipEvidence({"sound": np.full((2, 1), g), "picture": np.full((2, 1), k)}, np.ones(2, bool), np.ones(2, bool))
        for k, g in zip(knows, guesses, strict=True)
    ]
    found = fit_reliability(clips, truth, ["sound", "picture"])
    assert found.weight["both"]["picture"] > 5 * found.weight["both"]["sound"]
    assert clip_probabilities(clips[1], found, "both")[0] > 0.8 > clip_probabilities(clips[1], found, "audio")[0]


def test_probabilities_come_true() -> None:
    odds = RNG.normal(0, 1.5, 600)
    truth = (RNG.random(600) < 1 / (1 + np.exp(-odds))).astype(int)
    clips = [ClipEvidence({"sound": np.full((1, 1), 5 * o)}, np.ones(1, bool), np.zeros(1, bool)) for o in odds]
    found = fit_reliability(clips, truth, ["sound"])
    values = np.array([clip_probabilities(c, found, "both")[0] for c in clips])
    for low in (0.2, 0.4, 0.6):
        chosen = (values >= low) & (values < low + 0.2)
        assert truth[chosen].mean() == pytest.approx(values[chosen].mean(), abs=0.12)


def test_folds_never_part_a_group() -> None:
    groups = [f"g{n // 3}" for n in range(60)]
    fold = balanced_folds(["a" if n % 2 else "b" for n in range(60)], groups, 5)
    assert {len({f for f, g in zip(fold, groups, strict=True) if g == group}) for group in set(groups)} == {1}
    assert np.bincount(fold).tolist() == [12] * 5


def test_folds_hold_every_label() -> None:
    labels = [label for label in ("a", "b", NO_EVENT) for _ in range(7)]
    clips = [clip(label, n, bag(None)) for n, label in enumerate(labels)]
    fold = group_folds(clips)
    assert all({labels[n] for n in np.flatnonzero(fold == f)} == {"a", "b", NO_EVENT} for f in range(5))


def test_a_label_of_one_group_is_split_and_named() -> None:
    clips = [clip("a", n, bag(1), group="monday") for n in range(5)]
    clips += [clip("b", n, bag(2), group=f"b{n % 2}") for n in range(5)]
    split, single = regroup_single_groups(clips)
    assert single == ["a"]
    assert len({c.group for c in split}) == 5 + 2


def test_the_same_clip_twice_counts_once() -> None:
    assert len(deduplicate([clip("a", 1, bag(1)), clip("a", 1, bag(1))])) == 1


def test_the_same_clip_with_two_labels_is_refused() -> None:
    from dataclasses import replace

    one = clip("a", 1, bag(1))
    with pytest.raises(InputError, match="marked as 'a' and as 'b'"):
        deduplicate([one, replace(one, label="b")])


def test_average_precision_by_hand() -> None:
    values, truth = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    assert average_precision(values, truth) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.full(4, 0.5), truth) == pytest.approx(0.5)


def test_figures_at_a_threshold() -> None:
    found = clip_metrics(np.array([0.9, 0.8, 0.2, np.nan]), np.array([True, False, True, False]), 0.5)
    assert (found.precision, found.recall, found.clips, found.events) == (0.5, 0.5, 4, 2)


def test_the_best_threshold_is_near_the_middle() -> None:
    values, truth = np.array([0.9, 0.2]), np.array([True, False])
    assert best_f1([clip_metrics(values, truth, enter) for enter in THRESHOLDS]).enter == 0.5


@pytest.mark.parametrize(("precision", "recall", "falls"), [(1.0, 0.9, True), (0.9, 1.0, True), (1.0, 1.0, False)])
def test_what_falls(precision: float, recall: float, falls: bool) -> None:
    good = ClipMetrics(0.5, 1.0, 1.0, 1.0, 9, 3)
    assert ClipMetrics(0.6, precision, recall, 1.0, 9, 3).falls_below(good) == falls
