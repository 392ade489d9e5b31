from __future__ import annotations

import io
from dataclasses import replace

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_times import at

from edge.engine.gating.change_gates import AudioGate, Comparison, PictureGate
from edge.engine.gating.gated_runtime import UncertaintyGate
from edge.engine.manifest import AudioGeometry, Geometry, MemoryGeometry, VideoGeometry
from edge.signal_change import DEFAULT_GATE_LIMITS
from edge.types import F32, U8, Window

H, W, RATE = 64, 96, 32_000
GEOMETRY = Geometry(
    hop_s=0.5,
    video=VideoGeometry(fps=4.0, frames=2, width=W, height=H),
    audio=AudioGeometry(rate_hz=RATE, window_s=2.0),
    memory=MemoryGeometry(tokens=4, dim=4),
)
HOP = RATE // 2
OLDEST = round(DEFAULT_GATE_LIMITS.pictures_s / 0.5)  # hops
LONGEST = round(DEFAULT_GATE_LIMITS.confirmed_pictures_s / 0.5)
LINGER = round(DEFAULT_GATE_LIMITS.linger_s / 0.5)
AT_ONCE = replace(DEFAULT_GATE_LIMITS, linger_s=0.0)


def window(seq: int, camera: str = "yard", ok: tuple[bool, bool] = (True, True), audio: float = 1.0,
           epoch: int = 0) -> Window:  # fmt: skip
    return Window(camera, seq, 0, at(0, epoch), 0, ok, audio, (), (0.0, 0.0, 1.0, 1.0))


