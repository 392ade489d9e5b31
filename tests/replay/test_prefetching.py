"""A recording read ahead on another thread: the same items in the same order."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import MediaError
from edge.replay.prefetch import PrefetchingReader
from edge.types import AudioChunk, Frame, LumaSample, MediaItem

WHOLE = (0.0, 0.0, 1.0, 1.0)


class Script:
    """A source that draws every picture on the same canvas, as decoders do, and may fail in the end."""

    name, live, has_video, has_audio = "film", False, True, True

    def __init__(self, kinds: Sequence[str], error: Exception | None = None) -> None:
        self._kinds, self._error = kinds, error
        self.closed = threading.Event()
        self.thread: int | None = None
        self.given = 0

    def items(self) -> Generator[MediaItem, None, None]:
        self.thread = threading.get_ident()
        canvas = np.zeros((4, 6, 3), np.uint8)
        for n, kind in enumerate(self._kinds):
            if self.closed.is_set():
                return
            self.given += 1
            if kind == "frame":
                canvas[:] = n % 251
                yield Frame(n, n, canvas, WHOLE)
            elif kind == "glance":
                yield LumaSample(n, n, float(n))
            else:
                yield AudioChunk(n, n, np.full(3, n, np.float32))
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self.closed.set()


@settings(max_examples=25, deadline=None)
@given(kinds=st.lists(st.sampled_from(["frame", "glance", "sound"]), max_size=60), most=st.integers(1, 8))
def test_items_come_in_order_and_pictures_stay_what_they_were(kinds: list[str], most: int) -> None:
    source = Script(kinds)
    with closing(PrefetchingReader(source, most=most).items()) as items:
        for n, item in enumerate(items):
            assert item.pts_ns == n
            assert {"frame": Frame, "glance": LumaSample, "sound": AudioChunk}[kinds[n]] is type(item)
            if isinstance(item, Frame):
                assert (item.image == n % 251).all()
    assert source.given == len(kinds)
    assert source.thread not in {None, threading.get_ident()} or not kinds


def test_an_error_comes_after_what_was_read_before_it() -> None:
    seen = []
    with (
        pytest.raises(MediaError, match="torn"),
        closing(PrefetchingReader(Script(["glance"] * 5, MediaError("torn"))).items()) as items,
    ):
        seen += list(items)
    with closing(PrefetchingReader(Script(["glance"] * 5, MediaError("torn"))).items()) as items:
        assert [next(items).pts_ns for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(MediaError, match="torn"):
            next(items)


def test_it_reads_no_further_ahead_than_it_may_and_ends_when_nobody_looks_any_more() -> None:
    source = Script(["frame"] * 1000)
    before = threading.active_count()
    items = PrefetchingReader(source, most=4).items()
    next(items)
    items.close()
    assert source.closed.is_set()
    assert source.given <= 1 + 4 + 2
    assert threading.active_count() == before
