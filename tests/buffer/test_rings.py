"""Rings against naive models."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.buffer.rings import AudioRing, AudioTrack, FrameRing
from edge.types import NS_PER_S

WHOLE = (0.0, 0.0, 1.0, 1.0)


@given(
    pushes=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.booleans()), max_size=40),
    spans=st.lists(st.tuples(st.integers(-1, 40), st.integers(0, 20)), min_size=1, max_size=4),
    epoch=st.integers(0, 2),
)
def test_frame_ring_is_a_list_of_the_last_frames(
    pushes: list[tuple[int, int, bool]], spans: list[tuple[int, int]], epoch: int
) -> None:
    """Also where a picture stands for several, and memory is given back in between."""
    ring, model = FrameRing(5, 2, 2), []
    for i, (e, pts, repeats) in enumerate(pushes):
        if repeats and model:
            ring.repeat(e, pts)
            ring.trim()
            model.append((e, pts, model[-1][2]))
        else:
            ring.push(e, pts, np.full((2, 2, 3), i, np.uint8), WHOLE)
            model.append((e, pts, i))
    kept = model[-5:]
    wanted = [(after, after + length) for after, length in spans]
    out = np.full((len(spans), 2, 2, 3), 255, np.uint8)
    found = ring.gather(epoch, wanted, out)
    for k, (after, up_to) in enumerate(wanted):
        fits = [i for e, pts, i in kept if e == epoch and after < pts <= up_to]
        assert found.ok[k] == bool(fits)
        assert found.numbers[k] == (fits[-1] if fits else -1)
        assert (out[k] == (fits[-1] if fits else 255)).all()


@given(
    chunks=st.lists(st.tuples(st.integers(-8, 12), st.integers(0, 30)), max_size=25),
    start=st.integers(-10, 200),
    n=st.integers(1, 20),
    limits=st.tuples(st.integers(0, 60), st.integers(0, 200)),
)
def test_audio_ring_is_an_array_with_holes(
    chunks: list[tuple[int, int]], start: int, n: int, limits: tuple[int, int]
) -> None:
    capacity = 16
    ring, model, next_ = AudioRing(capacity), {}, 0
    for step, length in chunks:
        position = max(0, next_ + step)
        samples = np.arange(1, length + 1, dtype=np.float32) + position
        ring.push(position, samples)
        for i, value in enumerate(samples):
            if position + i >= next_:
                model[position + i] = value
        next_ = max(next_, position + length) if length else next_  # an empty chunk says nothing
    first, end = limits
    out = np.full(n, 99, np.float32)
    share = ring.read(start, out, first, end)
    expected = [
        model.get(p, 0.0) if p >= next_ - capacity and first <= p < end else 0.0 for p in range(start, start + n)
    ]
    assert out.tolist() == expected
    assert share == pytest.approx(sum(v != 0 for v in expected) / n)


def test_what_the_writer_overtook_is_torn() -> None:
    ring = FrameRing(2, 2, 2)
    ring.push(0, 1, np.zeros((2, 2, 3), np.uint8), WHOLE)

    class Overtaking(np.ndarray):
        """Pushes two more pictures while one is copied out."""

        def __setitem__(self, key: object, value: object) -> None:
            super().__setitem__(key, value)
            for pts in (2, 3):
                ring.push(0, pts, np.ones((2, 2, 3), np.uint8), WHOLE)

    out = np.zeros((1, 2, 2, 3), np.uint8).view(Overtaking)
    found = ring.gather(0, [(0, 1)], out)
    assert found.ok == (False,)
    assert found.newest is None
    assert ring.torn == 1


def test_pictures_are_whole_under_a_racing_writer() -> None:
    ring, stop = FrameRing(4, 64, 64), threading.Event()

    def write() -> None:
        for i in range(4000):
            ring.push(0, i, np.full((64, 64, 3), i % 256, np.uint8), WHOLE)
            if stop.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    out, seen = np.zeros((3, 64, 64, 3), np.uint8), 0
    while writer.is_alive():
        for i, good in enumerate(ring.gather(0, [(-1, 1 << 40)] * 3, out).ok):
            if good:
                assert out[i].min() == out[i].max()
                seen += 1
    stop.set()
    writer.join()
    assert seen


def test_sound_track_continues_over_rounding_and_opens_holes() -> None:
    track = AudioTrack(1000, 4000)
    ms = NS_PER_S // 1000
    track.push(0, 5_000 * ms, np.full(100, 1, np.float32))
    track.push(0, 5_104 * ms, np.full(100, 2, np.float32))  # 4 ms off: rounding
    end = track.push(0, 5_300 * ms, np.full(100, 3, np.float32))  # 100 ms missing
    assert end == 5_400 * ms
    out = np.zeros(400, np.float32)
    assert track.read(0, 5_400 * ms, out) == pytest.approx(0.75)
    assert [out[50], out[150], out[250], out[350]] == [1, 2, 0, 3]
    track.push(1, 0, np.full(100, 4, np.float32))
    assert track.read(1, 100 * ms, out) == pytest.approx(0.25)
    assert out[0] == 0
    assert out[-1] == 4
    assert track.read(0, 5_500 * ms, out) == pytest.approx(0.5)