def scene(seed: int) -> U8:
    """A pair of the same smooth picture, away from black and white."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 190, (H // 16, W // 16, 3)).astype(np.uint8)
    return np.stack([coarse.repeat(16, 0).repeat(16, 1)] * 2)


def look(gate: PictureGate, at: Window, pair: U8) -> bool:
    differs = gate.compare(at, pair) is not Comparison.SAME
    if differs:
        gate.set_reference(at)
    return differs


def listen(gate: AudioGate, at: Window, samples: F32) -> bool:
    differs = gate.compare(at, samples) is not Comparison.SAME
    if differs:
        gate.set_reference(at)
    return differs


@given(st.integers(0, 1000), st.text("abcdefgh", min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_the_same_picture_is_encoded_once_and_again_when_that_is_old(seed: int, camera: str) -> None:
    gate, pair = PictureGate(GEOMETRY), scene(seed)
    encoded = [hop for hop in range(3 * OLDEST) if look(gate, window(hop, camera), pair)]
    assert encoded[0] == 0
    assert all(3 * OLDEST / 4 <= gap <= OLDEST for gap in np.diff(encoded))


def test_pictures_that_were_confirmed_are_old_after_twice_as_long_and_as_before_once_they_changed() -> None:
    gate, pair = PictureGate(GEOMETRY, AT_ONCE), scene(1)
    found = []
    for hop in range(12 * OLDEST):
        shown = pair if hop < 10 * OLDEST else pair + np.uint8(20)
        found.append(gate.compare(window(hop), shown))
        if found[-1] is Comparison.EXPIRED:
            gate.confirm(window(hop))
        elif found[-1] is Comparison.DIFFERENT:
            gate.set_reference(window(hop))
    tried = [hop for hop, what in enumerate(found) if what is not Comparison.SAME]
    ages = np.diff([hop for hop in tried if hop <= 10 * OLDEST])
    assert 3 * OLDEST / 4 <= ages[0] <= OLDEST
    assert all(3 * LONGEST / 4 <= age <= LONGEST for age in ages[1:-1])
    anew = tried.index(10 * OLDEST)
    assert found[10 * OLDEST] is Comparison.DIFFERENT
    assert 3 * OLDEST / 4 <= tried[anew + 1] - tried[anew] <= OLDEST


@given(
    st.integers(0, 1000),
    st.integers(0, 1),
    st.integers(0, H // 8 - 1),
    st.integers(0, W // 8 - 1),
    st.integers(0, 2),
    st.sampled_from([-1, 1]),
    st.sampled_from([0, 2, 6]),
)
@settings(max_examples=40, deadline=None)
def test_a_change_of_any_block_of_either_picture_is_encoded_however_noisy_it_was(
    seed: int, which: int, row: int, column: int, colour: int, sign: int, sigma: int
) -> None:
    gate, pair = PictureGate(GEOMETRY, AT_ONCE), scene(seed)
    rng = np.random.default_rng(seed)
    for hop in range(4):
        look(gate, window(hop), np.clip(pair + rng.normal(0, sigma, pair.shape), 0, 255).astype(np.uint8))
    look(gate, window(5, epoch=1), pair)
    changed = pair.astype(np.int16)
    changed[which, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8, colour] += sign * int(
        DEFAULT_GATE_LIMITS.high + 2
    )
    changed = changed.astype(np.uint8)
    assert look(gate, window(6, epoch=1), changed)
    assert not look(gate, window(7, epoch=1), changed)  # it stays: nothing new


def test_when_what_moved_stands_still_that_is_encoded_once() -> None:
    gate, pair = PictureGate(GEOMETRY, AT_ONCE), scene(3)
    look(gate, window(0), pair)
    moving = pair.copy()
    moving[1, 8:24, 8:16] = 250
    still = pair.copy()
    still[:, 8:24, 8:16] = 250
    assert [look(gate, window(1 + i), p) for i, p in enumerate([moving, still, still, pair, pair])] == [
        True, True, False, True, False
    ]  # fmt: skip


def test_after_a_change_pictures_are_encoded_for_a_while() -> None:
    gate, pair = PictureGate(GEOMETRY), scene(3)
    assert [look(gate, window(hop), pair) for hop in range(3)] == [True, False, False]
    pair[:, 8:16, 8:16] += 20
    shown = [pair + np.uint8(hop % 2) for hop in range(LINGER + 3)]
    assert [look(gate, window(3 + hop), one) for hop, one in enumerate(shown)] == [True] * (1 + LINGER) + [False] * 2


def test_the_very_picture_that_was_encoded_is_not_encoded_again_although_something_just_moved() -> None:
    gate, pair = PictureGate(GEOMETRY), scene(3)
    look(gate, window(0), pair)
    pair[:, 8:16, 8:16] += 20
    assert [look(gate, window(1 + hop), pair) for hop in range(3)] == [True, False, False]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=30))
def test_knowing_that_a_picture_is_the_very_same_changes_nothing(steps: list[tuple[bool, int]]) -> None:
    """Pictures with numbers, which spare reducing them again, are judged as those without."""
    told, untold = PictureGate(GEOMETRY), PictureGate(GEOMETRY)
    pictures = [scene(seed) for seed in range(4)]
    for seq, (renews, n) in enumerate(steps):
        plain = window(seq)
        found = told.compare(replace(plain, pictures=(n, n)), pictures[n])
        assert found is untold.compare(plain, pictures[n])
        if renews and found is Comparison.DIFFERENT:
            told.set_reference(plain)
            untold.set_reference(plain)


def test_noise_is_measured_from_picture_to_picture_where_one_stands_for_a_while() -> None:
    gate, still, rng = PictureGate(GEOMETRY, AT_ONCE), scene(1).astype(np.float32), np.random.default_rng(4)
    encoded = []
    for hop in range(120):
        if hop % 4 == 0:
            coarse = rng.normal(0, 1.1, (H // 8, W // 8, 3)).repeat(8, 0).repeat(8, 1)
            shown = np.clip(np.rint(still[0] + coarse), 0, 255).astype(np.uint8)
        if look(gate, window(hop), np.stack([shown, shown])):
            encoded.append(hop)
    assert len([hop for hop in encoded if hop >= 40]) <= 80 / (OLDEST * 3 / 4)


def test_a_soft_change_over_a_wide_area_counts_although_each_block_hardly_changed() -> None:
    gate, pair = PictureGate(GEOMETRY), scene(3)
    look(gate, window(0), pair)
    pair[1, :40, :48] += np.uint8(DEFAULT_GATE_LIMITS.low - 1)
    assert look(gate, window(1), pair)


def test_slow_drift_does_not_pass_unseen() -> None:
    gate, pair = PictureGate(GEOMETRY, AT_ONCE), scene(3)
    encoded = [hop for hop in range(40) if look(gate, window(hop), pair + np.uint8(hop))]
    assert max(np.diff(encoded)) <= DEFAULT_GATE_LIMITS.wide + 1  # of one grey level each


@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.0, 4.0])
def test_noise_as_strong_as_it_was_is_not_encoded(sigma: float) -> None:
    gate, pair, rng = PictureGate(GEOMETRY), scene(1).astype(np.float32), np.random.default_rng(2)
    encoded = 0
    for hop in range(100):
        noisy = np.clip(pair + rng.normal(0, sigma, pair.shape), 0, 255).astype(np.uint8)
        encoded += look(gate, window(hop), noisy) and hop >= 20
    assert encoded <= 9  # it is old every 12 to 16 hops


def test_what_cannot_be_compared_is_encoded() -> None:
    gate, pair = PictureGate(GEOMETRY), scene(1)
    assert look(gate, window(0), pair)
    assert look(gate, window(1, epoch=1), pair)
    assert look(gate, window(2, ok=(False, True), epoch=1), pair)
    assert look(gate, window(3, epoch=1), pair)
    assert look(gate, window(4, "gate", epoch=1), pair)
    gate.forget("yard")
    assert look(gate, window(5, epoch=1), pair)
    assert look(gate, window(500, epoch=1), pair)


def test_a_camera_without_pictures_or_sound_has_nothing_to_encode() -> None:
    pictures, sound = PictureGate(GEOMETRY), AudioGate(GEOMETRY)
    rng = np.random.default_rng(0)
    blind, deaf = [], []
    for hop in range(50):
        at = window(hop, ok=(False, False), audio=0.0)
        blind.append(look(pictures, at, rng.integers(0, 256, (2, H, W, 3)).astype(np.uint8)))
        deaf.append(listen(sound, at, np.zeros(4 * HOP, np.float32)))
    assert sum(blind) == sum(deaf) == 1


def hops(sound: F32) -> list[F32]:
    """Windows of two seconds, half a second apart."""
    return [sound[i * HOP : (i + 4) * HOP] for i in range(len(sound) // HOP - 3)]


def steady(kind: str, seconds: float, seed: int = 0) -> F32:
    t = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).normal(0, 1, len(t))
    made = {
        "silence": 0 * t,
        "noise": 0.01 * noise,
        "hum": 0.02 * np.sin(2 * np.pi * 50 * t) + 0.01 * np.sin(2 * np.pi * 150 * t) + 0.002 * noise,
        "alarm": 0.3 * np.sin(2 * np.pi * 3100 * t) + 0.001 * noise,
    }
    return made[kind].astype(np.float32)


def heard(sound: F32) -> list[bool]:
    gate = AudioGate(GEOMETRY)
    return [listen(gate, window(i), samples) for i, samples in enumerate(hops(sound))]


@pytest.mark.parametrize("kind", ["silence", "noise", "hum", "alarm"])
def test_steady_sound_is_encoded_every_two_seconds(kind: str) -> None:
    encoded = heard(steady(kind, 30.0))
    assert sum(encoded[8:]) <= 1.4 * len(encoded[8:]) / 4
    since = np.flatnonzero(encoded)
    assert np.diff(since).max() <= 4


@pytest.mark.parametrize("level", [0.001, 0.02])
@pytest.mark.parametrize(("codec", "bit_rate"), [("aac", 48_000), ("aac", 24_000), ("pcm_mulaw", 0)])
def test_noise_that_a_camera_coded_is_steady(codec: str, bit_rate: int, level: float) -> None:
    rate = 8_000 if codec == "pcm_mulaw" else RATE
    noise = np.random.default_rng(4).normal(0, level, 30 * rate).astype(np.float32)
    encoded = heard(coded(noise, rate, codec, bit_rate))
    assert sum(encoded[8:]) <= len(encoded[8:]) / 2


def coded(sound: F32, rate: int, codec: str, bit_rate: int) -> F32:
    """What a camera's coding leaves of ``sound``, at the model's rate."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mov") as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(np.round(sound * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate, frame.pts = rate, 0
        for one in (frame, None):
            out.mux(stream.encode(one))
    buffer.seek(0)
    with av.open(buffer) as container:
        resampler = av.AudioResampler("flt", "mono", RATE)
        blocks = [block.to_ndarray()[0] for f in container.decode(audio=0) for block in resampler.resample(f)]
    return np.ascontiguousarray(np.concatenate(blocks)[RATE:])  # without the codec's beginning


def test_a_band_that_a_codec_leaves_out_for_a_moment_is_no_change_but_one_that_goes_is() -> None:
    def without_top(at_s: float, lasts_s: float) -> list[bool]:
        sound = steady("noise", 16.0)
        part = slice(round(at_s * RATE), round((at_s + lasts_s) * RATE))
        spectrum = np.fft.rfft(sound[part])
        spectrum[len(spectrum) // 2 :] *= 0.35
        sound[part] = np.fft.irfft(spectrum, part.stop - part.start)
        return heard(sound)

    moment, gone = without_top(8.2, 0.04), without_top(8.2, 6.0)
    assert sum(moment[13:17]) <= 2
    assert all(gone[14:17])


@given(st.floats(0.0, 0.497), st.sampled_from(["silence", "noise", "hum"]), st.sampled_from([-1.0, 1.0]))
@settings(max_examples=15, deadline=None)
def test_an_impulse_anywhere_is_encoded_in_every_window_that_holds_it(at_s: float, kind: str, sign: float) -> None:
    sound = steady(kind, 12.0, seed=3)
    hop = 14
    sound[hop * HOP + round(at_s * RATE)] += sign * 0.2
    encoded = heard(sound)
    first = hop - 3  # the window whose newest hop it is in
    assert all(encoded[first : first + 4])
    assert encoded[first + 4]  # and the first without it


@pytest.mark.parametrize(("gain", "hz"), [(4.0, None), (0.25, None), (1.0, 440.0), (1.0, 6000.0)])
def test_sound_that_starts_or_ends_is_encoded_while_any_of_it_is_in_the_window(gain: float, hz: float | None) -> None:
    sound = steady("noise", 14.0)
    inside = slice(14 * HOP, 15 * HOP)
    sound[inside] *= gain
    if hz is not None:
        sound[inside] += (0.01 * np.sin(2 * np.pi * hz * np.arange(HOP) / RATE)).astype(np.float32)
    assert all(heard(sound)[11:16])


def test_sound_that_grows_slowly_is_not_taken_for_what_it_was() -> None:
    t = np.arange(30 * RATE) / RATE
    swelling = (steady("noise", 30.0) * 10 ** (t * 3 / 20)).astype(np.float32)  # 3 dB a second
    assert all(heard(swelling))


def test_broken_sound_and_gaps_are_encoded() -> None:
    gate, samples = AudioGate(GEOMETRY), hops(steady("noise", 10.0))
    for hop in range(8):
        listen(gate, window(hop), samples[hop])
    broken = samples[8].copy()
    broken[-100] = np.nan
    assert listen(gate, window(8), broken)
    assert listen(gate, window(9, audio=0.9), samples[9])
    assert listen(gate, window(20), samples[9])


def test_a_label_near_its_threshold_puts_what_evidences_it_in_doubt() -> None:
    low, high = np.array([-1.0, np.nan], np.float32), np.array([1.0, np.nan], np.float32)
    gate = UncertaintyGate({"video": np.stack([low, high]), "audio": np.stack([low[::-1], high[::-1]])})
    assert gate.uncertain_modalities("yard") == frozenset()
    for logits, doubts in (((0, 9), {"video"}), ((9, 0), {"audio"}), ((0, 0), {"video", "audio"}), ((-2, 2), set())):
        gate.update("yard", np.array(logits, np.float32))
        assert gate.uncertain_modalities("yard") == doubts
    gate.forget("yard")
    assert gate.uncertain_modalities("yard") == frozenset()


def test_judging_follows_the_limits() -> None:
    pair = scene(1)
    eager = PictureGate(GEOMETRY, replace(DEFAULT_GATE_LIMITS, pictures_s=0.5))
    assert all(look(eager, window(hop), pair) for hop in range(5))
