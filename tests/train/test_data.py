"""What training reads from disk is what the service makes of the same media."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

sys.path += [str(Path(__file__).parents[1] / "capture")]
import media

from edge.capture.picture import FrameScaler, letterbox
from edge.capture.registry import open_source
from edge.clock import VirtualClock
from edge.config.sources import FileSourceConfig
from edge.engine.manifest import load_folder
from edge.metrics import Metrics
from edge.train.data import VIDEO_GEOMETRY, clip_sounds, decode_audio, decode_video, read_photo
from edge.train.scenes import backgrounds
from edge.types import Frame

ENGINE = Path(__file__).resolve().parents[2] / "engines" / "fused"
GEOMETRY = load_folder(ENGINE).manifest.geometry


def in_service(path: Path) -> np.ndarray:
    """The pictures u8[n,256,448,3] that a file source hands to the buffer."""
    config = FileSourceConfig(type="file", path=path, pace="fast")
    source = open_source("cam", config, GEOMETRY, VirtualClock(), Metrics(), Path("/nowhere"))
    return np.stack([item.image.copy() for item in source.items() if isinstance(item, Frame)])


@pytest.mark.parametrize("size", [(320, 180), (1280, 720), (640, 480), (202, 362)])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p"])
def test_training_sees_the_pictures_that_the_service_sees(tmp_path: Path, size: tuple[int, int], pixels: str) -> None:
    path = media.write(tmp_path / "clip.mp4", 2.0, size=size, fps=4, pixels=pixels)
    trained, served = decode_video(path), in_service(path)
    assert trained.shape == (8, 256, 448, 3)
    np.testing.assert_array_equal(trained, served)


def test_pixels_that_are_no_squares_are_shown_as_in_service(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "wide.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=4, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        for n in range(4):
            picture = np.full((240, 320, 3), 40 * n + 60, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    np.testing.assert_array_equal(decode_video(tmp_path / "wide.mp4"), in_service(tmp_path / "wide.mp4"))


def test_the_canvas_of_training_is_that_of_the_manifest() -> None:
    assert GEOMETRY.video == VIDEO_GEOMETRY


def test_a_photograph_is_scaled_by_the_service(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    picture = np.random.default_rng(1).integers(0, 256, (300, 200, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), picture[:, :, ::-1])
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.png"), FrameScaler(VIDEO_GEOMETRY).scale(frame))
    (tmp_path / "broken.png").write_bytes(b"none")
    with pytest.raises(ValueError, match="no picture"):
        read_photo(tmp_path / "broken.png")


def test_fire_boxes_lie_where_the_service_puts_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    clip = tmp_path / "open" / "fire_furg_house6.mp4"
    clip.parent.mkdir()
    media.write(clip, 1.0, size=(426, 240), fps=4)
    (tmp_path / "manifest.csv").write_text(
        "file,label,split,group,tier,dataset,licence\nopen/fire_furg_house6.mp4,fire,,,open,FURG,MIT\n"
    )
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "furg_house6.xml").write_text("<frameNumber>1</frameNumber><_> 0 0 426 240</_>")
    pictures, boxes = backgrounds.fire_clip(tmp_path, held_out=False)
    assert len(pictures) == len(boxes) == 4
    assert boxes[0] == [letterbox(426, 240, VIDEO_GEOMETRY)]


def test_sound_tracks_of_clips_train_too(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    rows = ["file,label,split,group,tier,dataset,licence"]
    for name, label, seconds, rate in (
        ("fire_furg_house6", "fire", 21.0, 48000), ("room", "adl", 2.0, 48000), ("blow", "fall", 2.0, 48000),
        ("mute", "adl", 2.0, None),
    ):  # fmt: skip
        media.write(tmp_path / "open" / f"{name}.mp4", seconds, fps=4, rate=rate)
        rows.append(f"open/{name}.mp4,{label},,{name},open,FURG,MIT")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    sounds = {(x.kind, x.held_out): x for x in clip_sounds(tmp_path)}
    early, late = sounds["fire_furg_house6", False], sounds["fire_furg_house6", True]
    assert early.label == late.label == "fire"
    assert len(early.wave) == 18 * 32_000
    assert len(late.wave) == pytest.approx(2 * 32_000, abs=4_000)
    assert {kind for kind, _ in sounds} == {"fire_furg_house6", "room", "blow"}
    by_name = {x.kind: x for x in sounds.values()}
    assert by_name["room"].label == by_name["blow"].label == ""
    assert by_name["room"].unsure == ()
    assert "door_knock" in by_name["blow"].unsure


def test_sound_is_mono_at_the_rate_that_was_asked_for(tmp_path: Path) -> None:
    path = media.write(tmp_path / "tone.wav", 1.0, size=None, audio_codec="pcm_s16le")
    for rate_hz in (16_000, 32_000):
        wave = decode_audio(path, rate_hz)
        assert wave.dtype == np.float32
        assert len(wave) == pytest.approx(rate_hz, abs=128)
        assert np.abs(np.fft.rfft(wave)).argmax() * rate_hz / len(wave) == pytest.approx(440, abs=2)
    assert not len(decode_audio(media.write(tmp_path / "silent.mp4", 1.0, rate=None)))
