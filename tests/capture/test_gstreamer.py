"""Pipelines of real GStreamer elements that decode in software; a video unit's elements only differ in their names."""

from __future__ import annotations

from pathlib import Path

import media
import numpy as np
import pytest
from pydantic import ValidationError
from test_file import GEOMETRY, Played, check_sound, play

from edge.capture import gstreamer
from edge.capture.registry import open_source
from edge.clock import VirtualClock
from edge.config.sources import GstreamerSourceConfig
from edge.errors import SourceError
from edge.types import NS_PER_S

pytestmark = pytest.mark.filterwarnings("ignore::ImportWarning")  # of the binding's own loader

PICTURE = "d.video_0 ! queue ! h264parse ! avdec_h264 ! {scale} appsink name=video"
SOUND = "d.audio_0 ! queue ! aacparse ! avdec_aac ! audioconvert ! appsink name=audio"


@pytest.fixture(autouse=True)
def _needs_gstreamer() -> None:
    try:
        ns = gstreamer.load_gstreamer()
    except SourceError as error:
        pytest.skip(str(error))
    for element in ("avdec_h264", "avdec_aac", "qtdemux", "appsink", "videoconvert"):
        if ns.Gst.ElementFactory.find(element) is None:
            pytest.skip(f"GStreamer's {element} is not installed")


def watch(pipeline: str, **more: object) -> tuple[Played, str]:
    """All items of a pipeline, and what it ended with."""
    played = Played()
    config = GstreamerSourceConfig(type="gstreamer", pipeline=pipeline, **more)
    source = open_source("cam", config, GEOMETRY, VirtualClock(), played.metrics, Path())
    said = ""
    try:
        for item in source.items():
            played.add(item)
    except SourceError as error:
        said = str(error)
    played.has_video, played.has_audio = source.has_video, source.has_audio
    return played, said


def recording(path: Path, scale: str = "") -> str:
    return f"filesrc location={path} ! qtdemux name=d {PICTURE.format(scale=scale)} {SOUND}"


def test_picture_and_sound_are_those_of_libav(tmp_path: Path) -> None:
    """But for where libav takes the colours of H.264 to lie, which its Python binding cannot be told."""
    path = media.write(tmp_path / "a.mp4", 4.0)
    played, said = watch(recording(path))
    assert "ended" in said
    assert (played.has_video, played.has_audio) == (True, True)
    reference = play(path)
    assert played.frames == pytest.approx(reference.frames, abs=0.002)
    for ours, theirs in zip(played.images, reference.images, strict=True):
        assert np.abs(ours.astype(int) - theirs).mean() < 1.0
    assert len(played.glances) == len(reference.glances)
    assert played.glances[3].luma == pytest.approx(reference.glances[3].luma, abs=0.5)
    check_sound(played, 4.0)
    assert played.chunks[0].pts_ns == pytest.approx(reference.chunks[0].pts_ns, abs=30_000_000)


@pytest.mark.parametrize("pixels", ["NV12", "I420"])
def test_a_pipeline_may_scale_to_any_size(tmp_path: Path, pixels: str) -> None:
    """Odd sizes have rows with padding, which is not part of the picture."""
    path = media.write(tmp_path / "a.mp4", 2.0)
    size = f"videoscale ! videoconvert ! video/x-raw,format={pixels},width=111,height=63 ! "
    played, _ = watch(recording(path, size))
    image, reference = played.images[2], play(path).images[2]
    assert np.abs(image[2:-2].astype(int) - reference[2:-2]).mean() < 8
    assert image[4, 3].argmax() == 0, "the red corner"


def test_sound_alone(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.mp4", 3.0)
    played, _ = watch(f"filesrc location={path} ! qtdemux name=d {SOUND}")
    assert (played.has_video, played.has_audio) == (False, True)
    check_sound(played, 3.0)


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("nosuchelement ! appsink name=video", "nosuchelement"),
        ("videotestsrc ! fakesink name=video", "no appsink"),
        ("filesrc location=/nowhere.mp4 ! decodebin ! appsink name=video", "not found"),
        ("videotestsrc num-buffers=3 ! video/x-raw,format=RGB ! appsink name=video", "gst-launch"),
        ("rtspsrc location=rtsp://u:hidden@127.0.0.1:9/x ! decodebin ! appsink name=video", "gst-launch"),
    ],
)
def test_trouble_says_what_to_do_and_no_secret(pipeline: str, said: str) -> None:
    _, message = watch(pipeline)
    assert said in message
    assert "hidden" not in message


def test_a_pipeline_without_sinks_is_refused() -> None:
    with pytest.raises(ValidationError, match="appsink name=video"):
        GstreamerSourceConfig(type="gstreamer", pipeline="videotestsrc ! fakesink")


def test_a_silent_pipeline_is_given_up() -> None:
    class Passing(VirtualClock):
        def mono_ns(self) -> int:
            self.advance(NS_PER_S)
            return super().mono_ns()

    config = GstreamerSourceConfig(type="gstreamer", pipeline="appsrc ! appsink name=video", read_timeout_s=5)
    source = open_source("cam", config, GEOMETRY, Passing(), Played().metrics, Path())
    with pytest.raises(SourceError, match="gives nothing"):
        next(source.items())


def test_close_ends_it(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.mp4", 3.0)
    config = GstreamerSourceConfig(type="gstreamer", pipeline=recording(path))
    source = open_source("cam", config, GEOMETRY, VirtualClock(), Played().metrics, Path())
    for n, _ in enumerate(source.items()):
        source.close()
        assert n < 5
