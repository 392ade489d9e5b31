"""Thresholds come from what stays quiet: the lowest that a hundredth of it reaches, within limits."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
# ruff: noqa: E402
from edge.train import labels as L  # noqa: N812
from edge.train.flames.shots import EncodedShots
from edge.train.nets.heads import HopFeatures
from edge.train.nets.image import MAP_CHANNELS, TOP_CHANNELS
from edge.train.nets.network import FusedNet, empty_body_features
from edge.train.recipe.features import FeatureRows
from edge.train.recipe.thresholds import (
    HIGHEST,
    LOWEST,
    QuietBodies,
    QuietScores,
    choose_thresholds,
    level_senses,
    lowest_quiet,
    quiet_limit,
)

pytestmark = pytest.mark.learn
CALM = QuietBodies(torch.full((9, 2), -4.0), torch.ones(9))
SIREN, FIRE = (L.LABEL_NAMES.index(name) for name in ("siren", "fire"))


def quiet(*scores: float, worth: float = 1.0) -> QuietScores:
    return QuietScores(torch.tensor(scores), torch.full((len(scores),), worth))


def test_a_label_that_nothing_is_taken_for_begins_lowest() -> None:
    assert lowest_quiet(quiet(*[0.01] * 50), 0.01) == LOWEST


def test_one_in_two_hundred_may_reach_it_and_one_in_fifty_may_not() -> None:
    assert lowest_quiet(quiet(*[0.1] * 199, 0.62), 0.01) == LOWEST
    assert lowest_quiet(quiet(*[0.1] * 49, 0.62), 0.01) == 0.65


def test_a_label_that_everything_is_taken_for_begins_highest() -> None:
    assert lowest_quiet(quiet(*[0.9] * 50), 0.01) == HIGHEST


def test_what_is_rare_on_an_ordinary_day_counts_little() -> None:
    usual, rare = quiet(*[0.1] * 100), quiet(*[0.7] * 10, worth=0.05)
    both = QuietScores(torch.cat([usual.score, rare.score]), torch.cat([usual.worth, rare.worth]))
    assert lowest_quiet(both, 0.01) == LOWEST
    assert lowest_quiet(QuietScores(both.score, torch.ones(110)), 0.01) == 0.75


def recordings(heard: list[float], *, unsure: bool = False, label: int = SIREN) -> FeatureRows:
    """One recording a value, two hops each: the second as loud as that value of the label's first tag."""
    n = 2 * len(heard)
    tags = torch.full((n, L.TAGS), -9.0)
    tags[1::2, L.LABELS[label].tags[0][0]] = torch.tensor(heard)
    top, none = torch.zeros(n, TOP_CHANNELS), torch.zeros(n, 8)
    features = HopFeatures(
        torch.zeros(n, 14, MAP_CHANNELS), top, torch.full((n, 4), -9.0), torch.full((n, 3), -9.0),
        *empty_body_features(top), torch.zeros(n, 384), tags, none, torch.zeros(n, 2), torch.ones(n), none,
    )  # fmt: skip
    evident = torch.zeros(n, 3, len(L.LABELS))
    evident[:, 1, SIREN] = 0.5 if unsure else 0.0
    return FeatureRows(features, evident, torch.arange(n) // 2, tuple(f"r{k}" for k in range(len(heard))))


def shots(count: int) -> EncodedShots:
    cells = torch.zeros(count, 4, *L.GRID)
    maps = torch.zeros(count, MAP_CHANNELS, *L.GRID)
    return EncodedShots(maps, torch.zeros(count, TOP_CHANNELS), cells, ["plain"] * count, torch.zeros(count))


def test_recordings_that_are_taken_for_a_siren_raise_its_threshold_alone() -> None:
    net = FusedNet().eval()
    calm = choose_thresholds(net, [recordings([-9.0] * 20)], shots(3), CALM)
    fooled = choose_thresholds(net, [recordings([-9.0] * 18 + [9.0, 9.0])], shots(3), CALM)
    assert calm["siren"] == LOWEST
    assert fooled["siren"] == HIGHEST
    assert {k: v for k, v in fooled.items() if k != "siren"} == {k: v for k, v in calm.items() if k != "siren"}


def test_recordings_that_may_hold_the_event_say_nothing() -> None:
    parts = [recordings([-9.0] * 18), recordings([9.0, 9.0], unsure=True)]
    assert choose_thresholds(FusedNet().eval(), parts, shots(3), CALM)["siren"] == LOWEST


def test_what_the_detector_tells_keeps_its_own() -> None:
    chosen = choose_thresholds(FusedNet().eval(), [recordings([-9.0])], shots(3), CALM)
    assert set(chosen) == {x.name for x in L.LABELS if not x.classes}


def test_people_who_seem_to_fall_raise_the_threshold_of_falls() -> None:
    lively = QuietBodies(torch.tensor([[0.5, -4.0]] * 9), torch.ones(9))
    chosen = choose_thresholds(FusedNet().eval(), [recordings([-9.0])], shots(3), lively)
    assert (chosen["fall"], chosen["fight"]) == (0.65, LOWEST)


def test_the_limit_of_what_is_quiet_is_what_a_share_reaches() -> None:
    scores = QuietScores(torch.linspace(0.01, 0.99, 99), torch.ones(99))
    assert quiet_limit(scores, 0.1) == pytest.approx(float(torch.logit(torch.tensor(0.91))), abs=1e-4)
    assert quiet_limit(quiet(0.2, 0.7), 0.01) == pytest.approx(float(torch.logit(torch.tensor(0.7))), abs=1e-4)


@pytest.mark.parametrize(("heard", "raised"), [(-20.0, "sound"), (20.0, "picture")])
def test_the_sense_that_says_less_of_a_fire_is_raised_to_the_other(heard: float, raised: str) -> None:
    net = FusedNet().eval()
    before = {name: getattr(net.head, name).bias.detach().clone() for name in ("picture", "sound")}
    level_senses(net, [recordings([heard] * 20, label=FIRE)], shots(20))
    for name, bias in before.items():
        shift = (getattr(net.head, name).bias.detach() - bias)[:, FIRE]
        assert (shift > 0.5).all() if name == raised else (shift.abs() < 1e-5).all()
        others = [c for c in range(len(L.LABELS)) if c != FIRE]
        assert torch.equal(getattr(net.head, name).bias.detach()[:, others], bias[:, others])
