"""From starting weights and open data to an engine folder: the stages in order, each with the file that it leaves.

A stage whose file lies in the work folder does not run again; a stage that was killed continues from what it had
finished. Without a GPU the picture encoder stays as it is, the sound encoder is tuned, and heads train on cached
features; where torch finds CUDA, the picture encoder is fine-tuned first (`fine_tune_pictures`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from edge.train import checkpoint
from edge.train.body.training import train_body
from edge.train.checkpoint import TrainingBudget, TrainingPaths
from edge.train.flames.shots import EncodedShots, cache_shots, read_shots
from edge.train.nets.heads import HopFeatures
from edge.train.nets.network import FusedNet, pretrained_network
from edge.train.recipe.ablation import compare_views, comparison_table
from edge.train.recipe.audio import train_audio
from edge.train.recipe.calibration import calibrate_head, calibration_csv
from edge.train.recipe.features import FeatureRows, cache_pictures, load_feature_rows
from edge.train.recipe.fusion import train_fusion_head, train_sensor_evidence
from edge.train.recipe.pictures import fine_tune_pictures, train_dense
from edge.train.recipe.recordings import encode_recordings, held_out_recordings, ordinary_recordings
from edge.train.recipe.senses import fit_senses
from edge.train.recipe.sizes import TrainingSizes
from edge.train.recipe.sounds import SoundRows, fit_sound_reading, load_sound_rows
from edge.train.recipe.thresholds import choose_thresholds, level_senses, quiet_bodies

_log = logging.getLogger(__name__)


_SENSES: Final = ("tag_", "adapter.", "sensor_net.", "picture.", "sound.", "sensors.")


def run_training(sources: TrainingPaths, sizes: TrainingSizes, fusion: str, version: str) -> str:
    """Run what is missing, export included, and say what was run, where."""
    from edge.train.recipe.export import export_work_folder, is_exported

    sources.work.mkdir(parents=True, exist_ok=True)
    gpu, watch, ran = torch.cuda.is_available(), TrainingBudget(), []
    stages = _training_stages(sources, sizes, fusion, gpu)
    for n, (name, file, run) in enumerate(stages, 1):
        if (sources.work / file).exists():
            _log.info("stage %d of %d, %s: done before (%s)", n, len(stages) + 1, name, file)
            continue
        _log.info("stage %d of %d, %s: begins at %.0f s", n, len(stages) + 1, name, watch.elapsed_s())
        run()
        ran.append(name)
    if is_exported(sources.work, sources.out, version):
        _log.info("stage %d of %d, export: done before (%s)", len(stages) + 1, len(stages) + 1, sources.out)
        return f"every stage was done before, nothing was run: {sources.out} is what {sources.work} became"
    where = "GPU: the picture encoder was tuned as a whole" if gpu else "CPU: heads on cached features, encoders frozen"
    done = export_work_folder(sources.work, sources.weights, sources.out, version)
    speed, gap = f"{done.ms_per_row:.1f} ms a row on one thread", f"{done.difference:.4f} from torch"
    what = f"{where} but the sound's; ran now: {', '.join([*ran, 'export'])}; {watch.elapsed_s():.0f} s"
    return f"{what}\n{done.path}: {done.megabytes:.1f} MB, {speed}, {gap}"


def load_network(sources: TrainingPaths) -> FusedNet:
    """The starting network with every part that the work folder holds so far."""
    net = pretrained_network(sources.weights)
    for part, name in (("audio", "audio.pt"), ("dense", "dense.pt"), ("acts", "body.pt"), ("align", "align.pt")):
        state = checkpoint.load(sources.work / name)
        if state is not None:
            getattr(net, part).load_state_dict(state["audio"] if part == "audio" else state)
    heard = checkpoint.load(sources.work / "heard.pt")
    if heard is not None:
        net.head.load_state_dict(heard, strict=False)
    whole = checkpoint.load(sources.work / "whole.pt")
    if whole is not None:
        net.lite.load_state_dict(whole["lite"])
    return net.eval()


def load_scene_rows(sources: TrainingPaths, sizes: TrainingSizes) -> tuple[FeatureRows, FeatureRows]:
    """Training rows and those of other sources."""
    net = load_network(sources)
    train_rows, held = (
        load_feature_rows(net, sources.data, sources.packages, sources.work, plan, h)
        for h, plan in ((False, sizes.train), (True, sizes.held))
    )
    return train_rows, held


def load_evidence_weights(sources: TrainingPaths) -> dict[str, torch.Tensor]:
    """What the senses learned of the head by themselves: where every fusion starts from."""
    return dict(checkpoint.load(sources.work / "senses.pt"))


def _training_stages(
    sources: TrainingPaths, sizes: TrainingSizes, fusion: str, gpu: bool
) -> list[tuple[str, str, Callable[[], object]]]:  # fmt: skip
    """Name, the file whose presence means that it is done, and the function to run."""
    s = sources
    pictures = (
        (f"pictures ({split})", f"pictures_{split}.npz",
         lambda plan=plan, held=held: cache_pictures(load_network(s), s.data, s.packages, s.photos, s.work, plan, held))
        for split, plan, held in (("held", sizes.held, True), ("train", sizes.train, False))
    )  # fmt: skip
    tuned = [
        ("sound encoder", "audio.pt", lambda: train_audio(s.weights, s.data, s.packages, s.work, sizes.audio)),
        ("picture encoder", "whole.pt", lambda: _tune_whole(s, sizes)),
    ]  # fmt: skip
    return [
        *(tuned if gpu else []),
        ("sounds", "heard.pt", lambda: _fit_sounds(s, sizes)),
        *pictures,
        ("fire, smoke and flashes", "dense.pt", lambda: _train_dense(s, sizes)),
        ("bodies", "body.pt", lambda: train_body(s.work, s.weights, s.data, sizes.body)),
        ("aligned space", "align.pt", lambda: _fit_space(s, sizes)),
        ("senses", "senses.pt", lambda: _fit_senses(s, sizes)),
        ("fusion", "fused.pt", lambda: _train_fusion(s, sizes, fusion)),
        ("calibration", "calibrated.pt", lambda: _calibrate(s, sizes, fusion)),
    ]


def _fit_sounds(s: TrainingPaths, sizes: TrainingSizes) -> None:
    net = load_network(s)
    rows = load_sound_rows(net.audio, s.data, s.packages, s.work, sizes.sounds, held_out=False)
    reading = fit_sound_reading(net.head, rows, sizes.sounds)
    checkpoint.save(s.work / "heard_left_out.pt", reading.left_out)
    checkpoint.save(s.work / "heard.pt", _sense_weights(net))


def _fit_senses(s: TrainingPaths, sizes: TrainingSizes) -> None:
    net = load_network(s)
    train, held = (
        load_sound_rows(net.audio, s.data, s.packages, s.work, sizes.sounds, held_out) for held_out in (False, True)
    )
    with torch.no_grad():
        evidence = torch.cat([checkpoint.load(s.work / "heard_left_out.pt"), net.head.heard(held.tags, held.embedding)])
    shots = [_read_shots(net, s, sizes, held_out) for held_out in (False, True)]
    heard = SoundRows(*(torch.cat(column) for column in zip(train, held, strict=True)))
    fit_senses(net, heard, evidence, *shots)
    train_sensor_evidence(net.head, sizes.sensors)
    checkpoint.save(s.work / "senses.pt", _sense_weights(net))


def _read_shots(net: FusedNet, s: TrainingPaths, sizes: TrainingSizes, held_out: bool) -> EncodedShots:
    plan = sizes.dense.held if held_out else sizes.dense.shots
    return read_shots(cache_shots(net, s.data, s.photos, s.work, plan, held_out))


def _fit_space(s: TrainingPaths, sizes: TrainingSizes) -> None:
    """What prompts need, which rests on the encoders alone."""
    from edge.train.align.build import fit_alignment
    from edge.train.align.encoders import NetworkEncoders
    from edge.train.recipe.export import read_tag_names

    encoders = NetworkEncoders(load_network(s), *read_tag_names(s.weights))
    fit_alignment(encoders, s.data, s.packages or Path("/"), s.photos, sizes.space).save(s.work)


def _sense_weights(net: FusedNet) -> dict[str, torch.Tensor]:
    """What the head has of each sense by itself."""
    return {k: v for k, v in net.head.state_dict().items() if k.startswith(_SENSES)}


def _train_fusion(s: TrainingPaths, sizes: TrainingSizes, fusion: str) -> None:
    torch.manual_seed(sizes.fusion.seed)
    net, (train_rows, held) = FusedNet(fusion), load_scene_rows(s, sizes)
    net.load_state_dict(
        {k: v for k, v in load_network(s).state_dict().items() if not k.startswith("head.")}, strict=False
    )
    net.head.load_state_dict(load_evidence_weights(s), strict=False)
    train_fusion_head(net.head, train_rows, held, sizes.fusion, s.work / "fusion_run.pt")
    checkpoint.save(s.work / "fused.pt", net.state_dict())


def _calibrate(s: TrainingPaths, sizes: TrainingSizes, fusion: str) -> None:
    """Writes calibrated.pt, calibration.csv and compare.md."""
    net = FusedNet(fusion)
    net.load_state_dict(checkpoint.load(s.work / "fused.pt"))
    net.eval()
    held = load_feature_rows(net, s.data, s.packages, s.work, sizes.held, True)
    real, ordinary = (
        _cached_rows(s.work / f"rows_{name}.pt", lambda takes=takes: encode_recordings(net, takes()))  # type: ignore[misc]
        for name, takes in (
            ("real", lambda: held_out_recordings(s.data, s.packages)), ("ordinary", lambda: ordinary_recordings(s.data))
        )
    )  # fmt: skip
    fits = calibrate_head(net, ordinary, real)
    (s.work / "calibration.csv").write_text(calibration_csv(fits), encoding="utf-8")
    (s.work / "compare.md").write_text(comparison_table(compare_views(net.head, held)), encoding="utf-8")
    bodies, shots = quiet_bodies(net.acts, s.weights, s.data), _read_shots(net, s, sizes, held_out=True)
    level_senses(net, (real, ordinary), shots)
    enters = choose_thresholds(net, (real, ordinary), shots, bodies)
    _log.info("thresholds: %s", enters)
    checkpoint.save(s.work / "calibrated.pt", {"net": net.state_dict(), "fusion": fusion, "enters": enters})


def _cached_rows(path: Path, make: Callable[[], FeatureRows]) -> FeatureRows:
    """Rows of recordings, encoded once."""
    stored = checkpoint.load(path)
    if stored is None:
        rows = make()
        stored = [list(rows.features), rows.evident, rows.scene, list(rows.names), rows.loud]
        checkpoint.save(path, stored)
    features, evident, scene, names, loud = stored
    return FeatureRows(HopFeatures(*features), evident, scene, tuple(names), loud)


def _train_dense(s: TrainingPaths, sizes: TrainingSizes) -> None:
    net = load_network(s)
    train_dense(net, s.data, s.photos, s.work, sizes.dense)
    checkpoint.save(s.work / "dense.pt", net.dense.state_dict())


def _tune_whole(s: TrainingPaths, sizes: TrainingSizes) -> None:
    checkpoint.save(s.work / "whole.pt", fine_tune_pictures(load_network(s), s, sizes.whole))
