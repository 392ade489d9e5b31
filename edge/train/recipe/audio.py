"""Fine-tunes the sound encoder as a streaming student: 2 s windows taught by 5 s ones, no tag forgotten.

The teacher is the starting net on the clean mix: on the 5 s context and on the very window; the student hears
that window through a bad microphone. Label targets come on top. Batch norms keep their statistics.
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
from edge.train.data import Wave, training_sounds
from edge.train.labels import LABEL_NAMES, LABELS, RATE_HZ, SAMPLES
from edge.train.nets.audio import AudioNet, load_mn04
from edge.train.nets.heads import LABEL_COUNT, FusionHead
from edge.train.scenes.soundbank import SoundBank, background_bed, build_sound_bank, crop_loudest, simulate_microphone

_log = logging.getLogger(__name__)
INTERPOLATION_SHARES: Final = (0.75, 0.5, 0.35, 0.25, 0.2, 0.15, 0.1, 0.05)
MIN_AGREEMENT: Final = 0.95
_EVENTS = tuple(label.name for label in LABELS if label.tags)


@dataclass(frozen=True, slots=True)
class AudioTrainingConfig:
    """How long and how hard to train; `minutes` bounds the wall clock.

    `keep` is the share of the way from the starting weights to the tuned ones that is kept (weight
    interpolation, Wortsman et al. 2022); None chooses it (`choose_share`).
    """

    steps: int = 260
    batch: int = 24
    rate: float = 1.5e-4
    minutes: float = 60.0
    seed: int = 11
    keep: float | None = None


class AudioBatch(NamedTuple):
    """`context` [B,160000] clean, `window` [B,64000] clean, `degraded` [B,64000] degraded, `target` [B,C]."""

    context: Tensor
    window: Tensor
    degraded: Tensor
    target: Tensor


def train_audio(weights: Path, data: Path, packages: Path | None, work: Path, run: AudioTrainingConfig) -> None:
    """Writes work/audio.pt: the student. The run is kept in work/audio_run.pt at every check, and continues from it."""
    torch.manual_seed(run.seed)
    bank, held = (build_sound_bank(data, packages, h, count=48 if not h else 16, seed=run.seed) for h in (False, True))
    start = weights / "mn04_as_mAP_432.pt"
    teacher, student, head = load_mn04(start), load_mn04(start), FusionHead()
    front = [*student.features[:4].parameters()]
    for p in front:
        p.requires_grad_(False)
    evidence = [head.tag_bias, *head.adapter.parameters()]
    groups = [
        {"params": [p for p in student.parameters() if p.requires_grad], "lr": run.rate, "weight_decay": 0.0},
        {"params": evidence[:1], "lr": 2e-2, "weight_decay": 0.0},
        {"params": evidence[1:], "lr": 2e-3, "weight_decay": 0.3},
    ]
    optimiser = torch.optim.AdamW(groups)
    checks = [make_batch(held, np.random.default_rng(900 + n), 40) for n in range(5)]
    best, watch, start_step = _held_out_loss(student, teacher, head, checks), TrainingBudget(), 0
    before = checkpoint.load(work / "audio_run.pt")
    if before is None:
        _log.info("audio start: held-out loss %.4f", best)
        _save_student(work / "audio_best.pt", student, head)
    else:
        student.load_state_dict(before["audio"])
        head.load_state_dict(before["head"])
        optimiser.load_state_dict(before["optimiser"])
        best, start_step = before["best"], before["step"]
    for step in range(start_step, run.steps):
        fraction = watch.used_share(step, run.steps, run.minutes)
        if fraction >= 1:
            break
        for group, rate in zip(optimiser.param_groups, (run.rate, 2e-2, 2e-3), strict=True):
            group["lr"] = rate * min(1.0, (step + 1) / 20) * (0.5 + 0.5 * float(np.cos(np.pi * fraction)))
        loss = _loss(student, teacher, head, make_batch(bank, np.random.default_rng([run.seed, step]), run.batch))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        if step % 40 == 39:
            now = _held_out_loss(student, teacher, head, checks)
            shown = (step + 1, float(loss.detach()), now, watch.elapsed_s())
            _log.info("audio step %d: loss %.4f, held-out %.4f, %.0f s", *shown)
            if now < best:
                best = now
                _save_student(work / "audio_best.pt", student, head)
            state = {"audio": student.state_dict(), "head": head.state_dict(), "optimiser": optimiser.state_dict()}
            checkpoint.save(work / "audio_run.pt", state | {"best": best, "step": step + 1})
    tuned = torch.load(work / "audio_best.pt", weights_only=True)
    share = choose_share(tuned["audio"], teacher, data) if run.keep is None else run.keep
    checkpoint.save(work / "audio.pt", interpolate_student(tuned, teacher, share))


def choose_share(tuned: dict[str, Tensor], start: AudioNet, data: Path) -> float:
    """The largest of SHARES at which the tuned net's best tag is still the starting net's in AGREEMENT of the 2 s
    windows of held-out open recordings of classes that are none of the labels; 0 where none is."""
    windows = []
    for sound in training_sounds(data, None):
        if sound.held_out and not sound.label:
            starts = range(0, max(1, len(sound.wave) - SAMPLES + 1), RATE_HZ)
            windows += [np.resize(sound.wave[s : s + SAMPLES], SAMPLES) for s in starts]
    loud = torch.from_numpy(np.stack([w for w in windows if float(np.abs(w).max()) > 1e-3]))
    begin = start.state_dict()
    trial = AudioNet().eval()
    with torch.no_grad():
        before = torch.cat([start.eval()(part).logits.argmax(1) for part in loud.split(32)])
        for share in INTERPOLATION_SHARES:
            trial.load_state_dict(interpolate_weights(begin, tuned, share))
            after = torch.cat([trial(part).logits.argmax(1) for part in loud.split(32)])
            agreement = float((after == before).float().mean())
            _log.info("share %.2f: best tag kept in %.3f of %d windows", share, agreement, len(loud))
            if agreement >= MIN_AGREEMENT:
                return share
    return 0.0


def interpolate_weights(begin: dict[str, Tensor], tuned: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights that far from the first to the second."""
    return {k: v + share * (tuned[k] - v) if v.is_floating_point() else v for k, v in begin.items()}


