"""Health of streams, and sound against picture."""

from __future__ import annotations

import numpy as np
import pytest

from edge.buffer.av_offset import AvOffsetEstimator, FlashDetector, OnsetDetector
from edge.buffer.stream_health import AudioMeter, VideoMeter
from edge.types import NS_PER_MS, NS_PER_S

RATE = 16000


def pictures(kind: str, n: int, seed: int = 0) -> list[np.ndarray]:
    dice = np.random.default_rng(seed)
    scene = dice.integers(40, 200, (64, 96, 3)).astype(np.int16)
    noise = [dice.normal(0, 2.0, scene.shape) for _ in range(n)]
    gop = [scene + dice.integers(-1, 2, scene.shape) for _ in range(4)]
    made = {
        "camera": lambda k: scene + noise[k],
        "frozen": lambda k: scene,
        "repeating": lambda k: gop[k % 4],
    }[kind]
    return [np.clip(made(k), 0, 255).astype(np.uint8) for k in range(n)]


@pytest.mark.parametrize(("kind", "is_frozen"), [("camera", False), ("frozen", True), ("repeating", True)])
def test_frozen_picture_against_a_still_scene(kind: str, is_frozen: bool) -> None:
    meter = VideoMeter(12.0, 64, 96)
    for k, image in enumerate(pictures(kind, 40)):
        meter.add_picture(image, k * NS_PER_S // 4, k * NS_PER_S // 4)
    frozen_s = meter.status(10 * NS_PER_S, None).frozen_s
    assert frozen_s > 8 if is_frozen else frozen_s == 0


def test_frozen_ends_with_the_first_change() -> None:
    meter = VideoMeter(12.0, 64, 96)
    for k, image in enumerate(pictures("frozen", 20) + pictures("camera", 2, seed=3)):
        meter.add_picture(image, k * NS_PER_S, k * NS_PER_S)
    assert meter.status(30 * NS_PER_S, None).frozen_s == 0


def test_dark_rate_and_age() -> None:
    meter = VideoMeter(12.0, 64, 96)
    assert meter.status(0, None).age_s is None
    for k in range(100):
        meter.add_luma(100.0 if k < 50 else 3.0, k * NS_PER_S // 10)
    facts = meter.status(12 * NS_PER_S, 5.0)
    assert facts.quiet_s == pytest.approx(4.9)
    assert facts.level == 3.0
    assert facts.age_s == pytest.approx(2.1)
    assert meter.status(99 * NS_PER_S // 10, None).rate_hz == pytest.approx(10, rel=0.1)
    assert meter.status(30 * NS_PER_S, None).rate_hz == 0


@pytest.mark.parametrize(("amplitude", "dbfs"), [(1.0, 0.0), (0.1, -20.0), (0.0, -120.0)])
def test_sound_level_is_the_loudest_of_the_last_two_seconds(amplitude: float, dbfs: float) -> None:
    meter = AudioMeter(-80.0)
    wave = np.sin(np.arange(320) * 0.3).astype(np.float32)
    for k in range(300):
        meter.add_chunk(wave * np.float32(0.9 if k < 20 else amplitude), k * 20 * NS_PER_MS)
    facts = meter.status(6 * NS_PER_S, None)
    assert facts.level == pytest.approx(dbfs, abs=0.1)
    assert (facts.quiet_s > 5) == (amplitude == 0.0)
    assert (facts.frozen_s > 5) == (amplitude == 0.0)


def noise(s: float, level: float = 0.01) -> np.ndarray:
    return np.random.default_rng(1).normal(0, level, round(s * RATE)).astype(np.float32)


def bangs_in(samples: np.ndarray, chunk: int = 341) -> list[float]:
    finder = OnsetDetector(RATE)
    found: list[int] = []
    for i in range(0, len(samples), chunk):
        found += finder.push(i * NS_PER_S // RATE, samples[i : i + chunk])
    return [t / NS_PER_S for t in found]


def test_bangs_are_found_to_the_millisecond() -> None:
    samples = noise(10)
    truth = [2.3, 4.111, 7.777]
    for t in truth:
        i = round(t * RATE)
        samples[i : i + 800] += 0.8 * np.sin(np.arange(800)) * np.exp(-np.arange(800) / 200)
    assert bangs_in(samples) == pytest.approx(truth, abs=0.002)


def test_steady_loud_sound_is_no_bang() -> None:
    tone = (0.5 * np.sin(np.arange(10 * RATE) * 0.2)).astype(np.float32)
    tone[:RATE] *= np.linspace(0, 1, RATE, dtype=np.float32)
    assert bangs_in(tone + noise(10)) == []


def test_flash_is_a_sharp_jump_not_a_dawn() -> None:
    finder = FlashDetector()
    dawn = [finder.push(k, 10.0 + k) for k in range(200)]
    assert set(dawn) == {None}
    assert finder.push(NS_PER_S, 250.0) == NS_PER_S
    assert finder.push(NS_PER_S + 1, 255.0) is None, "one flash, one time"


def test_offset_needs_both_and_is_a_median() -> None:
    sync = AvOffsetEstimator()
    for k in range(5):
        sync.add_flash(k * 3 * NS_PER_S)
    for k in range(5):
        sync.add_onset((20 + k * 3) * NS_PER_S)
    assert sync.offset_s is None
    for k, offset_ms in enumerate((100, 90, 480, 110, 100)):
        sync.add_flash((100 + 3 * k) * NS_PER_S)
        sync.add_onset((100 + 3 * k) * NS_PER_S + offset_ms * NS_PER_MS)
    assert sync.offset_s == pytest.approx(0.1)


def test_sound_before_picture_is_negative_and_order_does_not_matter() -> None:
    sync = AvOffsetEstimator()
    sync.add_flash(5 * NS_PER_S)
    sync.add_onset(5 * NS_PER_S - 200 * NS_PER_MS)
    assert sync.offset_s == pytest.approx(-0.2)
