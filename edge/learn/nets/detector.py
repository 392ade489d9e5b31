"""The detector: YOLOX-nano (Apache-2.0, Megvii) as a torch module, its decoding and its suppression.

Own code in the published layout with batch norms already folded, so that the convolutions of the ONNX
file map one to one, in order, on the convolutions here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDES: Final = (8, 16, 32)
CLASSES: Final = 80
_CANDIDATES: Final = 128
_IOU: Final = 0.5
_MIN_SCORE: Final = 0.1


class Detections(NamedTuple):
    """Raw map `raw` [B,A,85] (cx, cy, w, h in pixels, objectness, class scores) and neck maps p3, p4, p5."""

    raw: Tensor
    p3: Tensor
    p4: Tensor
    p5: Tensor


class YoloxNano(nn.Module):
    """RGB [B,3,H,W] 0..255 on a letterboxed canvas (H, W multiples of 32) -> Detections."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Conv(3, 16, 6, 2)
        self.dark2 = nn.Sequential(_Depthwise(16, 32, 2), _Csp(32, 32, 1))
        self.dark3 = nn.Sequential(_Depthwise(32, 64, 2), _Csp(64, 64, 3))
        self.dark4 = nn.Sequential(_Depthwise(64, 128, 2), _Csp(128, 128, 3))
        self.dark5 = nn.Sequential(_Depthwise(128, 256, 2), _Spp(256), _Csp(256, 256, 1, shortcut=False))
        self.lateral5 = _Conv(256, 128)
        self.top4 = _Csp(256, 128, 1, shortcut=False)
        self.lateral4 = _Conv(128, 64)
        self.top3 = _Csp(128, 64, 1, shortcut=False)
        self.down3 = _Depthwise(64, 64, 2)
        self.bottom4 = _Csp(128, 128, 1, shortcut=False)
        self.down4 = _Depthwise(128, 128, 2)
        self.bottom5 = _Csp(256, 256, 1, shortcut=False)
        self.heads = nn.ModuleList(_Head(c) for c in (64, 128, 256))

    def forward(self, picture: Tensor) -> Detections:
        p3, p4, p5 = self._neck(picture)
        maps = [head(p) for head, p in zip(self.heads, (p3, p4, p5), strict=True)]
        return Detections(torch.cat([_decode(m, s) for m, s in zip(maps, STRIDES, strict=True)], 1), p3, p4, p5)

    def _neck(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c3 = self.dark3(self.dark2(self.stem(x)))
        c4 = self.dark4(c3)
        f5 = self.lateral5(self.dark5(c4))
        f4 = self.lateral4(self.top4(torch.cat([_double(f5), c4], 1)))
        p3: Tensor = self.top3(torch.cat([_double(f4), c3], 1))
        p4: Tensor = self.bottom4(torch.cat([self.down3(p3), f4], 1))
        p5: Tensor = self.bottom5(torch.cat([self.down4(p4), f5], 1))
        return p3, p4, p5


def load_yolox(path: Path) -> YoloxNano:
    """The published ONNX (BGR input) in this module, its first convolution turned to take RGB."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    table = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    net = YoloxNano()
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    nodes = [n for n in graph.node if n.op_type == "Conv"]
    if len(nodes) != len(convolutions):
        raise ValueError(f"{path}: {len(nodes)} convolutions, expected {len(convolutions)}")
    for module, node in zip(convolutions, nodes, strict=True):
        weight = torch.from_numpy(table[node.input[1]].copy())
        module.weight.data.copy_(focus_kernel(weight) if module is convolutions[0] else weight)
        if module.bias is None:
            raise ValueError("every convolution here has a bias")
        module.bias.data.copy_(torch.from_numpy(table[node.input[2]].copy()))
    return net.eval()


def focus_kernel(weight: Tensor) -> Tensor:
    """The published stem, 3x3 over the four phases of a BGR picture [O,12,3,3], as one 6x6 convolution of stride 2 over
    the RGB picture itself [O,3,6,6]: the same sums."""
    phases = weight.reshape(-1, 2, 2, 3, 3, 3).flip(3)  # out, column phase, row phase, colour, row, column
    return phases.permute(0, 3, 4, 2, 5, 1).reshape(-1, 3, 6, 6)


def class_scores(raw: Tensor) -> Tensor:
    """raw [B,A,85] -> the best score of each class in the picture [B,80]."""
    return (raw[..., 4:5] * raw[..., 5:]).amax(1)


def class_and_boxes(raw: Tensor, keep: int, width: int, height: int) -> tuple[Tensor, Tensor]:
    """raw [B,A,85] -> the best score of each class in the picture [B,80] and `boxes_from`, computed together."""
    scores = raw[..., 4:5] * raw[..., 5:]
    return scores.amax(1), _boxes(raw, scores, keep, width, height)


def boxes_from(raw: Tensor, keep: int, width: int, height: int) -> Tensor:
    """raw [B,A,85] -> [B,keep,6]: x1, y1, x2, y2 in 0..1, score, class; best first, unused rows 0.

    Each anchor speaks for its best class; "fast NMS" (Bolya et al. 2019): a candidate falls when any better
    one of its class overlaps it by more than 0.5. Scores under 0.1 are dropped.
    """
    return _boxes(raw, raw[..., 4:5] * raw[..., 5:], keep, width, height)


def _boxes(raw: Tensor, scores: Tensor, keep: int, width: int, height: int) -> Tensor:
    score, label = scores.max(-1)
    score, order = score.topk(_CANDIDATES, dim=1)
    label = label.gather(1, order).to(raw.dtype)
    centre = picked(raw, order)[..., :4]
    low, high = centre[..., :2] - centre[..., 2:] / 2, centre[..., :2] + centre[..., 2:] / 2
    inter = _shared(low[..., 0], high[..., 0]) * _shared(low[..., 1], high[..., 1])
    area = centre[..., 2] * centre[..., 3]
    iou = inter / (area[:, :, None] + area[:, None] - inter + 1e-6)
    same = (label[:, :, None] - label[:, None]).abs() < 0.5
    better = torch.tensor(np.triu(np.ones((_CANDIDATES, _CANDIDATES), np.float32), 1))
    overlap = (iou * same.to(raw.dtype) * better).amax(1)
    good = (overlap <= _IOU).to(raw.dtype) * (score > _MIN_SCORE).to(raw.dtype)
    scale = torch.tensor([width, height, width, height], dtype=raw.dtype)
    corners = (torch.cat([low, high], -1) / scale).clamp(0, 1)
    rows = torch.cat([corners, score[..., None], label[..., None]], -1) * good[..., None]
    best = rows[..., 4].topk(keep, dim=1)[1]
    return picked(rows, best)


def picked(rows: Tensor, order: Tensor) -> Tensor:
    """rows [B,A,V], order [B,K] -> [B,K,V]. One plain Gather: OpenVINO refuses GatherElements over a slice."""
    b, a, v = rows.shape
    first = torch.arange(b, device=rows.device)[:, None] * a
    return rows.reshape(-1, v).index_select(0, (order + first).flatten()).reshape(b, -1, v)


def _shared(low: Tensor, high: Tensor) -> Tensor:
    """Length that each pair of intervals [B,K] has in common, [B,K,K]."""
    return (torch.minimum(high[:, :, None], high[:, None]) - torch.maximum(low[:, :, None], low[:, None])).clamp(min=0)


def _double(x: Tensor) -> Tensor:
    """Nearest 2x upsampling."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _decode(m: Tensor, stride: int) -> Tensor:
    """Head map [B,85,h,w] -> [B,h*w,85] with boxes in pixels (grid + offset, exp size)."""
    h, w = m.shape[2], m.shape[3]
    rows, columns = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    grid = torch.tensor(np.stack([columns, rows], -1).reshape(1, h * w, 2).astype(np.float32))
    flat = m.flatten(2).transpose(1, 2)
    return torch.cat([(flat[..., :2] + grid) * stride, flat[..., 2:4].exp() * stride, flat[..., 4:]], -1)


class _Conv(nn.Module):
    def __init__(self, i: int, o: int, k: int = 1, st: int = 1, g: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(i, o, k, st, (k - 1) // 2, groups=g)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv(x))


class _Depthwise(nn.Sequential):
    def __init__(self, i: int, o: int, st: int = 1) -> None:
        super().__init__(_Conv(i, i, 3, st, i), _Conv(i, o))


class _Bottleneck(nn.Module):
    def __init__(self, c: int, shortcut: bool) -> None:
        super().__init__()
        self.conv1, self.conv2, self.shortcut = _Conv(c, c), _Depthwise(c, c), shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


class _Csp(nn.Module):
    def __init__(self, i: int, o: int, n: int, shortcut: bool = True) -> None:
        super().__init__()
        h = o // 2
        self.conv1, self.conv2 = _Conv(i, h), _Conv(i, h)
        self.blocks = nn.Sequential(*(_Bottleneck(h, shortcut) for _ in range(n)))
        self.conv3 = _Conv(o, o)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv3(torch.cat([self.blocks(self.conv1(x)), self.conv2(x)], 1))
        return y


class _Spp(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _Conv(c, c // 2), _Conv(c * 2, c)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        y: Tensor = self.conv2(torch.cat([x, *(F.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13))], 1))
        return y


class _Head(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.stem = _Conv(c, 64)
        self.classes = nn.Sequential(_Depthwise(64, 64), _Depthwise(64, 64))
        self.class_out = nn.Conv2d(64, CLASSES, 1)
        self.boxes = nn.Sequential(_Depthwise(64, 64), _Depthwise(64, 64))
        self.box_out = nn.Conv2d(64, 4, 1)
        self.object_out = nn.Conv2d(64, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        c, r = self.classes(x), self.boxes(x)
        return torch.cat([self.box_out(r), torch.sigmoid(self.object_out(r)), torch.sigmoid(self.class_out(c))], 1)
