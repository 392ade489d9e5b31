"""The graph's inputs and outputs, derived from the manifest: every runtime and the self-test are held to this.

Pure data; a batch row is one camera's hop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engine.manifest import MODALITIES, ModelFolder
from edge.errors import ModelError

Array = NDArray[Any]
VALUES_PER_BOX = 6  # x1, y1, x2, y2, score, class

_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(bool)": np.dtype(np.bool_),
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output without its batch axis; None where any size will do."""

    name: str
    dtype: np.dtype[Any]
    tail: tuple[int | None, ...]

    def accepts(self, other: TensorSpec) -> bool:
        """Whether a graph's own tensor fits this description; sizes the graph leaves open are accepted."""
        same_rank = len(self.tail) == len(other.tail)
        return (
            same_rank
            and self.dtype == other.dtype
            and all(a is None or b is None or a == b for a, b in zip(self.tail, other.tail, strict=True))
        )

    def __str__(self) -> str:
        sizes = ",".join(["B", *("?" if n is None else str(n) for n in self.tail)])
        return f"{self.name} {self.dtype}[{sizes}]"


def dtype_of(onnx_type: str) -> np.dtype[Any]:
    """numpy's type for ONNX Runtime's ``tensor(...)`` names; ModelError for one that no graph here uses."""
    try:
        return _DTYPES[onnx_type]
    except KeyError:
        raise ModelError(f"the graph has a tensor of type {onnx_type}; export it with uint8 and float32 only") from None


def input_specs(folder: ModelFolder) -> tuple[TensorSpec, ...]:
    """What the graph must take, in order."""
    g = folder.manifest.geometry
    u8, f32 = np.dtype(np.uint8), np.dtype(np.float32)
    sensors = len(g.sensors)
    return (
        TensorSpec("frames", u8, (g.video.frames, g.video.height, g.video.width, 3)),
        TensorSpec("video_ok", f32, (g.video.frames,)),
        TensorSpec("audio", f32, (g.audio.samples,)),
        TensorSpec("audio_ok", f32, ()),
        TensorSpec("sensors", f32, (sensors,)),
        TensorSpec("sensor_ok", f32, (sensors,)),
        TensorSpec("memory", f32, (g.memory.tokens, g.memory.dim)),
        TensorSpec("memory_ok", f32, (g.memory.tokens,)),
    )


def output_specs(folder: ModelFolder) -> tuple[TensorSpec, ...]:
    """What the graph must give, in order; how many boxes and cells, and how long embeddings are, is its own affair."""
    manifest = folder.manifest
    f32 = np.dtype(np.float32)
    labels, dim = len(manifest.labels), manifest.geometry.memory.dim
    return (
        TensorSpec("logits", f32, (labels,)),
        TensorSpec("contribution", f32, (labels, len(MODALITIES))),
        TensorSpec("embedding", f32, (dim,)),
        TensorSpec("token", f32, (dim,)),
        TensorSpec("boxes", f32, (None, VALUES_PER_BOX)),
        TensorSpec("evidence", f32, (None, None)),
        TensorSpec("tags", f32, (len(folder.tag_names) or None,)),
        TensorSpec("sound", f32, (None,)),
        TensorSpec("picture", f32, (None,)),
        TensorSpec("classes", f32, (len(manifest.classes) or None,)),
        TensorSpec("picture_tags", f32, (len(folder.picture_tag_names) or None,)),
        TensorSpec("motion", f32, (None, None, None)),
        TensorSpec("aligned", f32, (2, None)),
    )


def check_tensors(where: str, expected: tuple[TensorSpec, ...], found: Mapping[str, TensorSpec]) -> None:
    """Compare a graph's tensors with the manifest's; ModelError names every one that differs."""
    faults = []
    for tensor in expected:
        tensor_given = found.get(tensor.name)
        if tensor_given is None:
            faults.append(f"no {tensor}")
        elif not tensor.accepts(tensor_given):
            faults.append(f"{tensor_given}, but model.yaml says {tensor}")
    extra = sorted(set(found) - {tensor.name for tensor in expected})
    if extra and where.endswith("inputs"):
        faults.append(f"unknown {', '.join(extra)}")
    if faults:
        raise ModelError(
            f"{where} do not fit model.yaml: {'; '.join(faults)}. Export the graph and model.yaml together"
        )


def check_part(where: str, found: Mapping[str, TensorSpec], there: Mapping[str, TensorSpec]) -> None:
    """Compare what a part takes with what there is for it; ModelError names every tensor that does not fit."""
    faults = [
        f"{tensor}, but there is {there[name]}" if name in there else f"unknown {tensor}"
        for name, tensor in found.items()
        if name not in there or not there[name].accepts(tensor)
    ]
    if faults:
        raise ModelError(
            f"{where} does not fit: {'; '.join(faults)}. Export the graph, its parts and model.yaml together"
        )


def allocate_buffers(expected: tuple[TensorSpec, ...], max_batch: int) -> dict[str, Array]:
    """Zeroed input arrays with ``max_batch`` rows."""
    return {t.name: np.zeros((max_batch, *(n or 0 for n in t.tail)), t.dtype) for t in expected}
