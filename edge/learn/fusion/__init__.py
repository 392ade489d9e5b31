"""How the modalities are related: the fusion choices, all with one signature (`parts`), and their registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import nn

from edge.learn.fusion.attention import Attention, AttentionBilinear
from edge.learn.fusion.graph import Graph
from edge.learn.fusion.parts import CELLS as CELLS
from edge.learn.fusion.pooled import Bilinear, Concat, Product, WeightedSum
from edge.learn.fusion.recurrent import Recurrent

FUSIONS: Final[dict[str, Callable[[], nn.Module]]] = {
    "attention": Attention,
    "attention_bilinear": AttentionBilinear,
    "concat": Concat,
    "weighted_sum": WeightedSum,
    "product": Product,
    "bilinear": Bilinear,
    "recurrent": Recurrent,
    "graph": Graph,
}
