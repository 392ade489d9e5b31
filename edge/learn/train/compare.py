"""Fused against its parts on held-out composed scenes, hop by hop: what the fusion is worth where truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from edge.learn.evaluation.metrics import average_precision
from edge.learn.labels import LABELS
from edge.learn.nets.heads import FusionHead, is_decided_elsewhere
from edge.learn.train.calibrate import scene_logits
from edge.learn.train.rows import FeatureRows

COMPARISON_VIEWS: Final = {
    "fused": (1, 1, 1), "picture only": (1, 0, 0), "sound only": (0, 1, 0), "sensors only": (0, 0, 1),
    "no picture": (0, 1, 1), "no sound": (1, 0, 1), "no sensors": (1, 1, 0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ViewPrecision:
    """Average precision of each label over hops, for one view. The truth is the same for every view: the event
    is there for at least one modality; fading hops are left out."""

    view: str
    precision: dict[str, float]


def compare_views(head: FusionHead, rows: FeatureRows) -> list[ViewPrecision]:
    """Every view over the hops that have a picture."""
    table = []
    for name, view in COMPARISON_VIEWS.items():
        with torch.no_grad():
            logits, _ = scene_logits(head, rows, view)
        table.append(ViewPrecision(name, label_precisions(logits, rows, rows.features.video_ok[:, 1] > 0)))
    return table


def label_precisions(logits: Tensor, rows: FeatureRows, among: Tensor | None = None) -> dict[str, float]:
    """Average precision of each label that occurs, over hops (those of `among` [N] where given)."""
    anywhere, found = rows.evident.amax(1), {}
    for c, label in enumerate(LABELS):
        judged = (anywhere[:, c] - 0.5).abs() > 0.25
        judged = judged if among is None else judged & among
        truth = (anywhere[judged, c] > 0.75).numpy()
        if not is_decided_elsewhere(label) and truth.any():
            found[label.name] = average_precision(logits[judged, c].double().numpy(), truth)
    return found


def comparison_table(table: list[ViewPrecision]) -> str:
    """As Markdown, one row a label."""
    names = list(table[0].precision)
    lines = ["| label | " + " | ".join(x.view for x in table) + " |", "|---" * (len(table) + 1) + "|"]
    lines += [f"| {n} | " + " | ".join(f"{x.precision[n]:.2f}" for x in table) + " |" for n in names]
    mean = [float(np.mean(list(x.precision.values()))) for x in table]
    return "\n".join([*lines, "| **mean** | " + " | ".join(f"{m:.2f}" for m in mean) + " |"]) + "\n"
