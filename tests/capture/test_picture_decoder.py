"""Decoders that start over: the same pictures as from one that stays open, and nothing kept in between."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from capture.media import write
from capture.test_on_demand import GEOMETRY, Played, made, still
from conformance.numbered import ffmpeg

from edge.capture import picture_decoder
from edge.capture.normaliser import MediaNormaliser
from edge.capture.picture_decoder import PictureDecoder
from edge.clock import VirtualClock
from edge.demand import DecodeState, PictureDemand
from edge.metrics import Metrics
from edge.types import AudioChunk, Frame


@pytest.fixture(autouse=True)
def _recordings_as_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders of these recordings are closed as those of network cameras are."""
    monkeypatch.setattr(picture_decoder, "BARE_FORMATS", {"rtsp", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"})


def pictures(path: Path, *, start_over: bool, threads: int = 1, options: dict[str, str] | None = None) -> list[Any]:
    """All pictures; ``start_over``: with a fresh start at each key picture."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = options or {}
        decoder, found = PictureDecoder(stream, threads), []
        for packet in container.demux(stream):
            if start_over and packet.is_keyframe:
                found += decoder.finish()
            if packet.size:
                found += decoder.decode(packet)
        return [frame.to_ndarray(format="rgb24") for frame in [*found, *decoder.finish()]]


@contextmanager
def decoder_of(path: Path) -> Iterator[tuple[PictureDecoder, list[av.Packet]]]:
    """A decoder of the recording, and its packets."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        yield PictureDecoder(stream), [packet for packet in container.demux(stream) if packet.size]


def coded(tmp_path: Path, *codec: object) -> Path:
    plain, path = write(tmp_path / "plain.mp4", 4.0, size=(320, 192)), tmp_path / "coded.mkv"
    ffmpeg("-i", plain, "-an", *codec, "-output_ts_offset", 4321, path)
    return path


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "codec",
    [
        ("-c:v", "libx264", "-g", 15, "-bf", 0),
        ("-c:v", "libx264", "-g", 15, "-bf", 2, "-flags", "+cgop"),
        ("-c:v", "libx265", "-g", 15, "-x265-params", "bframes=0:log-level=none:keyint=15"),
        ("-c:v", "mjpeg"),
        ("-c:v", "mpeg4", "-g", 15),
    ],
    ids=lambda codec: f"{codec[1]} {'B' if '+cgop' in codec else ''}",
)
def test_the_pictures_are_those_of_a_decoder_that_stays_open(
    tmp_path: Path, codec: tuple[object, ...], threads: int
) -> None:
    path = coded(tmp_path, *codec)
    whole = pictures(path, start_over=False, threads=threads)
    anew = pictures(path, start_over=True, threads=threads)
    assert len(whole) == len(anew) > 30
    assert all(np.array_equal(a, b) for a, b in zip(whole, anew, strict=True))


def test_options_hold_for_every_start(tmp_path: Path) -> None:
    path = coded(tmp_path, "-c:v", "libx264", "-g", 15, "-bf", 0, "-qp", 40)
    exact, fast = (pictures(path, start_over=True, options=o) for o in ({}, {"skip_loop_filter": "all"}))
    assert any(not np.array_equal(a, b) for a, b in zip(exact[30:], fast[30:], strict=True))


def test_what_it_held_is_given_first_and_then_nothing(tmp_path: Path) -> None:
    with decoder_of(coded(tmp_path, "-c:v", "libx264", "-g", 15, "-bf", 2)) as (decoder, packets):
        found = [frame for packet in packets[:5] for frame in decoder.decode(packet)]
        assert len(found) + len(decoder.finish()) == 5
        assert decoder.finish() == []


def test_broken_data_passes_its_error_through_and_the_next_start_is_whole(tmp_path: Path) -> None:
    with decoder_of(coded(tmp_path, "-c:v", "libx264", "-g", 15, "-bf", 0)) as (decoder, packets):
        broken = av.Packet(b"\0\0\0\1\x65" + bytes(200))
        broken.time_base = packets[0].time_base
        with pytest.raises(av.error.FFmpegError):
            decoder.decode(broken)
        decoder.finish()
        assert len([*decoder.decode(packets[0]), *decoder.finish()]) == 1


def test_a_quiet_camera_keeps_no_decoded_picture(tmp_path: Path) -> None:
    demand, held = PictureDemand(), []

    def count(item: object) -> None:
        if isinstance(item, AudioChunk) and demand.status.state is DecodeState.QUIET:
            gc.collect()
            # `type`, not `isinstance`: that one reads `__class__`, which warns on a deprecated name of torch.
            frames = [one for one in gc.get_objects() if type(one) is av.VideoFrame]
            held.append(sum(frame.width > 0 for frame in frames))

    Played(made(tmp_path / "quiet.mp4", 16.0, still), demand, on_item=count)
    assert len(held) > 10
    assert max(held) == 0


def test_a_picture_that_is_held_back_is_kept_at_the_models_size(tmp_path: Path) -> None:
    path = made(tmp_path / "held.mp4", 2.0, still)
    plain, keeping = (MediaNormaliser("cam", GEOMETRY, VirtualClock(), Metrics()) for _ in range(2))
    shown: dict[MediaNormaliser, list[Frame]] = {plain: [], keeping: []}
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            pts_ns = int(frame.time * 1e9)
            for normaliser, frames in shown.items():
                for item in normaliser.add_picture(frame, pts_ns, 0):
                    if isinstance(item, Frame):
                        frames.append(Frame(item.pts_ns, 0, item.image.copy(), item.content, None))
                if normaliser is keeping:
                    normaliser.release()
    assert len(shown[plain]) >= 7
    for a, b in zip(shown[plain], shown[keeping], strict=True):
        assert a.pts_ns == b.pts_ns
        assert np.array_equal(a.image, b.image)
