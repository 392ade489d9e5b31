"""Learning in service: silent first, slow later, never from events, and kept over a restart."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from anomaly_parts import HOP_S, street, window

from edge.detect.anomaly import ANOMALY, ANY_CAMERA, SiteNormal, to_profile_part
from edge.detect.anomaly.model import NormalTrainer
from edge.detect.anomaly.site import DELAY_S, LEARN_EVERY, SAVE_EVERY_S
from edge.profile import load_part, save_part
from edge.types import NS_PER_S

LEARN_H = 400 * LEARN_EVERY * HOP_S / 3600
DELAY = round(DELAY_S / HOP_S)


def run(site: SiteNormal, n: int, start: int = 0, seed: int = 0, open_labels: Collection[str] = ()) -> list[float]:
    """So many ordinary windows; the values where there were any."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(start + 1, start + n + 1):
        one = window(i * HOP_S, rng)
        finding = site.derive(one)
        found += [finding[ANOMALY].value] if finding else []
        site.observe(one, open_labels)
    return found


@pytest.fixture(scope="module")
def learned() -> SiteNormal:
    site = SiteNormal(HOP_S, LEARN_H)
    run(site, 400 * LEARN_EVERY + DELAY + 8)
    return site


def test_it_only_learns_at_first() -> None:
    site = SiteNormal(HOP_S, LEARN_H)
    assert run(site, 500) == []
    assert site.learned("gate") == 0
    assert run(site, DELAY, start=500) == []
    assert 0.2 < site.learned("gate") < 0.4


def test_then_it_tells_what_is_unusual(learned: SiteNormal) -> None:
    assert learned.learned("gate") == 1
    rng = np.random.default_rng(3)
    usual = [learned.derive(window(9000.0 + i, rng))[ANOMALY].value for i in range(50)]
    fast = learned.derive(window(9100.0, rng, speed=16.0))[ANOMALY]
    assert np.median(usual) < 0.2
    assert fast.value > 0.6
    assert "faster" in fast.why


def test_events_are_not_learned_nor_what_came_right_before() -> None:
    site = SiteNormal(HOP_S, LEARN_H)
    run(site, 8)
    run(site, 4 * DELAY, start=8, open_labels=("fire",))
    assert site.learned("gate") == 0
    assert site.part().facts["cameras"]["gate"]["windows"] == 0


def test_a_restart_goes_on_where_it_was(learned: SiteNormal, tmp_path: Path) -> None:
    save_part(tmp_path / "normal.npz", learned.part())
    again = SiteNormal(HOP_S, LEARN_H, load_part(tmp_path / "normal.npz"))
    assert again.learned("gate") == 1
    fast = window(1.0, np.random.default_rng(4), speed=16.0)
    assert again.derive(fast)[ANOMALY].value == pytest.approx(learned.derive(fast)[ANOMALY].value, abs=0.02)
    other = replace(fast, camera="yard")
    assert again.learned("yard") == 0
    assert again.derive(other) == {}
    assert {*again.part().facts["cameras"]} == {"gate", "yard"}


def test_half_learned_goes_on_too(tmp_path: Path) -> None:
    site = SiteNormal(HOP_S, LEARN_H)
    run(site, 200 * LEARN_EVERY + DELAY)
    share = site.learned("gate")
    save_part(tmp_path / "normal.npz", site.part())
    again = SiteNormal(HOP_S, LEARN_H, load_part(tmp_path / "normal.npz"))
    assert again.learned("gate") == pytest.approx(share)
    assert again.derive(street(1)[0]) == {}


def test_a_profile_is_where_cameras_start() -> None:
    collector = NormalTrainer()
    for one in street(200):
        collector.add(0, one)
    site = SiteNormal(HOP_S, 24.0, to_profile_part({ANY_CAMERA: collector.fit().normal}, {ANY_CAMERA}))
    assert site.learned("gate") == 1
    assert site.derive(window(1.0, np.random.default_rng(5), speed=16.0))[ANOMALY].value > 0.6


def test_it_is_saved_now_and_then() -> None:
    site = SiteNormal(HOP_S, LEARN_H)
    assert not site.due_save(0)
    later_ns = round((SAVE_EVERY_S + 1) * NS_PER_S)
    assert not site.due_save(later_ns)
    run(site, DELAY + 8)
    assert site.due_save(later_ns)
    site.saved(later_ns)
    assert not site.due_save(2 * later_ns)


def test_what_lasts_becomes_normal_slowly(learned: SiteNormal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.detect.anomaly.site.LEARN_UNUSUAL_ONE_IN", 5)
    save_part(tmp_path / "normal.npz", learned.part())
    site = SiteNormal(HOP_S, LEARN_H, load_part(tmp_path / "normal.npz"))
    rng = np.random.default_rng(6)
    values = []
    for i in range(20 * 5 * LEARN_EVERY + DELAY):
        one = window(1e6 + i * HOP_S, rng, speed=11.0 + float(rng.uniform(-0.3, 0.3)))
        if i % LEARN_EVERY == LEARN_EVERY - 1:
            values.append(site.derive(one)[ANOMALY].value)
        site.observe(one, (ANOMALY,))
    assert np.median(values[:40]) > 0.5
    assert np.median(values[-20:]) < np.median(values[:40]) - 0.2


def test_forgetting_a_camera_keeps_what_was_learned(learned: SiteNormal) -> None:
    learned.forget("gate")
    learned.forget("nobody")
    assert learned.learned("gate") == 1
