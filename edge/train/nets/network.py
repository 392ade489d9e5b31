"""The whole fused network, from raw media to calibrated scores: what `export` turns into one ONNX graph.

It is also exported in three parts: vision, audio, and the cheap fusion. A runtime that has the parts need not encode
again what did not change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from edge.train.labels import BODY_CHANNELS, BODY_DIM, BOXES, HEIGHT, LABELS, WIDTH
from edge.train.nets.audio import AudioFeatures, AudioNet, load_mn04
from edge.train.nets.body import BodyHead, body_features, rotate_halved
from edge.train.nets.detector import YoloxNano, class_scores_and_boxes, load_yolox
from edge.train.nets.heads import NO_BODY_LOGIT, FusionHead, HopFeatures, TextProjection
from edge.train.nets.image import (
    LUMA_CHANNEL,
    DenseHead,
    EfficientNetLite0,
    halve,
    load_efficientnet_lite0,
    picture_features,
    pool_cells,
    square_features,
)
from edge.train.nets.motion import MotionNet


class NetworkOutputs(NamedTuple):
    """The graph's answers; shapes as in docs/reference/model.md."""

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


class VisionFeatures(NamedTuple):
    """The picture side of a hop: `grid` [B,MAP,8,14], `top` [B,1280], best score of each
    class [B,80], boxes [B,32,6], object log-odds [B,3], movement [B,16,28,14], bodies [B,24]."""

    grid: Tensor
    top: Tensor
    classes: Tensor
    boxes: Tensor
    objects: Tensor
    motion: Tensor
    body: Tensor


