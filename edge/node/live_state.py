"""One camera's sound as people at the page may hear it: silent where somebody may be speaking, as clips are.

Without leave to hear speech a sample is given only when every window that can tell of it was scored: about three
seconds late, and nothing at all while the model does not listen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from edge.clock import Clock
from edge.evidence.clips.speech_mute import MARGIN_NS, SpeechFlag, may_be_speech, speech_spans
from edge.media_time import MediaTime
from edge.types import F32, NS_PER_S, Scores
from edge.web.backend import LiveSamples

MOST_S = 2.0
LONGEST_S = 7.0
LISTENER_TIMEOUT_NS = 10 * NS_PER_S
_NO_SAMPLES = np.zeros(0, np.float32)


class LiveAudio:
    """``newest(out)`` fills f32[n] with the newest samples at ``rate_hz`` and says how many were heard so far;
    ``window_ns`` is how much sound a window has. `observe` on the engine thread, `samples_after` on any."""

    def __init__(self, newest: Callable[[F32], int], rate_hz: int, window_ns: int, clock: Clock) -> None:
        self._newest, self._rate, self._window_ns, self._clock = newest, rate_hz, window_ns, clock
        self._windows: deque[SpeechFlag] = deque(maxlen=64)  # on the axis of the samples heard so far
        self._requested_ns: int | None = None

    def observe(self, scores: Scores) -> None:
        """Note whether somebody may speak in a window that was just scored; nothing while nobody listens."""
        now_ns = self._clock.mono_ns()
        if self._requested_ns is None or now_ns - self._requested_ns > LISTENER_TIMEOUT_NS:
            self._windows.clear()
            return
        end = self._time(self._newest(_NO_SAMPLES)) + -max(0, now_ns - scores.t_end_ns)
        if self._windows and end <= self._windows[-1][0]:
            self._windows.clear()  # the sound began anew
        self._windows.append((end, may_be_speech(scores)))

    def samples_after(self, after: int, *, speech: bool) -> LiveSamples:
        """The samples from number ``after`` on, at most two seconds; the newest ones where that is none of them."""
        self._requested_ns = self._clock.mono_ns()
        windows = tuple(self._windows.copy())
        end = self._newest(_NO_SAMPLES)
        limit = end if speech else self._scored_until(windows)
        first = max(0, limit - round(MOST_S * self._rate), end - round(LONGEST_S * self._rate))
        begin = after if first <= after <= limit else max(first, limit - self._rate // 2)
        if begin >= limit:
            return LiveSamples(max(0, limit), _NO_SAMPLES)
        samples = np.zeros(end - begin, np.float32)
        begin += self._newest(samples) - end  # more came meanwhile
        samples = samples[: max(0, limit - begin)]
        if not speech:
            self._silence(samples, begin, windows)
        return LiveSamples(begin + len(samples), samples)

    def _scored_until(self, windows: Sequence[SpeechFlag]) -> int:
        """Up to which sample every window is scored that may tell of speech there."""
        if not windows:
            return 0
        return max(0, (windows[-1][0].pts_ns - self._window_ns - MARGIN_NS) * self._rate // NS_PER_S)

    def _silence(self, samples: F32, begin: int, windows: Sequence[SpeechFlag]) -> None:
        span = self._time(begin), self._time(begin + len(samples))
        for ends in speech_spans(windows, span, self._window_ns):
            first, last = (round(time.pts_ns * self._rate / NS_PER_S) - begin for time in ends)
            samples[max(0, first) : max(0, last)] = 0.0

    def _time(self, position: int) -> MediaTime:
        """A sample's time on the axis of the samples heard so far."""
        return MediaTime(0, position * NS_PER_S // self._rate)
