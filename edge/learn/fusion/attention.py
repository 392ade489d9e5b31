"""Attention over this hop's tokens and the memory, alone and with a low-rank bilinear term."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge.learn.fusion.parts import CELLS, pool_parts
from edge.learn.fusion.pooled import LowRankBilinear
from edge.learn.labels import MEMORY, TOKEN_DIM


class AttentionFusion(nn.Module):
    """Transformer, two pre-norm layers over [summary, 14 picture cells, picture, sound, sensors, 16 memories].

    The second layer answers for the summary alone, which is all that is read.
    """

    def __init__(self, dim: int = TOKEN_DIM, heads: int = 4) -> None:
        super().__init__()
        self.summary = nn.Parameter(torch.randn(dim) * 0.02)
        self.modality = nn.Parameter(torch.randn(CELLS + 3, dim) * 0.02)
        self.time = nn.Parameter(torch.randn(MEMORY, dim) * 0.02)
        self.first, self.second = _AttentionLayer(dim, heads), _AttentionLayer(dim, heads)
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


class AttentionBilinearFusion(nn.Module):
    """Attention plus the low-rank bilinear terms of the five pooled parts, which start silent."""

    def __init__(self, dim: int = TOKEN_DIM) -> None:
        super().__init__()
        self.attention, self.pairs = AttentionFusion(dim), LowRankBilinear(dim)
        nn.init.zeros_(self.pairs.out.weight)
        nn.init.zeros_(self.pairs.out.bias)

    def forward(self, tokens: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        pairs = self.pairs(*pool_parts(tokens, mask, memory, memory_mask))
        out: Tensor = self.attention(tokens, mask, memory, memory_mask) + pairs
        return out


class _AttentionLayer(nn.Module):
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
