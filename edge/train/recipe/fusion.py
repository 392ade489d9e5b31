"""Trains the fusion on cached features of composed scenes: whole hops with the memory of their scene, under modality,
sensor and memory dropout.

Two tasks share parameters: the labels from everything that is there, and an embedding in which picture and sound of one
event lie together. What each sense says is trained before, alone: that of sensors here, on thousands of synthetic
traces, which cost little without picture and sound.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge.train import checkpoint
from edge.train.checkpoint import TrainingBudget
from edge.train.labels import LABELS
from edge.train.nets.heads import FusionHead, HopFeatures, HopTokens, is_decided_elsewhere
from edge.train.recipe.features import FeatureRows, drop_modalities, memory_windows, scene_weights
from edge.train.scenes.compose import HOPS, compose_sensors
from edge.train.scenes.soundbank import SoundBank
from edge.train.scenes.synthesis import EVENTS

_log = logging.getLogger(__name__)
_EVENT_LABELS = {"fire", "crying_baby", "dog_bark", *EVENTS}


@dataclass(frozen=True, slots=True)
class SensorTrainingConfig:
    """How many scenes of made traces, a tenth of them held out, and how many steps."""

    scenes: int = 2000
    steps: int = 900
    seed: int = 9_000_000


def train_sensor_evidence(head: FusionHead, run: SensorTrainingConfig) -> float:
    """Train the head's sensor evidence in place by cross entropy; the loss on the tenth of the scenes held out. What it
    says beyond how often the event is in those scenes is its likelihood ratio."""
    torch.manual_seed(run.seed)
    readings, ok, target, judged = _sensor_dataset(run.scenes, run.seed)
    x, held = torch.cat([readings * ok, ok], 1), torch.arange(len(readings)) >= len(readings) * 9 // 10
    knows, generator = head.knows[2], torch.Generator().manual_seed(run.seed)
    optimiser = torch.optim.AdamW(head.sensor_net.parameters(), lr=5e-3, weight_decay=1e-3)
    train = torch.nonzero(~held)[:, 0]

    def loss(rows: Tensor) -> Tensor:
        entropy = F.binary_cross_entropy_with_logits(head.sensor_net(x[rows]), target[rows], reduction="none")
        return (entropy * judged[rows] * knows).sum(1).mean()

    for step in range(run.steps):
        optimiser.param_groups[0]["lr"] = 5e-3 * (0.5 + 0.5 * float(np.cos(np.pi * step / run.steps)))
        now = loss(train[torch.randint(len(train), (512,), generator=generator)])
        optimiser.zero_grad()
        now.backward()
        optimiser.step()
    with torch.no_grad():
        end = float(loss(torch.nonzero(held)[:, 0]))
        share = (target * judged).sum(0) / judged.sum(0)
        head.sensors.bias.copy_(-torch.logit(share.clamp(1e-3, 0.5)).expand(2, -1))
    _log.info("sensors: held-out loss %.4f after %d steps", end, run.steps)
    return end


def _sensor_dataset(scenes: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Readings [N,8], which are there [N,8], what sensors show [N,C], and whether that is settled [N,C]."""
    bank = SoundBank({label: [] for label in _EVENT_LABELS})
    parts = [compose_sensors(seed + n, bank) for n in range(scenes)]
    values, ok, evident = (torch.from_numpy(np.concatenate(column)) for column in zip(*parts, strict=True))
    return values, ok, (evident > 0.75).float(), ((evident - 0.5).abs() > 0.25).float()


_TRAINED_LABELS: Final = torch.tensor([float(not is_decided_elsewhere(label)) for label in LABELS])
_CONTRAST_WEIGHT: Final = 0.1
_TEMPERATURE: Final = 0.1
_POSITIVE_WEIGHT: Final = 2.0
"""Weights of the parts of the loss: contrast, and an event's hops against those without."""
MAX_CORRECTION: Final = 3.0
_RATE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class FusionTrainingConfig:
    """Sizes and seed of the training. Where `minutes` end a run first, it is not repeatable to the bit. It stops early
    where `patience` checks on held-out sources, one each `check_every` steps, brought nothing."""

    steps: int = 720
    minutes: float = 60.0
    batch: int = 96
    patience: int = 6
    seed: int = 5
    check_every: int = 40


class BestStep(NamedTuple):
    """The best held-out loss, and after how many steps."""

    loss: float
    step: int


