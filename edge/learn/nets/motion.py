"""Movement by cells, from two pictures: parameter-free block matching that exports to plain ONNX operators.

For every 16-pixel cell the earlier picture is shifted within a search range. The shift that leaves the smallest
difference is the movement (a cost volume as in Dosovitskiy et al., FlowNet, ICCV 2015, without learned features); two
lines of equal slope through its neighbours' costs give the fraction of a pixel (Shimizu & Okutomi 2005). Differences
are cut off, so that what was uncovered does not outweigh what moved, and weighted over two cells' width, so that one
small body gives one answer.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOTION_CHANNELS: Final = (
    "dx", "dy", "gain", "fit", "far_dx", "far_dy", "far_gain", "far_fit",
    "change_top_left", "change_top_right", "change_bottom_left", "change_bottom_right", "change_most", "brighter",
)  # fmt: skip
"""What each channel of `MotionNet` says; its docstring has the units."""

ROWS: Final = 16
COLUMNS: Final = 28
CELL: Final = 16  # pixels of the canvas
_LUMA: Final = (0.299, 0.587, 0.114)  # ITU-R BT.601
_CUT: Final = 50.0  # grey levels beyond which a pixel is another thing, not a worse match
_SOFTNESS: Final = 0.1  # grey levels: shifts whose costs are nearer than this share the minimum
_STILLNESS: Final = 0.2  # grey levels for 4 pixels: of two shifts that fit alike the shorter one is believed
_SURE: Final = 0.5  # grey levels of gain from which a movement counts in full
_FLAT: Final = 0.05  # grey levels: a minimum shallower than this has no place between the steps
_LEAST: Final = -60.0  # exponents below it would leave the normal numbers, which are many times slower


class Match(NamedTuple):
    """The best shift of each cell, each [B,16,28]: pixels right and down, grey levels gained, share explained 0..1."""

    dx: Tensor
    dy: Tensor
    gain: Tensor
    fit: Tensor


class MotionNet(nn.Module):
    """Two pictures [B,3,256,448] 0..255, 0.25 s apart on the model's grid -> [B,16,28,14], `MOTION_CHANNELS` per cell.

    Of what is in the cell now, matched around it:

    * ``dx dy``: canvas pixels right and down since the earlier picture, up to 24 across and 12 down, about 1 pixel
      exact; shrunk towards 0 where ``gain`` is below half a grey level.
    * ``gain``: mean grey levels by which that movement explains the cell better than standing still; below about 1
      it is noise. ``fit``: the same as a share 0..1 of the whole change; below about 0.2 nothing moved as a body
      (flicker, light, what was uncovered).
    * ``far_dx far_dy far_gain far_fit``: the same at half the resolution, up to 48 across and 32 down: for what is
      large or fast. About 4 pixels exact.
    * ``change_*``: mean absolute change of luma (grey levels) of the cell's four 8-pixel quarters, ``change_most``
      the largest of its 4-pixel squares, ``brighter`` the mean signed change.

    Equal pictures give zeros everywhere: no motion known. No trained parameters.
    """

    luma: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = Matcher(4, 6, 3), Matcher(8, 6, 4)
        weight = torch.tensor(_LUMA)[None, :, None, None].expand(1, 3, 4, 4) / 16
        self.register_buffer("luma", weight.clone())

    def forward(self, now: Tensor, before: Tensor) -> Tensor:
        return self.moved(F.conv2d(now, self.luma, stride=4), F.conv2d(before, self.luma, stride=4))

    def of_halves(self, now: Tensor, before: Tensor) -> Tensor:
        """The same from pictures that were halved by averaging [B,3,128,224]."""
        weight = self.luma[..., ::2, ::2] * 4
        return self.moved(F.conv2d(now, weight, stride=2), F.conv2d(before, weight, stride=2))

    def moved(self, a: Tensor, b: Tensor) -> Tensor:
        """From the mean luma of 4-pixel squares [B,1,64,112], now and before."""
        signed = a - b
        change = signed.abs()
        quarters = F.avg_pool2d(change, 2)
        parts = [quarters[:, 0, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        most, brighter = F.max_pool2d(change, 4)[:, 0], F.avg_pool2d(signed, 4)[:, 0]
        far = self.far(F.avg_pool2d(a, 2), F.avg_pool2d(b, 2))
        return torch.stack([*self.near(a, b), *far, *parts, most, brighter], 3)


class Matcher(nn.Module):
    """Block matching at one scale: pictures shrunk `shrink` times, shifts to +-`across` and +-`down` small pixels."""

    steps: Tensor
    toll: Tensor
    over_columns: Tensor
    over_rows: Tensor

    def __init__(self, shrink: int, across: int, down: int) -> None:
        super().__init__()
        self.shrink, self.across, self.down = shrink, across, down
        y, x = torch.meshgrid(torch.arange(-down, down + 1), torch.arange(-across, across + 1), indexing="ij")
        self.register_buffer("steps", torch.stack([x, y]).flatten(1).float()[..., None, None])
        length = (x * x + y * y).flatten().float().sqrt()[None, :, None, None]
        self.register_buffer("toll", length * _STILLNESS * shrink / 4)
        self.register_buffer("over_columns", _weights(COLUMNS, CELL // shrink).T.contiguous())
        self.register_buffer("over_rows", _weights(ROWS, CELL // shrink))

    def forward(self, now: Tensor, before: Tensor) -> Match:
        """Luma [B,1,256/shrink,448/shrink] 0..255 of both pictures -> Match."""
        raw = self._cost(now, before)
        cost = raw + self.toll
        still, least = cost[:, self.toll.shape[1] // 2], cost.amin(1, keepdim=True)
        weight = ((least - cost) * (1 / _SOFTNESS)).clamp(min=_LEAST).exp()
        weight = weight / weight.sum(1, keepdim=True)
        whole, gain = F.conv2d(weight, self.steps), still - least[:, 0]
        part = self._fraction(raw, weight)
        sure = (gain * (1 / _SURE)).clamp(max=1) * self.shrink
        # What is here now was at the shifted place before: it moved the other way.
        dx, dy = -(whole[:, 0] + part[0]) * sure, -(whole[:, 1] + part[1]) * sure
        return Match(dx, dy, gain, gain / (still + _SURE))

    def _fraction(self, cost: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """How far right and down of the best whole step the minimum lies, each [B,16,28] within +-0.5."""
        n, line = cost.shape[1], 2 * self.across + 1
        wide = torch.cat([cost[:, :line], cost, cost[:, -line:]], 1)
        starts = (line, line - 1, line + 1, 0, 2 * line)
        best, left, right, above, below = ((weight * wide[:, k : k + n]).sum(1) for k in starts)
        return _between(left, best, right), _between(above, best, below)

    def _cost(self, now: Tensor, before: Tensor) -> Tensor:
        """Weighted mean absolute difference [B,shifts,16,28] around each cell."""
        a, d = self.across, self.down
        wide = F.pad(before, (a, a, d, d), mode="replicate")
        rows, columns = now.shape[2], now.shape[3]
        across = torch.cat([wide[:, :, :, i : i + columns] for i in range(2 * a + 1)], 1)
        strips = [(now - across[:, :, j : j + rows]).clamp(-_CUT, _CUT).abs() for j in range(2 * d + 1)]
        return torch.cat([self.over_rows @ (strip @ self.over_columns) for strip in strips], 1)


def _between(one: Tensor, best: Tensor, other: Tensor) -> Tensor:
    """Where between its neighbours the minimum of a cost lies, -0.5 to 0.5."""
    share = 0.5 * (one - other) / (torch.maximum(one, other) - best + _FLAT)
    return share.clamp(-0.5, 0.5)


def _weights(cells: int, size: int) -> Tensor:
    """[cells, cells * size]: a triangle two cells wide around each cell's middle; rows sum to 1."""
    middle = (torch.arange(cells).float() + 0.5) * size
    place = torch.arange(cells * size).float() + 0.5
    weight = (1 - (place[None] - middle[:, None]).abs() / size).clamp(min=0)
    return weight / weight.sum(1, keepdim=True)
