"""The model that is shipped: it opens, reproduces its golden file, and answers the same whatever else is due."""

from __future__ import annotations

import numpy as np
import pytest
from media_times import at

from edge.config.models import ModelConfig as Settings
from edge.engine.manifest import find_folder, load_folder
from edge.engine.model import Model
from edge.engine.selftest import load_golden
from edge.metrics import Metrics
from edge.types import Scores, Window

ROWS = 3


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.open(load_folder(find_folder("fused")), Settings(runtime="onnx"), ROWS, Metrics())


def fill(model: Model) -> None:
    inputs, _ = load_golden(load_folder(find_folder("fused")).golden)
    for name in model.batch.__slots__:
        getattr(model.batch, name)[...] = np.resize(inputs[name], getattr(model.batch, name).shape)


def window(model: Model, row: int, camera: str) -> Window:
    video, sensors = model.manifest.geometry.video, model.manifest.geometry.sensors
    ok = (True,) * video.frames
    return Window(camera, 0, 0, at(0), row, ok, 1.0, (True,) * len(sensors), (0.0, 0.125, 1.0, 0.875))


def shown(scores: Scores) -> tuple[object, ...]:
    return scores.values, scores.contribution, scores.embedding.tobytes(), scores.boxes, scores.tags


def test_every_label_gets_a_probability(model: Model) -> None:
    fill(model)
    (scores,) = model.score([window(model, 0, "gate")]).scores
    assert tuple(scores.values) == model.manifest.label_names
    assert all(0 <= value <= 1 for value in scores.values.values())
    assert all(0 <= v <= 1 for box in scores.boxes for v in (box.x1, box.y1, box.x2, box.y2, box.score))
    model.reset("gate")


def test_a_row_s_answer_is_the_same_bytes_alone_and_in_company(model: Model) -> None:
    fill(model)
    together = model.score([window(model, row, f"camera{row}") for row in range(ROWS)]).scores
    for row in range(ROWS):
        model.reset(f"camera{row}")
        (alone,) = model.score([window(model, row, f"camera{row}")]).scores
        assert shown(alone) == shown(together[row])
    for row in range(ROWS):
        model.reset(f"camera{row}")
