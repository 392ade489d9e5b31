"""A GRU over the memory, oldest first, gated with this hop's parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge.learn.fusion.parts import PARTS, pool_parts
from edge.learn.labels import MEMORY, TOKEN_DIM


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
