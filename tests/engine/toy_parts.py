"""The toy model in three parts in numpy, which count their rows, and cameras before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from toy_model import window

from edge.engine import contract
from edge.engine.contract import Array, TensorSpec
from edge.engine.manifest import ModelFolder
from edge.engine.model import Model
from edge.engine.runtime import PartsRuntime, RuntimeInfo
from edge.metrics import Metrics
from edge.signal_change import DEFAULT_GATE_LIMITS, GateLimits
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
    out["sound"][...] = feed["memory"].sum((1, 2))[:, None] + feed["sensors"] + feed["loud"][:, None]


class Toy:
    """A model in parts whose first label's logit is 20 x (mean of pictures / 255) - 20: white is in doubt."""

    def __init__(self, folder: ModelFolder, limits: GateLimits | None = DEFAULT_GATE_LIMITS, workers: int = 1) -> None:
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
        self.fuse = Numpy({**rest, **named(bright, loud)}, named(*answers), fuse)
        self.metrics = Metrics()
        runtime = PartsRuntime(folder, self.see, self.hear, self.fuse, 3)
        self.model = Model(folder, runtime, self.metrics, limits, workers=workers)

    def show(self, seq: int, pictures: tuple[int, ...] = (), **levels: int) -> dict[str, Scores]:
        """Cameras by name, each with a picture of one grey level, in rows that change from hop to hop; ``pictures``
        numbers them."""
        rows = [(seq + i) % 3 for i in range(len(levels))]
        windows = []
        for row, (camera, level) in zip(rows, levels.items(), strict=True):
            self.model.batch.frames[row] = level
            windows.append(replace(window(camera, seq=seq, row=row), pictures=pictures))
        return {scores.camera: scores for scores in self.model.score(windows).scores}

    def count(self, how: str, camera: str, part: str) -> float:
        return self.metrics.registry.get_sample_value(f"edge_{how}_total", {"camera": camera, "part": part}) or 0.0
