"""What the daemon learns of its site outlives it, and never stops it from starting."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from media_times import at

from edge.clock import VirtualClock
from edge.config.models import AnomalyConfig
from edge.engine.manifest import Manifest, find_folder, load_folder
from edge.node.site_learner import SiteLearner
from edge.profile import ProfileFolder, ProfilePart, load_part, save_part
from edge.types import NS_PER_S, Contribution, Features, Scores


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return load_folder(find_folder("fused")).manifest


def begun(folder: Path, manifest: Manifest, clock: VirtualClock, learn_h: float = 0.1) -> SiteLearner:
    learning = SiteLearner(folder, manifest, AnomalyConfig(learn_h=learn_h), None, clock)
    learning.track_background(manifest.labels)
    return learning


def quiet_window(seq: int, labels: tuple[str, ...]) -> Scores:
    rng = np.random.default_rng(seq)
    features = Features(*(np.abs(rng.normal(0, 0.1, n)).astype(np.float32) for n in (527, 384, 80, 1000, 1280)),
                        np.zeros((16, 28, 6), np.float32), np.zeros((2, 192), np.float32))  # fmt: skip
    t_ns = seq * NS_PER_S // 2
    return Scores("gate", seq, t_ns, at(t_ns), dict.fromkeys(labels, 0.1), dict.fromkeys(labels, Contribution(1, 1, 1)),
                  np.zeros(192, np.float32), (), {}, 1.0, True, True, "fused", features)  # fmt: skip


def live(learning: SiteLearner, manifest: Manifest, minutes: int) -> None:
    assert learning.normal is not None
    for seq in range(minutes * 120):
        scores = quiet_window(seq, manifest.label_names)
        learning.normal.derive(scores)
        for learner in learning.learners:
            learner.observe(scores)


def test_what_was_learned_is_there_after_a_restart(tmp_path: Path, manifest: Manifest) -> None:
    learning = begun(tmp_path, manifest, VirtualClock(0))
    live(learning, manifest, 10)
    learning.save_if_due(at_once=True)
    again = begun(tmp_path, manifest, VirtualClock(0))
    assert learning.background.minutes("fire") == again.background.minutes("fire") > 5
    assert learning.normal is not None
    assert again.normal is not None
    assert 0 < learning.normal.learned("gate") == again.normal.learned("gate")


def test_it_is_saved_when_it_is_time_and_not_before(tmp_path: Path, manifest: Manifest) -> None:
    clock = VirtualClock(0)
    learning = begun(tmp_path, manifest, clock)
    learning.save_if_due()
    assert not (tmp_path / "learned").exists()
    clock.advance_to(clock.mono_ns() + SiteLearner.SAVE_EVERY_NS)
    learning.save_if_due()
    assert (tmp_path / "learned" / "null.npz").exists()


@pytest.mark.parametrize("name", ["null", "normal"])
def test_a_part_that_is_whole_but_makes_no_sense_is_put_aside(tmp_path: Path, manifest: Manifest, name: str) -> None:
    part = ProfilePart({"points": np.zeros(3)}, {"graph_sha256": manifest.sha256, "schema": 77})
    save_part(tmp_path / "learned" / f"{name}.npz", part)
    begun(tmp_path, manifest, VirtualClock(0))
    assert (tmp_path / "learned" / f"{name}.before.npz").exists()


@pytest.mark.parametrize("damage", [b"not a part", None])
def test_a_part_that_cannot_be_used_is_put_aside(tmp_path: Path, manifest: Manifest, damage: bytes | None) -> None:
    path = tmp_path / "learned" / "null.npz"
    save_part(path, ProfilePart({}, {"graph_sha256": "of another model"}))
    if damage is not None:
        path.write_bytes(damage)
    assert begun(tmp_path, manifest, VirtualClock(0)).background.minutes("fire") == 0
    assert not path.exists()
    assert (tmp_path / "learned" / "null.before.npz").exists()


def test_a_full_disk_is_told_and_the_daemon_goes_on(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    learning = begun(tmp_path, manifest, VirtualClock(0))

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    learning.save_if_due(at_once=True)
    assert "No space left" in caplog.text


def test_a_profile_is_where_a_new_box_starts(tmp_path: Path, manifest: Manifest) -> None:
    source = begun(tmp_path / "a", manifest, VirtualClock(0))
    live(source, manifest, 10)
    profile = ProfileFolder(tmp_path / "profile")
    version = profile.write(manifest, {"null": source.background.to_part()}, {})
    other = SiteLearner(tmp_path / "b", manifest, None, version, VirtualClock(0))
    other.track_background(manifest.labels)
    assert other.background.minutes("fire") == source.background.minutes("fire")
    assert other.normal is None
    assert other.learners == (other.background,)
    other.save_if_due(at_once=True)
    assert load_part(tmp_path / "b" / "learned" / "null.npz").facts["graph_sha256"] == manifest.sha256
