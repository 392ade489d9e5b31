"""The fused network in three parts, exported as graphs of their own beside the whole: what pictures say, what sound
says, and the cheap rest. A runtime that has the parts need not encode again what did not change.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from edge.learn.nets.audio import AudioFeatures
from edge.learn.nets.network import FusedNet, Outputs, Seen

SEEN: Final = tuple(f"seen_{name}" for name in Seen._fields)
HEARD: Final = tuple(f"heard_{name}" for name in AudioFeatures._fields)
SEE_INPUTS: Final = ("frames", "video_ok")
HEAR_INPUTS: Final = ("audio", "audio_ok")
FUSE_INPUTS: Final = (*SEEN, *HEARD, "video_ok", "audio_ok", "sensors", "sensor_ok", "memory", "memory_ok")


class See(nn.Module):
    """`FusedNet.see`."""

    def __init__(self, net: FusedNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor, video_ok: Tensor) -> Seen:
        return self.net.see(frames, video_ok)


class Hear(nn.Module):
    """`FusedNet.hear`."""

    def __init__(self, net: FusedNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, audio: Tensor, audio_ok: Tensor) -> AudioFeatures:
        return self.net.hear(audio, audio_ok)


class Fuse(nn.Module):
    """`FusedNet.join`, its inputs as `FUSE_INPUTS`."""

    def __init__(self, net: FusedNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, grid: Tensor, top: Tensor, classes: Tensor, boxes: Tensor, objects: Tensor, motion: Tensor, body: Tensor,
        sound: Tensor, tags: Tensor,
        video_ok: Tensor, audio_ok: Tensor, sensors: Tensor, sensor_ok: Tensor, memory: Tensor, memory_ok: Tensor,
    ) -> Outputs:  # fmt: skip
        seen, heard = Seen(grid, top, classes, boxes, objects, motion, body), AudioFeatures(sound, tags)
        return self.net.join(seen, heard, video_ok, audio_ok, sensors, sensor_ok, memory, memory_ok)
