"""What every fusion is given, and the five masked parts that the simpler ones relate.

A fusion is a module `f(tokens [B,17,D], mask [B,17], memory [B,16,D], memory_mask [B,16]) -> [B,D]`: this hop's 14
picture cells, picture, sound and sensors; the camera's last 16 hops, oldest first; masks are 1 where something is
there. What is masked changes nothing, whatever it holds.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

CELLS: Final = 14
PARTS: Final = 5
"""Picture cells, picture, sound, sensors, memory."""


def pool_parts(tokens: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> tuple[Tensor, Tensor]:
    """The five parts [B,5,D] (cells and memory as the mean of what is there) and whether each is there [B,5]."""
    cells = (tokens[:, :CELLS] * mask[:, :CELLS, None]).sum(1) / mask[:, :CELLS].sum(1, keepdim=True).clamp(min=1)
    past = (memory * memory_mask[..., None]).sum(1) / memory_mask.sum(1, keepdim=True).clamp(min=1)
    single = tokens[:, CELLS:] * mask[:, CELLS:, None]
    there = torch.cat([mask[:, :CELLS].amax(1, keepdim=True), mask[:, CELLS:], memory_mask.amax(1, keepdim=True)], 1)
    return torch.cat([cells[:, None], single, past[:, None]], 1), there
