"""Reads a recording ahead on another thread, bounded, its items in order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

import numpy as np

from edge.capture.base import MediaSource
from edge.demand import PictureDemand
from edge.types import U8, Frame, MediaItem

PREFETCHED_ITEMS = 48
"""Items decoded ahead: two to three seconds of a recording with sound."""
_PUT_TIMEOUT_S = 0.2


class _EndOfItems:
    """The last item of the thread: the end, or the error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class PrefetchingReader:
    """The items of ``source``, read on another thread. A frame's pixels are valid until the next item, as always.

    Before the source decides by ``demand`` what to decode, it waits until all items that it gave were processed: so it
    decides the same each time.
    """

    def __init__(self, source: MediaSource, demand: PictureDemand | None = None, most: int = PREFETCHED_ITEMS) -> None:
        self._source = source
        if demand is not None:
            demand.settle = self._settle
        self._queue: queue.Queue[MediaItem | _EndOfItems] = queue.Queue(most)
        self._stop = threading.Event()
        # One picture is written while ``most`` wait and one is processed.
        self._pixels: list[U8] = []
        self._n_pixels = most + 2
        self._turn = 0

    def items(self) -> Generator[MediaItem, None, None]:
        """All items in order; an error of the source is raised here, after the items before it."""
        thread = threading.Thread(target=self._read, name="decode", daemon=True)
        thread.start()
        try:
            while not isinstance(item := self._queue.get(), _EndOfItems):
                yield item
                self._queue.task_done()
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

    def _settle(self) -> None:
        with self._queue.all_tasks_done:
            while self._queue.unfinished_tasks and not self._stop.is_set():
                self._queue.all_tasks_done.wait(_PUT_TIMEOUT_S)

    def _copy(self, frame: Frame) -> Frame:
        """The frame with a copy of its pixels."""
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
