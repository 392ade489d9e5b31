"""Fusions of the five pooled parts: concatenation, weighted sum, product, low-rank bilinear."""

from __future__ import annotations

from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge.learn.fusion.parts import PARTS, pool_parts
from edge.learn.labels import TOKEN_DIM


class ConcatFusion(nn.Module):
    """MLP over the five parts, the newest memory and what is there."""

    def __init__(self, dim: int = TOKEN_DIM) -> None:
        super().__init__()
        wide = (PARTS + 1) * dim + PARTS
        self.net = nn.Sequential(nn.Linear(wide, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim), nn.LayerNorm(dim))

    def forward(self, tokens: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        parts, there = pool_parts(tokens, mask, memory, memory_mask)
        newest = memory[:, -1] * memory_mask[:, -1:]
        out: Tensor = self.net(torch.cat([parts.flatten(1), newest, there], 1))
        return out


class WeightedSumFusion(nn.Module):
    """Each part's projection, weighted by a softmax over the parts that are there."""

    def __init__(self, dim: int = TOKEN_DIM) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(dim, dim) for _ in range(PARTS))
        self.weight = nn.Linear(dim, 1)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        parts, there = pool_parts(tokens, mask, memory, memory_mask)
        x = torch.stack([F.gelu(p(parts[:, n])) for n, p in enumerate(self.project)], 1)
        scores = self.weight(x)[..., 0] - 30.0 * (1.0 - there)
        out: Tensor = self.norm(((scores.softmax(1) * there)[..., None] * x).sum(1))
        return out


class ProductFusion(nn.Module):
    """Element-wise product over the parts of (1 + tanh of their projection): a part that is not there is a factor 1."""

    def __init__(self, dim: int = TOKEN_DIM) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(dim, dim) for _ in range(PARTS))
        self.mix = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.LayerNorm(dim))

    def forward(self, tokens: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        parts, there = pool_parts(tokens, mask, memory, memory_mask)
        product = torch.ones_like(parts[:, 0])
        for n, project in enumerate(self.project):
            product = product * (1.0 + torch.tanh(project(parts[:, n])) * there[:, n : n + 1])
        out: Tensor = self.mix(product)
        return out


class LowRankBilinear(nn.Module):
    """Low-rank bilinear pooling (Kim et al. 2017) of every pair of parts: sum over pairs of w_mn * tanh(U_m x_m) *
    tanh(V_n x_n), projected to [B,D]. A pair of which one part is not there adds nothing."""

    def __init__(self, dim: int = TOKEN_DIM, rank: int = 64) -> None:
        super().__init__()
        self.left = nn.ModuleList(nn.Linear(dim, rank) for _ in range(PARTS))
        self.right = nn.ModuleList(nn.Linear(dim, rank) for _ in range(PARTS))
        self.pairs = tuple(combinations(range(PARTS), 2))
        self.weight = nn.Parameter(torch.ones(len(self.pairs), rank))
        self.out = nn.Linear(rank, dim)

    def forward(self, parts: Tensor, there: Tensor) -> Tensor:
        """parts [B,5,D], there [B,5] -> [B,D]."""
        u = torch.stack([torch.tanh(f(parts[:, n])) for n, f in enumerate(self.left)], 1) * there[..., None]
        v = torch.stack([torch.tanh(f(parts[:, n])) for n, f in enumerate(self.right)], 1) * there[..., None]
        first, second = [m for m, _ in self.pairs], [n for _, n in self.pairs]
        joined = (u[:, first] * v[:, second] * self.weight).sum(1)
        out: Tensor = self.out(joined)
        return out


class BilinearFusion(nn.Module):
    """Low-rank bilinear terms of every pair of parts beside each part's own linear one."""

    def __init__(self, dim: int = TOKEN_DIM) -> None:
        super().__init__()
        self.pairs = LowRankBilinear(dim)
        self.single = nn.Linear(PARTS * dim + PARTS, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        parts, there = pool_parts(tokens, mask, memory, memory_mask)
        single = self.single(torch.cat([(parts * there[..., None]).flatten(1), there], 1))
        out: Tensor = self.norm(F.gelu(single) + self.pairs(parts, there))
        return out
