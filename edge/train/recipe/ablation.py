"""Compares every fusion on the same cached features with the same seeds.

Each is trained alike to correct what the senses say together (`recipe/fusion.py`, `probed_logits`) and evaluated on
held-out sources: with everything, without its memory, and with fewer modalities. `none` is what the senses say, without
any correction: what is shipped, unless a fusion does better. `compare_views` does the same for one trained head, hop by
hop on held-out composed scenes, where the truth is known.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from edge.train.checkpoint import TrainingBudget
from edge.train.evaluation.metrics import average_precision
from edge.train.labels import LABELS
from edge.train.nets.fusion import FUSIONS
from edge.train.nets.heads import FusionHead, HopFeatures, is_decided_elsewhere
from edge.train.recipe.calibration import scene_logits
from edge.train.recipe.features import FeatureRows, memory_windows, with_modalities
from edge.train.recipe.fusion import FusionTrainingConfig, held_out_loss, probed_logits, train_fusion_head

_log = logging.getLogger(__name__)
NO_FUSION: Final = "none"
ABLATION_VIEWS: Final[dict[str, tuple[tuple[int, int, int], bool]]] = {
    "all": ((1, 1, 1), True), "no memory": ((1, 1, 1), False), "no picture": ((0, 1, 1), True),
    "no sound": ((1, 0, 1), True), "no sensors": ((1, 1, 0), True), "picture only": ((1, 0, 0), True),
    "sound only": ((0, 1, 0), True), "sensors only": ((0, 0, 1), True),
}  # fmt: skip
"""Modalities that are there, and whether the memory is."""


@dataclass(frozen=True, slots=True)
class AblationRun:
    """One run: mean average precision over the labels by view, held-out loss, the step it was best at, parameters of
    the fusion alone, and how long training took (s, with whatever else the machine did)."""

    fusion: str
    seed: int
    precision: dict[str, float]
    loss: float
    step: int
    parameters: int
    seconds: float


def run_ablation(
    start: Mapping[str, torch.Tensor],
    train: FeatureRows,
    held: FeatureRows,
    run: FusionTrainingConfig,
    seeds: Iterable[int],
    path: Path,
    fusions: Iterable[str] = tuple(FUSIONS),
) -> list[AblationRun]:
    """Train and judge each fusion with each seed, from the evidence weights `start` (names that fit). Every result is
    added to the JSON file `path` at once; what it holds is not run again."""
    done = [AblationRun(**x) for x in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []
    for seed in seeds:
        for name in fusions:
            if any(x.fusion == name and x.seed == seed for x in done):
                continue
            torch.manual_seed(seed)
            head, watch = FusionHead(name), TrainingBudget()
            head.load_state_dict(dict(start), strict=False)
            best = train_fusion_head(head, train, held, _seeded(run, seed))
            size = sum(p.numel() for p in head.fusion.parameters())
            done.append(
                AblationRun(name, seed, _view_precisions(head, held), best.loss, best.step, size, watch.elapsed_s())
            )
            _log.info("ablation: %s", done[-1])
            if not any(x.fusion == NO_FUSION and x.seed == seed for x in done):
                torch.nn.init.zeros_(head.probe.weight)
                torch.nn.init.zeros_(head.probe.bias)
                alone, loss = _view_precisions(head, held), held_out_loss(head, held)
                done.append(AblationRun(NO_FUSION, seed, alone, loss, best.step, 0, 0.0))
            path.write_text(json.dumps([asdict(x) for x in done], indent=1), encoding="utf-8")
    return done


def ablation_table(done: list[AblationRun]) -> str:
    """Markdown: a row a fusion, best first, mean over the seeds and half the range where there are several."""
    names = sorted({x.fusion for x in done}, key=lambda n: -_mean(done, n, "all"))
    lines = [
        "| fusion | parameters | held-out loss | " + " | ".join(ABLATION_VIEWS) + " |",
        "|---" * (len(ABLATION_VIEWS) + 3) + "|",
    ]
    for name in names:
        runs = [x for x in done if x.fusion == name]
        cells = [_cell([x.precision[view] for x in runs]) for view in ABLATION_VIEWS]
        lines.append(f"| {name} | {runs[0].parameters} | {_cell([x.loss for x in runs])} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _seeded(run: FusionTrainingConfig, seed: int) -> FusionTrainingConfig:
    return replace(run, seed=seed)


def _view_precisions(head: FusionHead, held: FeatureRows) -> dict[str, float]:
    found = {}
    for name, (view, remembers) in ABLATION_VIEWS.items():
        logits = _probed_scene_logits(head, held, view, remembers)
        found[name] = float(np.mean(list(label_precisions(logits, held).values())))
    return found


def _probed_scene_logits(head: FusionHead, rows: FeatureRows, view: tuple[int, int, int], remembers: bool) -> Tensor:
    """Corrected logits [N,C] of every hop with only these modalities; memory as in service, or none."""
    outputs, masks = [], torch.tensor([float(v) for v in view])
    with torch.no_grad():
        for scene in range(int(rows.scene[-1]) + 1):
            index = torch.nonzero(rows.scene == scene)[:, 0]
            part = with_modalities(HopFeatures(*(x[index] for x in rows.features)), masks)
            hop, known = head.encode_hop(part), part.available_modalities()
            memory, memory_ok = memory_windows(hop.token, torch.arange(len(index)))
            outputs.append(probed_logits(head, hop, known, memory, memory_ok * float(remembers)))
    return torch.cat(outputs)


def _mean(done: list[AblationRun], name: str, view: str) -> float:
    return float(np.mean([x.precision[view] for x in done if x.fusion == name]))


def _cell(values: list[float]) -> str:
    spread = f" ± {(max(values) - min(values)) / 2:.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


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
