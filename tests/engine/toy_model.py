"""A tiny graph with the real graph's inputs and outputs, whose answers can be worked out by hand.

logits = (mean of frames / 255, mean of audio, number of memory tokens); token = mean of audio in every place;
embedding = sum of memory over time; boxes, evidence and tags are constants.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from media_times import at
from onnx import TensorProto, helper, numpy_helper

from edge.engine.manifest import ModelFolder, load_folder, sha256_of
from edge.types import Window

FRAMES, HEIGHT, WIDTH, SAMPLES, SENSORS, MEMORY, DIM = 2, 32, 64, 8000, 1, 4, 8
LABELS = ("bright", "loud", "remembering")
BOXES = np.array(
    [
        [0.25, 0.0, 0.5, 0.5, 0.6, 1],
        [0.0, 0.0, 0.1, 1.0, 0.9, 0],  # left of the picture when it is letterboxed
        [0.2, 0.4, 1.0, 0.6, 0.8, 0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0],
    ],
    np.float32,
)
TAGS = np.array([0.05, 0.2, 0.9, 0.11, 0.3, 0.4, 0.5], np.float32)


FEATURES = {
    "sound": (4,),
    "picture": (5,),
    "classes": (2,),
    "picture_tags": (3,),
    "motion": (2, 3, 4),
    "aligned": (2, 6),
}


def feature(name: str) -> np.ndarray[Any, Any]:
    """Numbers of the feature's shape, different in every place."""
    tail = FEATURES[name]
    return (np.arange(np.prod(tail)) / 100).reshape(tail).astype(np.float32)