def interpolate_student(
    tuned: dict[str, dict[str, Tensor]], start: AudioNet, share: float
) -> dict[str, dict[str, Tensor]]:
    """What was tuned, moved back towards the starting net. The reading that was fitted with it goes."""
    return {"audio": interpolate_weights(start.state_dict(), tuned["audio"], share)}


def make_batch(bank: SoundBank, rng: np.random.Generator, size: int) -> AudioBatch:
    """Mixes: half with one event (a tenth of those with two), half with none; half over an audible bed."""
    contexts, windows, degraded_windows, targets = [], [], [], []
    for _ in range(size):
        wave, target = _mix_events(bank, rng)
        at = int(rng.integers(0, len(wave) - SAMPLES + 1)) if target.max() == 0 else (len(wave) - SAMPLES) // 2
        window = wave[at : at + SAMPLES]
        degraded = simulate_microphone(window, rng)
        if rng.random() < 0.1:
            degraded = degraded.copy()
            degraded[: int(rng.uniform(0, 1.2) * RATE_HZ)] = 0
        contexts.append(wave)
        windows.append(window)
        degraded_windows.append(degraded)
        targets.append(target)
    return AudioBatch(*(torch.from_numpy(np.stack(x)) for x in (contexts, windows, degraded_windows, targets)))


def _mix_events(bank: SoundBank, rng: np.random.Generator) -> tuple[Wave, Wave]:
    n, known = 5 * RATE_HZ, [label for label in _EVENTS if bank.events.get(label)]
    target = np.zeros(LABEL_COUNT, np.float32)
    wave = np.zeros(n, np.float32)
    middle = slice((n - SAMPLES) // 2, (n + SAMPLES) // 2)
    if rng.random() < 0.5:
        for _ in range(2 if rng.random() < 0.1 else 1):
            label = known[int(rng.integers(len(known)))]
            sound = bank.draw_event(label, rng)
            target[LABEL_NAMES.index(label)] = 1
            if len(sound) >= n - 1000:
                wave += crop_loudest(sound, n, rng) * rng.uniform(0.5, 1)
                wave[middle] += 0.5 * crop_loudest(sound, SAMPLES, rng)
            else:
                wave[middle] += crop_loudest(sound, SAMPLES, rng) * rng.uniform(0.5, 1)
    else:
        wave += crop_loudest(bank.draw_other(rng), n, rng)
        if rng.random() < 0.3:
            wave += crop_loudest(bank.draw_other(rng), n, rng) * rng.uniform(0.2, 1)
    rms = float(np.sqrt(np.mean(wave[middle] ** 2))) + 1e-4
    wave = wave + background_bed(bank, rng, 5.0) * rms * 10 ** (-rng.uniform(0, 40) / 20)
    return (wave / (np.abs(wave).max() + 1e-6) * 10 ** rng.uniform(-1, 0)).astype(np.float32), target


def _loss(student: AudioNet, teacher: AudioNet, head: FusionHead, batch: AudioBatch) -> Tensor:
    with torch.no_grad():
        known = 0.5 * torch.sigmoid(teacher(batch.context).logits) + 0.5 * torch.sigmoid(teacher(batch.window).logits)
    out = student(batch.degraded)
    tags = F.binary_cross_entropy_with_logits(out.logits, known, reduction="none").sum(1).mean()
    floor = -(known * (known + 1e-7).log() + (1 - known) * (1 - known + 1e-7).log()).sum(1).mean()
    u = head.heard(out.logits, out.embedding)
    heard = head.knows[1] > 0
    labels = F.binary_cross_entropy_with_logits(u[:, heard], batch.target[:, heard], reduction="none").sum(1).mean()
    return (tags - floor) + 0.5 * labels


def _held_out_loss(student: AudioNet, teacher: AudioNet, head: FusionHead, checks: list[AudioBatch]) -> float:
    with torch.no_grad():
        return float(np.mean([float(_loss(student, teacher, head, b)) for b in checks]))


def _save_student(path: Path, student: AudioNet, head: FusionHead) -> None:
    kept = {k: v for k, v in head.state_dict().items() if k.startswith(("tag_bias", "adapter"))}
    checkpoint.save(path, {"audio": student.state_dict(), "head": kept})
