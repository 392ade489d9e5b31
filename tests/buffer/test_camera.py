"""From items to windows."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim import (
    SMALL,
    Delay,
    Drift,
    Drop,
    Jitter,
    Jump,
    Play,
    Reconnect,
    SourceSim,
    Stall,
    empty_batch,
    shade,
    tone,
)

from edge.buffer.camera import CameraBuffer
from edge.buffer.microphone import MicrophoneBuffer
from edge.clock import VirtualClock
from edge.config.models import HealthConfig, WindowsConfig
from edge.demand import DecodeState, DecodeStatus, PictureDemand, WakeReason
from edge.metrics import Metrics
from edge.types import (
    NS_PER_MS,
    NS_PER_S,
    AudioChunk,
    Frame,
    Gap,
    LumaSample,
    MediaItem,
    SensorReading,
    Stream,
    Window,
    nanoseconds,
)

N = SMALL.audio.samples


@dataclass(frozen=True)
class Taken:
    """A window with what its row held, and when it was taken."""

    window: Window
    shades: tuple[int, ...]
    audio: np.ndarray
    at_ns: int


class Rig:
    """A buffer, its clock, and all windows taken from it."""

    def __init__(
        self, *, live: bool = False, newest: bool = False, windows: WindowsConfig | None = None, **kw: Any
    ) -> None:
        self.clock = VirtualClock()
        metrics = kw.pop("metrics", None) or Metrics()
        self.buffer = CameraBuffer(
            "gate", SMALL, self.clock, windows or WindowsConfig(), HealthConfig(), metrics, live=live, **kw
        )
        self.newest, self.live = newest, live
        self.batch = empty_batch(size=2)
        self.taken: list[Taken] = []

    def drain(self) -> None:
        now = self.clock.mono_ns()
        while (window := self.buffer.take(self.batch, 1, now, newest=self.newest)) is not None:
            self.check_row(window)
            shades = tuple(int(self.batch.frames[1, i, 0, 0, 0]) if ok else -1 for i, ok in enumerate(window.video_ok))
            self.taken.append(Taken(window, shades, self.batch.audio[1].copy(), now))
        assert self.buffer.due(now) == 0

    def check_row(self, window: Window) -> None:
        assert window.row == 1
        assert self.batch.video_ok[1].tolist() == [float(ok) for ok in window.video_ok]
        assert self.batch.audio_ok[1] == pytest.approx(window.audio_ok)
        assert (self.batch.video_ok[0] == 7).all(), "only its own row is written"
        assert (self.batch.audio[0] == 7).all()

    def play(self, items: Sequence[MediaItem], *, drain: bool = True) -> list[Taken]:
        for item in items:
            while drain and self.live and self.clock.mono_ns() + 50 * NS_PER_MS < item.arrival_ns:
                self.clock.advance(50 * NS_PER_MS)
                self.drain()
            self.clock.advance_to(item.arrival_ns)
            self.buffer.push(item)
            if drain:
                self.drain()
        return self.taken

    def finish(self) -> list[Taken]:
        self.buffer.finish()
        self.drain()
        return self.taken

    def idle(self, s: float) -> list[Taken]:
        for _ in range(round(s / 0.05)):
            self.clock.advance(50 * NS_PER_MS)
            self.drain()
        return self.taken


def content(taken: Sequence[Taken]) -> list[tuple[Any, ...]]:
    """All that must not depend on arrival."""
    return [
        (w.seq, w.media_end.epoch, w.video_ok, w.audio_ok, t.shades, t.audio.tobytes())
        for t in taken
        for w in (t.window,)
    ]


MOSTLY_COVERED = WindowsConfig(min_coverage=0.8)


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.6, 0.75])
@pytest.mark.parametrize("start_s", [0.0, 1000.0])
def test_a_recording_shorter_than_a_window_is_one_window(seconds: float, start_s: float) -> None:
    rig = Rig(video=False, windows=MOSTLY_COVERED)
    n = round(seconds * SMALL.audio.rate_hz)
    chunk = AudioChunk(nanoseconds(start_s), nanoseconds(seconds), np.full(n, 0.5, np.float32))
    rig.play([chunk])
    (only,) = rig.finish()
    assert only.window.is_whole
    assert only.window.coverage == 1.0
    assert only.window.audio_ok == pytest.approx(seconds / SMALL.audio.window_s, abs=0.01)
    assert np.count_nonzero(only.audio) == pytest.approx(n, abs=1), "nothing of it is cut off"


def test_a_longer_recording_has_no_window_more() -> None:
    rig = Rig(video=False, windows=MOSTLY_COVERED)
    n = round(1.1 * SMALL.audio.rate_hz)
    rig.play([AudioChunk(0, nanoseconds(1.1), np.full(n, 0.5, np.float32))])
    assert [t.window.seq for t in rig.finish()] == [2]
    assert not rig.taken[0].window.is_whole


def test_a_live_source_that_ends_early_is_no_recording() -> None:
    rig = Rig(live=True, video=False, windows=MOSTLY_COVERED)
    n = round(0.3 * SMALL.audio.rate_hz)
    rig.play([AudioChunk(0, nanoseconds(0.3), np.full(n, 0.5, np.float32))])
    assert not rig.finish()


def test_windows_hold_the_newest_media_up_to_their_end() -> None:
    rig = Rig()
    rig.play(SourceSim([Play(5.0)]).items())
    taken = rig.finish()
    assert [t.window.seq for t in taken] == list(range(1, 11))
    for t in taken:
        end_ms = t.window.seq * 500
        assert t.window.media_end.position_ns == end_ms * NS_PER_MS
        assert t.window.video_ok == (True, True)
        frames_ms = [k * round(NS_PER_S / 15) // NS_PER_MS for k in range(75)]
        expected = [max(ms for ms in frames_ms if ms <= end) for end in (end_ms - 250, end_ms)]
        assert t.shades == tuple(ms % 251 for ms in expected)
        have = min(N, t.window.seq * 4000)
        assert t.window.audio_ok == have / N
        assert (t.audio[N - have :] == tone(t.window.seq * 4000 - have, have)).all()
        assert (t.audio[: N - have] == 0).all()


@pytest.mark.parametrize("fps", [4.0, 7.0, 15.0, 25.0, 30.0])
def test_a_window_is_due_with_the_media_that_completes_it(fps: float) -> None:
    """With the picture chosen for its last point and the sound up to its end: nothing later is waited for."""
    items = SourceSim([Play(8.0)], fps=fps).items()
    rig = Rig(live=True)
    rig.play(items)
    pictures = [item for item in items if isinstance(item, Frame)]
    sounds = [(c.pts_ns + len(c.samples) * NS_PER_S // 8000, c.arrival_ns) for c in items if isinstance(c, AudioChunk)]
    for t in rig.taken[1:]:
        end_ns = t.window.media_end.pts_ns
        seen_ns = max((f for f in pictures if f.pts_ns <= end_ns + SMALL.slack_ns), key=lambda f: f.pts_ns).arrival_ns
        heard_ns = next(arrival_ns for until_ns, arrival_ns in sounds if until_ns + 62_500 >= end_ns)
        assert t.window.ready_ns == t.at_ns == max(seen_ns, heard_ns)


def test_a_picture_that_may_be_followed_by_a_better_one_is_not_the_last() -> None:
    rig = Rig(live=True, audio=False)
    rig.buffer.expect(video=True, audio=False)
    image = np.zeros((16, 32, 3), np.uint8)
    for ms in (0, 40, 80, 120, 160, 200, 240):
        rig.clock.advance_to(ms * NS_PER_MS)
        if ms in {0, 200, 240}:
            rig.buffer.push(Frame(ms * NS_PER_MS, ms * NS_PER_MS, image, (0.0, 0.0, 1.0, 1.0)))
        rig.buffer.push(LumaSample(ms * NS_PER_MS, ms * NS_PER_MS, 100.0))
        assert (
            rig.buffer.schedule.timeline.epoch.tracks[Stream.VIDEO].passed_ns >= 250 * NS_PER_MS if ms == 240 else True
        )
        if ms == 200:
            assert rig.buffer.schedule.timeline.epoch.tracks[Stream.VIDEO].passed_ns < 250 * NS_PER_MS


def test_late_windows_were_ready_when_they_were_late() -> None:
    rig = Rig(live=True, windows=WindowsConfig(max_lateness_s=1.0))
    rig.play(SourceSim([Play(3.0), Delay(Stream.AUDIO, 1.6), Play(5.0)]).items())
    late = next(t for t in rig.taken if t.window.seq == 10)
    assert late.window.ready_ns == late.window.t_end_ns + NS_PER_S
    assert 0 <= late.at_ns - late.window.ready_ns <= 60 * NS_PER_MS


@settings(max_examples=12, deadline=None)
@given(
    script=st.deferred(lambda: SCRIPTS), every=st.sampled_from([1, 2, 4]), phase=st.integers(0, 5), live=st.booleans()
)
def test_a_thinned_camera_has_some_of_the_windows_and_they_hold_the_same(
    script: list[Any], every: int, phase: int, live: bool
) -> None:
    whole, thinned = Rig(live=live), Rig(live=live)
    thinned.buffer.set_stride(every, phase)
    for rig in (whole, thinned):
        rig.play(SourceSim(script, seed=3).items())
        rig.finish()
    wanted = [t for t in whole.taken if t.window.seq % every == phase % every]
    assert content(thinned.taken) == content(wanted)
    assert thinned.buffer.skipped == 0
    facts = thinned.buffer.status(0)
    assert (facts.hop_s, facts.is_thinned) == (0.5 * every, every > 1)


def test_a_camera_whose_pictures_are_limited_is_thinned_at_any_hop() -> None:
    rig = Rig(live=True)
    rig.buffer.demand.status = DecodeStatus(DecodeState.LIMITED, WakeReason.PICTURE)
    assert rig.buffer.status(0).is_thinned


def test_windows_left_out_are_no_drops_and_both_are_counted() -> None:
    metrics = Metrics()
    rig = Rig(live=True, newest=True, metrics=metrics)
    rig.buffer.set_stride(4)
    rig.play(SourceSim([Play(10.3)]).items(), drain=False)
    assert rig.buffer.due(rig.clock.mono_ns()) == 5
    rig.drain()
    assert [t.window.seq for t in rig.taken] == [20]
    assert rig.buffer.skipped == 4
    assert metrics.registry.get_sample_value("edge_windows_left_out_total", {"camera": "gate"}) == 15
    assert metrics.registry.get_sample_value("edge_hop_seconds", {"camera": "gate"}) == 2.0
    rig.buffer.set_stride(1)
    rig.play(SourceSim([Play(12.0)]).items()[-200:])
    assert [t.window.seq for t in rig.taken][1:4] == [21, 22, 23]


JITTERS = st.one_of(
    st.floats(0, 0.4).map(lambda s: [Jitter(s), Play(6.0)]),
    st.floats(0, 0.5).map(lambda s: [Play(2.0), Delay(Stream.AUDIO, s), Play(4.0)]),
    st.floats(0, 0.5).map(lambda s: [Delay(Stream.VIDEO, s), Play(6.0)]),
    st.floats(0, 0.7).map(lambda s: [Play(1.3), Stall(s), Play(4.7)]),
    st.floats(-300, 300).map(lambda ppm: [Drift(ppm), Play(6.0)]),
)

SCRIPTS = st.one_of(
    JITTERS,
    st.floats(-60, 60).map(lambda s: [Play(2.3), Jump(s), Play(3.1)]),
    st.floats(0.1, 0.8).map(lambda s: [Play(2.2), Reconnect(s), Play(3.0)]),
)


@settings(max_examples=30, deadline=None)
@given(script=JITTERS, seed=st.integers(0, 99), live=st.booleans())
def test_same_media_gives_the_same_windows_however_it_arrives(script: list[Any], seed: int, live: bool) -> None:
    reference = Rig()
    reference.play(SourceSim([Play(6.0)]).items())
    rig = Rig(live=live)
    rig.play(SourceSim(script, seed=seed).items())
    assert content(rig.finish()) == content(reference.finish())


def test_live_file_and_replay_agree_on_an_offset_sound_track() -> None:
    sim = {"audio_first_s": 0.021, "pts_base_ns": 1_512_000_000, "fps": 7.0}
    fast, live = Rig(), Rig(live=True)
    fast.play(SourceSim([Play(6.0)], **sim).items())
    live.play(SourceSim([Jitter(0.3), Play(6.0)], **sim).items())
    assert content(fast.finish()) == content(live.finish())
    assert all(t.window.video_ok == (True, True) for t in fast.taken)


def test_t_end_is_the_local_time_of_the_windows_end() -> None:
    rig = Rig(live=True)
    rig.clock.advance(50 * NS_PER_S)
    items = SourceSim([Jitter(0.05), Play(10.0)]).items()
    shifted = [_later(item, 50 * NS_PER_S) for item in items]
    rig.play(shifted)
    for t in rig.taken[4:]:
        assert t.window.t_end_ns == pytest.approx(50 * NS_PER_S + t.window.media_end.pts_ns, abs=40 * NS_PER_MS)
    ends = [t.window.t_end_ns for t in rig.taken]
    assert all(b > a for a, b in pairwise(ends))


def _later(item: MediaItem, ns: int) -> MediaItem:
    match item:
        case Frame():
            return Frame(item.pts_ns, item.arrival_ns + ns, item.image, item.content)
        case LumaSample():
            return LumaSample(item.pts_ns, item.arrival_ns + ns, item.luma)
        case AudioChunk():
            return AudioChunk(item.pts_ns, item.arrival_ns + ns, item.samples)
        case Gap():
            return Gap(item.reason, item.arrival_ns + ns)


def test_late_sound_is_waited_for_only_so_long() -> None:
    rig = Rig(live=True, windows=WindowsConfig(max_lateness_s=1.0))
    rig.play(SourceSim([Play(3.0), Delay(Stream.AUDIO, 1.6), Play(5.0)]).items())
    by_seq = {t.window.seq: t for t in rig.taken}
    late = by_seq[10]
    assert late.at_ns - late.window.t_end_ns == pytest.approx(1.0 * NS_PER_S, abs=0.15 * NS_PER_S)
    assert late.window.video_ok == (True, True)
    assert 0.0 < late.window.audio_ok < 1.0


@pytest.mark.parametrize("stream", list(Stream))
@pytest.mark.parametrize("live", [False, True])
def test_a_stream_that_never_delivers_is_not_waited_for(stream: Stream, live: bool) -> None:
    sim = SourceSim([Play(6.0)], video=stream is not Stream.VIDEO, audio=stream is not Stream.AUDIO)
    rig = Rig(live=live)
    rig.play(sim.items())
    last = rig.taken[-1]
    assert last.window.seq >= 11
    assert last.at_ns - last.window.t_end_ns < 0.3 * NS_PER_S, "absence is known by now"
    assert last.window.audio_ok == (0.0 if stream is Stream.AUDIO else 1.0)
    assert last.window.video_ok == ((False,) * 2 if stream is Stream.VIDEO else (True,) * 2)


def test_known_absence_costs_nothing() -> None:
    rig = Rig(live=True)
    rig.buffer.expect(video=True, audio=False)
    rig.play(SourceSim([Play(2.0)], audio=False).items())
    assert [t.window.seq for t in rig.taken] == [1, 2, 3]
    assert all(t.at_ns - t.window.t_end_ns < 0.2 * NS_PER_S for t in rig.taken)
    assert rig.buffer.status(0).audio is None


def test_sound_that_stops_delays_no_more_than_once() -> None:
    rig = Rig(live=True)
    rig.play(SourceSim([Play(4.0), Drop(Stream.AUDIO, 6.0), Play(10.0)]).items())
    by_seq = {t.window.seq: t for t in rig.taken}
    assert by_seq[18].at_ns - by_seq[18].window.t_end_ns < 0.2 * NS_PER_S
    assert by_seq[18].window.audio_ok == 0.0
    assert by_seq[26].window.audio_ok == 1.0, "and it is used again once it is back"


def test_picture_that_comes_late_moves_the_windows_onto_its_grid() -> None:
    rig = Rig()
    rig.play(SourceSim([Play(9.0)], video_first_s=4.13, fps=7).items())
    taken = rig.finish()
    whole = [t for t in taken if t.window.seq >= 11][:-1]
    assert whole
    assert all(t.window.video_ok == (True, True) for t in whole)
    assert all(t.window.audio_ok == 1.0 for t in whole)


def test_announced_jump_is_a_new_epoch_and_nothing_is_lost() -> None:
    rig = Rig()
    rig.play(SourceSim([Play(3.2), Jump(-100.0), Play(3.0)]).items())
    taken = rig.finish()
    assert [(t.window.media_end.epoch, t.window.seq) for t in taken] == [(0, s) for s in range(1, 7)] + [
        (1, s) for s in range(7, 13)
    ]
    first = next(t for t in taken if t.window.media_end.epoch == 1)
    assert first.window.audio_ok == 0.5, "no sound from before the jump"
    assert (first.audio[: N // 2] == 0).all()
    ends = [t.window.t_end_ns for t in taken]
    assert all(b > a for a, b in pairwise(ends))


def test_unannounced_jump_of_a_live_clock_is_found() -> None:
    rig = Rig(live=True)
    rig.play(SourceSim([Play(3.2), Jump(50.0, announced=False), Play(3.0)]).items())
    assert rig.taken[-1].window.media_end.epoch >= 1
    assert rig.taken[-1].window.audio_ok == 1.0
    assert rig.taken[-1].window.seq < 20, "a leap of the media clock is no time"


def test_reconnect_goes_on_with_whole_windows() -> None:
    rig = Rig(live=True)
    rig.play(SourceSim([Play(3.0), Reconnect(7.0), Play(4.0)]).items())
    after = [t for t in rig.taken if t.window.media_end.epoch == 1]
    assert [t.window.audio_ok for t in after][:2] == [0.5, 1.0]
    assert all(t.window.video_ok == (True, True) for t in after)
    seqs = [t.window.seq for t in rig.taken]
    assert seqs == sorted(set(seqs))


def test_unrelated_pts_of_picture_and_sound_are_joined_by_arrival() -> None:
    rig = Rig(live=True)
    rig.play(SourceSim([Play(10.0)], audio_base_ns=1000 * NS_PER_S).items())
    last = rig.taken[-1]
    assert last.window.video_ok == (True, True)
    assert last.window.audio_ok == 1.0
    near_ms = last.window.media_end.pts_ns // NS_PER_MS
    media_ms = next(ms for ms in range(near_ms, 0, -1) if shade(ms * NS_PER_MS) == last.shades[1])
    assert _position(last.audio[-20:], media_ms * 8) / 8000 == pytest.approx(media_ms / 1000, abs=0.15)


def test_too_little_media_is_a_hole_not_a_zero() -> None:
    rig = Rig(live=True, windows=WindowsConfig(min_coverage=0.6))
    rig.play(SourceSim([Play(2.0), Drop(Stream.VIDEO, 3.0), Drop(Stream.AUDIO, 3.0), Play(6.0)]).items())
    seqs = [t.window.seq for t in rig.taken]
    assert 8 not in seqs
    assert {3, 4, 13} <= set(seqs)
    assert rig.buffer.status(0).drops["coverage"] == 13 - len([s for s in seqs if s <= 13])


@pytest.mark.parametrize("hole_s", [3.0, 25.0])
def test_windows_that_lack_what_a_box_that_is_behind_left_out_are_scored_seldom(hole_s: float) -> None:
    demand = PictureDemand()
    rig = Rig(live=True, demand=demand)
    media = SourceSim([Play(6.0), Drop(Stream.AUDIO, hole_s), Play(hole_s + 6.0)]).items()
    began_ns = media[0].arrival_ns
    demand.left_out_ns = began_ns + nanoseconds(6.0 + hole_s)
    taken = rig.play(media)
    in_hole = [t for t in taken if 6.5e9 < t.window.t_end_ns - began_ns < (6.0 + hole_s) * NS_PER_S]
    assert len(in_hole) == int(hole_s / 10)
    whole = [t for t in taken if t not in in_hole and t.window.seq > 1]
    assert all(t.window.audio_ok == 1.0 for t in whole)
    assert len(whole) >= 2 * (6 + 6) - 6
    assert rig.buffer.status(0).drops["coverage"] >= 2 * (hole_s - hole_s / 10) - 1


def test_dead_source_makes_holes_and_no_windows() -> None:
    rig = Rig(live=True)
    rig.play(SourceSim([Play(2.0)]).items())
    n = len(rig.taken)
    rig.idle(30.0)
    assert len(rig.taken) <= n + 2
    assert rig.buffer.status(rig.clock.mono_ns()).video.age_s > 29


def test_engine_behind_jumps_to_the_newest_and_counts() -> None:
    rig = Rig(live=True, newest=True)
    rig.play(SourceSim([Play(3.3)]).items(), drain=False)
    assert rig.buffer.due(rig.clock.mono_ns()) == 6
    rig.drain()
    assert [t.window.seq for t in rig.taken] == [6]
    assert rig.buffer.status(0).drops["engine"] == 5


def test_pushing_more_than_fits_without_taking_is_refused_on_one_thread() -> None:
    rig = Rig()
    rig.drain()
    with pytest.raises(RuntimeError, match="take what is due"):
        rig.play(SourceSim([Play(60.0)]).items(), drain=False)


def test_recording_waits_for_a_slow_engine_and_loses_nothing() -> None:
    reference = Rig()
    reference.play(SourceSim([Play(30.0)]).items())
    rig = Rig()

    def push() -> None:
        for item in SourceSim([Play(30.0)]).items():
            rig.buffer.push(item)
        rig.buffer.finish()

    pusher = threading.Thread(target=push)
    pusher.start()
    while pusher.is_alive():
        rig.drain()
        pusher.join(0.02)
    rig.drain()
    assert content(rig.taken) == content(reference.finish())


def test_closing_frees_a_waiting_push() -> None:
    rig = Rig()
    pusher = threading.Thread(
        target=lambda: [rig.buffer.push(item) for item in SourceSim([Play(30.0)]).items()], daemon=True
    )
    pusher.start()
    pusher.join(0.3)
    assert pusher.is_alive()
    rig.buffer.close()
    pusher.join(20)
    assert not pusher.is_alive()


def test_wake_is_called_when_a_window_came_due() -> None:
    calls: list[int] = []
    rig = Rig(live=True, wake=lambda: calls.append(1))
    rig.play(SourceSim([Play(2.2)]).items())
    assert len(calls) == len(rig.taken) == 4


@pytest.mark.parametrize("ppm", [-300.0, 0.0, 300.0])
def test_outer_microphone_is_heard_on_the_cameras_axis(ppm: float) -> None:
    microphone = MicrophoneBuffer("hall", SMALL, HealthConfig())
    rig = Rig(live=True, microphone=microphone)
    seconds_played = 90.0
    camera = SourceSim([Jitter(0.02), Play(seconds_played)], audio=False).items()
    heard = SourceSim([Drift(ppm), Jitter(0.02), Play(seconds_played)], video=False, seed=5).items()
    both = sorted(
        [(item.arrival_ns, 0, k, item) for k, item in enumerate(camera)]
        + [(item.arrival_ns, 1, k, item) for k, item in enumerate(heard)],
        key=lambda entry: entry[:3],
    )
    for at_ns, is_sound, _, item in both:
        rig.clock.advance_to(at_ns)
        if is_sound:
            microphone.push(item)
        else:
            rig.buffer.push(item)
        rig.drain()
    late = [t for t in rig.taken if t.window.seq > 10]
    assert len(late) > 150
    assert all(t.window.audio_ok > 0.97 for t in late)
    for t in late[::10]:
        true_s = t.window.media_end.pts_ns / NS_PER_S
        position = _position(t.audio[-20:], round(true_s * (1 + ppm * 1e-6) * 8000))
        assert position / 8000 / (1 + ppm * 1e-6) == pytest.approx(true_s, abs=0.04)


def _position(samples: np.ndarray, near: int) -> int:
    """Where these samples of `tone` end."""
    for distance in range(8000):
        for end in (near + distance, near - distance):
            if end >= len(samples) and (tone(end - len(samples), len(samples)) == samples).all():
                return end
    raise AssertionError("not found")


def test_microphone_alone_makes_windows() -> None:
    microphone = MicrophoneBuffer("hall", SMALL, HealthConfig())
    rig = Rig(live=True, video=False, microphone=microphone)
    for item in SourceSim([Play(4.0)], video=False).items():
        rig.clock.advance_to(item.arrival_ns)
        microphone.push(item)
        rig.drain()
    assert [t.window.audio_ok for t in rig.taken][1:4] == [1.0, 1.0, 1.0]
    assert rig.taken[-1].window.video_ok == (False, False)
    assert rig.buffer.status(0).video is None


def test_silent_outer_microphone_costs_lateness_but_no_windows() -> None:
    rig = Rig(live=True, microphone=MicrophoneBuffer("hall", SMALL, HealthConfig()))
    rig.play(SourceSim([Play(4.0)], audio=False).items())
    assert [t.window.seq for t in rig.taken] == [1, 2, 3, 4, 5]
    assert all(t.window.audio_ok == 0.0 for t in rig.taken)


def test_camera_told_to_ignore_its_sound() -> None:
    rig = Rig(audio=False)
    rig.play(SourceSim([Play(3.0)]).items())
    assert [t.window.audio_ok for t in rig.finish()] == [0.0] * 6


def test_sensors_are_scaled_and_go_stale() -> None:
    rig = Rig(live=True, sensors={"temperature": 3.0, "light": 600.0})
    rig.buffer.push_sensor(SensorReading("temperature", nanoseconds(0.9), 35.0))
    rig.buffer.push_sensor(SensorReading("nonsense", 0, 1.0))
    rig.play(SourceSim([Play(6.0)]).items())
    oks = {t.window.seq: t.window.sensor_ok for t in rig.taken}
    assert oks[1] == (False, False), "not before it came"
    assert oks[2] == (True, False)
    assert oks[10] == (False, False), "stale"
    rig.buffer.push_sensor(SensorReading("temperature", rig.clock.mono_ns(), 35.0))
    rig.clock.advance(NS_PER_S)
    rig.idle(2.0)
    assert rig.batch.sensors[1].tolist() in ([1.5, 0.0], [0.0, 0.0])


def test_drift_and_rates_are_published() -> None:
    rig = Rig(live=True)
    rig.play(SourceSim([Drift(200.0), Jitter(0.01), Play(200.0)]).items())
    facts = rig.buffer.status(rig.clock.mono_ns())
    assert facts.video is not None
    assert facts.audio is not None
    assert facts.video.rate_hz == pytest.approx(15, rel=0.1)
    assert facts.audio.rate_hz == pytest.approx(8000, rel=0.1)
    assert facts.video.drift_ppm == pytest.approx(200, abs=60)
    assert facts.video.age_s < 0.2
    assert facts.drops["torn"] == 0
