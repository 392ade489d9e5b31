"""Movement by cells, from two pictures: parameter-free block matching that exports to plain ONNX operators.

For every 16-pixel cell the earlier picture is shifted within a search range. The shift that leaves the smallest
difference is the movement (a cost volume as in Dosovitskiy et al., FlowNet, ICCV 2015, without learned features); two
lines of equal slope through its neighbours' costs give the fraction of a pixel (Shimizu & Okutomi 2005). Differences
are cut off, so that what was uncovered does not outweigh what moved, and weighted over two cells' width, so that one
small body gives one answer.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOTION_CHANNELS: Final = (
    "dx", "dy", "gain", "fit", "far_dx", "far_dy", "far_gain", "far_fit",
    "change_top_left", "change_top_right", "change_bottom_left", "change_bottom_right", "change_most", "brighter",
)  # fmt: skip
"""The channels of `MotionNet`; its docstring has the units."""

ROWS: Final = 16
COLUMNS: Final = 28
CELL: Final = 16  # pixels of the canvas
_LUMA: Final = (0.299, 0.587, 0.114)  # ITU-R BT.601
COST_LIMIT: Final = 50.0  # grey levels beyond which a pixel is another thing, not a worse match
_SOFTNESS: Final = 0.1  # grey levels: shifts whose costs are nearer than this share the minimum
_DISTANCE_PENALTY: Final = 0.2  # grey levels for 4 pixels: of two shifts that fit alike the shorter one is believed
_FULL_GAIN: Final = 0.5  # grey levels of gain from which a movement counts in full
_MIN_CURVATURE: Final = 0.05  # grey levels: a minimum shallower than this has no place between the steps
_MIN_EXPONENT: Final = -60.0  # exponents below it would leave the normal numbers, which are many times slower


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
        self.near, self.far = BlockMatcher(4, 6, 3), BlockMatcher(8, 6, 4)
        weight = torch.tensor(_LUMA)[None, :, None, None].expand(1, 3, 4, 4) / 16
        self.register_buffer("luma", weight.clone())

    def forward(self, now: Tensor, before: Tensor) -> Tensor:
        return self.match(F.conv2d(now, self.luma, stride=4), F.conv2d(before, self.luma, stride=4))

    def match(self, a: Tensor, b: Tensor) -> Tensor:
        """From the mean luma of 4-pixel squares [B,1,64,112], now and before."""
        signed = a - b
        change = signed.abs()
        quarters = F.pixel_unshuffle(F.avg_pool2d(change, 2), 2)
        both = F.avg_pool2d(torch.cat([a, b], 1), 2)
        most, brighter = F.max_pool2d(change, 4), F.avg_pool2d(signed, 4)
        cells = [self.near(a, b), self.far(both[:, :1], both[:, 1:]), quarters, most, brighter]
        return torch.cat(cells, 1).permute(0, 2, 3, 1)


class BlockMatcher(nn.Module):
    """Block matching at one scale: pictures shrunk `shrink` times, shifts to +-`across` and +-`down` small pixels."""

    steps: Tensor
    sums: Tensor
    toll: Tensor
    over_columns: Tensor
    over_rows: Tensor

    def __init__(self, shrink: int, across: int, down: int) -> None:
        super().__init__()
        self.shrink, self.across, self.down = shrink, across, down
        y, x = torch.meshgrid(torch.arange(-down, down + 1), torch.arange(-across, across + 1), indexing="ij")
        steps = torch.stack([x, y, torch.ones_like(x)]).flatten(1).float()
        self.register_buffer("steps", steps[:2, :, None, None].clone())
        self.register_buffer("sums", steps, persistent=False)
        length = (x * x + y * y).flatten().float().sqrt()[None, :, None, None]
        self.register_buffer("toll", length * _DISTANCE_PENALTY * shrink / 4)
        self.register_buffer("over_columns", _weights(COLUMNS, CELL // shrink).T.contiguous())
        self.register_buffer("over_rows", _weights(ROWS, CELL // shrink))

    def forward(self, now: Tensor, before: Tensor) -> Tensor:
        """Luma [B,1,256/shrink,448/shrink] 0..255 of both pictures -> of each cell [B,4,16,28] the best shift, pixels
        right and down, grey levels gained, and the share explained, 0..1."""
        raw = self.cost(now, before)
        cost = raw + self.toll
        middle = self.toll.shape[1] // 2
        still, least = cost[:, middle : middle + 1], cost.amin(1, keepdim=True)
        weight = ((least - cost) * (1 / _SOFTNESS)).clamp(min=_MIN_EXPONENT).exp()
        whole, part = self.subpixel_minimum(raw, weight)
        gain = still - least
        sure = (gain * (1 / _FULL_GAIN)).clamp(max=1) * -self.shrink
        # What is here now was at the shifted place before: it moved the other way.
        return torch.cat([(whole + part) * sure, gain, gain / (still + _FULL_GAIN)], 1)

    def subpixel_minimum(self, cost: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Where the minimum lies, right and down [B,2,16,28]: the whole step, shared by those whose costs are alike
        (`weight` as `cost`, not yet of sum 1), and the fraction of a step, within +-0.5."""
        n, line, shape = cost.shape[1], 2 * self.across + 1, (-1, 2, *cost.shape[2:])
        wide = torch.cat([cost[:, :line], cost, cost[:, -line:]], 1)
        # right, down and how much in all; then what it costs left, above, right, below and there
        whole = self.sums @ weight.flatten(2)
        starts = (line - 1, 0, line + 1, 2 * line, line)
        found = [self.sums[2:] @ (weight * wide[:, k : k + n]).flatten(2) for k in starts]
        mean = torch.cat([whole, *found], 1)
        mean = mean / mean[:, 2:3]
        one, other, best = mean[:, 3:5], mean[:, 5:7], mean[:, 7:]
        share = 0.5 * (one - other) / (torch.maximum(one, other) - best + _MIN_CURVATURE)
        return mean[:, :2].reshape(shape), share.clamp(-0.5, 0.5).reshape(shape)

    def cost(self, now: Tensor, before: Tensor) -> Tensor:
        """Weighted mean absolute difference [B,shifts,16,28] around each cell. Up and down it is the one picture `now`
        that is shifted, not those that were shifted across already; rows beyond it weigh nothing."""
        a, d = self.across, self.down
        wide = F.pad(before, (a, a, d, d), mode="replicate")
        rows, columns = now.shape[2], now.shape[3]
        across = torch.cat([wide[:, :, :, i : i + columns] for i in range(2 * a + 1)], 1)
        framed, strips = F.pad(now, (0, 0, 2 * d, 2 * d)), []
        for j in range(2 * d + 1):
            shifted = framed[:, :, 2 * d - j : 2 * d - j + rows + 2 * d]
            strip = (shifted - across).abs().clamp(max=COST_LIMIT)
            strips.append(F.pad(self.over_rows, (j, 2 * d - j)) @ (strip @ self.over_columns))
        return torch.cat(strips, 1)


def _weights(cells: int, size: int) -> Tensor:
    """[cells, cells * size]: a triangle two cells wide around each cell's middle; rows sum to 1."""
    middle = (torch.arange(cells).float() + 0.5) * size
    place = torch.arange(cells * size).float() + 0.5
    weight = (1 - (place[None] - middle[:, None]).abs() / size).clamp(min=0)
    return weight / weight.sum(1, keepdim=True)
