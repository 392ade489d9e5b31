"""Privacy masks: nothing under a polygon comes out of a source."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.capture.base import PrivacyMask, SourceOptions, covered_pixels
from edge.capture.registry import open_source
from edge.clock import VirtualClock
from edge.config.sources import FileSourceConfig
from edge.engine.manifest import find_folder, load_folder
from edge.metrics import Metrics
from edge.types import Frame

SECRET = ((0.6, 0.5), (0.9, 0.5), (0.9, 0.9), (0.6, 0.9))


def recording(path: Path) -> Path:
    """Grey, with a pure red square exactly under the polygon."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 640, 360, "yuv420p", 4_000_000
        image = np.full((360, 640, 3), 128, np.uint8)
        image[180:324, 384:576] = (255, 0, 0)
        for _ in range(20):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        out.mux(stream.encode(None))
    return path


def reddest(path: Path, masks: tuple[tuple[tuple[float, float], ...], ...]) -> int:
    """How much more red than green any pixel of any frame that the source yields is."""
    geometry = load_folder(find_folder("fused")).manifest.geometry
    file = FileSourceConfig(type="file", path=path, pace="fast")
    source = open_source("x", file, geometry, VirtualClock(), Metrics(), Path(), SourceOptions(masks))
    images = [item.image.astype(int) for item in source.items() if isinstance(item, Frame)]
    assert images
    return max(int((image[..., 0] - image[..., 1]).max()) for image in images)


def test_no_pixel_under_a_mask_reaches_the_model(tmp_path: Path) -> None:
    path = recording(tmp_path / "red.mp4")
    assert reddest(path, ()) > 200
    assert reddest(path, (SECRET,)) < 20  # what the codec smears over the edge


def test_a_still_picture_is_masked_too(tmp_path: Path) -> None:
    import cv2

    image = np.full((200, 300, 3), 128, np.uint8)
    image[100:180, 180:270] = (0, 0, 255)  # BGR
    cv2.imwrite(str(tmp_path / "still.png"), image)
    assert reddest(tmp_path / "still.png", ()) > 200
    assert reddest(tmp_path / "still.png", (SECRET,)) == 0


corner = st.tuples(st.floats(0, 1), st.floats(0, 1))


@settings(deadline=None)
@given(a=corner, b=corner, c=corner, width=st.integers(8, 200), height=st.integers(8, 200))
def test_every_pixel_centre_inside_is_covered(
    a: tuple[float, float], b: tuple[float, float], c: tuple[float, float], width: int, height: int
) -> None:
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)

    def side(p: tuple[float, float], q: tuple[float, float]) -> np.ndarray:
        return (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])

    sides = np.stack([side(a, b), side(b, c), side(c, a)])
    inside = (sides > 0).all(0) | (sides < 0).all(0)
    assert not (inside & ~covered_pixels([[a, b, c]], width, height)).any()


def test_a_mask_fits_itself_to_the_picture() -> None:
    mask = PrivacyMask([SECRET])
    for height, width in ((36, 64), (360, 640)):
        picture = np.full((height, width, 3), 9, np.uint8)
        mask.apply(picture)
        assert (picture[int(height * 0.7), int(width * 0.75)] == 0).all()
        assert (picture[0, 0] == 9).all()
