"""Pictures that NVIDIA's video unit decodes and scales, against those of the processor. Runs wherever an NVIDIA driver
is: `pytest -m gpu`. TensorRT is not needed.

Has not been run yet, for want of a GPU. The limits are what is expected of another scaler; a first run has to confirm
them.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from edge.capture import decoder_device
from edge.capture.decoder_device import HardwareDecoderError, open_container, scaling_decoder
from edge.capture.registry import open_source
from edge.clock import VirtualClock
from edge.config.sources import FileSourceConfig
from edge.engine.manifest import find_folder, load_folder
from edge.metrics import Metrics
from edge.types import Frame

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
GEOMETRY = load_folder(find_folder("fused")).manifest.geometry
SAMPLE = Path(__file__).parents[2] / "samples" / "yard.mp4"
MEAN, WORST = 4.0, 12.0
"""Grey levels by which pictures may differ on average, all of them and any one."""


def config(decoder: str) -> FileSourceConfig:
    return FileSourceConfig(type="file", path=SAMPLE, pace="fast", decoder=decoder)


@pytest.fixture(autouse=True)
def _as_a_network_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of recordings whole pictures come back."""
    monkeypatch.setattr(decoder_device, "is_bare", lambda _: True)


@pytest.fixture(scope="module", autouse=True)
def _video_unit() -> None:
    try:
        open_container(lambda accel: av.open(str(SAMPLE), hwaccel=accel), config("cuda"), "yard").close()
    except HardwareDecoderError as error:
        pytest.skip(f"no NVIDIA video unit: {error}")


def pictures(decoder: str) -> dict[int, np.ndarray]:
    source = open_source("yard", config(decoder), GEOMETRY, VirtualClock(), Metrics(), Path())
    return {item.pts_ns: item.image.astype(np.int16) for item in source.items() if isinstance(item, Frame)}


def test_the_video_unit_scales() -> None:
    with open_container(lambda accel: av.open(str(SAMPLE), hwaccel=accel), config("cuda"), "yard") as container:
        stream = container.streams.video[0]
        context = scaling_decoder(stream, config("cuda"), GEOMETRY.video)
        assert context is not None
        frame = next(frame for packet in container.demux(stream) for frame in context.decode(packet))
        assert (frame.width, frame.height) <= (GEOMETRY.video.width, GEOMETRY.video.height)
        assert frame.format.name == "nv12"


def test_its_pictures_are_those_of_the_processor_but_for_scaling() -> None:
    expected, found = pictures("cpu"), pictures("cuda")
    assert found.keys() == expected.keys()
    apart = [float(np.abs(found[pts] - expected[pts]).mean()) for pts in expected]
    assert np.mean(apart) < MEAN
    assert max(apart) < WORST
