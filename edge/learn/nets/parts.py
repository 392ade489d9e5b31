"""The fused network in three parts, exported as graphs of their own beside the whole: what pictures say, what sound
says, and the cheap rest. A runtime that has the parts need not encode again what did not change.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from edge.learn.nets.audio import AudioFeatures
from edge.learn.nets.network import FusedNet, NetworkOutputs, VisionFeatures

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
