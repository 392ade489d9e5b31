"""What people at the page hear: all of it where speech may be heard, else silence wherever somebody may speak."""

from __future__ import annotations

import numpy as np
import pytest
from media_times import at

from edge.clock import VirtualClock
from edge.evidence.clips.speech_mute import MARGIN_NS, SPEECH_TAGS
from edge.node.live_state import LISTENER_TIMEOUT_NS, LiveAudio
from edge.types import F32, NS_PER_S, Features, Scores

RATE = 1000
WINDOW_S = 2.0
SAFE_S = WINDOW_S + MARGIN_NS / NS_PER_S  # until every window is scored that may tell


class Site:
    """Sound whose sample number n is n / 1e6, windows every half second, scored a quarter of a second late."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.live = LiveAudio(self.newest, RATE, round(WINDOW_S * NS_PER_S), self.clock)
        self.heard: dict[int, float] = {}
        self.next = -1

    def newest(self, out: F32) -> int:
        end = self.clock.mono_ns() * RATE // NS_PER_S
        out[:] = (np.arange(end - len(out), end) / 1e6).clip(0)
        return end

    def run(
        self, until_s: float, spoken: tuple[float, float] = (0, 0), *, speech: bool = False, asks: bool = True
    ) -> None:
        """Score and listen every half second; somebody speaks in ``spoken``."""
        while (now_s := self.clock.mono_ns() / NS_PER_S) < until_s:
            end_s = now_s - 0.25
            is_speech = end_s - WINDOW_S < spoken[1] and end_s > spoken[0]
            self.live.observe(scores(end_s, is_speech=is_speech))
            if asks:
                self.listen(speech=speech)
            self.clock.advance(NS_PER_S // 2)

    def listen(self, *, speech: bool = False) -> None:
        heard = self.live.samples_after(self.next, speech=speech)
        first = heard.next - len(heard.samples)
        assert self.next in {-1, first}, "nothing is left out and nothing comes twice"
        self.heard.update(enumerate(heard.samples.tolist(), first))
        self.next = heard.next if len(heard.samples) else self.next

    def is_silent(self, begin_s: float, end_s: float) -> bool:
        return not any(self.heard[n] for n in range(round(begin_s * RATE), round(end_s * RATE)))

    def is_true(self, begin_s: float, end_s: float) -> bool:
        span = range(round(begin_s * RATE), round(end_s * RATE))
        return np.allclose([self.heard[n] for n in span], np.array(span) / 1e6)


def scores(end_s: float, *, is_speech: bool) -> Scores:
    tags = np.zeros(527, np.float32)
    tags[SPEECH_TAGS[0]] = 0.6 if is_speech else 0.01
    nothing = np.zeros(0, np.float32)
    end_ns = round(end_s * NS_PER_S)
    return Scores(
        "gate", 0, end_ns, at(end_ns), {}, {}, nothing, (), {}, 1.0, True, True, "toy",
        Features(tags, nothing, nothing, nothing, nothing, nothing, nothing),
    )  # fmt: skip


def test_where_speech_may_be_heard_it_is_the_newest_sound() -> None:
    site = Site()
    site.clock.advance(20 * NS_PER_S)
    site.listen(speech=True)
    assert (min(site.heard), site.next) == (19_500, 20_000)
    site.run(30, spoken=(22, 24), speech=True)
    assert site.is_true(19.5, 29.5)


def test_else_it_is_silent_where_somebody_speaks_and_some_seconds_late() -> None:
    site = Site()
    site.clock.advance(20 * NS_PER_S)
    site.run(40, spoken=(30.0, 32.0))
    assert site.next / RATE == pytest.approx(39.25 - SAFE_S, abs=0.01)
    assert site.is_silent(29.5, 32.5), "with a margin"
    assert site.is_true(24.0, 27.4)
    assert site.is_true(34.6, 36.7)


def test_what_the_model_did_not_listen_to_is_not_given() -> None:
    site = Site()
    site.clock.advance(20 * NS_PER_S)
    site.listen()
    assert site.next == -1
    site.clock.advance(5 * NS_PER_S)
    site.listen()
    assert site.heard == {}, "no window, no sound"
    site.run(31)
    told = site.next
    site.clock.advance(3 * NS_PER_S)
    site.listen()
    assert site.next == told, "the engine is behind: so is the sound"


def test_nothing_is_noted_while_nobody_listens() -> None:
    site = Site()
    site.run(20, asks=False)
    assert site.live.windows_noted == 0
    site.run(30)
    assert site.live.windows_noted > 10
    site.clock.advance(LISTENER_TIMEOUT_NS)
    site.run(60, asks=False)
    assert site.live.windows_noted == 0


def test_a_source_that_begins_anew_is_listened_to_anew() -> None:
    site = Site()
    site.clock.advance(20 * NS_PER_S)
    site.run(30)
    far = site.live.samples_after(10**9, speech=False)
    assert far.next <= site.next + RATE
    assert len(far.samples) <= RATE // 2
