"""Quiet times: how often a threshold is really reached, what counts as quiet, and that nothing is lost on disk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from detect_parts import MANIFEST, scores
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detect import background
from edge.detect.background import MAX_MAXIMA, BackgroundDistribution, GeneralisedPareto, fit_pareto
from edge.errors import InputError
from edge.profile import ProfilePart, load_part, save_part
from edge.types import Contribution

HOP_S = 30.0
"""Two windows a minute: as good as 120 here, and quicker."""


def quiet(maxima: Sequence[float], label: str = "fire") -> BackgroundDistribution:
    """Quiet times of one camera whose minutes reached ``maxima``."""
    times = BackgroundDistribution(MANIFEST.labels, HOP_S)
    for minute, p in enumerate(maxima):
        times.observe(scores(60 * minute + 10, {label: float(p) / 2}))
        times.observe(scores(60 * minute + 40, {label: float(p)}))
    times.observe(scores(60 * len(maxima) + 1, {label: 0.0}))
    return times


def learned(maxima: np.ndarray, label: str = "fire") -> BackgroundDistribution:
    """The same through a profile's part, for many minutes."""
    z = np.sort(np.log(maxima / (1 - maxima)))[::-1][:MAX_MAXIMA]
    part = ProfilePart({"minutes": np.array([[len(maxima), 0]]), "counts": np.array([[len(z), 0]]), "highest": z},
                {"schema": 1, "labels": [label]})  # fmt: skip
    return BackgroundDistribution.from_part(MANIFEST.labels, HOP_S, part)


def logistic(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


NULLS = {
    "normal": lambda rng, n: logistic(rng.normal(-4, 1, n)),
    "exponential": lambda rng, n: logistic(-5 + rng.exponential(0.7, n)),
    "heavy": lambda rng, n: logistic(-6 + rng.pareto(6, n)),
    "short": lambda rng, n: rng.beta(2, 20, n),
}


@pytest.mark.parametrize("name", NULLS)
@pytest.mark.parametrize(("minutes", "per_day"), [(1440, 1.0), (1440, 20.0), (7 * 1440, 0.5)])
def test_a_threshold_is_reached_as_often_as_asked(name: str, minutes: int, per_day: float) -> None:
    rates = []
    later = NULLS[name](np.random.default_rng(1000), 400 * 1440)
    for seed in range(15):
        rng = np.random.default_rng(seed)
        threshold = learned(NULLS[name](rng, minutes)).threshold("fire", per_day)
        assert threshold is not None
        rates.append(float((later >= threshold).mean()) * 1440)
    assert 0.5 * per_day < np.median(rates) < 2 * per_day


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(sorted(NULLS)), st.integers(200, 3000))
def test_rarer_alarms_want_higher_thresholds(seed: int, name: str, minutes: int) -> None:
    times = learned(NULLS[name](np.random.default_rng(seed), minutes))
    known = [x for per_day in (200, 50, 10, 5, 2, 1, 0.5) if (x := times.threshold("fire", per_day)) is not None]
    assert known == sorted(known)
    assert all(0 < x <= 1 for x in known)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.01, 0.4), st.floats(0.5, 5))
def test_the_fit_finds_the_tail_it_came_from(seed: int, shape: float, scale: float) -> None:
    u = np.random.default_rng(seed).uniform(size=4000)
    found = fit_pareto(scale / shape * (u**-shape - 1))
    assert found.shape == pytest.approx(shape, abs=0.2)
    for odds in (2, 10, 100):
        assert found.excess(odds) == pytest.approx(GeneralisedPareto(shape, scale).excess(odds), rel=0.3)


def test_the_fit_of_hosking_and_wallis_by_hand() -> None:
    # 1 - p is 0.8375, 0.5875, 0.3375 and 0.0875 for the four in order: a0 = 2.375 and a1 = 2.20625 / 4.
    found = fit_pareto(np.array([6.0, 0.5, 2.0, 1.0]))
    a0, a1 = 2.375, 2.20625 / 4
    assert found.shape == pytest.approx(2 - a0 / (a0 - 2 * a1))
    assert found.scale == pytest.approx(2 * a0 * a1 / (a0 - 2 * a1))


def test_excess_without_shape_is_exponential_and_steady() -> None:
    assert GeneralisedPareto(0.0, 2.0).excess(np.e) == pytest.approx(2.0)
    assert GeneralisedPareto(1e-5, 2.0).excess(50) == pytest.approx(GeneralisedPareto(0.0, 2.0).excess(50), rel=1e-3)


