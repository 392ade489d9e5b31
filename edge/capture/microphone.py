"""A sound card's input through PortAudio.

PortAudio's callback writes into a preallocated ring; the capture thread reads it. Its overflow flag never fires, so
`SampleCounter` finds lost samples by counting samples against the clock.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from edge.capture.portaudio import CallThread, start_stream, stop_stream
from edge.capture.sound import Resampler
from edge.clock import Clock
from edge.config.sources import MicrophoneConfig
from edge.engine.manifest import Geometry
from edge.errors import SourceError
from edge.metrics import Metrics
from edge.types import F32, NS_PER_MS, NS_PER_S, Gap, MediaItem, seconds

_log = logging.getLogger(__name__)
_BLOCK_S = 0.04
_RING_S = 4.0
_OPEN_S = 10.0
_CLOSE_S = 1.0
_STALL_S = 3.0
_LOST_NS = 100 * NS_PER_MS
_LASTING_NS = NS_PER_S
_CREEP = 1000e-6  # a sound card's clock is never this far off


class CallbackRing:
    """Ring between the sound library's callback and the capture thread: f32 mono."""

    def __init__(self, capacity: int, clock: Clock) -> None:
        self._samples: F32 = np.zeros(capacity, np.float32)
        self._clock = clock
        self._head = (0, 0)  # (samples written, time of the last); replaced as a whole
        self._read = 0
        self.has_data = threading.Event()
        self.finished = threading.Event()

    @property
    def last_ns(self) -> int:
        """When the newest samples arrived; 0 before the first."""
        return self._head[1]

    def write(self, block: F32) -> None:
        """Copy f32[n,channels] in, from the callback; never waits."""
        written, n, capacity = self._head[0], len(block), len(self._samples)
        at = written % capacity
        first = min(n, capacity - at)
        np.mean(block[:first], axis=1, out=self._samples[at : at + first])
        if first < n:
            np.mean(block[first:], axis=1, out=self._samples[: n - first])
        self._head = (written + n, self._clock.mono_ns())
        self.has_data.set()

    def read(self) -> tuple[F32, int, int]:
        """All new samples as f32[n], how many before them were overwritten unread, and when they arrived."""
        written, arrival_ns = self._head
        capacity = len(self._samples)
        lost = max(0, written - self._read - capacity // 2)
        start = self._read + lost
        at, n = start % capacity, written - start
        first = min(n, capacity - at)
        out = np.concatenate((self._samples[at : at + first], self._samples[: n - first]))
        self._read = written
        return out, lost, arrival_ns


class MicrophoneSource:
    """The sound card input that ``config`` names; each `items` opens it again."""

    def __init__(self, name: str, config: MicrophoneConfig, geometry: Geometry, clock: Clock, metrics: Metrics) -> None:
        self.name = name
        self.live = True
        self.has_video = False
        self.has_audio = False
        self._config = config
        self._rate_hz = geometry.audio.rate_hz
        self._clock = clock
        self._stage = metrics.stage
        self._lost = metrics.drops.labels(name, "samples")
        self._gaps = metrics.gaps.labels(name, "samples")
        self._call_thread: CallThread | None = None
        self._closed = threading.Event()

    def items(self) -> Generator[MediaItem, None, None]:
        """Open and read until closed; SourceError when there is no such input, or no samples arrive for 3 s."""
        self._closed.clear()
        call_thread = self._call_thread or CallThread()
        self._call_thread = call_thread
        try:
            stream, ring = call_thread.call(self._start, _OPEN_S)
        except SourceError as error:
            self._call_thread = None
            call_thread.end()
            raise SourceError(f"microphone {self.name}: {error}") from None
        self.has_audio = True
        try:
            yield from self._read(ring, round(stream.samplerate))
        finally:
            self._stop(call_thread, stream)

    def close(self) -> None:
        """Ask `items` to end soon."""
        self._closed.set()

    def _read(self, ring: CallbackRing, rate_hz: int) -> Iterator[MediaItem]:
        resampler = Resampler(self._rate_hz)
        count = SampleCounter(rate_hz)
        opened_ns = self._clock.mono_ns()
        while not self._closed.is_set():
            ring.has_data.wait(_BLOCK_S * 2)
            ring.has_data.clear()
            samples, overwritten, arrival_ns = ring.read()
            if len(samples):
                lost, pts_ns = count.add(len(samples), overwritten, arrival_ns)
                if lost:
                    self._lost.inc(lost)
                    if lost > rate_hz // 2:
                        self._gaps.inc()
                        yield from resampler.flush(arrival_ns)
                        yield Gap("samples", arrival_ns)
                with self._stage("sound"):
                    chunks = resampler.push(samples, rate_hz, pts_ns, arrival_ns)
                yield from chunks
            elif ring.finished.is_set():
                raise SourceError(f"microphone {self.name}: the sound server closed it; is it running?")
            elif seconds(self._clock.mono_ns() - max(opened_ns, ring.last_ns)) > _STALL_S:
                raise SourceError(f"microphone {self.name}: no samples for {_STALL_S:g} s; the sound server hangs")

    def _start(self) -> tuple[Any, CallbackRing]:
        """On the helper thread: find the input, open and start it."""
        made: list[CallbackRing] = []

        def make(sd: Any) -> Any:
            device = self._find_input(sd)
            rate_hz = self._choose_rate(sd, device)
            ring = CallbackRing(round(_RING_S * rate_hz), self._clock)
            made.append(ring)
            return sd.InputStream(
                device=device,
                samplerate=rate_hz,
                channels=self._config.channels,
                dtype="float32",
                blocksize=round(_BLOCK_S * rate_hz),
                callback=lambda block, _n, _time, _status: ring.write(block),
                finished_callback=ring.finished.set,
            )

        try:
            stream = start_stream(make)
        except SourceError:
            raise
        except Exception as error:
            if type(error).__name__ not in {"PortAudioError", "ValueError"}:
                raise
            raise SourceError(f"cannot be opened ({error}); see `edge devices`") from None
        return stream, made[0]

    def _find_input(self, sd: Any) -> int | None:
        wanted = self._config.name
        if wanted is None:
            return None
        inputs = [d for d in sd.query_devices() if d["max_input_channels"] > 0]
        for device in inputs:
            if device["index"] == wanted or (isinstance(wanted, str) and wanted.lower() in device["name"].lower()):
                return int(device["index"])
        there = ", ".join(repr(d["name"]) for d in inputs) or "none"
        raise SourceError(f"there is no input {wanted!r}; there is: {there}")

    def _choose_rate(self, sd: Any, device: int | None) -> int:
        """The configured rate, or the model's if the card supports it, or the card's own."""
        if self._config.rate_hz is not None:
            return self._config.rate_hz
        try:
            sd.check_input_settings(device, self._config.channels, "float32", samplerate=self._rate_hz)
        except sd.PortAudioError:
            return int(sd.query_devices(device, "input")["default_samplerate"])
        return self._rate_hz

    def _stop(self, call_thread: CallThread, stream: Any) -> None:
        try:
            call_thread.call(lambda: stop_stream(stream), _CLOSE_S)
        except SourceError:
            # Closing hangs as long as the server does. The thread is abandoned; the next try gets a new one.
            _log.debug("%s: closing the input hangs; left behind", self.name)
            call_thread.end()
            self._call_thread = None


class SampleCounter:
    """Derives pts from the count of samples, with jumps where samples were lost.

    Lateness is arrival minus the time of the count. Jitter only adds to it, so its least value over the last second is
    constant (except for the card's drift) as long as nothing is lost. A rise by more than 0.1 s is that much loss.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._position = 0
        self._recent: deque[tuple[int, int]] = deque()
        self._least_ns: int | None = None
        self._at_ns = 0

    def add(self, n: int, overwritten: int, arrival_ns: int) -> tuple[int, int]:
        """Add ``n`` samples, after ``overwritten`` known to be lost; all lost before them, and the pts of the first."""
        lost = overwritten
        self._position += overwritten
        late_ns = arrival_ns - self._time_ns(self._position + n)
        self._recent.append((arrival_ns, late_ns))
        while self._recent[0][0] < arrival_ns - _LASTING_NS:
            self._recent.popleft()
        lost += self._detect_loss(arrival_ns)
        pts_ns = self._time_ns(self._position)
        self._position += n
        return lost, pts_ns

    def _detect_loss(self, arrival_ns: int) -> int:
        now_ns = min(late for _, late in self._recent)
        if self._least_ns is None:
            self._least_ns, self._at_ns = now_ns, arrival_ns
        is_whole = arrival_ns - self._recent[0][0] >= _LASTING_NS * 3 // 4
        creep_ns = int((arrival_ns - self._at_ns) * _CREEP)
        self._at_ns = arrival_ns
        if is_whole and now_ns - self._least_ns > _LOST_NS:
            lost = (now_ns - self._least_ns) * self._rate_hz // NS_PER_S
            self._position += lost
            shift_ns = self._time_ns(lost)
            self._recent = deque((at, late - shift_ns) for at, late in self._recent)
            return lost
        self._least_ns = min(now_ns, self._least_ns + creep_ns)
        return 0

    def _time_ns(self, samples: int) -> int:
        return samples * NS_PER_S // self._rate_hz
