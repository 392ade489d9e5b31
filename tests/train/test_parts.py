"""Parts of the learning side on their own: boxes, memory, synthesis, scenes, labels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
# ruff: noqa: E402
from edge.train import labels as L  # noqa: N812
from edge.train.nets.detector import AnchorPredictions, decode_boxes
from edge.train.recipe.features import memory_windows
from edge.train.recipe.recordings import RecordingMedia, window_inputs
from edge.train.scenes import near_misses, synthesis
from edge.train.scenes.degradation import through_g711
from edge.train.scenes.near_misses import NEAR_MISSES
from edge.train.scenes.soundbank import SoundBank

pytestmark = pytest.mark.learn


def test_import_is_cheap() -> None:
    heavy = "('torch', 'onnx', 'onnxruntime', 'av', 'cv2')"
    code = f"import sys, edge.train, edge.train.command; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_label_tags_are_what_they_are_called() -> None:
    names = (Path(__file__).parents[2] / "engines/fused/audioset527.txt").read_text(encoding="utf-8").splitlines()
    expected = {
        "gunshot": "Gunshot, gunfire", "explosion": "Explosion", "glass_break": "Shatter", "scream": "Screaming",
        "siren": "Siren", "crying_baby": "Baby cry, infant cry", "dog_bark": "Bark", "door_knock": "Knock",
        "fire": "Fire",
    }  # fmt: skip
    for label in L.LABELS:
        if label.name in expected:
            assert names[label.tags[0][0]] == expected[label.name]
    assert [L.COCO[c] for c in L.LABELS[2].classes] == [
        "bird",
        "cat",
        "dog",
        "horse",
        "sheep",
        "cow",
        "elephant",
        "bear",
        "zebra",
        "giraffe",
    ]


def test_boxes_follow_a_plain_reference() -> None:
    rng = np.random.default_rng(1)
    raw = np.zeros((1, 300, 85), np.float32)
    raw[..., :2] = rng.uniform(40, 200, (1, 300, 2))
    raw[..., 2:4] = rng.uniform(20, 90, (1, 300, 2))
    raw[..., 4] = rng.random((1, 300))
    raw[..., 5:8] = rng.random((1, 300, 3))
    places = torch.from_numpy(raw).transpose(1, 2)
    found = AnchorPredictions(places[:, :4], places[:, 4:5], places[:, 5:])
    got = decode_boxes(found, 32, L.WIDTH, L.HEIGHT).numpy()[0]
    want = _reference(raw[0])
    assert np.count_nonzero(got[:, 4]) == min(32, len(want))
    np.testing.assert_allclose(got[: len(want)], want[:32], atol=1e-5)
    assert np.all(np.diff(got[:, 4]) <= 0)


def _reference(raw: np.ndarray) -> np.ndarray:
    scores = raw[:, 4:5] * raw[:, 5:]
    best, label = scores.max(1), scores.argmax(1)
    order = np.argsort(-best)[:128]
    kept = []
    for n, i in enumerate(order):
        low, high = raw[i, :2] - raw[i, 2:4] / 2, raw[i, :2] + raw[i, 2:4] / 2
        overlap = 0.0
        for j in order[:n]:  # fast NMS: suppressed boxes suppress too
            if label[i] != label[j]:
                continue
            a, b = raw[j, :2] - raw[j, 2:4] / 2, raw[j, :2] + raw[j, 2:4] / 2
            side = np.clip(np.minimum(high, b) - np.maximum(low, a), 0, None)
            inter = side[0] * side[1]
            overlap = max(overlap, inter / (raw[i, 2] * raw[i, 3] + raw[j, 2] * raw[j, 3] - inter + 1e-6))
        if overlap <= 0.5 and best[i] > 0.1:
            scale = np.array([L.WIDTH, L.HEIGHT, L.WIDTH, L.HEIGHT])
            kept.append([*np.clip(np.concatenate([low, high]) / scale, 0, 1), best[i], label[i]])
    return np.array(kept)


def test_memory_is_the_sixteen_hops_before_oldest_first() -> None:
    tokens = torch.arange(64.0)[:, None].expand(-1, 4)
    memory, there = memory_windows(tokens, torch.tensor([0, 3, 31, 32, 50]))
    assert there.sum(1).tolist() == [0, 3, 16, 0, 16]
    assert memory[2, :, 0].tolist() == list(range(15, 31))
    assert memory[1, -3:, 0].tolist() == [0, 1, 2]
    assert memory[4, 0, 0] == 34


def test_smoke_alarm_keeps_the_temporal_three_pattern() -> None:
    wave = synthesis.temporal_three(np.random.default_rng(0))
    on = np.abs(wave).reshape(-1, L.RATE_HZ // 100).max(1) > 0.2
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(int), [0]])))
    starts, ends = edges[::2] / 100, edges[1::2] / 100
    np.testing.assert_allclose(ends[:3] - starts[:3], 0.5, atol=0.03)
    np.testing.assert_allclose(np.diff(starts[:4]), [1.0, 1.0, 2.0], atol=0.03)


def test_carbon_monoxide_alarm_keeps_the_temporal_four_pattern() -> None:
    wave = synthesis.temporal_four(np.random.default_rng(0))
    on = np.abs(wave).reshape(-1, L.RATE_HZ // 100).max(1) > 0.2
    starts = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(int)])) > 0) / 100
    np.testing.assert_allclose(np.diff(starts[:5]), [0.2, 0.2, 0.2, 5.1], atol=0.03)


@pytest.mark.parametrize(
    "make",
    sorted({f for fs in synthesis.EVENTS.values() for f in fs} | set(NEAR_MISSES), key=lambda f: f.__name__),
)
def test_sounds_are_finite_unit_and_fixed_by_their_seed(make: object) -> None:
    one, two = (make(np.random.default_rng(3)) for _ in range(2))  # type: ignore[operator]
    assert one.dtype == np.float32
    assert np.isfinite(one).all()
    assert abs(np.abs(one).max() - 1) < 1e-5
    assert np.array_equal(one, two)


def test_scenes_are_fixed_by_their_seed() -> None:
    from edge.train.scenes.backgrounds import Backgrounds
    from edge.train.scenes.compose import compose_scene, render_pictures

    rng = np.random.default_rng(0)
    bank = SoundBank(
        {"gunshot": [synthesis.gunshot(rng)], "alarm": [synthesis.temporal_three(rng)]}, [near_misses.claps(rng)]
    )
    places = Backgrounds((), (), ())
    first, again, other = compose_scene(40, bank), compose_scene(40, bank), compose_scene(41, bank)
    assert np.array_equal(first.audio, again.audio)
    assert not np.array_equal(first.audio, other.audio)
    assert np.array_equal(first.evident, again.evident)
    a, b = render_pictures(first, places, range(3)), render_pictures(again, places, range(3))
    assert np.array_equal(a.frames, b.frames)
    assert a.frames.shape == (3, 2, L.HEIGHT, L.WIDTH, 3)


def test_what_a_modality_cannot_know_is_never_its_evidence() -> None:
    from edge.train.scenes.compose import compose_scene

    rng = np.random.default_rng(0)
    bank = SoundBank({k: [fs[0](rng)] for k, fs in synthesis.EVENTS.items()}, [near_misses.claps(rng)])
    for seed in range(25):
        evident = compose_scene(seed, bank).evident
        for c, label in enumerate(L.LABELS):
            for m, name in enumerate(L.MODALITIES):
                if name not in label.modalities:
                    assert evident[:, m, c].max() == 0


def test_window_puts_the_newest_last_and_says_what_is_missing() -> None:
    ramp = np.linspace(0, 1, 3 * L.RATE_HZ, dtype=np.float32)
    row = window_inputs(RecordingMedia("x", "", ramp, None), 0)
    assert row["audio_ok"] == 0.25
    assert row["audio"][-1] == ramp[L.RATE_HZ // 2 - 1]
    assert np.all(row["audio"][: -L.RATE_HZ // 2] == 0)
    assert row["video_ok"].sum() == 0
    full = window_inputs(RecordingMedia("x", "", ramp, None), 5)
    assert full["audio_ok"] == 1
    assert full["audio"][-1] == ramp[-1]


def test_g711_keeps_the_voice_band_and_nothing_above() -> None:
    t = np.arange(L.SAMPLES) / L.RATE_HZ
    low, high = (np.sin(2 * np.pi * f * t).astype(np.float32) * 0.5 for f in (1000, 9000))
    assert np.allclose(through_g711(low)[3200:-3200], low[3200:-3200], atol=0.01)
    assert float(np.abs(through_g711(high)[3200:-3200]).max()) < 1e-3
    assert not through_g711(np.zeros(L.SAMPLES, np.float32)).any()
    assert through_g711(low[:12345]).shape == (12345,)
