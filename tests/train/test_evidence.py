"""How senses are joined: none takes away, one alone is Bayes' rule, hints stay hints, degraded ones count otherwise."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
# ruff: noqa: E402
from hypothesis import given
from hypothesis import strategies as st

from edge.train import labels as L  # noqa: N812
from edge.train.nets.evidence import PRIOR, SenseCalibration, join_senses
from edge.train.nets.heads import FusionHead, HopFeatures
from edge.train.nets.image import MAP_CHANNELS, TOP_CHANNELS
from edge.train.nets.network import empty_body_features
from edge.train.recipe.senses import fit_degradation, fit_gains, fit_heard
from edge.train.recipe.sounds import SoundPlan, SoundRows, fit_sound_reading, sound_truth

pytestmark = pytest.mark.learn
COUNT = len(L.LABELS)
RATIO = st.floats(-15, 15, width=32)
DOG, SIREN, FALL = (L.LABEL_NAMES.index(name) for name in ("dog_bark", "siren", "fall"))


def joined(*ratios: float) -> float:
    x = torch.tensor(ratios)[None, :, None]
    return float(join_senses(x, torch.ones_like(x)))


@given(st.lists(RATIO, min_size=2, max_size=3))
def test_no_sense_takes_away_from_another(ratios: list[float]) -> None:
    whole = joined(*ratios)
    for n in range(len(ratios)):
        fewer = [r for m, r in enumerate(ratios) if m != n]
        assert whole >= joined(*fewer) - 1e-4


@given(st.floats(-5, 12, width=32))
def test_one_sense_alone_is_bayes_rule(ratio: float) -> None:
    assert joined(ratio) == pytest.approx(PRIOR + ratio, abs=0.06)


def test_two_that_show_a_little_say_more_than_either() -> None:
    assert joined(2.0, 2.0) > joined(2.0) + 1.5
    assert joined(8.0, -12.0) == pytest.approx(joined(8.0), abs=1e-3)
    assert joined(-15.0, -15.0) < -9


def features(n: int) -> HopFeatures:
    g = torch.Generator().manual_seed(1)
    return HopFeatures(
        torch.randn(n, 14, MAP_CHANNELS, generator=g), torch.randn(n, TOP_CHANNELS, generator=g),
        torch.full((n, 4), -6.0), torch.full((n, 3), -6.0), *empty_body_features(torch.zeros(n, TOP_CHANNELS)),
        torch.randn(n, 384, generator=g), torch.full((n, L.TAGS), -9.0),
        torch.zeros(n, 8), torch.ones(n, 2), torch.ones(n), torch.zeros(n, 8),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("label", "hint"), [(x, hint) for x in L.LABELS for hint in x.hints], ids=lambda x: getattr(x, "name", x)
)
def test_a_hint_alone_begins_nothing(label: L.LabelSpec, hint: str) -> None:
    head, f = FusionHead().eval(), features(2)
    f = f._replace(dense=torch.full((2, 4), 14.0), objects=torch.full((2, 3), 14.0), tags=torch.full((2, L.TAGS), 14.0))
    for sense in (head.picture, head.sound, head.sensors):
        torch.nn.init.constant_(sense.bias, 14.0)
    alone = torch.tensor([[float(name == hint) for name in L.MODALITIES]])
    with torch.no_grad():
        p = torch.sigmoid(head.logits(head.encode_hop(f), alone.expand(2, 3)))[:, L.LABEL_NAMES.index(label.name)]
    assert float(p.max()) <= L.HINT_PROBABILITY + 0.01
    assert float(p.min()) > 0.15


def test_a_scream_supports_a_fight_that_is_seen() -> None:
    head, f, c = FusionHead().eval(), features(1), L.LABEL_NAMES.index("fight")
    torch.nn.init.constant_(head.sound.bias, 4.0)
    f.acts[:, 1] = -0.5
    loud = f._replace(tags=f.tags.clone())
    loud.tags[:, 14] = 2.0
    quiet, both = (head.logits(head.encode_hop(x), torch.ones(1, 3))[0, c].item() for x in (f, loud))
    assert both > quiet + 0.5


def test_a_hop_says_the_same_whatever_is_degraded_where_nothing_was_fitted() -> None:
    sense = SenseCalibration(4, torch.full((COUNT,), 15.0))
    z = torch.randn(5, COUNT)
    got = PRIOR + sense(z, torch.randn(5, 4))
    torch.testing.assert_close(got, z, atol=0.01, rtol=0)
    sense.rescale(2, 2.0, 0.5)
    torch.testing.assert_close(PRIOR + sense(z, torch.zeros(5, 4))[:, 2], 2 * z[:, 2] + 0.5, atol=0.02, rtol=0)


def test_what_a_degraded_sense_says_counts_less() -> None:
    g, n = torch.Generator().manual_seed(2), 4000
    severity = (torch.rand(n, generator=g) > 0.5).float() * 4
    truth = (torch.rand(n, generator=g) > 0.5).float()
    clear = 4 * (2 * truth - 1) + torch.randn(n, generator=g)
    evidence = torch.where(severity > 0, 4 * torch.randn(n, generator=g), clear)
    look = torch.stack([severity - 2 + 0.1 * torch.randn(n, generator=g), torch.randn(n, generator=g)], 1)
    sense = SenseCalibration(2, torch.full((COUNT,), 15.0))
    assert fit_degradation(sense, look, severity) > 0.98
    with torch.no_grad():
        fit_gains(evidence, truth, torch.ones(n), sense.degradation(look)[:, 0]).write(sense, DOG)
        good, bad = sense(torch.full((2, COUNT), 4.0), torch.tensor([[-2.0, 0.0], [2.0, 0.0]]))[:, DOG].tolist()
    assert good > bad + 1


def sound_rows(n: int, seed: int) -> SoundRows:
    """A bark shows in another tag than its own, in real sounds of many sources; a siren is only made."""
    g = torch.Generator().manual_seed(seed)
    truth = torch.zeros(n, COUNT)
    truth[::4, DOG] = 1
    truth[1::9, SIREN] = 1
    tags = torch.randn(n, L.TAGS, generator=g) - 5
    tags[:, 300] += 6 * truth[:, DOG]
    source = torch.arange(n) // 4 % 37
    source[1::9] = -1
    return SoundRows(tags, torch.randn(n, 384, generator=g), truth, torch.zeros(n), torch.ones(n), source)


def test_a_reading_is_learned_where_other_sources_bear_it_out() -> None:
    head, rows = FusionHead(), sound_rows(240, 3)
    chosen, left_out = fit_sound_reading(head, rows, SoundPlan(steps=60))
    assert chosen["dog_bark"] < 1
    assert chosen["siren"] > 1000
    other = sound_rows(80, 4)
    with torch.no_grad():
        z = head.heard(other.tags, other.embedding)[:, DOG]
    barks = other.truth[:, DOG] > 0.5
    assert float(z[barks].mean()) > float(z[~barks].mean()) + 1
    assert not head.tag_reading.weight.detach()[SIREN].any()
    real = rows.source >= 0
    told, shown = left_out[real, DOG], rows.truth[real, DOG] > 0.5
    assert float(told[shown].mean()) > float(told[~shown].mean()) + 1


def test_calibration_rests_on_real_sounds_alone() -> None:
    """No reading was fitted without the made ones, so what is told of them says nothing."""
    rows = sound_rows(240, 5)
    evidence = torch.zeros_like(rows.truth)
    evidence[:, DOG] = 6 * rows.truth[:, DOG] - 4
    gains = []
    for made in (0.0, 9.0):
        head = FusionHead()
        told = torch.where(rows.source[:, None] < 0, made, evidence)
        fit_heard(head, rows, told)
        gains.append(torch.cat([head.sound.gain, head.sound.bias]).detach())
    torch.testing.assert_close(gains[0], gains[1])
    ratio = FusionHead().sound
    assert not torch.equal(gains[0][:2, DOG], ratio.gain.detach()[:, DOG])


def test_what_a_name_leaves_open_is_not_judged() -> None:
    from edge.train.data import DecodedSound

    wave = np.zeros(10, np.float32)
    unsure, shot = (
        sound_truth(DecodedSound(wave, label, "x", held_out=False, unsure=more))
        for label, more in (("", ("scream",)), ("gunshot", ()))
    )
    assert unsure[L.LABEL_NAMES.index("scream")] == -1
    assert shot[L.LABEL_NAMES.index("gunshot")] == 1
    assert shot[L.LABEL_NAMES.index("explosion")] == -1
    assert shot[FALL] == 0
