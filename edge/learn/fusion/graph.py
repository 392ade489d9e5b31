"""Message passing between the hop's parts and the memory's hops."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from edge.learn.fusion.parts import PARTS, pool_parts
from edge.learn.labels import MEMORY, TOKEN_DIM

_NOW: Final = PARTS - 1
_NODES: Final = _NOW + MEMORY


class GraphFusion(nn.Module):
    """Nodes: cells, picture, sound, sensors, and one for each remembered hop. Edges of four kinds: part to part, memory
    to part, part to the newest memory, a memory to its neighbours in time. Two rounds; a node takes the mean of what
    nodes that are there send it along each kind of edge. The answer is the mean of this
    hop's parts plus the mean of the memory, of what is there."""

    edges: Tensor

    def __init__(self, dim: int = TOKEN_DIM, rounds: int = 2) -> None:
        super().__init__()
        self.register_buffer("edges", torch.tensor(_edges()), persistent=False)
        self.place = nn.Parameter(torch.randn(_NODES, dim) * 0.02)
        kinds = len(self.edges)
        self.send = nn.ModuleList(nn.Linear(dim, kinds * dim, bias=False) for _ in range(rounds))
        self.take = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(2 * dim), nn.Linear(2 * dim, dim), nn.GELU(), nn.Linear(dim, dim))
            for _ in range(rounds)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        parts, there = pool_parts(tokens, mask, memory, memory_mask)
        alive = torch.cat([there[:, :_NOW], memory_mask], 1)
        x = (torch.cat([parts[:, :_NOW], memory], 1) + self.place) * alive[..., None]
        heard = self.edges * alive[:, None, None]
        share = heard / heard.sum(-1, keepdim=True).clamp(min=1)
        for send, take in zip(self.send, self.take, strict=True):
            messages = torch.stack(send(x).chunk(len(self.edges), -1), 1)
            arrived = (share @ messages).sum(1)
            x = (x + take(torch.cat([x, arrived], -1))) * alive[..., None]
        now = alive[:, :_NOW]
        pooled = x[:, :_NOW].sum(1) / now.sum(1, keepdim=True).clamp(min=1)
        past = x[:, _NOW:].sum(1) / memory_mask.sum(1, keepdim=True).clamp(min=1)
        out: Tensor = self.norm(pooled + past)
        return out


def _edges() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """[4,N,N], row takes from column: part to part, memory to part, part to newest memory, memory to neighbour."""
    edges = np.zeros((4, _NODES, _NODES), np.float32)
    edges[0, :_NOW, :_NOW] = 1 - np.eye(_NOW)
    edges[1, :_NOW, _NOW:] = 1
    edges[2, -1, :_NOW] = 1
    for n in range(_NOW, _NODES - 1):
        edges[3, n, n + 1] = edges[3, n + 1, n] = 1
    return edges