def graph(labels: int = 3, audio: int = SAMPLES, poison: bool = False) -> onnx.ModelProto:
    """``poison`` divides by the mean of the audio: no sound gives numbers that are not finite."""
    f, u = TensorProto.FLOAT, TensorProto.UINT8
    inputs = [
        ("frames", u, [FRAMES, HEIGHT, WIDTH, 3]),
        ("video_ok", f, [FRAMES]),
        ("audio", f, [audio]),
        ("audio_ok", f, []),
        ("sensors", f, [SENSORS]),
        ("sensor_ok", f, [SENSORS]),
        ("memory", f, [MEMORY, DIM]),
        ("memory_ok", f, [MEMORY]),
    ]
    outputs = [
        ("logits", [labels]),
        ("contribution", [labels, 3]),
        ("embedding", [DIM]),
        ("token", [DIM]),
        ("boxes", [len(BOXES), 6]),
        ("evidence", [2, 3]),
        ("tags", [len(TAGS)]),
        *((name, list(tail)) for name, tail in FEATURES.items()),
    ]
    constants = {
        "eye": np.ones((1, labels, 3), np.float32),
        "scale": np.float32(1 / 255),
        "ones": np.ones((1, DIM), np.float32),
        "zero": np.zeros((), np.float32),
        "boxes_all": BOXES[None],
        "evidence_all": np.full((1, 2, 3), 0.5, np.float32),
        "tags_all": TAGS[None],
        **{f"{name}_all": feature(name)[None] for name in FEATURES},
        "rest": np.array([1], np.int64),
        "picture_axes": np.array([2, 3, 4], np.int64),
        "last": np.array([2], np.int64),
        "fit": np.ones((1, labels), np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["frames"], ["pixels"], to=f),
        helper.make_node("ReduceMean", ["pixels"], ["v4"], axes=[2, 3, 4], keepdims=0),
        helper.make_node("ReduceMean", ["v4"], ["v1"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["v1", "scale"], ["v"]),
        helper.make_node("ReduceMean", ["audio"], ["a"], axes=[1], keepdims=1),
        helper.make_node("ReduceSum", ["memory_ok", "rest"], ["m"], keepdims=1),
        helper.make_node("Concat", ["v", "a", "m"], ["raw"], axis=1),
        helper.make_node("Div", ["raw", "a"] if poison else ["raw", "one"], ["logits"]),
        helper.make_node("Unsqueeze", ["logits", "last"], ["column"]),
        helper.make_node("Mul", ["column", "eye"], ["contribution"]),
        helper.make_node("ReduceSum", ["memory", "rest"], ["embedding"], keepdims=0),
        helper.make_node("Mul", ["a", "ones"], ["token"]),
        helper.make_node("Mul", ["v", "zero"], ["nothing"]),
        helper.make_node("Unsqueeze", ["nothing", "last"], ["nothing3"]),
        helper.make_node("Unsqueeze", ["nothing3", "last"], ["nothing4"]),
        helper.make_node("Add", ["nothing3", "boxes_all"], ["boxes"]),
        helper.make_node("Add", ["nothing3", "evidence_all"], ["evidence"]),
        helper.make_node("Add", ["nothing", "tags_all"], ["tags"]),
        *(helper.make_node("Add", ["nothing", f"{name}_all"], [name]) for name in ("sound", "picture", "classes")),
        helper.make_node("Add", ["nothing", "picture_tags_all"], ["picture_tags"]),
        helper.make_node("Add", ["nothing4", "motion_all"], ["motion"]),
        helper.make_node("Add", ["nothing3", "aligned_all"], ["aligned"]),
    ]
    constants["one"] = np.ones((), np.float32)
    if labels != 3:
        nodes[6] = helper.make_node("Mul", ["v", "fit"], ["raw"])
    made = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(name, kind, ["B", *tail]) for name, kind, tail in inputs],
        [helper.make_tensor_value_info(name, f, ["B", *tail]) for name, tail in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def golden_inputs(rows: int = 3) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(5)
    return {
        "frames": rng.integers(0, 256, (rows, FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8),
        "video_ok": np.ones((rows, FRAMES), np.float32),
        "audio": rng.normal(0.2, 0.1, (rows, SAMPLES)).astype(np.float32),
        "audio_ok": np.ones(rows, np.float32),
        "sensors": np.zeros((rows, SENSORS), np.float32),
        "sensor_ok": np.zeros((rows, SENSORS), np.float32),
        "memory": rng.normal(0, 1, (rows, MEMORY, DIM)).astype(np.float32),
        "memory_ok": np.ones((rows, MEMORY), np.float32),
    }


def golden_outputs(inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """numpy's opinion of the graph."""
    rows = len(inputs["audio"])
    v, a = inputs["frames"].mean(axis=(1, 2, 3, 4)) / 255, inputs["audio"].mean(axis=1)
    logits = np.stack([v, a, inputs["memory_ok"].sum(1)], 1).astype(np.float32)
    return {
        "logits": logits,
        "contribution": np.repeat(logits[..., None], 3, 2),
        "embedding": inputs["memory"].sum(1),
        "token": np.repeat(a[:, None], DIM, 1),
        "boxes": np.repeat(BOXES[None], rows, 0),
        "evidence": np.full((rows, 2, 3), 0.5, np.float32),
        "tags": np.repeat(TAGS[None], rows, 0),
        **{name: np.repeat(feature(name)[None], rows, 0) for name in FEATURES},
    }


def manifest(path: Path) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "toy",
        "version": "1.0",
        "file": "toy.onnx",
        "sha256": sha256_of(path / "toy.onnx"),
        "licence": "Apache-2.0",
        "golden": {"file": "golden.npz", "sha256": sha256_of(path / "golden.npz"), "atol": 1e-4, "rtol": 1e-3},
        "geometry": {
            "hop_s": 0.5,
            "video": {"fps": 4, "frames": FRAMES, "width": WIDTH, "height": HEIGHT},
            "audio": {"rate_hz": 8000, "window_s": 1.0},
            "sensors": [{"name": "temperature", "unit": "°C", "mean": 20, "std": 10}],
            "memory": {"tokens": MEMORY, "dim": DIM},
        },
        "labels": [{"name": name, "modalities": ["video", "audio"]} for name in LABELS],
        "classes": ["person", "car"],
        "tags": "tags.txt",
        "picture_tags": "picture_tags.txt",
    }


def toy_folder(path: Path, proto: onnx.ModelProto | None = None, **outputs: np.ndarray[Any, Any]) -> ModelFolder:
    """Write the model folder; ``outputs`` replace golden outputs."""
    (path / "toy.onnx").write_bytes((proto or graph()).SerializeToString())
    (path / "tags.txt").write_text("".join(f"tag {n}\n" for n in range(len(TAGS))), encoding="utf-8")
    (path / "picture_tags.txt").write_text("one\ntwo\nthree\n", encoding="utf-8")
    inputs = golden_inputs()
    golden = {**golden_outputs(inputs), **outputs}
    named = {f"in_{k}": v for k, v in inputs.items()} | {f"out_{k}": v for k, v in golden.items()}
    np.savez(path / "golden.npz", **named)
    (path / "model.yaml").write_text(yaml.safe_dump(manifest(path), allow_unicode=True), encoding="utf-8")
    return load_folder(path)


def window(camera: str = "gate", seq: int = 0, row: int = 0, epoch: int = 0, **changes: Any) -> Window:
    given: dict[str, Any] = {
        "camera": camera,
        "seq": seq,
        "t_end_ns": seq * 500_000_000,
        "media_end": at(seq * 500_000_000, epoch),
        "row": row,
        "video_ok": (True, True),
        "audio_ok": 1.0,
        "sensor_ok": (False,),
        "content": (0.0, 0.0, 1.0, 1.0),
    }
    return Window(**{**given, **changes})
