"""Clips: exact to a picture, in step, as they came, and without what must not be in them."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from capture.media import flash_and_bang, write
from clip_parts import (
    YARD,
    bright_at,
    cut_of,
    kept,
    loud_at,
    media,
    ns,
    number_of,
    numbers,
    played,
    share_of,
    tape_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import MediaError, SinkError
from edge.evidence.clips.clip import ClipRequest, ClipWriter, EventClip
from edge.evidence.clips.packet_ring import PacketRange, PacketRing
from edge.evidence.privacy import BlurTracks
from edge.types import NS_PER_S, Box, Stream

FPS = 15
MASK = ((0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0))
RED = (200, 30, 30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    return numbers(folder / "numbers.mp4")


@pytest.fixture(scope="module")
def plain_tape(plain: Path) -> PacketRing:
    return tape_of(plain)


@pytest.fixture(scope="module")
def red(folder: Path) -> Path:
    return numbers(folder / "red.mp4", 4.0, ground=RED)


@pytest.fixture(scope="module")
def clap(folder: Path) -> Path:
    picture, sound = flash_and_bang(320, 192, [3.0], 0.0)
    return write(folder / "clap.mp4", 6.0, size=(320, 192), fps=FPS, picture=picture, sound=sound, layout="mono")


@pytest.fixture(scope="module")
def writer() -> ClipWriter:
    return ClipWriter()


def made(writer: ClipWriter, cut: PacketRange, folder: Path, wish: ClipRequest) -> EventClip:
    clip = writer.write(cut, folder, wish)
    assert clip is not None
    assert not list(folder.glob("*.part"))
    return clip


@given(first=st.integers(0, 100), count=st.integers(1, 60), early=st.floats(0.02, 0.98), late=st.floats(0.02, 0.98))
@settings(max_examples=25, deadline=None)
def test_a_copied_clip_shows_exactly_the_pictures_asked_for(
    plain_tape: PacketRing, tmp_path_factory: pytest.TempPathFactory, first: int, count: int, early: float, late: float
) -> None:
    """From within picture ``first`` to within the one ``count`` later."""
    step, last = 1 / FPS, min(8 * FPS, first + count + 1)
    wish = ClipRequest(media((first + early) * step), media((first + count + late) * step))
    cut = plain_tape.extract(wish.begin + -NS_PER_S, wish.end + NS_PER_S, wish.begin.pts_ns - NS_PER_S)
    clip = made(ClipWriter(), cut, tmp_path_factory.mktemp("clip"), wish)
    shown = played(clip.path)
    assert [number_of(image) for image in shown.images] == list(range(first, last))
    assert shown.times[0] == 0
    assert shown.duration_s == pytest.approx((last - first) * step, abs=0.001)
    assert clip.begin.pts_ns == pytest.approx(ns(first * step), abs=100_000)
    assert clip.end.pts_ns == pytest.approx(ns(last * step), abs=100_000)


def test_pictures_that_refer_to_later_ones_are_kept_and_what_is_beyond_the_end_is_hidden(
    writer: ClipWriter, tmp_path: Path
) -> None:
    clip = made(writer, cut_of(YARD, 10.3, 20.3), tmp_path, ClipRequest(media(10.3), media(20.3)))
    shown = played(clip.path)
    with av.open(str(YARD)) as source:
        source.seek(9_000_000)
        frames = [f for f in source.decode(video=0) if 10.24 <= f.time < 20.32]
    assert len(frames) == 126
    assert shown.times == pytest.approx([f.time - 10.24 for f in frames], abs=0.001)
    assert (clip.begin.pts_ns, clip.end.pts_ns) == (ns(10.24), ns(20.32))
    assert shown.duration_s == pytest.approx(10.08, abs=0.001)
    for k in (0, 60, 125):
        assert np.abs(shown.images[k].astype(int) - frames[k].to_ndarray(format="rgb24")).max() <= 2
    assert clip.facts["picture"] == "h264 as it came"
    assert clip.facts["sound"] == "aac as it came"


def test_the_index_comes_first(writer: ClipWriter, plain: Path, tmp_path: Path) -> None:
    data = made(writer, cut_of(plain, 1, 3), tmp_path, ClipRequest(media(1), media(3))).path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


WAYS = {
    "copied": ClipRequest(media(1.5), media(5)),
    "masked": ClipRequest(media(1.5), media(5), masks=(((0, 0.9), (0.1, 0.9), (0.1, 1)),)),
    "partly silent": ClipRequest(media(1.5), media(5), silent=((media(1), media(2)),)),
    "both": ClipRequest(
        media(1.5), media(5), silent=((media(1), media(2)),), masks=(((0, 0.9), (0.1, 0.9), (0.1, 1)),)
    ),
}


@pytest.mark.parametrize("wish", WAYS.values(), ids=list(WAYS))
def test_a_clap_and_its_flash_stay_together(writer: ClipWriter, clap: Path, tmp_path: Path, wish: ClipRequest) -> None:
    source = played(clap)
    shown = played(made(writer, cut_of(clap, 1.5, 5), tmp_path, wish).path)
    assert bright_at(shown) == pytest.approx(1.5, abs=1 / FPS + 0.001)
    before, after = loud_at(source) - bright_at(source), loud_at(shown) - bright_at(shown)
    assert abs(after - before) <= 0.020
    assert loud_at(shown) == pytest.approx(3.0 - (3.0 - bright_at(shown)), abs=0.020)


@pytest.mark.parametrize(("codec", "rate"), [("pcm_alaw", 8000), ("pcm_s16le", 48000), ("libopus", 48000)])
def test_sound_that_mp4_cannot_hold_is_encoded_and_stays_in_step(
    writer: ClipWriter, folder: Path, tmp_path: Path, codec: str, rate: int
) -> None:
    picture, sound = flash_and_bang(320, 192, [3.0], 0.0)
    path = folder / f"{codec}.{'mov' if codec == 'pcm_alaw' else 'mkv'}"
    write(path, 5.0, size=(320, 192), picture=picture, sound=sound, layout="mono", audio_codec=codec, rate=rate)
    clip = made(writer, cut_of(path, 1.5, 4.5), tmp_path, ClipRequest(media(1.5), media(4.5)))
    shown = played(clip.path)
    assert clip.facts["sound"] == f"aac from {codec.removeprefix('lib')}"
    assert abs(loud_at(shown) - bright_at(shown)) <= 0.020


def test_packets_with_start_codes_make_the_same_clip(writer: ClipWriter, tmp_path: Path) -> None:
    tap = kept(YARD)
    with av.open(str(YARD)) as source:
        stream = source.streams.video[0]
        convert = av.BitStreamFilterContext("h264_mp4toannexb", in_stream=stream)
        coded = [bytes(out) for packet in source.demux(stream) if packet.size for out in convert.filter(packet)]
    pictures = iter(coded)
    packets = [replace(p, data=next(pictures)) if p.stream is Stream.VIDEO else p for p in tap.packets]
    assert packets[0].data.startswith(b"\0\0\0\1")
    wish = ClipRequest(media(2), media(4))
    chosen = [p for p in packets if p.pts_ns < ns(5)]
    there = made(writer, PacketRange(tap.template, chosen, 0, ns(5)), tmp_path, wish)
    shown, expected = played(there.path), played(made(writer, cut_of(YARD, 2, 4), tmp_path, wish).path)
    assert len(shown.images) == len(expected.images) > 20
    assert all(np.array_equal(a, b) for a, b in zip(shown.images, expected.images, strict=True))


def test_a_camera_that_says_no_durations_has_clips_of_the_same_length(
    writer: ClipWriter, plain: Path, tmp_path: Path
) -> None:
    cut = cut_of(plain, 1.01, 3.01)
    untold = PacketRange(cut.template, [replace(p, duration_ns=0) for p in cut.packets], cut.begin_ns, cut.end_ns)
    shown = played(made(writer, untold, tmp_path, ClipRequest(media(1.01), media(3.01))).path)
    assert [number_of(image) for image in shown.images] == list(range(15, 46))
    assert shown.duration_s == pytest.approx(31 / FPS, abs=0.001)
    assert len(shown.sound) / shown.rate == pytest.approx(31 / FPS, abs=0.03)
    assert np.abs(shown.sound[-1000:]).max() > 0.3


def test_h265_is_copied_under_the_name_that_phones_take(writer: ClipWriter, folder: Path, tmp_path: Path) -> None:
    path = numbers(folder / "h265.mp4", 4.0, codec="libx265")
    clip = made(writer, cut_of(path, 1, 3), tmp_path, ClipRequest(media(1), media(3)))
    with av.open(str(clip.path)) as file:
        assert file.streams.video[0].codec_context.codec_tag == "hvc1"
    assert clip.facts["picture"] == "hevc as it came"
    assert [number_of(image) for image in played(clip.path).images] == list(range(15, 45))


def test_pictures_of_a_camera_that_encodes_nothing_are_encoded(
    writer: ClipWriter, folder: Path, tmp_path: Path
) -> None:
    path = numbers(folder / "jpeg.mkv", 3.0, codec="mjpeg", pixels="yuvj420p", rate=None)
    clip = made(writer, cut_of(path, 1, 2), tmp_path, ClipRequest(media(1), media(2)))
    shown = played(clip.path)
    assert [number_of(image) for image in shown.images] == list(range(15, 30))
    assert shown.duration_s == pytest.approx(1.0, abs=0.001)
    assert "mjpeg" in str(clip.facts["picture"])


def test_a_microphone_alone_gives_sound_alone(writer: ClipWriter, folder: Path, tmp_path: Path) -> None:
    path = write(folder / "alone.wav", 5.0, size=None, audio_codec="pcm_s16le", layout="mono", rate=16000)
    clip = made(writer, cut_of(path, 1.25, 3.5), tmp_path, ClipRequest(media(1.25), media(3.5)))
    shown = played(clip.path)
    assert clip.path.name == "clip.m4a"
    assert shown.kinds == ("audio",)
    assert shown.duration_s == pytest.approx(2.25, abs=0.001)
    assert np.abs(shown.sound).max() > 0.3
    assert writer.write(cut_of(path, 1, 2), tmp_path, ClipRequest(media(1), media(2), audio=False)) is None


@pytest.mark.parametrize("masks", [(), (MASK,)])
def test_without_audio_there_is_no_sound_track(
    writer: ClipWriter, plain: Path, tmp_path: Path, masks: tuple[tuple[tuple[float, float], ...], ...]
) -> None:
    clip = made(writer, cut_of(plain, 1, 2), tmp_path, ClipRequest(media(1), media(2), audio=False, masks=masks))
    assert played(clip.path).kinds == ("video",)
    assert b"mp4a" not in clip.path.read_bytes()


@pytest.mark.parametrize(("rate", "layout"), [(48000, "stereo"), (16000, "mono"), (8000, "mono")])
def test_silence_is_digital_and_exact(writer: ClipWriter, folder: Path, tmp_path: Path, rate: int, layout: str) -> None:
    path = write(folder / f"tone{rate}.mp4", 8.0, size=(160, 96), rate=rate, layout=layout)
    silent = ((media(2.5), media(3.25)), (media(5.0), media(6.0)))
    clip = made(writer, cut_of(path, 2, 7), tmp_path, ClipRequest(media(2), media(7), silent=silent))
    shown = played(clip.path)
    begin_s = clip.begin.pts_ns / NS_PER_S
    t = begin_s + np.arange(len(shown.sound)) / shown.rate
    inside = ((t >= 2.5) & (t < 3.25)) | ((t >= 5.0) & (t < 6.0))
    guard = 4 * 1024 / shown.rate  # blocks of AAC around the silence fade
    outside = ~(((t >= 2.5 - guard) & (t < 3.25 + guard)) | ((t >= 5.0 - guard) & (t < 6.0 + guard)))
    assert np.abs(shown.sound[inside]).max() == 0.0
    assert inside.sum() == pytest.approx(1.75 * shown.rate, abs=2)
    assert np.sqrt(np.mean(shown.sound[outside] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert clip.facts["silent_s"] == pytest.approx(1.75, abs=0.01)


def test_nothing_is_seen_under_a_mask(writer: ClipWriter, red: Path, tmp_path: Path) -> None:
    clip = made(writer, cut_of(red, 0.5, 3), tmp_path, ClipRequest(media(0.5), media(3), masks=(MASK,)))
    with av.open(str(clip.path)) as file:  # every stored picture, hidden ones too
        stored = [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]
        packets = sum(1 for p in file.demux() if p.size)
    assert packets == 0
    assert len(stored) >= 37
    for image in stored:
        height, width = image.shape[:2]
        assert share_of(image[height // 2 :, width // 2 :], RED, 60) == 0
        assert image[height // 2 + 8 :, width // 2 + 8 :].max() < 16
        assert share_of(image[height // 2 :, : width // 2 - 8], RED) > 0.95
    with av.open(str(clip.path), options={"ignore_editlist": "1"}) as file:
        assert len(list(file.decode(video=0))) == len(stored)


def test_a_turned_picture_is_masked_upright(writer: ClipWriter, red: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    _turn(red, turned, 90)
    clip = made(writer, cut_of(turned, 0.5, 2), tmp_path, ClipRequest(media(0.5), media(2), masks=(MASK,)))
    image = played(clip.path).images[0]
    assert image.shape[:2] == (320, 192)
    assert image[164:, 100:].max() < 40
    assert share_of(image[164:, :60], RED) > 0.6


def test_boxes_are_blurred_beyond_recognition(writer: ClipWriter, folder: Path, tmp_path: Path) -> None:
    cells = (np.indices((192, 320)) // 8).sum(axis=0) % 2 * 200 + 20
    board = np.repeat(cells[:, :, None], 3, axis=2).astype(np.uint8)
    path = write(folder / "board.mp4", 4.0, size=(320, 192), fps=FPS, picture=lambda _t: board)
    seen = [(media(t / 2), [Box("person", 0.9, 0.25, 0.25, 0.5, 0.75)]) for t in range(9)]
    clip = made(
        writer, cut_of(path, 1, 3), tmp_path, ClipRequest(media(1), media(3), blur=BlurTracks(seen, {"person"}))
    )
    inside, outside = (slice(50, 142), slice(84, 156)), (slice(0, 190), slice(200, 318))
    for image in played(clip.path).images:
        grey = image.mean(axis=-1)
        assert grey[inside].std() < 12
        assert grey[outside].std() > 80
        assert abs(np.corrcoef(grey[inside].ravel(), cells[inside].ravel())[0, 1]) < 0.1


def test_what_nobody_has_to_hide_is_copied(writer: ClipWriter, plain: Path, tmp_path: Path) -> None:
    seen = [(media(t / 2), [Box("car", 0.9, 0.25, 0.25, 0.5, 0.75)]) for t in range(17)]
    clip = made(
        writer, cut_of(plain, 1, 3), tmp_path, ClipRequest(media(1), media(3), blur=BlurTracks(seen, {"person"}))
    )
    assert clip.facts["picture"] == "h264 as it came"


def test_an_encoder_can_be_asked_for_by_name(red: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wish = ClipRequest(media(1), media(2), masks=(MASK,))
    clip = made(ClipWriter("libx264"), cut_of(red, 1, 2), tmp_path, wish)
    assert clip.facts["picture"] == "libx264 from h264"
    assert len(played(clip.path).images) == 15
    assert not caplog.records
    clip = made(ClipWriter("no_such"), cut_of(red, 1, 2), tmp_path, wish)
    assert "libx264" not in str(clip.facts["picture"])
    assert "evidence.encoder: no_such does not work here" in caplog.text


def test_damaged_packets_are_an_error_that_says_so(writer: ClipWriter, plain: Path, tmp_path: Path) -> None:
    cut = cut_of(plain, 1, 3)
    garbled = PacketRange(b"no container", cut.packets, cut.begin_ns, cut.end_ns)
    with pytest.raises(MediaError, match="cannot be read"):
        writer.write(garbled, tmp_path, ClipRequest(media(1), media(3)))
    noise = [replace(p, data=b"\xff" * 50) if p.stream is Stream.VIDEO else p for p in cut.packets]
    masked = ClipRequest(media(1), media(3), masks=(MASK,))
    with pytest.raises(MediaError, match="no picture"):
        writer.write(PacketRange(cut.template, noise, cut.begin_ns, cut.end_ns), tmp_path, masked)
    assert not list(tmp_path.iterdir())


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 20 kB, nor may the one that pytest reports to: ends before the test does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("wish", [ClipRequest(media(10), media(20)), ClipRequest(media(10), media(12), masks=(MASK,))])
def test_a_full_disk_is_told_and_leaves_nothing(writer: ClipWriter, tmp_path: Path, wish: ClipRequest) -> None:
    packets = cut_of(YARD, 10, 20)
    with full_disk(), pytest.raises(SinkError, match="make room"):
        writer.write(packets, tmp_path, wish)
    assert not list(tmp_path.iterdir())


def test_a_clip_that_is_given_up_leaves_nothing(writer: ClipWriter, plain: Path, tmp_path: Path) -> None:
    job = writer.steps(cut_of(plain, 1, 3), tmp_path, ClipRequest(media(1), media(3)))
    for _ in range(5):
        next(job)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4.part"]
    job.close()
    assert not list(tmp_path.iterdir())


def _turn(source: Path, target: Path, degrees: int) -> None:
    """The same packets, marked as filmed on the side."""
    data = source.read_bytes()
    at = data.index(b"tkhd") + 4 + 4 + 36
    sides = {90: (0, 1, -1, 0)}[degrees]
    a, b, c, d = (int(v * 65536).to_bytes(4, "big", signed=True) for v in sides)
    zero, one = bytes(4), (1 << 30).to_bytes(4, "big")
    target.write_bytes(data[:at] + a + b + zero + c + d + zero + zero + zero + one + data[at + 36 :])
