"""From a trained network to engines/fused: the graph and its parts, the manifest and the golden file, all verified.

Weights are stored as float16 with a Cast in front where that keeps the outputs within the tolerance; the
spectral tables stay float32.
"""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import yaml

from edge.engine.manifest import sha256_of
from edge.errors import InputError, ModelError
from edge.files import atomic_write, partial_of, put_in_place
from edge.train import labels as L
from edge.train.checkpoint import TrainingBudget
from edge.train.recipe.graphs import (  # fmt: skip
    OUTPUTS,
    PARTS,
    Arrays,
    export_parts,
    merge_parts,
    open_session,
    run_onnx,
    run_parts,
    store_as_float16,
)

if TYPE_CHECKING:
    from edge.train.nets.network import FusedNet

_log = logging.getLogger(__name__)
ATOL: Final = 0.002
RTOL: Final = 0.01
PICTURE_TAG_COUNT: Final = 1000
PARTS_ATOL: Final = 1e-5
EXPORT_RECORD: Final = "exported.json"
"""In the work folder: what was exported last, and the digests of the files that it became."""


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """What was written, and how far it is from torch: largest absolute difference of any output before
    (`difference`) and after (`rounding`) the weights were stored in 16 bits."""

    path: Path
    sha256: str
    megabytes: float
    difference: float
    rounding: float
    ms_per_row: float


def export_engine(
    net: FusedNet, folder: Path, version: str, tags: list[str], picture_tags: list[str],
    enters: Mapping[str, float] = MappingProxyType({}),
) -> ExportedModel:  # fmt: skip
    """Write the graph and its parts, model.yaml with ``enters`` as thresholds, golden.npz and the tag lists into
    `folder`; raise where ONNX and torch differ."""
    folder.mkdir(parents=True, exist_ok=True)
    export_parts(net, folder, sample_inputs(2, seed=3))
    path = folder / "fused.onnx"
    merge_parts(folder, path)
    difference = max(_max_difference(net, path, b, 0.005) for b in (1, 2, 5))
    half = sum(store_as_float16(folder / f"{name}.onnx") for name in PARTS)
    merge_parts(folder, path)
    rounding = max(_max_difference(net, path, b, 0.1) for b in (1, 2, 5))
    write_metadata(folder, version, tags, picture_tags, enters)
    done = ExportedModel(path, sha256_of(path), path.stat().st_size / 1e6, difference, rounding, measure_row_ms(path))
    _log.info("exported %s: %.1f MB, %d tensors halved, max difference %.5f, %.1f ms a row",
              path, done.megabytes, half, difference, done.ms_per_row)  # fmt: skip
    return done


def write_metadata(
    folder: Path, version: str, tags: list[str], picture_tags: list[str], enters: Mapping[str, float]
) -> None:
    """What goes with the graphs that lie in `folder`: the golden file, which both the whole and its parts must give,
    the tag lists and model.yaml."""
    golden = sample_inputs(3, seed=7)
    outputs = run_onnx(folder / "fused.onnx", golden)
    for name, value in run_parts(folder, golden).items():
        if not np.allclose(value, outputs[name], atol=PARTS_ATOL):
            raise ValueError(f"{name}: the parts are {np.abs(value - outputs[name]).max():.5f} away from the whole")
    stored: Any = {f"in_{k}": v for k, v in golden.items()} | {f"out_{k}": outputs[k] for k in OUTPUTS}
    np.savez_compressed(folder / "golden.npz", **stored)
    (folder / "audioset527.txt").write_text("\n".join(tags) + "\n", encoding="utf-8")
    (folder / "imagenet1000.txt").write_text("\n".join(picture_tags) + "\n", encoding="utf-8")
    (folder / "model.yaml").write_text(manifest_text(folder, version, enters), encoding="utf-8")


def export_work_folder(work: Path, weights: Path, folder: Path, version: str) -> ExportedModel:
    """<work>/calibrated.pt -> the engine folder. Everything is written and checked beside it and then moved in, so that
    whoever runs the engine meanwhile never meets half of it. InputError where an older edge calibrated."""
    import torch

    from edge.train.align.build import ALIGNMENT_FILE, write_knowledge
    from edge.train.nets.network import FusedNet

    state = torch.load(work / "calibrated.pt", map_location="cpu", weights_only=True)
    if "enters" not in state:
        raise InputError(f"{work / 'calibrated.pt'}: has no thresholds, an older edge made it; run edge train anew")
    net = FusedNet(state["fusion"])
    net.load_state_dict(state["net"])
    aside = work / "engine"
    done = export_engine(net.eval(), aside, version, *read_tag_names(weights), state["enters"])
    if (work / ALIGNMENT_FILE).exists():
        write_knowledge(aside, work)
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(aside.iterdir()):
        shutil.copyfile(file, partial_of(folder / file.name))
    for file in sorted(aside.iterdir()):
        put_in_place(partial_of(folder / file.name), folder / file.name)
    record = _export_inputs(work, version) | {"files": _digests(folder, [file.name for file in aside.iterdir()])}
    atomic_write(work / EXPORT_RECORD, json.dumps(record, indent=1) + "\n")
    return replace(done, path=folder / done.path.name)


def is_exported(work: Path, folder: Path, version: str) -> bool:
    """Whether `folder` holds, file by file, what `export_work_folder` made of the work folder as it is now."""
    try:
        record = json.loads((work / EXPORT_RECORD).read_text(encoding="utf-8"))
        return bool(record == _export_inputs(work, version) | {"files": _digests(folder, record["files"])})
    except (OSError, ValueError, KeyError, ModelError):
        return False