def test_too_little_seen_gives_no_threshold() -> None:
    rng = np.random.default_rng(1)
    assert quiet(NULLS["normal"](rng, 179)).threshold("fire", 10) is None
    times = quiet(NULLS["normal"](rng, 360))
    assert times.threshold("fire", 1) is not None
    assert times.threshold("fire", 0.1) is None  # once in ten days, from six hours


def test_what_is_asked_must_make_sense() -> None:
    times = quiet([0.1] * 10)
    with pytest.raises(InputError, match="intrusion"):
        times.threshold("intrusion", 1)
    with pytest.raises(InputError, match="above 0"):
        times.threshold("fire", 0)


def test_a_steady_score_does_not_reach_its_own_threshold() -> None:
    assert quiet([0.1] * 500).threshold("fire", 1) > 0.1


def test_minutes_with_an_event_and_half_seen_minutes_do_not_count() -> None:
    times = BackgroundDistribution(MANIFEST.labels, 10.0)
    for minute in range(4):
        for k in range(6 if minute != 2 else 2):
            times.observe(
                scores(60 * minute + 10 * k, {"fire": 0.2}), open_labels=["smoke"] if minute == 1 and k == 3 else []
            )
    times.observe(scores(240, {}))
    assert times.minutes("fire") == 2


def test_cameras_have_minutes_of_their_own() -> None:
    times = BackgroundDistribution(MANIFEST.labels, HOP_S)
    for t_s in range(0, 180, 30):
        for camera in ("gate", "yard"):
            times.observe(
                scores(t_s, {"fire": 0.2}, camera=camera), open_labels=["smoke"] if camera == "yard" else ["fire"]
            )
    assert times.minutes("fire") == 2


def test_what_was_not_looked_at_is_not_quiet() -> None:
    times = BackgroundDistribution(MANIFEST.labels, HOP_S)
    for t_s in range(0, 300, 30):
        times.observe(scores(t_s, {}, audio_ok=False))
    assert (times.minutes("person"), times.minutes("fire"), times.minutes("glass_break")) == (4, 4, 0)
    sensed = {"glass_break": Contribution(0.0, 0.0, 0.3)}
    for t_s in range(300, 600, 30):
        times.observe(scores(t_s, {}, audio_ok=False, contribution=sensed))
    assert times.minutes("glass_break") == 4


def test_memory_is_bounded_and_old_times_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    times = quiet(logistic(rng.normal(-4, 1, 1000)))
    assert times.to_part().arrays["highest"].size == MAX_MAXIMA * len(MANIFEST.labels)
    monkeypatch.setattr(background, "GENERATION_MINUTES", 1000)
    for day, highest in enumerate((0.9, 0.1, 0.1)):
        for k in range(2000):
            times.observe(scores(600_000 * (day + 1) + 30 * k, {"fire": highest}))
        assert (times.threshold("fire", 10) > 0.9) == (day < 2)
    assert times.to_part().arrays["highest"].size <= 2 * MAX_MAXIMA * len(MANIFEST.labels)


def test_a_part_goes_on_where_it_was(tmp_path) -> None:
    rng = np.random.default_rng(4)
    times = quiet(NULLS["normal"](rng, 2000))
    save_part(tmp_path / "null.npz", times.to_part())
    again = BackgroundDistribution.from_part(MANIFEST.labels, HOP_S, load_part(tmp_path / "null.npz"))
    for label in times.labels:
        assert again.minutes(label) == times.minutes(label)
        assert again.threshold(label, 1) == times.threshold(label, 1)
    fewer = BackgroundDistribution.from_part(MANIFEST.labels[2:], HOP_S, times.to_part())
    assert fewer.labels == ("fire",)
    assert fewer.threshold("fire", 1) == times.threshold("fire", 1)


def test_a_part_of_another_kind_is_refused() -> None:
    part = quiet([0.1] * 3).to_part()
    with pytest.raises(InputError, match="learn it again"):
        BackgroundDistribution.from_part(MANIFEST.labels, HOP_S, ProfilePart(part.arrays, {**part.facts, "schema": 9}))
    with pytest.raises(InputError, match="learn it again"):
        BackgroundDistribution.from_part(MANIFEST.labels, HOP_S, ProfilePart({}, part.facts))