class FusedNet(nn.Module):
    """The fused model. Inputs and outputs are the graph contract; a masked input never reaches a layer."""

    def __init__(self, fusion: str = "attention") -> None:
        super().__init__()
        self.detector, self.lite, self.audio = YoloxNano(), EfficientNetLite0(), AudioNet()
        self.dense = DenseHead()
        self.movement, self.acts, self.align = MotionNet(), BodyHead(), TextProjection()
        self.head = FusionHead(fusion)

    def forward(
        self, frames: Tensor, video_ok: Tensor, audio: Tensor, audio_ok: Tensor,
        sensors: Tensor, sensor_ok: Tensor, memory: Tensor, memory_ok: Tensor,
    ) -> NetworkOutputs:  # fmt: skip
        """frames u8 [B,2,256,448,3], video_ok [B,2], audio [B,64000], audio_ok [B], sensors and sensor_ok
        [B,8], memory [B,16,D] oldest first, memory_ok [B,16] -> Outputs."""
        return self.predict(
            self.encode_vision(frames, video_ok), self.encode_audio(audio, audio_ok),
            video_ok, audio_ok, sensors, sensor_ok, memory, memory_ok,
        )  # fmt: skip

    def encode_audio(self, audio: Tensor, audio_ok: Tensor) -> AudioFeatures:
        """What is masked is silence to the encoder."""
        sound: AudioFeatures = self.audio(audio * _audio_mask(audio_ok))
        return sound

    def predict(
        self, vision: VisionFeatures, sound: AudioFeatures,
        video_ok: Tensor, audio_ok: Tensor, sensors: Tensor, sensor_ok: Tensor, memory: Tensor, memory_ok: Tensor,
    ) -> NetworkOutputs:  # fmt: skip
        """The cheap part: from vision and audio features to the outputs."""
        video_mask, audio_mask = video_ok.amax(1), _audio_mask(audio_ok)
        cells, dense = self.dense(vision.grid, vision.top)
        acts = self.acts(vision.body, memory[..., -BODY_DIM:], memory_ok)
        features = HopFeatures(
            pool_cells(vision.grid), vision.top, dense, vision.objects, acts, vision.body, sound.embedding,
            sound.logits,
            sensors, video_ok, audio_ok, sensor_ok,
        )  # fmt: skip
        logits, contribution, embedding, token = self.fuse_modalities(features, memory, memory_ok)
        boxes = vision.boxes * video_mask[:, None, None]
        evidence = torch.sigmoid(cells.amax(1)) * video_mask[:, None, None]
        names = self.lite.class_probabilities(vision.top)
        aligned = self.align(sound.logits, audio_mask, names, vision.classes, video_mask)
        return NetworkOutputs(
            logits, contribution, embedding, token, boxes, evidence, torch.sigmoid(sound.logits) * audio_mask,
            sound.embedding * audio_mask, vision.top * video_mask[:, None],
            vision.classes * video_mask[:, None], names * video_mask[:, None],
            vision.motion * video_mask[:, None, None, None], aligned,
        )  # fmt: skip

    def encode_vision(self, frames: Tensor, video_ok: Tensor) -> VisionFeatures:
        """The current picture is the newest one that is there; the earlier one, where missing, equals it. Where neither
        is there the answer is that of whatever lies in `frames`, and `video_ok` masks it later. Pictures stay as they
        come, rows of interleaved colours: convolutions that step over whole pixels take them apart."""
        pictures = frames.to(torch.float32).reshape(-1, 1, HEIGHT, 3 * WIDTH)
        rows = torch.arange(frames.shape[0]) * 2
        now = rows + (video_ok[:, 1] > 0.5).long()
        before = torch.where(video_ok[:, 0] > 0.5, rows, now)
        squares = square_features(pictures)
        one, other = squares.index_select(0, now), squares.index_select(0, before)
        current = pictures.index_select(0, now)
        detections, half = self.detector.from_interleaved(current), halve(current)
        features = picture_features(self.lite, detections, half, one, other)
        motion = self.movement.match(one[:, LUMA_CHANNEL:], other[:, LUMA_CHANNEL:])
        body = body_features(detections.anchors, self.detector.detect_people(rotate_halved(half)), motion, video_ok)
        classes, boxes = class_scores_and_boxes(detections.anchors, BOXES, WIDTH, HEIGHT)
        top = features.deep.mean((2, 3))
        return VisionFeatures(features.grid, top, classes, boxes, object_logits(classes), motion, body)

    def fuse_modalities(
        self, f: HopFeatures, memory: Tensor, memory_ok: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """logits [B,C], contribution [B,C,3] (with everything, less without that modality), embedding, token."""
        hop, known = self.head.encode_hop(f), f.available_modalities()
        logits = self.head.logits(hop, known)
        without = torch.stack([self.head.logits(hop, known * (1.0 - row)) for row in torch.eye(3)], 2)
        embedding = self.head.embedding(self.head.relate(hop, known, memory, memory_ok))
        return logits, (logits[..., None] - without) * known[:, None], embedding, hop.token


def _audio_mask(audio_ok: Tensor) -> Tensor:
    """[B] fraction of the window that is there -> [B,1]."""
    return (audio_ok > 0.05).to(audio_ok.dtype)[:, None]


def empty_body_features(top: Tensor) -> tuple[Tensor, Tensor]:
    """`acts` and `body` of hops without a person, as many as `top` [B,...] has."""
    zero = torch.zeros_like(top[:, :1])
    return (zero + NO_BODY_LOGIT).expand(-1, BODY_CHANNELS), zero.expand(-1, BODY_DIM)


def object_logits(scores: Tensor) -> Tensor:
    """Best scores [B,80] -> log-odds of the best person, vehicle and animal box [B,3]."""
    groups = [scores[:, x.classes[0] : x.classes[-1] + 1].amax(1, keepdim=True) for x in LABELS[:3]]
    p = torch.cat(groups, 1).clamp(1e-4, 1 - 1e-4)
    return torch.log(p) - torch.log(1.0 - p)


def pretrained_network(weights: Path, fusion: str = "attention") -> FusedNet:
    """The pretrained parts in place, the fusion silent: what training starts from. `weights` is the folder
    with mn04_as_mAP_432.pt and yolox_nano_416.onnx."""
    net = FusedNet(fusion)
    net.audio = load_mn04(weights / "mn04_as_mAP_432.pt")
    net.detector = load_yolox(weights / "yolox_nano_416.onnx")
    net.lite = load_efficientnet_lite0()
    return net.eval()


VISION_FEATURE_NAMES: Final = tuple(f"seen_{name}" for name in VisionFeatures._fields)
AUDIO_FEATURE_NAMES: Final = tuple(f"heard_{name}" for name in AudioFeatures._fields)
VISION_INPUTS: Final = ("frames", "video_ok")
AUDIO_INPUTS: Final = ("audio", "audio_ok")
FUSION_INPUTS: Final = (
    *VISION_FEATURE_NAMES,
    *AUDIO_FEATURE_NAMES,
    "video_ok",
    "audio_ok",
    "sensors",
    "sensor_ok",
    "memory",
    "memory_ok",
)


class VisionPart(nn.Module):
    """`FusedNet.see`."""

    def __init__(self, net: FusedNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor, video_ok: Tensor) -> VisionFeatures:
        return self.net.encode_vision(frames, video_ok)


class AudioPart(nn.Module):
    """`FusedNet.hear`."""

    def __init__(self, net: FusedNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, audio: Tensor, audio_ok: Tensor) -> AudioFeatures:
        return self.net.encode_audio(audio, audio_ok)


class FusionPart(nn.Module):
    """`FusedNet.join`, its inputs as `FUSION_INPUTS`."""

    def __init__(self, net: FusedNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, grid: Tensor, top: Tensor, classes: Tensor, boxes: Tensor, objects: Tensor, motion: Tensor, body: Tensor,
        sound: Tensor, tags: Tensor,
        video_ok: Tensor, audio_ok: Tensor, sensors: Tensor, sensor_ok: Tensor, memory: Tensor, memory_ok: Tensor,
    ) -> NetworkOutputs:  # fmt: skip
        seen, heard = VisionFeatures(grid, top, classes, boxes, objects, motion, body), AudioFeatures(sound, tags)
        return self.net.predict(seen, heard, video_ok, audio_ok, sensors, sensor_ok, memory, memory_ok)
