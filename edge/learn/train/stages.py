"""From starting weights and open data to an engine folder: the stages, in order, each with the file that it leaves.

A stage whose file lies in the work folder is not run again; what a killed stage had finished is gone on from. On a box
without a GPU the encoders stay as they are (but the sound student) and heads learn on cached features; where torch
finds CUDA the picture encoder is tuned as a whole first (`train/whole.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from edge.learn.body.train import BodyRun, train_body
from edge.learn.flames.cache import ShotPlan
from edge.learn.nets.heads import HopFeatures
from edge.learn.nets.network import FusedNet, starting_network
from edge.learn.scenes.realistic import held_takes, ordinary_takes, take_rows
from edge.learn.train import checkpoint
from edge.learn.train.audio import AudioRun, train_audio
from edge.learn.train.calibrate import calibrate, fits_text
from edge.learn.train.compare import compare, comparison_text
from edge.learn.train.dense import DenseRun, train_dense
from edge.learn.train.features import Plan, cache_pictures
from edge.learn.train.fusion import FusionRun, fit_head
from edge.learn.train.progress import Stopwatch
from edge.learn.train.rows import Rows, load_rows
from edge.learn.train.sensors import fit_sensors
from edge.learn.train.whole import WholeRun, tune_whole

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where things are: open data, starting weights, Debian packages' root (or None), photographs (or None), the work
    folder, and the engine folder to write."""

    data: Path
    weights: Path
    packages: Path | None
    photos: Path | None
    work: Path
    out: Path


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; `fast` is minutes, to try the machinery."""

    audio: AudioRun
    train: Plan
    held: Plan
    fusion: FusionRun
    dense: DenseRun = field(default_factory=DenseRun)
    body: BodyRun = field(default_factory=BodyRun)
    whole: WholeRun = field(default_factory=WholeRun)


FULL = Sizes(AudioRun(), Plan(), Plan(scenes=24, glimpses=220), FusionRun())
FAST = Sizes(
    AudioRun(steps=16, batch=8, minutes=3),
    Plan(scenes=4, glimpses=16, unseen=12, fires=8, plain=2),
    Plan(scenes=2, glimpses=6, unseen=4, fires=3, plain=2),
    FusionRun(steps=80, minutes=3),
    dense=DenseRun(ShotPlan(1, 40, 3), ShotPlan(1, 20, 2), steps=60, minutes=2),
    body=BodyRun(scenes=(12, 6, 6), held=6, draws=1, steps=60, minutes=1),
    whole=WholeRun(steps=4, batch=4, every=2),
)


def train(sources: Sources, sizes: Sizes, fusion: str, version: str) -> str:
    """Run what is missing and say what was run, where."""
    sources.work.mkdir(parents=True, exist_ok=True)
    gpu, watch, ran = torch.cuda.is_available(), Stopwatch(), []
    stages = _stages(sources, sizes, fusion, gpu)
    for n, (name, file, run) in enumerate(stages, 1):
        if (sources.work / file).exists():
            _log.info("stage %d of %d, %s: done before (%s)", n, len(stages), name, file)
            continue
        _log.info("stage %d of %d, %s: begins at %.0f s", n, len(stages), name, watch.seconds())
        run()
        ran.append(name)
    where = "GPU: the picture encoder was tuned as a whole" if gpu else "CPU: heads on cached features, encoders frozen"
    from edge.learn.train.export import export_work

    done = export_work(sources.work, sources.weights, sources.out, version)
    speed, gap = f"{done.ms_per_row:.1f} ms a row on one thread", f"{done.difference:.4f} from torch"
    what = f"{where} but the sound's; ran now: {', '.join(ran) or 'nothing'}, export; {watch.seconds():.0f} s"
    return f"{what}\n{done.path}: {done.megabytes:.1f} MB, {speed}, {gap}"


def encoders(sources: Sources) -> FusedNet:
    """The starting network with every part that the work folder holds so far."""
    net = starting_network(sources.weights)
    for part, name in (("audio", "audio.pt"), ("dense", "dense.pt"), ("acts", "body.pt"), ("align", "align.pt")):
        state = checkpoint.found(sources.work / name)
        if state is not None:
            getattr(net, part).load_state_dict(state["audio"] if part == "audio" else state)
    whole = checkpoint.found(sources.work / "whole.pt")
    if whole is not None:
        net.lite.load_state_dict(whole["lite"])
    return net.eval()


def scene_rows(sources: Sources, sizes: Sizes) -> tuple[Rows, Rows]:
    """Training rows and those of other sources."""
    net = encoders(sources)
    train_rows, held = (
        load_rows(net, sources.data, sources.packages, sources.work, h, plan.unseen)
        for h, plan in ((False, sizes.train), (True, sizes.held))
    )
    return train_rows, held


def evidence_weights(sources: Sources) -> dict[str, torch.Tensor]:
    """What the sound stage learned of the fusion head: where every fusion starts from."""
    return dict(checkpoint.found(sources.work / "audio.pt")["head"])


def _stages(
    sources: Sources, sizes: Sizes, fusion: str, gpu: bool
) -> list[tuple[str, str, Callable[[], object]]]:  # fmt: skip
    """Name, the file that says it is done, and what to run."""
    s = sources
    pictures = (
        (f"pictures ({split})", f"pictures_{split}.npz",
         lambda plan=plan, held=held: cache_pictures(encoders(s), s.data, s.packages, s.photos, s.work, plan, held))
        for split, plan, held in (("held", sizes.held, True), ("train", sizes.train, False))
    )  # fmt: skip
    whole = [("whole fine-tune", "whole.pt", lambda: _tune_whole(s, sizes))] if gpu else []
    return [
        ("sound", "audio.pt", lambda: train_audio(s.weights, s.data, s.packages, s.work, sizes.audio)),
        *whole,
        *pictures,
        ("fire, smoke and flashes", "dense.pt", lambda: _dense(s, sizes)),
        ("bodies", "body.pt", lambda: train_body(s.work, s.weights, s.data, sizes.body)),
        ("fusion", "fused.pt", lambda: _fusion(s, sizes, fusion)),
        ("calibration", "calibrated.pt", lambda: _calibration(s, sizes, fusion)),
    ]


def _fusion(s: Sources, sizes: Sizes, fusion: str) -> None:
    torch.manual_seed(sizes.fusion.seed)
    net, (train_rows, held) = FusedNet(fusion), scene_rows(s, sizes)
    net.load_state_dict({k: v for k, v in encoders(s).state_dict().items() if not k.startswith("head.")}, strict=False)
    net.head.load_state_dict(evidence_weights(s), strict=False)
    fit_sensors(net.head)
    fit_head(net.head, train_rows, held, sizes.fusion, s.work / "fusion_run.pt")
    checkpoint.keep(s.work / "fused.pt", net.state_dict())


def _calibration(s: Sources, sizes: Sizes, fusion: str) -> None:
    """Writes calibrated.pt, calibration.csv and compare.md."""
    net = FusedNet(fusion)
    net.load_state_dict(checkpoint.found(s.work / "fused.pt"))
    net.eval()
    held = load_rows(net, s.data, s.packages, s.work, True, sizes.held.unseen)
    real, ordinary = (
        _kept_rows(s.work / f"rows_{name}.pt", lambda takes=takes: take_rows(net, takes()))  # type: ignore[misc]
        for name, takes in (
            ("real", lambda: held_takes(s.data, s.packages)), ("ordinary", lambda: ordinary_takes(s.data))
        )
    )  # fmt: skip
    fits = calibrate(net, held, ordinary, real)
    (s.work / "calibration.csv").write_text(fits_text(fits), encoding="utf-8")
    (s.work / "compare.md").write_text(comparison_text(compare(net.head, held)), encoding="utf-8")
    checkpoint.keep(s.work / "calibrated.pt", {"net": net.state_dict(), "fusion": fusion})


def _kept_rows(path: Path, make: Callable[[], Rows]) -> Rows:
    """Rows of recordings, encoded once."""
    stored = checkpoint.found(path)
    if stored is None:
        rows = make()
        stored = [list(rows.features), rows.evident, rows.scene, list(rows.names), rows.loud]
        checkpoint.keep(path, stored)
    features, evident, scene, names, loud = stored
    return Rows(HopFeatures(*features), evident, scene, tuple(names), loud)


def _dense(s: Sources, sizes: Sizes) -> None:
    net = encoders(s)
    train_dense(net, s.data, s.photos, s.work, sizes.dense)
    checkpoint.keep(s.work / "dense.pt", net.dense.state_dict())


def _tune_whole(s: Sources, sizes: Sizes) -> None:
    checkpoint.keep(s.work / "whole.pt", tune_whole(encoders(s), s, sizes.whole))
