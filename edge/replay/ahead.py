"""A recording decoded ahead of whoever looks at it: on a thread of its own, in the same order, bounded."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

import numpy as np

from edge.capture.base import MediaSource
from edge.types import U8, Frame, MediaItem

PREFETCHED_ITEMS = 48
"""Items decoded ahead: two to three seconds of a recording with sound."""
_PUT_TIMEOUT_S = 0.2


class _EndOfItems:
    """What the thread puts last: nothing more comes, or why."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class PrefetchingReader:
    """The items of ``source``, read on another thread. A frame's pixels are valid until the next item, as always."""

    def __init__(self, source: MediaSource, most: int = PREFETCHED_ITEMS) -> None:
        self._source = source
        self._queue: queue.Queue[MediaItem | _EndOfItems] = queue.Queue(most)
        self._stop = threading.Event()
        # One picture is written while ``most`` wait and one is looked at.
        self._pixels: list[U8] = []
        self._n_pixels = most + 2
        self._turn = 0

    def items(self) -> Generator[MediaItem, None, None]:
        """All items in their order; what the source raises is raised here, after what came before it."""
        thread = threading.Thread(target=self._read, name="decode", daemon=True)
        thread.start()
        try:
            while not isinstance(item := self._queue.get(), _EndOfItems):
                yield item
            if item.error is not None:
                raise item.error
        finally:
            self._stop.set()
            self._source.close()
            thread.join()

    def _read(self) -> None:
        try:
            with closing(self._source.items()) as items:
                for item in items:
                    if not self._put(self._copy(item) if isinstance(item, Frame) else item):
                        return
        except BaseException as error:  # noqa: BLE001 - raised again where the items are read
            self._put(_EndOfItems(error))
        else:
            self._put(_EndOfItems())

    def _copy(self, frame: Frame) -> Frame:
        """The frame with pixels of its own."""
        if len(self._pixels) < self._n_pixels:
            self._pixels.append(np.empty_like(frame.image))
        pixels = self._pixels[self._turn % self._n_pixels]
        if pixels.shape != frame.image.shape:
            pixels = self._pixels[self._turn % self._n_pixels] = np.empty_like(frame.image)
        self._turn += 1
        np.copyto(pixels, frame.image)
        return replace(frame, image=pixels)

    def _put(self, item: MediaItem | _EndOfItems) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_PUT_TIMEOUT_S)
            except queue.Full:
                continue
            return True
        return False
