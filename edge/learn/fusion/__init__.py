"""How the modalities are related: the fusion choices, all with one signature (`parts`), and their registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import nn

from edge.learn.fusion.attention import AttentionBilinearFusion, AttentionFusion
from edge.learn.fusion.graph import GraphFusion
from edge.learn.fusion.parts import CELLS as CELLS
from edge.learn.fusion.pooled import BilinearFusion, ConcatFusion, ProductFusion, WeightedSumFusion
from edge.learn.fusion.recurrent import RecurrentFusion

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
