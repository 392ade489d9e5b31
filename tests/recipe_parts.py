"""What `edge train` starts from, small: open data, starting weights of random numbers and a recipe, all made here.

The files have the real formats; recordings begin at other media times than 0. Needs the extra `learn`.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

sys.path += [str(Path(__file__).parent / "capture")]
import media

from edge.train.labels import RATE_HZ
from edge.train.recipe.starting_files import RECIPE
from edge.train.scenes import near_misses, synthesis

ENGINE = Path(__file__).resolve().parents[1] / "engines" / "fused"
START_S = 1000
COLUMNS = (
    "file", "label", "split", "group", "licence", "tier", "dataset", "source_repo", "source_path", "width", "height",
    "fps", "frames", "duration_s", "has_audio", "audio_rms", "sample_rate", "size", "decoded", "notes",
)  # fmt: skip
SIZES: dict[str, Any] = {
    "sounds": {"copies": 2, "made": 1, "made_weight": 0.3, "steps": 3, "seed": 23},
    "train": {"scenes": 2, "glimpses": 2, "unseen": 1, "plain": 1, "fires": 2, "made": 2, "seed": 100000},
    "held": {"scenes": 1, "glimpses": 1, "unseen": 1, "plain": 1, "fires": 1, "made": 2, "seed": 100000},
    "dense": {
        "shots": {"shards": 1, "shots": 20, "burns": 1, "seed": 700000},
        "held": {"shards": 1, "shots": 16, "burns": 1, "seed": 700000},
        "steps": 4, "batch": 12, "rate": 0.002, "ridge": 0.3, "minutes": 60, "seed": 5,
    },
    "body": {"scenes": [2, 1, 1], "held": 3, "draws": 1, "steps": 4, "batch": 16, "minutes": 60, "seed": 3},
    "space": {"windows": 24, "pictures": 6, "seed": 5},
    "sensors": {"scenes": 20, "steps": 5, "seed": 9000000},
    "fusion": {"steps": 4, "minutes": 60, "batch": 32, "patience": 6, "seed": 5, "check_every": 2},
    "audio": {"steps": 2, "batch": 2, "rate": 0.00015, "minutes": 60, "seed": 11, "keep": None},
    "whole": {"steps": 2, "batch": 2, "rate": 3.0e-05, "head_rate": 0.001, "every": 1, "patience": 5, "seed": 21},
}  # fmt: skip
"""Sizes of every stage with which a training takes a minute or two on one core."""
Sound = Callable[[np.random.Generator], np.ndarray]


def _rain(rng: np.random.Generator) -> np.ndarray:
    return synthesis.noise_bed(rng, 2.0)


_SOUNDS: tuple[tuple[str, str, str, Sound], ...] = (
    *(("dog", "ESC-10", f"fold{1 + n % 5}", synthesis.gunshot) for n in range(7)),
    *(("crackling_fire", "ESC-10", f"fold{n}", near_misses.clatter) for n in (1, 2, 5)),
    *(("rain", "ESC-10", f"fold{n}", _rain) for n in (1, 3, 5)),
    ("gun_shot", "mod-sounds", "", synthesis.gunshot),
    ("explosion", "mod-sounds", "", synthesis.explosion),
    ("crash", "mod-sounds", "", synthesis.glass),
    *(("engine", "mod-sounds", "", near_misses.engine) for _ in range(3)),
)
"""Label, set, split and how it sounds; a dog here is a bang."""


def write_data(folder: Path) -> Path:
    """A data folder: manifest.csv, short sounds of both splits, a clip with a fire and its boxes, one without."""
    rng, rows = np.random.default_rng(1), []
    for n, (label, dataset, split, make) in enumerate(_SOUNDS):
        file = f"open/audio/{dataset.split('-')[0].lower()}/{n:02d}.ogg"
        _write_sound(folder / file, make(rng)[: 2 * RATE_HZ])
        rows.append((file, label, split, f"source:{n}", "CC BY 3.0", "open", dataset))
    for name, label, dataset, draw, seconds in (
        ("av_events/fire_furg_house6", "fire", "AV events", _burning, 21.0),
        ("surveillance/intel_car-detection", "normal_car", "intel sample-videos", media.moving(426, 240), 4.0),
    ):
        file = f"open/video/{name}.mp4"
        _write_clip(folder / file, seconds, draw)
        rows.append((file, label, "", "", "CC0 1.0", "open", dataset))
    rows.append(("restricted/audio/none.ogg", "dog", "", "", "CC BY-NC 3.0", "restricted", "not there"))
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as out:
        table = csv.DictWriter(out, COLUMNS, restval="")
        table.writeheader()
        table.writerows(dict(zip(COLUMNS, row, strict=False)) for row in rows)
    _write_fire_boxes(folder / "labels" / "furg_house6.xml", 630)
    return folder


def _write_sound(path: Path, wave: np.ndarray) -> None:
    """Opus in Ogg that begins at START_S."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def sound(t: np.ndarray) -> np.ndarray:
        at = np.round(t * RATE_HZ).astype(int)
        return np.where(at < len(wave), wave[np.minimum(at, len(wave) - 1)], 0.0)

    media.write(
        path, len(wave) / RATE_HZ, size=None, rate=48000, layout="mono", sound=sound, audio_codec="libopus",
        audio_jump=(0.0, START_S),
    )  # fmt: skip


