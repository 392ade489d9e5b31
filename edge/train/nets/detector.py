"""The detector: YOLOX-nano (Apache-2.0, Megvii) as a torch module, its decoding and its suppression.

Own code in the published layout with batch norms already folded, so that the convolutions of the ONNX
file map one to one, in order, on the convolutions here.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

STRIDES: Final = (8, 16, 32)
CLASSES: Final = 80
_CANDIDATES: Final = 128
_IOU: Final = 0.5
_MIN_SCORE: Final = 0.1


class AnchorPredictions(NamedTuple):
    """Predictions of each anchor: `box` [B,4,A] (centre x, y, width, height in pixels), `objectness` [B,1,A]
    and `classes` [B,K,A] (probabilities; K = 80, or 1 where people alone were asked for)."""

    box: Tensor
    objectness: Tensor
    classes: Tensor


class DetectorOutput(NamedTuple):
    """`anchors` and the neck maps p3, p4, p5."""

    anchors: AnchorPredictions
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

    def forward(self, picture: Tensor) -> DetectorOutput:
        return self._from_stem(self.stem(picture), CLASSES)

    def from_interleaved(self, rows: Tensor) -> DetectorOutput:
        """The same of pictures as they come, rows of interleaved colours [B,1,H,3W]: the first convolution steps over
        whole pixels, so nothing need be transposed."""
        kernel = self.stem.conv.weight  # [16,3,6,6]
        kernel = kernel.permute(0, 2, 3, 1).reshape(kernel.shape[0], 1, kernel.shape[2], -1)
        return self._from_stem(F.silu(F.conv2d(rows, kernel, self.stem.conv.bias, (2, 6), (2, 6))), CLASSES)

    def detect_people(self, picture: Tensor) -> AnchorPredictions:
        """`forward` for the first class alone."""
        return self._from_stem(self.stem(picture), 1).anchors

    def _from_stem(self, x: Tensor, classes: int) -> DetectorOutput:
        p3, p4, p5 = self._neck(x)
        maps = [head(p, classes) for head, p in zip(self.heads, (p3, p4, p5), strict=True)]
        places, probable = (torch.cat([m.flatten(2) for m in level], 2) for level in zip(*maps, strict=True))
        grid, stride = (torch.tensor(a) for a in _anchor_grid([tuple(m.shape[2:]) for m, _ in maps]))
        centre, side = (places[:, :2] + grid) * stride, places[:, 2:4].exp() * stride
        return DetectorOutput(
            AnchorPredictions(torch.cat([centre, side], 1), torch.sigmoid(places[:, 4:]), probable), p3, p4, p5
        )

    def _neck(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c3 = self.dark3(self.dark2(x))
        c4 = self.dark4(c3)
        f5 = self.lateral5(self.dark5(c4))
        f4 = self.lateral4(self.top4(torch.cat([_upsample(f5), c4], 1)))
        p3: Tensor = self.top3(torch.cat([_upsample(f4), c3], 1))
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


def class_scores_and_boxes(anchors: AnchorPredictions, keep: int, width: int, height: int) -> tuple[Tensor, Tensor]:
    """The best score of each class in the picture [B,K] and `decode_boxes`."""
    return (anchors.classes * anchors.objectness).amax(2), decode_boxes(anchors, keep, width, height)


def decode_boxes(anchors: AnchorPredictions, keep: int, width: int, height: int) -> Tensor:
    """[B,keep,6]: x1, y1, x2, y2 in 0..1, score, class; best first, unused rows 0.

    Each anchor speaks for its best class; "fast NMS" (Bolya et al. 2019): a candidate falls when any better
    one of its class overlaps it by more than 0.5. Scores under 0.1 are dropped.
    """
    kind = anchors.objectness.dtype
    score, order = (channel_max(anchors.classes) * anchors.objectness[:, 0]).topk(_CANDIDATES, dim=1)
    label = gather_columns(anchors.classes, order).argmax(1).to(kind)[..., None]
    one = gather_rows(anchors.box.transpose(1, 2), order)
    centre, side = one[..., :2], one[..., 2:]
    low, high = centre - side / 2, centre + side / 2
    same = ((label - label.transpose(1, 2)).abs() < 0.5).to(kind)
    better = torch.tensor(np.triu(np.ones((_CANDIDATES, _CANDIDATES), np.float32), 1))
    overlap = (pairwise_iou(low, high, side) * same * better).amax(1)
    good = (overlap <= _IOU).to(kind) * (score > _MIN_SCORE).to(kind)
    scale = torch.tensor([width, height, width, height], dtype=kind)
    corners = (torch.cat([low, high], -1) / scale).clamp(0, 1)
    rows = torch.cat([corners, score[..., None], label], -1) * good[..., None]
    best_rows = (score * good).topk(keep, dim=1)[1]
    return gather_rows(rows, best_rows)


def pairwise_iou(low: Tensor, high: Tensor, side: Tensor) -> Tensor:
    """Intersection over union [B,K,K] of every pair of boxes, from corners and sides [B,K,2]."""
    across, down = (_interval_overlap(low[..., n], high[..., n]) for n in (0, 1))
    inter, area = across * down, side[..., :1] * side[..., 1:]
    return inter / (area + area.transpose(1, 2) - inter + 1e-6)


def _interval_overlap(low: Tensor, high: Tensor) -> Tensor:
    """Length that each pair of intervals [B,K] has in common, [B,K,K]."""
    return (torch.minimum(high[:, :, None], high[:, None]) - torch.maximum(low[:, :, None], low[:, None])).clamp(min=0)


def channel_max(classes: Tensor) -> Tensor:
    """[B,K,A] -> [B,A], the largest of each column, by halves: runtimes are slow at reducing an axis in the middle."""
    while classes.shape[1] > 1 and classes.shape[1] % 2 == 0:
        classes = torch.maximum(*classes.chunk(2, 1))
    return functools.reduce(torch.maximum, classes.unbind(1))


def gather_columns(rows: Tensor, order: Tensor) -> Tensor:
    """rows [B,V,A], order [B,K] -> [B,V,K]: `gather_rows` where values lie apart."""
    b, v, a = rows.shape
    first = (torch.arange(b, device=rows.device)[:, None] * v + torch.arange(v, device=rows.device)) * a
    return rows.flatten().index_select(0, (first[..., None] + order[:, None]).flatten()).reshape(b, v, -1)


def gather_rows(rows: Tensor, order: Tensor) -> Tensor:
    """rows [B,A,V], order [B,K] -> [B,K,V]. One plain Gather: OpenVINO refuses GatherElements over a slice."""
    b, a, v = rows.shape
    first = torch.arange(b, device=rows.device)[:, None] * a
    return rows.reshape(-1, v).index_select(0, (order + first).flatten()).reshape(b, -1, v)


def _upsample(x: Tensor) -> Tensor:
    """Nearest 2x upsampling."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _anchor_grid(sizes: list[tuple[int, ...]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row of every anchor [2,A], level by level, and its stride [A]."""
    places = [np.stack(np.meshgrid(np.arange(w), np.arange(h))).reshape(2, -1) for h, w in sizes]
    strides = [np.full(h * w, stride) for stride, (h, w) in zip(STRIDES, sizes, strict=True)]
    return np.concatenate(places, 1).astype(np.float32), np.concatenate(strides).astype(np.float32)


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
        wider = [x]
        for _ in range(3):  # the largest of 5, 9 and 13: a maximum of maxima
            wider.append(F.max_pool2d(wider[-1], 5, 1, 2))
        y: Tensor = self.conv2(torch.cat(wider, 1))
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

    def forward(self, x: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Place [B,5,h,w] (centre, log of the sides, log-odds that something is there) and class probabilities."""
        x = self.stem(x)
        weight, bias = (
            torch.cat([getattr(conv, part) for conv in (self.box_out, self.object_out)]) for part in ("weight", "bias")
        )
        of_class = [getattr(self.class_out, part)[:classes] for part in ("weight", "bias")]
        named = F.conv2d(self.classes(x), *of_class)
        return F.conv2d(self.boxes(x), weight, bias), torch.sigmoid(named)
