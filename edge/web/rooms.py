"""What all requests of one application share: the box, who may see it, and what is computed once for all viewers."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edge.evidence.archive.traces import Traces
from edge.evidence.digest import Digest
from edge.types import F32, NS_PER_S
from edge.web.access import Access
from edge.web.box import Box
from edge.web.ear import Ear
from edge.web.eye import Eye

AT_ONCE_NS = 6 * 3600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class LabelTrace:
    """One label's part of a trace: ``values`` f32[n,1], or [0,0] without ``names`` where it has none. ``seen`` are all
    labels that have scores in it."""

    times_ns: NDArray[np.int64]
    names: tuple[str, ...]
    values: F32
    seen: tuple[str, ...]


class Rooms:
    """One application's shared parts."""

    MOST_STREAMS = 8
    FRESH_NS = 20 * NS_PER_S

    def __init__(self, box: Box, access: Access) -> None:
        self.box, self.access = box, access
        self.drawing = threading.Lock()  # two changes of what is drawn never overtake each other
        self.searching = threading.Lock()  # the text model is one
        self.streams = 0  # pictures sent without end; touched on the event loop alone
        self._eyes: dict[str, Eye] = {}
        self._ears: dict[str, Ear] = {}
        self._traces: OrderedDict[tuple[str, str, int, int], tuple[int, LabelTrace]] = OrderedDict()
        self._digest: tuple[tuple[int, int], int, Digest] | None = None
        self._lock = threading.Lock()

    def eye(self, camera: str) -> Eye:
        """The camera's picture."""
        with self._lock:
            if camera not in self._eyes:
                self._eyes[camera] = Eye(partial(self.box.glimpse, camera))
            return self._eyes[camera]

    def ear(self, camera: str) -> Ear:
        """The camera's sound."""
        with self._lock:
            if camera not in self._ears:
                self._ears[camera] = Ear(partial(self.box.sound, camera), self.box.sound_rate_hz)
            return self._ears[camera]

    def trace(self, traces: Traces, camera: str, label: str, since_ns: int, until_ns: int) -> LabelTrace:
        """The kept scores of a label; read again after 20 s, so that dragging a threshold does not read the disk."""
        key, now_ns = (camera, label, since_ns, until_ns), self.box.clock.mono_ns()
        with self._lock:
            held = self._traces.get(key)
        if held is not None and now_ns - held[0] < self.FRESH_NS:
            return held[1]
        trace = _of_label(traces, camera, label, since_ns, until_ns)
        with self._lock:
            self._traces[key] = now_ns, trace
            while len(self._traces) > 2:
                self._traces.popitem(last=False)
        return trace

    def digest(self, since_ns: int, until_ns: int, make: Callable[[], Digest]) -> Digest:
        """The digest of a span; made again after 20 s, so that its pictures come from one making."""
        now_ns, held = self.box.clock.mono_ns(), self._digest
        if held is not None and held[0] == (since_ns, until_ns) and now_ns - held[1] < self.FRESH_NS:
            return held[2]
        made = make()
        self._digest = (since_ns, until_ns), now_ns, made
        return made


def _of_label(traces: Traces, camera: str, label: str, since_ns: int, until_ns: int) -> LabelTrace:
    """A label's column of a span, some hours at a time: eight days of all labels are hundreds of megabytes."""
    seen: dict[str, None] = {}
    times, columns = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for begin_ns in range(since_ns, until_ns, AT_ONCE_NS):
        part = traces.read(camera, begin_ns, min(begin_ns + AT_ONCE_NS, until_ns))
        there = np.flatnonzero(np.isfinite(part.values).any(axis=0))
        seen.update(dict.fromkeys(part.names[i] for i in there))
        if label in part.names:
            times.append(part.times_ns)
            columns.append(part.values[:, part.names.index(label)].copy())
    names = (label,) if len(columns) > 1 else ()
    values = np.concatenate(columns)[:, None] if names else np.zeros((0, 0), np.float32)
    return LabelTrace(np.concatenate(times), names, values, tuple(seen))
