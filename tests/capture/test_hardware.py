"""Which device decodes: what is refused, what falls back, and what the fast way costs in accuracy."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import av
import media
import numpy as np
import pytest
from pydantic import ValidationError
from test_file import GEOMETRY, Played

from edge.capture import decoder_device
from edge.capture.decode import ContainerDecoder
from edge.capture.decoder_device import HardwareDecoderError, scaling_decoder
from edge.capture.picture import FrameScaler
from edge.capture.picture_decoder import PictureDecoder, is_bare
from edge.capture.registry import open_source
from edge.clock import VirtualClock
from edge.config.sources import FileSourceConfig
from edge.metrics import Metrics


def play(path: Path, **more: object) -> Played:
    played = Played()
    config = FileSourceConfig(type="file", path=path, pace="fast", **more)
    for item in open_source("yard", config, GEOMETRY, VirtualClock(), played.metrics, Path()).items():
        played.add(item)
    return played


def opens(kind: str) -> bool:
    """Whether this machine has the device."""
    try:
        av.codec.hwaccel.HWAccel(kind).create(av.Codec("h264", "r"))
    except (av.error.FFmpegError, NotImplementedError, OSError):
        return False
    return True


@pytest.mark.parametrize("kind", ["cuda", "vaapi"])
def test_a_device_that_was_asked_for_never_falls_back(tmp_path: Path, kind: str) -> None:
    path = media.write(tmp_path / "a.mp4", 1.0)
    if opens(kind):
        assert len(play(path, decoder=kind).glances) == 15
        return
    with pytest.raises(HardwareDecoderError, match=rf"camera yard: decoder {kind}: .*(nvidia-smi|vainfo|pip install)"):
        play(path, decoder=kind)


def test_auto_takes_the_processor_where_nothing_else_works(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = media.write(tmp_path / "a.mp4", 2.0)
    with caplog.at_level(logging.INFO):
        played = play(path, decoder="auto")
    assert all(np.array_equal(a, b) for a, b in zip(played.images, play(path).images, strict=True))
    assert len([r for r in caplog.records if "decoded by" in r.message]) == 1


def test_a_device_without_this_codec_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_device, "open_device", lambda *_: None)
    monkeypatch.setattr(av.codec.hwaccel, "hwdevices_available", lambda: ["cuda"])
    with pytest.raises(HardwareDecoderError, match="cannot decode h264"):
        play(media.write(tmp_path / "a.mp4", 1.0), decoder="cuda")


def test_a_device_that_gives_no_picture_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise av.error.InvalidDataError(1, "the device says no")

    monkeypatch.setattr(PictureDecoder, "decode", fail)
    monkeypatch.setattr("edge.capture.decode.is_accelerated", lambda _: True)
    decoder = ContainerDecoder("yard", GEOMETRY, VirtualClock(), Metrics())
    path = media.write(tmp_path / "a.mp4", 8.0, rate=None)
    with av.open(str(path)) as container, pytest.raises(HardwareDecoderError, match=r"camera yard: .*decoder: cpu"):
        list(decoder.items(container, threading.Event()))


class VideoUnit:
    """A stand-in for NVIDIA's: decodes on the processor, and scales as it was asked to."""

    def __init__(self, name: str) -> None:
        self.name, self.flags, self.options, self.extradata = name, 0, {}, None
        self._decoder = av.CodecContext.create("h264", "r")

    def open(self) -> None:
        self._decoder.extradata = self.extradata

    def decode(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        width, height = map(int, self.options["resize"].split("x"))
        return [frame.reformat(width, height, "nv12") for frame in self._decoder.decode(packet)]

    def flush_buffers(self) -> None:
        self._decoder.flush_buffers()


@pytest.fixture
def video_unit(monkeypatch: pytest.MonkeyPatch) -> list[VideoUnit]:
    """A machine that seems to have one; those that were opened."""
    made: list[VideoUnit] = []
    monkeypatch.setattr(decoder_device, "open_on_device", lambda opener, *_: opener(None))
    monkeypatch.setattr("edge.capture.decode.is_accelerated", lambda _: True)
    monkeypatch.setattr(decoder_device, "is_bare", lambda _: True)
    monkeypatch.setattr(decoder_device, "create_decoder", lambda name: made.append(VideoUnit(name)) or made[-1])
    return made


@pytest.mark.parametrize("decoder", ["cuda", "auto"])
def test_the_video_unit_scales_to_the_models_size(tmp_path: Path, video_unit: list[VideoUnit], decoder: str) -> None:
    path = media.write(tmp_path / "a.mp4", 2.0, size=(1280, 720))
    expected = play(path).images
    found = play(path, decoder=decoder, **({"decoder_device": "1"} if decoder == "cuda" else {})).images
    assert [unit.name for unit in video_unit] == ["h264_cuvid"]
    width, height = map(int, video_unit[0].options["resize"].split("x"))
    assert (width % 2, height % 2, video_unit[0].options["gpu"]) == (0, 0, "1" if decoder == "cuda" else "0")
    assert width * 720 == pytest.approx(height * 1280, rel=0.02)
    assert len(found) == len(expected) > 5
    assert all(np.abs(a.astype(int) - b).mean() < 4 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    "why", ["hardly larger than the model's", "no such decoder", "pixels are not square", "a file"]
)
def test_pictures_come_back_whole_where_scaling_gains_nothing_or_cannot_be(
    tmp_path: Path, video_unit: list[VideoUnit], monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    size = (GEOMETRY.video.width, GEOMETRY.video.height) if why.startswith("hardly") else (1280, 720)
    path = media.write(tmp_path / "a.mp4", 1.0, size=size)
    if why == "no such decoder":
        monkeypatch.setattr(decoder_device, "SCALING_DECODERS", {})
    if why == "a file":
        monkeypatch.setattr(decoder_device, "is_bare", is_bare)
    if why == "pixels are not square":
        monkeypatch.setattr(decoder_device, "SQUARE_PIXELS", ())
    assert len(play(path, decoder="cuda").images) == len(play(path).images) > 0
    assert video_unit == []


@pytest.mark.parametrize("decoder", ["cpu", "vaapi", "cuda", "auto"])
def test_without_its_device_no_decoder_scales(tmp_path: Path, decoder: str) -> None:
    config = FileSourceConfig(type="file", path=media.write(tmp_path / "a.mp4", 1.0, size=(640, 360)), decoder=decoder)
    with av.open(str(config.path)) as container:
        assert scaling_decoder(container.streams.video[0], config, GEOMETRY.video) is None


def test_pictures_of_a_device_are_scaled_like_others(tmp_path: Path) -> None:
    """They come back as NV12."""
    with av.open(str(media.write(tmp_path / "a.mp4", 1.0))) as container:
        frame = next(container.decode(video=0))
    ours, theirs = FrameScaler(GEOMETRY.video), FrameScaler(GEOMETRY.video)
    nv12 = frame.reformat(format="nv12")
    assert np.array_equal(ours.scale(nv12), theirs.scale(frame))
    assert ours.mean_luma(nv12) == theirs.mean_luma(frame)


def test_fast_decoding_is_a_little_wrong(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.mp4", 4.0, size=(640, 360))
    with av.open(str(path), "r") as container:
        assert container.streams.video[0].codec_context.options == {}
    exact, fast = play(path), play(path, fast_decode=True)
    assert fast.frames == exact.frames
    apart = [float(np.abs(a.astype(int) - b).mean()) for a, b in zip(exact.images, fast.images, strict=True)]
    assert max(apart) < 3.0


@pytest.mark.parametrize(
    "wrong", [{"decoder_device": "1"}, {"decoder": "cuda", "fast_decode": True}, {"decoder": "gpu"}]
)
def test_settings_that_do_not_fit(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FileSourceConfig(type="file", path="a.mp4", **wrong)
