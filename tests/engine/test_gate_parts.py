from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
import toy_model
from toy_model import window

from edge.engine import contract
from edge.engine.contract import Array, TensorSpec
from edge.engine.gating.gated_runtime import uncertainty_bounds
from edge.engine.manifest import ModelFolder
from edge.engine.model import Model
from edge.engine.runtime import PartsRuntime, RuntimeInfo
from edge.metrics import Metrics
from edge.signal_change import DEFAULT_GATE_LIMITS
from edge.types import Scores

Compute = Callable[[Mapping[str, Array], Mapping[str, Array]], None]
F4 = np.dtype(np.float32)


@dataclass
class Numpy:
    """A graph in numpy that notes how many rows it was given."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    compute: Compute
    chunk: int = 2
    rows: list[int] = field(default_factory=list)
    info = RuntimeInfo("numpy", "2", "cpu", "fp32")

    def run(self, feed: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        self.rows.append(len(next(iter(feed.values()))))
        self.compute(feed, out)

    def close(self) -> None:
        pass


def named(*tensors: TensorSpec) -> dict[str, TensorSpec]:
    return {tensor.name: tensor for tensor in tensors}


def fuse(feed: Mapping[str, Array], out: Mapping[str, Array]) -> None:
    for array in out.values():
        array[...] = 0
    out["logits"][:, 0] = 20 * feed["bright"] - 20
    out["logits"][:, 1] = feed["loud"] - 20
    out["logits"][:, 2] = feed["memory_ok"].sum(1) + 20
    out["token"][...] = feed["bright"][:, None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return toy_model.toy_folder(tmp_path_factory.mktemp("parts"))


class Toy:
    """A model in parts whose first label's logit is 20 x (mean of pictures / 255) - 20: white is in doubt."""

    def __init__(self, folder: ModelFolder, gated: bool = True) -> None:
        whole = named(*contract.input_specs(folder))
        bright, loud = TensorSpec("bright", F4, ()), TensorSpec("loud", F4, ())

        def see(feed: Mapping[str, Array], out: Mapping[str, Array]) -> None:
            out["bright"][...] = feed["frames"].mean(axis=(1, 2, 3, 4)) / 255

        def hear(feed: Mapping[str, Array], out: Mapping[str, Array]) -> None:
            out["loud"][...] = np.abs(feed["audio"]).mean(axis=1)

        self.see = Numpy({k: whole[k] for k in ("frames", "video_ok")}, named(bright), see)
        self.hear = Numpy({k: whole[k] for k in ("audio", "audio_ok")}, named(loud), hear)
        rest = {k: whole[k] for k in ("video_ok", "audio_ok", "sensors", "sensor_ok", "memory", "memory_ok")}
        answers = [
            TensorSpec(t.name, t.dtype, tuple(n or {"boxes": 4}.get(t.name, 3) for n in t.tail))
            for t in contract.output_specs(folder)
        ]
        last = Numpy({**rest, **named(bright, loud)}, named(*answers), fuse)
        self.metrics = Metrics()
        runtime = PartsRuntime(folder, self.see, self.hear, last, 3)
        self.model = Model(folder, runtime, self.metrics, DEFAULT_GATE_LIMITS if gated else None)

    def show(self, seq: int, **levels: int) -> dict[str, Scores]:
        """Cameras by name, each with a picture of one grey level, in rows that change from hop to hop."""
        rows = [(seq + i) % 3 for i in range(len(levels))]
        windows = []
        for row, (camera, level) in zip(rows, levels.items(), strict=True):
            self.model.batch.frames[row] = level
            windows.append(window(camera, seq=seq, row=row))
        return {scores.camera: scores for scores in self.model.score(windows).scores}

    def count(self, how: str, camera: str, part: str) -> float:
        return self.metrics.registry.get_sample_value(f"edge_{how}_total", {"camera": camera, "part": part}) or 0.0


def test_a_still_camera_keeps_its_answer_while_others_move_and_rows_change(folder: ModelFolder) -> None:
    toy, plain = Toy(folder), Toy(folder, gated=False)
    for hop in range(10):
        levels = {"still": 100, "moving": 20 * hop, "dark": 0}
        gated, full = toy.show(hop, **levels), plain.show(hop, **levels)
        for camera in levels:
            assert gated[camera].values == pytest.approx(full[camera].values, abs=1e-6), (hop, camera)
            assert gated[camera].embedding == pytest.approx(full[camera].embedding)
    assert (toy.count("encoded", "still", "vision"), toy.count("reused", "still", "vision")) == (1, 9)
    assert toy.count("encoded", "moving", "vision") == 10
    assert sum(toy.see.rows) == 12
    assert sum(plain.see.rows) == 30


def test_a_reset_camera_is_encoded_anew(folder: ModelFolder) -> None:
    toy = Toy(folder)
    for hop in range(3):
        toy.show(hop, yard=100)
    toy.model.reset("yard")
    toy.show(3, yard=100)
    assert toy.count("encoded", "yard", "vision") == 2


def test_nothing_is_kept_for_a_window_that_was_broken(folder: ModelFolder) -> None:
    toy = Toy(folder)
    toy.show(0, yard=100)
    toy.model.batch.audio[1] = np.nan
    assert toy.show(1, yard=100) == {}
    toy.model.batch.audio[:] = 0
    toy.show(2, yard=100)
    assert toy.count("encoded", "yard", "vision") == 2


def test_a_camera_in_doubt_is_encoded_although_nothing_changes(folder: ModelFolder) -> None:
    toy = Toy(folder)
    for hop in range(2):
        toy.show(hop, yard=255, other=100)
    assert (toy.count("encoded", "yard", "vision"), toy.count("encoded", "other", "vision")) == (2, 1)


def test_doubt_reaches_halfway_from_the_thresholds_to_certainty(folder: ModelFolder) -> None:
    low, high = uncertainty_bounds(folder.manifest, 0.5)["video"]
    assert 1 / (1 + np.exp(-low)) == pytest.approx([0.2] * 3)
    assert 1 / (1 + np.exp(-high)) == pytest.approx([0.8] * 3)
