"""The whole fused network: raw media in, calibrated scores out. What `export` turns into one ONNX graph."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from edge.learn.audio_net import AudioNet, load_mn04
from edge.learn.detector_net import YoloxNano, boxes_from, class_scores, load_yolox
from edge.learn.heads import FusionHead, HopFeatures
from edge.learn.image_net import DenseHead, Lite0, load_lite0, picture_features, pooled_grid
from edge.learn.labels import BOXES, HEIGHT, LABELS, PAD, WIDTH

INPUTS: Final = ("frames", "video_ok", "audio", "audio_ok", "sensors", "sensor_ok", "memory", "memory_ok")


class Outputs(NamedTuple):
    """The graph's answers; shapes as in docs/model.md."""

    logits: Tensor
    contribution: Tensor
    embedding: Tensor
    token: Tensor
    boxes: Tensor
    evidence: Tensor
    tags: Tensor
    sound: Tensor
    picture: Tensor
    classes: Tensor
    picture_tags: Tensor
    motion: Tensor
    aligned: Tensor


class Seen(NamedTuple):
    """The picture side of a hop: `grid` [B,MAP,8,14], `top` [B,1280], raw detections and object log-odds [B,3]."""

    grid: Tensor
    top: Tensor
    raw: Tensor
    objects: Tensor


class FusedNet(nn.Module):
    """The fused model. Inputs and outputs are the graph contract; a masked input never reaches a layer."""

    def __init__(self, fusion: str = "attention") -> None:
        super().__init__()
        self.detector, self.lite, self.audio = YoloxNano(), Lite0(), AudioNet()
        self.dense = DenseHead()
        self.head = FusionHead(fusion)

    def forward(
        self, frames: Tensor, video_ok: Tensor, audio: Tensor, audio_ok: Tensor,
        sensors: Tensor, sensor_ok: Tensor, memory: Tensor, memory_ok: Tensor,
    ) -> Outputs:  # fmt: skip
        """frames u8 [B,2,256,448,3], video_ok [B,2], audio [B,64000], audio_ok [B], sensors and sensor_ok
        [B,8], memory [B,16,D] oldest first, memory_ok [B,16] -> Outputs."""
        seen = self.see(frames, video_ok)
        there = video_ok.amax(1)
        heard = (audio_ok > 0.05).to(audio.dtype)[:, None]
        sound = self.audio(audio * heard)
        cells, dense = self.dense(seen.grid)
        features = HopFeatures(
            pooled_grid(seen.grid), seen.top, dense, seen.objects, sound.embedding, sound.logits,
            sensors, video_ok, audio_ok, sensor_ok,
        )  # fmt: skip
        logits, contribution, embedding, token = self.fuse(features, memory, memory_ok)
        boxes = boxes_from(seen.raw, BOXES, WIDTH, HEIGHT) * there[:, None, None]
        evidence = torch.sigmoid(cells.amax(1)) * there[:, None, None]
        return Outputs(
            logits, contribution, embedding, token, boxes, evidence, torch.sigmoid(sound.logits) * heard,
            sound.embedding * heard, seen.top * there[:, None], class_scores(seen.raw) * there[:, None],
            self.lite.names(seen.top) * there[:, None], torch.zeros_like(seen.grid[:, :4, :, :].permute(0, 2, 3, 1)),
            torch.zeros_like(torch.stack([token, token], 1)),
        )  # fmt: skip

    def see(self, frames: Tensor, video_ok: Tensor) -> Seen:
        """The current picture is the newest one that is there; the earlier one, where missing, equals it."""
        pictures = frames.to(torch.float32)
        ok = video_ok[:, :, None, None, None]
        now = torch.where(ok[:, 1] > 0.5, pictures[:, 1], pictures[:, 0])
        now = torch.where((ok[:, 0] + ok[:, 1]) > 0.5, now, torch.tensor(float(PAD)))
        before = torch.where((ok[:, 0] * ok[:, 1]) > 0.5, pictures[:, 0], now)
        now, before = now.permute(0, 3, 1, 2), before.permute(0, 3, 1, 2)
        found = self.detector(now)
        features = picture_features(self.lite, found, now, before)
        return Seen(features.grid, features.top, found.raw, object_logits(found.raw))

    def fuse(self, f: HopFeatures, memory: Tensor, memory_ok: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """logits [B,C], contribution [B,C,3] (with everything, less without that modality), embedding, token."""
        b = f.sound.shape[0]
        hop, known = self.head.hop(f), f.available()
        views = torch.cat([known, *(known * (1.0 - row) for row in torch.eye(3))], 0)
        again = type(hop)(*(torch.cat([part] * 4, 0) for part in hop))
        logits, embedding = self.head.logits(again, views, torch.cat([memory] * 4, 0), torch.cat([memory_ok] * 4, 0))
        full = logits[:b]
        without = torch.stack([logits[b : 2 * b], logits[2 * b : 3 * b], logits[3 * b :]], 2)
        return full, (full[..., None] - without) * known[:, None], embedding[:b], hop.token


def object_logits(raw: Tensor) -> Tensor:
    """raw [B,A,85] -> log-odds of the best person, vehicle and animal box [B,3]."""
    scores = class_scores(raw)
    groups = [scores[:, label.classes[0] : label.classes[-1] + 1].amax(1) for label in LABELS[:3]]
    p = torch.stack(groups, 1).clamp(1e-4, 1 - 1e-4)
    return torch.log(p) - torch.log(1.0 - p)


def starting_network(weights: Path, fusion: str = "attention") -> FusedNet:
    """The pretrained parts in place, the fusion silent: what training starts from. `weights` is the folder
    with mn04_as_mAP_432.pt and yolox_nano_416.onnx."""
    net = FusedNet(fusion)
    net.audio = load_mn04(weights / "mn04_as_mAP_432.pt")
    net.detector = load_yolox(weights / "yolox_nano_416.onnx")
    net.lite = load_lite0()
    return net.eval()
