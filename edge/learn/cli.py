"""`edge learn train | export | evaluate`: from starting weights and open data to engines/fused in one command.

Importing this module loads neither torch nor onnxruntime.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.learn.network import FusedNet

_log = logging.getLogger(__name__)
VERSION = "0.1.0"


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give `edge learn` its commands `train`, `export` and `evaluate`, each with its function as `handler`."""
    subparsers = parser.add_subparsers(dest="learn_command", required=True, metavar="COMMAND")
    train = subparsers.add_parser("train", help="train the fused model and export it")
    _common(train)
    train.add_argument("--photos", type=Path, default=None, help="Debian opencv-doc's examples folder, for backgrounds")
    train.add_argument("--wad", type=Path, default=None, help="freedoom2.wad (BSD), for shots and explosions")
    train.add_argument("--fusion", default="attention", choices=("attention", "concat", "weighted_sum"))
    train.add_argument("--fast", action="store_true", help="minutes, not hours: a tenth of the scenes and steps")
    train.set_defaults(handler=main_train)
    export = subparsers.add_parser("export", help="export the trained network of a work folder to ONNX")
    _common(export)
    export.set_defaults(handler=main_export)
    evaluate = subparsers.add_parser("evaluate", help="measure an engine folder on the data folder")
    evaluate.add_argument("--data", default=None, help="data folder (or EDGE_DATA)")
    evaluate.add_argument("--engine", type=Path, default=Path("engines/fused"))
    evaluate.add_argument("--most", type=int, default=24, help="recordings of each class at most")
    evaluate.add_argument("--report", type=Path, default=None, help="write the tables to this Markdown file")
    evaluate.set_defaults(handler=main_evaluate)


def main_train(args: argparse.Namespace) -> int:
    """Every stage that the work folder does not hold yet, then calibration and export."""
    import torch

    from edge.learn.data import data_root
    from edge.learn.features import Plan, cache_pictures
    from edge.learn.train_audio import AudioRun, train_audio
    from edge.learn.train_fusion import FusionRun, train_fusion

    torch.set_num_threads(args.threads)
    data, work = data_root(args.data), args.work
    work.mkdir(parents=True, exist_ok=True)
    plan, audio, fusion = Plan(), AudioRun(), FusionRun(fusion=args.fusion)
    if args.fast:
        plan, audio = Plan(scenes=6, glimpses=60, unseen=12), AudioRun(steps=60, minutes=2)
        fusion = FusionRun(fusion=args.fusion, dense_steps=100, steps=150)
    _log.info("stage 1 of 5: sound")
    if not (work / "audio.pt").exists():
        train_audio(args.weights, data, args.wad, work, audio)
    _log.info("stage 2 of 5: pictures")
    apart = Plan(scenes=2, glimpses=20) if args.fast else Plan(scenes=24, glimpses=220)
    for held, part in ((True, apart), (False, plan)):
        cache_pictures(args.weights, data, args.wad, args.photos, work, part, held)
    _log.info("stage 3 of 5: fusion")
    net = train_fusion(args.weights, data, args.wad, work, fusion, plan.unseen)
    _log.info("stage 4 of 5: calibration")
    calibrate_and_save(net, data, args.wad, work, plan.unseen // 3)
    _log.info("stage 5 of 5: export")
    return main_export(args)


def main_export(args: argparse.Namespace) -> int:
    """<work>/calibrated.pt -> the engine folder."""
    import torch

    from edge.learn.export import export_engine
    from edge.learn.network import FusedNet

    state = torch.load(args.work / "calibrated.pt", map_location="cpu", weights_only=True)
    net = FusedNet(state["fusion"])
    net.load_state_dict(state["net"])
    tags, picture_tags = read_tags(args.weights / "audioset527.csv"), read_lines(args.weights / "imagenet_labels.txt")
    done = export_engine(net.eval(), args.out, VERSION, tags, picture_tags)
    speed, gap = f"{done.ms_per_row:.1f} ms a row on one thread", f"{done.difference:.4f} from torch"
    print(f"{done.path}: {done.megabytes:.1f} MB, {speed}, {gap}")
    return 0


def main_evaluate(args: argparse.Namespace) -> int:
    """The report, printed and written."""
    from edge.learn.data import data_root
    from edge.learn.evaluate import evaluate_clips, evaluate_sets, false_alarms, report

    root, engine = data_root(args.data), args.engine / "fused.onnx"
    text = report(evaluate_sets(engine, root, args.most), evaluate_clips(engine, root), false_alarms(engine, root))
    if args.report is not None:
        args.report.write_text(text, encoding="utf-8")
    print(text)
    return 0


def calibrate_and_save(net: FusedNet, data: Path, wad: Path | None, work: Path, unseen: int) -> None:
    """Calibrate on held-out scenes and ordinary material; writes calibrated.pt and calibration.csv."""
    import torch

    from edge.learn.calibrate import calibrate
    from edge.learn.compare import compare, comparison_text
    from edge.learn.realistic import held_takes, ordinary_takes, take_rows
    from edge.learn.train_fusion import load_rows

    held = load_rows(net, data, wad, work, held_out=True, unseen=unseen)
    real, ordinary = (take_rows(net, takes) for takes in (held_takes(data, wad), ordinary_takes(data)))
    fits = calibrate(net, held, ordinary, real)
    lines = ["label,scale,offset,ece_before,ece_after,positive_hops"]
    lines += [
        f"{f.label},{f.scale:.4f},{f.offset:.4f},{f.ece_before:.5f},{f.ece_after:.5f},{f.positives}" for f in fits
    ]
    (work / "compare.md").write_text(comparison_text(compare(net.head, held)), encoding="utf-8")
    (work / "calibration.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    fusion = {"Attention": "attention", "Concat": "concat", "WeightedSum": "weighted_sum"}[
        type(net.head.fusion).__name__
    ]
    torch.save({"net": net.state_dict(), "fusion": fusion}, work / "calibrated.pt")


def read_tags(path: Path) -> list[str]:
    """The 527 AudioSet display names in index order."""
    import csv

    with open(path, encoding="utf-8") as f:
        return [row["display_name"] for row in csv.DictReader(f)]


def read_lines(path: Path) -> list[str]:
    """The lines of a list of names, one for each class."""
    return path.read_text(encoding="utf-8").splitlines()


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default=None, help="data folder with manifest.csv (or EDGE_DATA)")
    parser.add_argument(
        "--weights", type=Path, default=Path(os.environ.get("EDGE_WEIGHTS", "weights")), help="starting weights"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("build/learn"), help="cached stages; a stage that is there is not run again"
    )
    parser.add_argument("--out", type=Path, default=Path("engines/fused"))
    parser.add_argument("--threads", type=int, default=2)
