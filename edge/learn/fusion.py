"""How the modalities are related: the fusion choices, all with one signature, and their registry.

A fusion sees the current hop's tokens and the camera's memory, all masked, and answers with one vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge.learn.labels import DIM, MEMORY

CELLS: Final = 14


class Attention(nn.Module):
    """Transformer, two pre-norm layers over [summary, 14 picture cells, picture, sound, sensors, 16 memories].

    tokens [B,17,D], mask [B,17] (1 = there), memory [B,16,D], memory_mask [B,16] -> [B,D]. The second layer
    answers for the summary alone, which is all that is read.
    """

    def __init__(self, dim: int = DIM, heads: int = 4) -> None:
        super().__init__()
        self.summary = nn.Parameter(torch.randn(dim) * 0.02)
        self.modality = nn.Parameter(torch.randn(CELLS + 3, dim) * 0.02)
        self.time = nn.Parameter(torch.randn(MEMORY, dim) * 0.02)
        self.first, self.second = _Layer(dim, heads), _Layer(dim, heads)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        b = tokens.shape[0]
        summary = self.summary.expand(b, 1, -1)
        x = torch.cat([summary, tokens + self.modality, memory + self.time], 1)
        there = torch.cat([torch.ones_like(mask[:, :1]), mask, memory_mask], 1)
        x = x * there[..., None]
        x = self.first(x, x, there)
        out: Tensor = self.norm(self.second(x[:, :1], x, there)[:, 0])
        return out


class Concat(nn.Module):
    """MLP over [mean of cells, picture, sound, sensors, mean memory, newest memory] and their masks."""

    def __init__(self, dim: int = DIM) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6 * dim + 5, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim), nn.LayerNorm(dim))

    def forward(self, tokens: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        parts, there = _parts(tokens, mask, memory, memory_mask)
        newest = memory[:, -1] * memory_mask[:, -1:]
        out: Tensor = self.net(torch.cat([parts.flatten(1), newest, there], 1))
        return out


class WeightedSum(nn.Module):
    """Each part's projection, weighted by a softmax over the parts that are there."""

    def __init__(self, dim: int = DIM) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(dim, dim) for _ in range(5))
        self.weight = nn.Linear(dim, 1)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        parts, there = _parts(tokens, mask, memory, memory_mask)
        x = torch.stack([F.gelu(p(parts[:, n])) for n, p in enumerate(self.project)], 1)
        scores = self.weight(x)[..., 0] - 30.0 * (1.0 - there)
        out: Tensor = self.norm(((scores.softmax(1) * there)[..., None] * x).sum(1))
        return out


FUSIONS: Final[dict[str, Callable[[], nn.Module]]] = {
    "attention": Attention,
    "concat": Concat,
    "weighted_sum": WeightedSum,
}


def _parts(tokens: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> tuple[Tensor, Tensor]:
    """The five parts [B,5,D] (cells, picture, sound, sensors, memory) and whether each is there [B,5]."""
    cells = (tokens[:, :CELLS] * mask[:, :CELLS, None]).sum(1) / mask[:, :CELLS].sum(1, keepdim=True).clamp(min=1)
    past = (memory * memory_mask[..., None]).sum(1) / memory_mask.sum(1, keepdim=True).clamp(min=1)
    single = tokens[:, CELLS:] * mask[:, CELLS:, None]
    there = torch.cat([mask[:, :1], mask[:, CELLS:], memory_mask.amax(1, keepdim=True)], 1)
    return torch.cat([cells[:, None], single, past[:, None]], 1), there


class _Layer(nn.Module):
    """Pre-norm attention and MLP; queries may be fewer than keys."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.q, self.kv, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * dim, dim))

    def forward(self, queries: Tensor, keys: Tensor, there: Tensor) -> Tensor:
        b, n, d = queries.shape
        q = self._split(self.q(self.norm1(queries)))
        k, v = self.kv(self.norm1(keys)).chunk(2, -1)
        scores = q @ self._split(k).transpose(2, 3) / (d // self.heads) ** 0.5
        scores = scores - 30.0 * (1.0 - there[:, None, None])
        weights = scores.softmax(-1) * there[:, None, None]
        mixed = (weights @ self._split(v)).transpose(1, 2).reshape(b, n, d)
        x: Tensor = queries + self.out(mixed)
        y: Tensor = x + self.mlp(self.norm2(x))
        return y

    def _split(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        return x.reshape(b, n, self.heads, d // self.heads).transpose(1, 2)
