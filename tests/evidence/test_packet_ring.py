"""The packet ring: what a cut holds, what is let go, and how connections are told apart."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.capture.base import SourceOptions
from edge.capture.packet_sink import JpegPacketFeed, PcmPacketFeed
from edge.capture.registry import open_source
from edge.clock import VirtualClock
from edge.config.sources import FileSourceConfig
from edge.engine.manifest import find_folder, load_folder
from edge.evidence.clips.packet_ring import PacketRange, PacketRing
from edge.media_time import MediaTime
from edge.metrics import Metrics
from edge.types import NS_PER_S, AudioChunk, EpochStart, Frame, Gap, Packet, Stream

S = NS_PER_S
SAMPLE = Path(__file__).resolve().parent.parent.parent / "samples" / "yard.mp4"


def picture(t_s: float, *, key: bool, late_s: float = 0.1, size: int = 1000) -> Packet:
    t = round(t_s * S)
    return Packet(Stream.VIDEO, t, t, S // 10, t + round(late_s * S), key, bytes(size))


def sound(t_s: float, late_s: float = 0.2) -> Packet:
    t = round(t_s * S)
    return Packet(Stream.AUDIO, t, t, S // 10, t + round(late_s * S), True, b"s")


def filled(seconds: int, tape: PacketRing, start_s: int = 0, late_s: float = 0.1, epoch: int | None = 0) -> PacketRing:
    """Ten pictures and ten blocks of sound a second, a key picture every two seconds, as one epoch."""
    for i in range(seconds * 10):
        t_s = start_s + i / 10
        tape.push(picture(t_s, key=i % 20 == 0, late_s=late_s))
        if i == 0 and epoch is not None:
            tape.start_epoch(EpochStart(epoch, Stream.VIDEO, round(t_s * S)))
        tape.push(sound(t_s, late_s + 0.1))
    return tape


def t(s: float, epoch: int = 0) -> MediaTime:
    return MediaTime(epoch, round(s * S))


def opened(before_s: float = 5, most_bytes: int = 1 << 30, *, own_axis: bool = False) -> PacketRing:
    tape = PacketRing(before_s, most_bytes, own_axis=own_axis)
    tape.begin(b"template")
    return tape


def test_a_cut_starts_at_the_key_picture_before_and_ends_with_the_last_one_inside() -> None:
    cut = filled(20, opened()).extract(t(5), t(9), round(5.1 * S))
    assert cut is not None
    pictures = [p.pts_ns for p in cut.packets if p.stream is Stream.VIDEO]
    assert (pictures[0], pictures[-1]) == (4 * S, round(8.9 * S))
    assert cut.packets[0].is_key
    sounds = [p.pts_ns for p in cut.packets if p.stream is Stream.AUDIO]
    assert (sounds[0], sounds[-1]) == (5 * S, round(8.9 * S))
    assert (cut.begin_ns, cut.end_ns) == (5 * S, 9 * S)


def test_a_tape_that_began_later_says_so() -> None:
    tape = filled(10, opened(), start_s=100)
    cut = tape.extract(t(95), t(103), round(95.1 * S))
    assert cut is not None
    assert cut.begin_ns == 100 * S
    assert tape.extract(t(200), t(210), round(200.1 * S)) is None


def test_old_packets_go_unless_they_are_held() -> None:
    tape = filled(60, opened(before_s=5))
    assert tape.extract(t(10), t(12), round(10.1 * S)) is None
    held = opened(before_s=5)
    held.hold(round(10.1 * S))
    cut = filled(60, held).extract(t(10), t(12), round(10.1 * S))
    assert cut is not None
    held.hold(None)
    filled(1, held, start_s=60)
    assert held.extract(t(10), t(12), round(10.1 * S)) is None


@given(most=st.integers(3000, 60_000), seconds=st.integers(1, 30))
def test_memory_is_bounded_also_when_everything_is_held(most: int, seconds: int) -> None:
    tape = opened(most_bytes=most)
    tape.hold(0)
    filled(seconds, tape)
    assert sum(len(packet.data) for packet in tape.packets) == tape.size_bytes <= most


def test_a_clock_that_starts_over_is_another_run() -> None:
    tape = opened()
    filled(8, tape, late_s=100, epoch=0)
    filled(8, tape, late_s=110, epoch=1)  # the camera restarted: the same pts, ten seconds later
    first, second = (tape.extract(t(2, epoch), t(3, epoch), 0) for epoch in (0, 1))
    assert first is not None
    assert second is not None
    assert {p.arrival_ns // S for p in first.packets} == {102, 103}
    assert {p.arrival_ns // S for p in second.packets} == {112, 113}


def test_a_main_stream_is_related_by_local_time_alone() -> None:
    tape = filled(20, opened(own_axis=True), start_s=5000, late_s=-4000)  # local time is pts - 4000 s
    cut = tape.extract(t(7), t(9), 1008 * S)
    assert cut is not None
    assert (cut.begin_ns, cut.end_ns) == (5008 * S, 5010 * S)


def test_what_a_recording_sends_can_be_muxed_again() -> None:
    geometry = load_folder(find_folder("fused")).manifest.geometry
    tape = PacketRing(5, 1 << 30)
    tape.hold(0)
    file = FileSourceConfig(type="file", path=SAMPLE, pace="fast")
    source = open_source("yard", file, geometry, VirtualClock(), Metrics(), Path(), SourceOptions(packet_sink=tape))
    for item in source.items():
        if isinstance(item, Frame) and item.pts_ns == 0:
            tape.start_epoch(EpochStart(0, Stream.VIDEO, 0))
        if item.arrival_ns > 12 * S:
            break
    source.close()
    cut = tape.extract(t(3), t(8), 3 * S)
    assert cut is not None
    with av.open(io.BytesIO(cut.template)) as template:
        assert [s.type for s in template.streams] == ["video", "audio"]
        assert template.streams.video[0].codec_context.extradata
    assert cut.packets[0].is_key


def test_a_microphone_and_a_camera_without_an_encoder_make_one_clip() -> None:
    sounds = PacketRing(5, 1 << 30, own_axis=True)
    tape = PacketRing(5, 1 << 30, sound=sounds)
    seen, heard = JpegPacketFeed(tape, fps=10), PcmPacketFeed(sounds, 16000)
    image = np.zeros((48, 64, 3), np.uint8)
    for i in range(100):
        now = i * S // 20
        seen.push(image, now, now)
        if i == 0:
            tape.start_epoch(EpochStart(0, Stream.VIDEO, 0))
        chunk = AudioChunk(500 * S + now, now + S // 20, np.zeros(800, np.float32))
        heard.push(chunk)
    heard.push(Gap("lost", 5 * S))
    cut = tape.extract(t(1), t(3), S)
    assert cut is not None
    with av.open(io.BytesIO(cut.template)) as template:
        assert [s.codec_context.name for s in template.streams] == ["mjpeg", "pcm_s16le"]
    pictures = [p.pts_ns for p in cut.packets if p.stream is Stream.VIDEO]
    assert len(pictures) == 20
    blocks = [p.pts_ns for p in cut.packets if p.stream is Stream.AUDIO]
    assert (blocks[0], blocks[-1], len(blocks)) == (S, 3 * S - S // 20, 40)


def pts_of(cut: PacketRange | None, stream: Stream) -> list[float]:
    return [] if cut is None else [p.pts_ns / S for p in cut.packets if p.stream is stream]


def test_a_clock_that_goes_on_over_a_reconnect_serves_both_epochs() -> None:
    tape = filled(8, opened(before_s=60), start_s=500, late_s=-500, epoch=0)
    tape.begin(b"template")
    filled(8, tape, start_s=530, late_s=-500, epoch=1)
    assert pts_of(tape.extract(t(502), t(503), 0), Stream.VIDEO)[0] == 502
    assert pts_of(tape.extract(t(532, 1), t(533, 1), 0), Stream.VIDEO)[0] == 532


def test_what_an_epoch_never_began_with_is_not_found() -> None:
    tape = filled(8, opened(), epoch=None)
    assert tape.extract(t(2), t(3), 2 * S) is None
    assert tape.newest(t(2), 2 * S) is None


def test_sound_left_over_from_before_a_jump_stays_with_its_picture() -> None:
    """The picture jumps back first; half a second of sound from before still comes, then the sound jumps too."""
    tape = filled(4, opened(), start_s=500, late_s=-500, epoch=0)
    arrived = 4 * S
    for i in range(10):
        at = round((10 + i / 10) * S)
        tape.push(Packet(Stream.VIDEO, at, at, S // 10, arrived + i * S // 10, i == 0, b"v"))
        if i == 0:
            tape.start_epoch(EpochStart(1, Stream.VIDEO, at))
        heard = 504 + i / 10 if i < 5 else 10 + i / 10
        tape.push(Packet(Stream.AUDIO, round(heard * S), round(heard * S), S // 10, arrived + i * S // 10, True, b"s"))
    after = tape.extract(t(10, 1), t(11, 1), 0)
    assert pts_of(after, Stream.VIDEO) == [10 + i / 10 for i in range(10)], "the picture goes on in one run"
    assert pts_of(after, Stream.AUDIO) == [10.5, 10.6, 10.7, 10.8, 10.9]
    assert pts_of(tape.extract(t(503), t(505), 0), Stream.AUDIO)[-1] == 504.4


def test_streams_that_have_nothing_to_do_with_each_other_are_joined_as_the_buffer_says() -> None:
    tape = opened()
    for i in range(40):
        seen, heard = round((500 + i / 10) * S), round((9000 + i / 10) * S)
        tape.push(Packet(Stream.VIDEO, seen, seen, S // 10, i * S // 10, i % 20 == 0, b"v"))
        tape.push(Packet(Stream.AUDIO, heard, heard, S // 10, i * S // 10, True, b"s"))
        if i in {0, 20}:  # the second time the buffer knows how they relate
            tape.start_epoch(EpochStart(i // 20, Stream.VIDEO, seen))
            tape.start_epoch(EpochStart(i // 20, Stream.AUDIO, heard, -8500 * S if i else 0))
    cut = tape.extract(t(502, 1), t(503, 1), 0)
    assert pts_of(cut, Stream.VIDEO)[-1] == pts_of(cut, Stream.AUDIO)[-1] == 502.9
    newest = tape.newest(t(502, 1), 0)
    assert newest is not None
    assert newest.pts_ns / S == 503.9


def test_pictures_far_apart_are_one_run() -> None:
    tape = opened()
    for i in range(6):
        at = round((500 + 5 * i) * S)
        tape.push(Packet(Stream.VIDEO, at, at, 0, 5 * i * S, i % 3 == 0, b"v"))
        if i == 0:
            tape.start_epoch(EpochStart(0, Stream.VIDEO, at))
    assert pts_of(tape.extract(t(506), t(524), 0), Stream.VIDEO) == [500, 505, 510, 515, 520]