def _export_inputs(work: Path, version: str) -> dict[str, Any]:
    """The version, and the digests of what is exported."""
    from edge.train.align.build import ALIGNMENT_FILE

    names = [name for name in ("calibrated.pt", ALIGNMENT_FILE) if (work / name).exists()]
    return {"version": version, "inputs": _digests(work, names)}


def _digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: sha256_of(folder / name) for name in sorted(names)}


def read_tag_names(weights: Path) -> tuple[list[str], list[str]]:
    """Names of the sound tags and of the picture tags."""
    names = (weights / "imagenet_labels.txt").read_text(encoding="utf-8").split("\n")[:PICTURE_TAG_COUNT]
    return read_tags(weights / "audioset527.csv"), names


def read_tags(path: Path) -> list[str]:
    """The 527 AudioSet display names in index order."""
    with open(path, encoding="utf-8") as f:
        return [row["display_name"] for row in csv.DictReader(f)]


def sample_inputs(batch: int, seed: int) -> Arrays:
    """Plausible inputs with every kind of hole: row 1 no picture and short memory, row 2 no sound, one frame."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, L.WIDTH)[None, None, None, :, None]
    blobs = rng.integers(0, 56, (batch, 2, L.HEIGHT // 16, L.WIDTH // 16, 3)).repeat(16, 2).repeat(16, 3)
    t = np.arange(L.SAMPLES) / L.RATE_HZ
    tones = np.sin(2 * np.pi * rng.uniform(200, 4000, (batch, 1)) * t) * rng.uniform(0.05, 0.5, (batch, 1))
    x: Arrays = {
        "frames": (ramp + blobs).astype(np.uint8),
        "video_ok": np.ones((batch, 2), np.float32),
        "audio": (tones + 0.02 * rng.standard_normal((batch, L.SAMPLES))).astype(np.float32),
        "audio_ok": np.ones(batch, np.float32),
        "sensors": rng.standard_normal((batch, len(L.SENSORS))).astype(np.float32),
        "sensor_ok": (rng.random((batch, len(L.SENSORS))) < 0.7).astype(np.float32),
        "memory": rng.standard_normal((batch, L.MEMORY, L.TOKEN_DIM)).astype(np.float32),
        "memory_ok": np.ones((batch, L.MEMORY), np.float32),
    }
    if batch > 1:
        x["video_ok"][1] = 0
        x["memory_ok"][1, :10] = 0
    if batch > 2:
        x["video_ok"][2, 0] = 0
        x["audio_ok"][2] = 0
        x["sensor_ok"][2] = 0
    return x


def manifest_text(folder: Path, version: str, enters: Mapping[str, float]) -> str:
    """model.yaml for what lies in `folder`; a label begins at ``enters`` of its name, or else where its own says."""
    body: dict[str, Any] = {
        "schema": 1, "name": "fused", "version": version, "file": "fused.onnx",
        "sha256": sha256_of(folder / "fused.onnx"), "licence": "Apache-2.0",
        "golden": {"file": "golden.npz", "sha256": sha256_of(folder / "golden.npz"), "atol": ATOL, "rtol": RTOL},
        "parts": {n: {"file": f"{n}.onnx", "sha256": sha256_of(folder / f"{n}.onnx")} for n in PARTS},
        "geometry": {
            "hop_s": L.HOP_S,
            "video": {"fps": L.FPS, "frames": L.FRAMES, "width": L.WIDTH, "height": L.HEIGHT, "pad": L.PAD_VALUE},
            "audio": {"rate_hz": L.RATE_HZ, "window_s": L.WINDOW_S},
            "sensors": [{"name": s.name, "unit": s.unit, "mean": s.mean, "std": s.std} for s in L.SENSORS],
            "memory": {"tokens": L.MEMORY, "dim": L.TOKEN_DIM},
        },
        "labels": [
            {"name": x.name, "modalities": list(x.modalities), "enter": enter, "leave": L.leave_for(enter),
             "min_s": x.min_s}
            for x in L.LABELS for enter in [enters.get(x.name, x.enter)]
        ],
        "classes": list(L.COCO),
        "tags": "audioset527.txt",
        "picture_tags": "imagenet1000.txt",
    }  # fmt: skip
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def measure_row_ms(path: Path, runs: int = 7) -> float:
    """Median milliseconds of one row at batch 1 on one intra-op thread."""
    session, x = open_session(path), sample_inputs(1, seed=1)
    took = []
    for _ in range(runs + 2):
        watch = TrainingBudget()
        session.run(list(OUTPUTS), x)
        took.append(watch.elapsed_s())
    return float(np.median(took[2:])) * 1e3


def _max_difference(net: FusedNet, path: Path, batch: int, atol: float) -> float:
    """Largest difference of any output at this batch; raises beyond `atol` and 1 %."""
    import torch

    x = sample_inputs(batch, seed=batch)
    with torch.no_grad():
        expected = [v.numpy() for v in net(*(torch.from_numpy(v) for v in x.values()))]
    worst = 0.0
    for (name, got), want in zip(run_onnx(path, x).items(), expected, strict=True):
        if got.shape != want.shape:
            raise ValueError(f"{name}: ONNX gives {got.shape}, torch {want.shape}")
        gap = np.abs(got - want)
        worst = max(worst, float(gap.max()))
        if not np.all(gap <= atol + 0.01 * np.abs(want)):
            raise ValueError(f"{name}: batch {batch}, ONNX is {gap.max():.4f} away from torch")
    return worst