def _write_clip(path: Path, seconds: float, picture: media.Picture) -> None:
    """H.264 and AAC that begin at START_S."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = [START_S + n / 4 for n in range(round(4 * seconds))]
    media.write(
        path, seconds, size=(426, 240), fps=4, times=times, picture=picture, rate=RATE_HZ, layout="mono",
        audio_jump=(0.0, START_S),
    )  # fmt: skip


def _burning(t: float) -> np.ndarray:
    """A dark yard in which something orange flickers, inside the boxes of `_write_fire_boxes`."""
    picture = np.full((240, 426, 3), (30, 32, 40), np.uint8)
    tall = 30 + round(8 * np.sin(7 * t))
    picture[150 - tall : 150, 180:215] = (250, 150, 40)
    picture[160:, :, :] = (60, 70, 60)
    return picture


def _write_fire_boxes(path: Path, frames: int) -> None:
    """The label file of the fire clip: the same box in every frame of 29.97 a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    boxes = "<annotations>\n      <_>\n        180 115 35 35</_></annotations>"
    lines = [f"  <_><frameNumber>{n}</frameNumber>\n    {boxes}</_>" for n in range(frames)]
    head = '<?xml version="1.0"?>\n<opencv_storage>\n<frames>\n'
    path.write_text(head + "\n".join(lines) + "\n</frames>\n</opencv_storage>\n", encoding="utf-8")


def write_weights(folder: Path) -> Path:
    """Starting weights in their published formats, of random numbers; the names are the real ones."""
    folder.mkdir(parents=True)
    _write_mn04(folder / "mn04_as_mAP_432.pt")
    _write_yolox(folder / "yolox_nano_416.onnx")
    tags = (ENGINE / "audioset527.txt").read_text(encoding="utf-8").split("\n")[:527]
    with (folder / "audioset527.csv").open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("index", "mid", "display_name"), *((n, "/m/0", tag) for n, tag in enumerate(tags))])
    (folder / "imagenet_labels.txt").write_bytes((ENGINE / "imagenet1000.txt").read_bytes())
    return folder


def _write_mn04(path: Path) -> None:
    """The sound encoder under its published names; its batch norms fit what it is given, so that tags differ."""
    import torch
    from torch import nn

    from edge.train.nets.audio import AudioNet

    torch.manual_seed(1)
    net, rng = AudioNet(), np.random.default_rng(2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    waves = np.stack([np.resize(make(rng), 2 * RATE_HZ) for make in (synthesis.siren, near_misses.engine, _rain)])
    with torch.no_grad():
        net.train()(torch.from_numpy(waves.astype(np.float32)))
        net.classifier[3].weight *= 6
        net.classifier[3].bias -= 3
    names = {"classifier.0.": "classifier.2.", "classifier.3.": "classifier.5.", ".fc": ".conc_se_layers.0.fc"}
    state = {}
    for key, value in net.state_dict().items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        state[key] = value
    torch.save(state, path)


def _write_yolox(path: Path) -> None:
    """The detector's convolutions in their published order; it finds nothing, so that no two boxes are equally good."""
    import onnx
    import torch
    from onnx import TensorProto, helper, numpy_helper
    from torch import nn

    from edge.train.nets.detector import YoloxNano

    torch.manual_seed(3)
    net = YoloxNano()
    for head in net.heads:
        nn.init.constant_(head.object_out.bias, -9.0)
    nodes, weights, last = [], [], "images"
    for n, module in enumerate(m for m in net.modules() if isinstance(m, nn.Conv2d)):
        weight = module.weight.detach()
        if n == 0:  # published as 3x3 over the four phases of a BGR picture
            weight = torch.randn(16, 12, 3, 3) * 0.01
        tensors = {f"weight{n}": weight, f"bias{n}": module.bias.detach()}
        weights += [numpy_helper.from_array(value.numpy(), name) for name, value in tensors.items()]
        nodes.append(helper.make_node("Conv", [last, *tensors], [f"map{n}"], group=module.groups))
        last = f"map{n}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("images", last)]
    onnx.save(helper.make_model(helper.make_graph(nodes, "yolox", ends[:1], ends[1:], weights)), str(path))


def write_recipe(path: Path, weights: Path) -> Path:
    """The packaged recipe with `SIZES` as `full` and the digests of these weights; those in packages stay."""
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    for entry in recipe["starting_files"]:
        if "package" not in entry:
            entry["sha256"] = hashlib.sha256((weights / entry["name"]).read_bytes()).hexdigest()
    path.write_text(yaml.safe_dump({"starting_files": recipe["starting_files"], "full": SIZES}), encoding="utf-8")
    return path
