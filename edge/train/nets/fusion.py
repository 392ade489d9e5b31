"""The fusions that relate the modalities, all with one signature, and their registry `FUSIONS`.

A fusion is a module `f(tokens [B,17,D], mask [B,17], memory [B,16,D], memory_mask [B,16]) -> [B,D]`: this hop's 14
picture cells, picture, sound and sensors; the camera's last 16 hops, oldest first; masks are 1 where something is
there. Masked content changes nothing.

- Of five pooled parts: concatenation, weighted sum, product, low-rank bilinear.
- Attention over this hop's tokens and the memory, alone and with a low-rank bilinear term.
- Message passing between the hop's parts and the memory's hops.
- A GRU over the memory, oldest first, gated with this hop's parts.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge.train.labels import MEMORY, TOKEN_DIM

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


class RecurrentFusion(nn.Module):
    """h_t = GRU(memory_t, h_t-1), where a hop that is not there leaves h as it was; then g * h + (1 - g) * now, with
    g = sigmoid of both. Unrolled, since MEMORY is fixed: plain in every runtime."""

    def __init__(self, dim: int = TOKEN_DIM) -> None:
        super().__init__()
        self.of_input, self.of_state = nn.Linear(dim, 3 * dim), nn.Linear(dim, 3 * dim)
        self.now = nn.Sequential(nn.Linear((PARTS - 1) * (dim + 1), dim), nn.GELU(), nn.Linear(dim, dim))
        self.gate = nn.Linear(2 * dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        parts, there = pool_parts(tokens, mask, memory, memory_mask)
        now = self.now(torch.cat([parts[:, :-1].flatten(1), there[:, :-1]], 1))
        inputs, state = self.of_input(memory * memory_mask[..., None]), torch.zeros_like(now)
        for n in range(MEMORY):
            state = state + memory_mask[:, n : n + 1] * (self._step(inputs[:, n], state) - state)
        gate = torch.sigmoid(self.gate(torch.cat([state, now], 1)))
        out: Tensor = self.norm(gate * state + (1.0 - gate) * now)
        return out

    def _step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """One GRU step (Cho et al. 2014) from the projected input [B,3D]."""
        reset_in, update_in, new_in = inputs.chunk(3, 1)
        reset_of, update_of, new_of = self.of_state(state).chunk(3, 1)
        update = torch.sigmoid(update_in + update_of)
        new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_of) * new_of)
        return (1.0 - update) * new + update * state


FUSIONS: Final[dict[str, Callable[[], nn.Module]]] = {
    "attention": AttentionFusion,
    "attention_bilinear": AttentionBilinearFusion,
    "concat": ConcatFusion,
    "weighted_sum": WeightedSumFusion,
    "product": ProductFusion,
    "bilinear": BilinearFusion,
    "recurrent": RecurrentFusion,
    "graph": GraphFusion,
}