def train_fusion_head(
    head: FusionHead, train: FeatureRows, held: FeatureRows, run: FusionTrainingConfig, path: Path | None = None
) -> BestStep:
    """Cross entropy on what the modalities that are there can tell, with memory from the scene's earlier hops. Leaves
    the best weights in `head`. With `path` the run is saved there at every check and continues from it."""
    generator = torch.Generator().manual_seed(run.seed)
    torch.manual_seed(run.seed)
    optimiser = _optimiser(head)
    best, kept, start = BestStep(1e9, 0), head.state_dict(), 0
    before = None if path is None else checkpoint.load(path)
    if before is not None:
        head.load_state_dict(before["head"])
        optimiser.load_state_dict(before["optimiser"])
        generator.set_state(before["generator"])
        torch.set_rng_state(before["dropout"])
        best, kept, start = BestStep(*before["best"]), before["kept"], before["step"]
    chances, watch = scene_weights(train), TrainingBudget()
    for step in range(start, run.steps):
        fraction = watch.used_share(step, run.steps, run.minutes)
        if fraction >= 1 or step - best.step > run.patience * run.check_every:
            break
        optimiser.param_groups[0]["lr"] = (
            _RATE * min(1, (step + 1) / 30) * (0.5 + 0.5 * float(np.cos(np.pi * fraction)))
        )
        head.train()
        scenes = torch.multinomial(chances, max(2, run.batch // 16), generator=generator)
        loss = fusion_loss(head, train, scenes, generator, dropout=True)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        if step % run.check_every == run.check_every - 1 or step + 1 == run.steps:
            now = held_out_loss(head, held)
            shown = (step + 1, run.steps, float(loss.detach()), now, watch.elapsed_s())
            _log.info("fusion step %d of %d: %.4f, held-out %.4f, %.0f s", *shown)
            if now < best.loss:
                best, kept = BestStep(now, step + 1), {k: v.clone() for k, v in head.state_dict().items()}
            if path is not None:
                state = {"head": head.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
                state |= {"generator": generator.get_state(), "dropout": torch.get_rng_state()}
                checkpoint.save(path, state | {"best": list(best), "kept": kept})
    head.load_state_dict(kept)
    head.eval()
    return best


def _optimiser(head: FusionHead) -> torch.optim.Optimizer:
    """AdamW over what relates the senses; what each of them says stays as it is."""
    senses = (head.adapter, head.tag_reading, head.sensor_net, head.picture, head.sound, head.sensors)
    fixed = {id(head.tag_bias), *(id(p) for part in senses for p in part.parameters())}
    return torch.optim.AdamW([p for p in head.parameters() if id(p) not in fixed], lr=_RATE, weight_decay=0.02)


def fusion_loss(
    head: FusionHead, rows: FeatureRows, scenes: Tensor, generator: torch.Generator, dropout: bool
) -> Tensor:
    """Half the hops of each drawn scene, tokens of all of them as memory."""
    index = (scenes[:, None] * HOPS + torch.arange(HOPS)).flatten()
    features = HopFeatures(*(part[index] for part in rows.features))
    if dropout:
        features = drop_modalities(features, len(scenes), generator)
    hop, known = head.encode_hop(features), features.available_modalities()
    picked = torch.randperm(len(index), generator=generator)[: len(index) // 2] if dropout else torch.arange(len(index))
    memory, memory_ok = memory_windows(hop.token, picked)
    if dropout:
        memory_ok = memory_ok * (torch.rand(len(picked), 1, generator=generator) > 0.15).float()
    part, evident, there = HopTokens(*(x[picked] for x in hop)), rows.evident[index][picked], known[picked]
    told = probed_logits(head, part, there, memory, memory_ok)
    return label_loss(told, evident, there) + _CONTRAST_WEIGHT * contrastive_loss(head, part, there, evident)


def probed_logits(head: FusionHead, hop: HopTokens, known: Tensor, memory: Tensor, memory_ok: Tensor) -> Tensor:
    """Log-odds [B,C] of the joined senses, moved by at most `MAX_CORRECTION` by what the fusion makes of them: trains
    the fusion, and shows whether it knows more than the senses do. It is not in the graph."""
    moved = head.probe(head.relate(hop, known, memory, memory_ok))
    return head.logits(hop, known) + MAX_CORRECTION * torch.tanh(moved / MAX_CORRECTION)


def label_loss(logits: Tensor, evident: Tensor, known: Tensor) -> Tensor:
    """Cross entropy [mean over rows] where what is known settles it: shown now by a modality that is there (1),
    by none at all (0); otherwise no judgement."""
    shown = (evident * known[..., None]).amax(1) > 0.75
    weight = (shown * _POSITIVE_WEIGHT + (evident.amax(1) < 0.25).float()) * _TRAINED_LABELS
    entropy = F.binary_cross_entropy_with_logits(logits, shown.float(), reduction="none")
    return (entropy * weight).sum(1).mean()


def contrastive_loss(head: FusionHead, hop: HopTokens, known: Tensor, evident: Tensor) -> Tensor:
    """Among hops in which one event has both picture and sound: the embedding of the picture alone finds that of the
    sound of the same event among all others, and the other way round (supervised contrastive loss, Khosla et al.
    2020)."""
    both = (evident[:, 0] > 0.75) & (evident[:, 1] > 0.75) & (known[:, :1] * known[:, 1:2] > 0)
    rows = torch.nonzero(both.any(1))[:, 0]
    if len(rows) < 4:
        return hop.token.new_zeros(())
    part = HopTokens(*(x[rows] for x in hop))
    memory = hop.token.new_zeros(len(rows), 1, hop.token.shape[1]).expand(-1, 16, -1)
    views = [torch.tensor(v).expand(len(rows), 3) for v in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))]
    picture_vectors, sound_vectors = (head.embedding(head.relate(part, view, memory, memory[..., 0])) for view in views)
    same = (both[rows].float() @ both[rows].float().T > 0).float()
    nearness = picture_vectors @ sound_vectors.T / _TEMPERATURE
    ways = (nearness, same), (nearness.T, same.T)
    return 0.5 * torch.stack([-(n.log_softmax(1) * s / s.sum(1, keepdim=True)).sum(1).mean() for n, s in ways]).sum()


def held_out_loss(head: FusionHead, rows: FeatureRows) -> float:
    """Held-out loss, nothing hidden."""
    head.eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        scenes = torch.arange(int(rows.scene[-1]) + 1)
        return float(np.mean([float(fusion_loss(head, rows, s, generator, dropout=False)) for s in scenes.split(8)]))
