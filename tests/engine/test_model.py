from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import toy_model
from toy_model import window

from edge.clock import VirtualClock
from edge.config.models import ModelConfig as Settings
from edge.engine.contract import Array
from edge.engine.manifest import ModelFolder
from edge.engine.model import Model, ModelOutput
from edge.engine.runtime import Runtime
from edge.engine.select import open_runtime
from edge.errors import ModelError
from edge.metrics import Metrics
from edge.types import NS_PER_MS

ONNX = Settings(runtime="onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return toy_model.toy_folder(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def runtime(folder: ModelFolder) -> Runtime:
    return open_runtime(folder, ONNX, 3)


@pytest.fixture
def inputs(runtime: Runtime) -> Mapping[str, Array]:
    return runtime.inputs


@pytest.fixture
def model(folder: ModelFolder, runtime: Runtime, metrics: Metrics) -> Model:
    return Model(folder, runtime, metrics)


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def memory_of(inputs: Mapping[str, Array], row: int = 0) -> tuple[list[float], list[float]]:
    """The first number of each memory token as the last call saw it, and the mask."""
    return [round(value, 3) for value in inputs["memory"][row, :, 0].tolist()], inputs["memory_ok"][row].tolist()


def hear(model: Model, value: float, **which: int) -> None:
    model.batch.audio[0] = value
    model.score([window(**which)])


def test_opens_proven_and_says_what_runs(folder: ModelFolder, metrics: Metrics) -> None:
    model = Model.open(folder, ONNX, 3, metrics)
    assert (model.info.name, model.info.device, model.info.precision) == ("onnx", "cpu", "fp32")
    labels = metrics.registry.get_sample_value
    assert labels("edge_runtime_info", {"model": "toy 1.0", "runtime": "onnx", "version": model.info.version,
                                        "device": "cpu", "precision": "fp32"}) == 1  # fmt: skip


def test_the_batch_has_the_sizes_of_the_manifest_and_starts_empty(model: Model) -> None:
    assert model.batch.frames.shape == (3, 2, 32, 64, 3)
    assert model.batch.audio.shape == (3, 8000)
    assert model.batch.audio_ok.shape == (3,)
    assert not any(getattr(model.batch, name).any() for name in model.batch.__slots__)


def test_scores_are_probabilities_and_belong_to_their_row(model: Model, metrics: Metrics) -> None:
    for row, (picture, sound) in enumerate([(0, 0.5), (255, -1.0)]):
        model.batch.frames[row] = picture
        model.batch.audio[row] = sound
    yard, gate = model.score([window("yard", row=1), window("gate", row=0, seq=9)]).scores
    assert (yard.camera, gate.camera, gate.seq, gate.model) == ("yard", "gate", 9, "toy 1.0")
    assert yard.values == pytest.approx({"bright": sigmoid(1), "loud": sigmoid(-1), "remembering": 0.5})
    assert gate.values == pytest.approx({"bright": 0.5, "loud": sigmoid(0.5), "remembering": 0.5})
    assert gate.contribution["loud"].video == pytest.approx(0.5)
    assert (gate.video_ok, gate.audio_ok, gate.coverage) == (True, True, 1.0)


class TickingClock(VirtualClock):
    """5 ms pass between two looks at it."""

    def mono_ns(self) -> int:
        self.advance(5 * NS_PER_MS)
        return super().mono_ns()


def test_what_the_runtime_took_is_returned_and_counted_once(
    folder: ModelFolder, runtime: Runtime, metrics: Metrics
) -> None:
    model = Model(folder, runtime, metrics, clock=TickingClock())
    output = model.score([window("yard", row=1), window("gate", row=0)])
    assert [scores.camera for scores in output.scores] == ["yard", "gate"]
    assert output.infer_ns == 5 * NS_PER_MS
    value = metrics.registry.get_sample_value
    assert (value("edge_infer_seconds_count"), value("edge_infer_seconds_sum")) == (1, 0.005)
    model.score([])
    assert value("edge_infer_seconds_count") == 1


def test_scores_outlive_the_next_run(model: Model) -> None:
    hear(model, 0.5, seq=0)
    (first,) = model.score([window(seq=1)]).scores
    kept = first.embedding.copy()
    model.score([window(seq=2)])
    np.testing.assert_array_equal(first.embedding, kept)
    assert kept[0] == pytest.approx(0.5)


def test_memory_is_a_camera_s_own_oldest_first(model: Model, inputs: Mapping[str, Array]) -> None:
    for seq in range(6):
        hear(model, 0.1 * (seq + 1), seq=seq)
    assert memory_of(inputs) == ([0.2, 0.3, 0.4, 0.5], [1, 1, 1, 1])
    model.score([window("yard")])
    assert memory_of(inputs) == ([0, 0, 0, 0], [0, 0, 0, 0])
    hear(model, 0.7, seq=6)
    assert memory_of(inputs) == ([0.3, 0.4, 0.5, 0.6], [1, 1, 1, 1])


def test_a_missed_hop_is_a_masked_hole_in_memory(model: Model, inputs: Mapping[str, Array]) -> None:
    hear(model, 0.1, seq=0)
    hear(model, 0.2, seq=1)
    hear(model, 0.3, seq=3)
    assert memory_of(inputs) == ([0, 0.1, 0.2, 0], [0, 1, 1, 0])


@pytest.mark.parametrize(
    ("seq", "epoch"), [(1, 1), (5, 0), (0, 0)], ids=["new epoch", "missed more than it holds", "goes back"]
)
def test_memory_starts_anew(model: Model, seq: int, epoch: int, inputs: Mapping[str, Array]) -> None:
    hear(model, 0.1, seq=0)
    hear(model, 0.2, seq=seq, epoch=epoch)
    assert memory_of(inputs)[1] == [0, 0, 0, 0]


def test_the_oldest_token_survives_the_longest_gap(model: Model, inputs: Mapping[str, Array]) -> None:
    hear(model, 0.1, seq=0)
    hear(model, 0.2, seq=4)
    assert memory_of(inputs) == ([0.1, 0, 0, 0], [1, 0, 0, 0])


def test_reset_forgets_one_camera(model: Model, inputs: Mapping[str, Array]) -> None:
    hear(model, 0.1, seq=0)
    model.score([window("yard", seq=0)])
    model.reset("gate")
    model.score([window("gate", seq=1), window("yard", seq=1, row=1)])
    assert (memory_of(inputs, 0)[1], memory_of(inputs, 1)[1]) == ([0, 0, 0, 0], [0, 0, 0, 1])


def test_boxes_are_in_the_camera_s_own_picture(model: Model) -> None:
    letterboxed = (0.25, 0.0, 0.75, 1.0)
    (found,) = model.score([window(content=letterboxed)]).scores
    person, car = found.boxes
    assert (person.label, person.x1, person.x2) == ("person", 0.0, 1.0)
    assert person.score == pytest.approx(0.8)
    assert (car.label, car.x1, car.y1, car.x2, car.y2) == ("car", 0.0, 0.0, 0.5, 0.5)


def test_tags_are_the_best_five_above_a_tenth(model: Model) -> None:
    (found,) = model.score([window()]).scores
    assert list(found.tags) == ["tag 2", "tag 6", "tag 5", "tag 4", "tag 1"]
    assert list(found.tags.values()) == pytest.approx([0.9, 0.5, 0.4, 0.3, 0.2])


def test_broken_media_is_left_out_and_counted(model: Model, metrics: Metrics, inputs: Mapping[str, Array]) -> None:
    model.batch.audio[0, 5] = np.nan
    model.batch.audio[1] = 0.1
    (good,) = model.score([window("gate", row=0), window("yard", row=1)]).scores
    assert good.camera == "yard"
    place = {"source": "gate", "place": "engine_audio_not_finite"}
    assert metrics.registry.get_sample_value("edge_drops_total", place) == 1
    model.batch.audio[0] = 0.1
    model.score([window("gate", seq=1, row=0)])
    assert memory_of(inputs)[1] == [0, 0, 0, 0]


def test_a_model_that_answers_nonsense_is_an_error(tmp_path: Path, metrics: Metrics) -> None:
    inputs = toy_model.golden_inputs()
    plain = toy_model.golden_outputs(inputs)
    logits = plain["logits"] / inputs["audio"].mean(1, keepdims=True)
    proto = toy_model.graph(poison=True)
    folder = toy_model.toy_folder(tmp_path, proto, logits=logits, contribution=np.repeat(logits[..., None], 3, 2))
    model = Model.open(folder, ONNX, 2, metrics)
    with pytest.raises(ModelError, match=r"output logits is not finite for camera 'gate'"):
        model.score([window()])


def test_inaudible_sound_is_exact_silence(model: Model) -> None:
    model.batch.audio[0, :3] = [1e-40, -1e-16, 1e-14]
    model.score([window()])
    assert model.batch.audio[0, :3].tolist() == pytest.approx([0, 0, 1e-14], rel=1e-6, abs=0)


def test_scoring_leaves_the_thread_s_arithmetic_alone(model: Model) -> None:
    model.score([window()])
    assert np.float64(5e-324) * 1 > 0


def test_a_batch_takes_one_window_a_camera(model: Model) -> None:
    with pytest.raises(ValueError, match="one window a camera"):
        model.score([window(seq=0), window(seq=1, row=1)])
    assert model.score([]) == ModelOutput()


def test_a_damaged_folder_is_refused(tmp_path: Path, metrics: Metrics) -> None:
    folder = toy_model.toy_folder(tmp_path)
    with (tmp_path / "toy.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="restore the model folder"):
        Model.open(folder, ONNX, 1, metrics)
