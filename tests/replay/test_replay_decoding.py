"""A recording is decoded as the configuration has it for its camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from capture.media import write

from edge.config import parse
from edge.engine.manifest import find_folder, load_folder
from edge.engine.model import Model
from edge.metrics import Metrics
from edge.replay import Replay

CONFIG = "cameras: {{yard: {{source: {{type: file, path: yard.mp4, decoding: {}}}}}}}\nmqtt: null"


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    opened = Model.open(load_folder(find_folder("fused")), parse(CONFIG.format("all")).config.model, 1, Metrics())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A room in which nothing happens."""
    path = tmp_path_factory.mktemp("still") / "still.mp4"
    picture = np.full((192, 320, 3), 90, np.uint8)
    return write(path, 14, size=(320, 192), picture=lambda _t: picture, sound=lambda t: 0.01 * np.sin(1200 * t))


class Counted:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.windows = 0

    def on_scores(self, _scores: object) -> None:
        self.windows += 1

    def on_event(self, _event: object) -> None:
        pass


@pytest.mark.parametrize(
    ("configured", "camera", "given", "skips"),
    [
        ("all", "yard", None, False),
        ("on_demand", "yard", None, True),
        ("all", None, None, True),
        ("all", "yard", "on_demand", True),
        ("on_demand", "yard", "all", False),
    ],
)
def test_as_the_camera_is_configured(
    model: Model,
    still: Path,
    configured: str,
    camera: str | None,
    given: Literal["on_demand", "all"] | None,
    skips: bool,
) -> None:
    replay, told = Replay(parse(CONFIG.format(configured)).config, model, camera=camera, decoding=given), Counted()
    replay.run(still, told)
    samples: list[Any] = [s for family in replay.metrics.registry.collect() for s in family.samples]
    skipped = sum(s.value for s in samples if s.name == "edge_pictures_skipped_total")
    assert (skipped > 60) == skips
    assert told.windows == 28


@pytest.mark.parametrize(("stride", "windows"), [(1, 28), (2, 14), (4, 7)])
def test_of_so_many_windows_one_is_scored(model: Model, still: Path, stride: int, windows: int) -> None:
    told = Counted()
    Replay(parse(CONFIG.format("all")).config, model, stride=stride).run(still, told)
    assert told.windows == windows
