"""The open clips as sequences of body features: nobody falls or fights in most, somebody falls in some.

`labels/gmdcsa24.csv` of the data folder has, for each clip with a fall, the seconds in which somebody is falling; that
runs on to the end of the clip, so it holds the lying after the fall.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edge.train.body.projection import HOPS
from edge.train.data import OpenRecording, decode_video, open_recordings
from edge.train.labels import BODY_DIM, HOP_S
from edge.train.nets.body import body_features, rotate_to_sides
from edge.train.nets.detector import YoloxNano, load_yolox
from edge.train.nets.motion import MotionNet

_FALL_LABELS: Final = "labels/gmdcsa24.csv"
_FALLING_S: Final = 2.5
"""A fall is told within so many seconds of its begin; after that the label of the clip says nothing."""
_BEGIN_S: Final = 0.5
"""How far off the begin of a fall may be."""


class BodySequences(NamedTuple):
    """Scenes: features [N,HOPS,24], truth [N,HOPS,2], -1 where nobody judges, which are ordinary [N], and a number of
    the recording that each is of [N]."""

    body: Tensor
    truth: Tensor
    is_ordinary: Tensor
    recording: Tensor

    def where(self, chosen: Tensor) -> BodySequences:
        """Those chosen [N]."""
        return BodySequences(*(part[chosen] for part in self))


def concatenate(rows: Sequence[BodySequences]) -> BodySequences:
    """All scenes of all."""
    return BodySequences(*(torch.cat(parts) for parts in zip(*rows, strict=True)))


def open_clip_sequences(weights: Path, data: Path, held_out: bool) -> BodySequences:
    """The open clips of a split, in pieces of HOPS hops that overlap by half; none where it has no clip. `weights` has
    the detector's file."""
    net, motion = load_yolox(weights / "yolox_nano_416.onnx"), MotionNet().eval()
    begins, rows, judged, ordinary, recording = read_fall_begins(data), [], [], [], []
    clips = [r for r in open_recordings(data) if r.kind == "video"]
    for number, clip in enumerate(clips):
        if clip.held_out != held_out:
            continue
        body = clip_features(net, motion, decode_video(clip.path))
        truth = torch.stack([fall_truth(clip, begins, len(body)), torch.zeros(len(body))], 1)
        for first in range(0, len(body), HOPS // 2):
            part, told = body[first : first + HOPS], truth[first : first + HOPS]
            rows.append(F.pad(part, (0, 0, 0, HOPS - len(part))))
            judged.append(F.pad(told, (0, 0, 0, HOPS - len(part)), value=-1.0))
            ordinary.append(not clip.label)
            recording.append(number)
    if not rows:
        none = torch.zeros(0, dtype=torch.bool)
        return BodySequences(torch.zeros(0, HOPS, BODY_DIM), torch.zeros(0, HOPS, 2), none, none.long())
    return BodySequences(torch.stack(rows), torch.stack(judged), torch.tensor(ordinary), torch.tensor(recording))


def read_fall_begins(data: Path) -> dict[str, float]:
    """The second in which somebody begins to fall, by the clip's stem; empty without the label file."""
    path = data / _FALL_LABELS
    if not path.exists():
        return {}
    with path.open(encoding="utf-8") as file:
        falls = [row for row in csv.DictReader(file) if row["label"].startswith("falling")]
    return {Path(row["file"]).stem: float(row["begin_s"]) for row in falls}


def fall_truth(clip: OpenRecording, begins: dict[str, float], hops: int) -> Tensor:
    """Whether somebody falls at the end of each hop [hops]: 1, 0, or -1 where nobody knows."""
    end_s = (torch.arange(hops) + 1) * HOP_S
    if clip.label != "fall":
        return torch.zeros(hops)
    begin_s = begins.get(clip.path.stem)
    if begin_s is None:
        return torch.full((hops,), -1.0)
    falling = (end_s >= begin_s + _BEGIN_S) & (end_s <= begin_s + _FALLING_S)
    return torch.where(falling, 1.0, torch.where(end_s < begin_s - _BEGIN_S, 0.0, -1.0))


def clip_features(net: YoloxNano, motion: MotionNet, pictures: NDArray[np.uint8]) -> Tensor:
    """Body features [n,24] of a clip's hops; pictures u8 [2n(+1),256,448,3], four a second."""
    parts = []
    for k in range(0, len(pictures) - 1, 16):
        whole = pictures[k : k + 16]
        pair = torch.from_numpy(whole[: len(whole) // 2 * 2]).float().permute(0, 3, 1, 2)
        now, before = pair[1::2].contiguous(), pair[::2].contiguous()
        with torch.no_grad():
            anchors, turned = net(now).anchors, net.detect_people(rotate_to_sides(now))
            parts.append(body_features(anchors, turned, motion(now, before), torch.ones(len(now), 2)))
    return torch.cat(parts)
