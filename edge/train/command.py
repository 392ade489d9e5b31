"""`edge train` and `edge train ablate | export | words | ...`: from starting weights and open data to engines/fused.

Importing this module loads neither torch nor onnxruntime.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import InputError
from edge.train.evaluation import command as evaluation
from edge.train.evaluation.precision import register_precision
from edge.train.recipe.starting_files import RECIPE, check_starting_point, check_tag_files

if TYPE_CHECKING:
    from edge.train.checkpoint import TrainingPaths

_log = logging.getLogger(__name__)
VERSION = "0.5.0"
FUSION = "attention"
Handler = Callable[[argparse.Namespace], int]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`edge train`, which makes the model, and its commands `ablate`, `export`, `words`, `evaluate`, ..."""
    train = subparsers.add_parser("train", help="make the fused model from open data, or measure it (extra `learn`)")
    _add_common_options(train)
    _add_background_options(train)
    train.add_argument("--fusion", default=FUSION, help="how the modalities are related (edge/train/nets/fusion.py)")
    train.set_defaults(handler=require_torch(main_train))
    commands = train.add_subparsers(dest="train_command", metavar="COMMAND")
    ablate = commands.add_parser("ablate", help="train every fusion alike on the cached features and compare them")
    _add_common_options(ablate)
    _add_background_options(ablate)
    ablate.add_argument("--seeds", type=int, default=2)
    ablate.add_argument("--steps", type=int, default=160)
    ablate.add_argument("--minutes", type=float, default=20.0, help="at most, for each run")
    ablate.set_defaults(handler=require_torch(main_ablate))
    export = commands.add_parser("export", help="export the trained network of a work folder to ONNX")
    _add_common_options(export)
    export.set_defaults(handler=require_torch(main_export))
    _register_words(commands)
    evaluation.register(commands)
    register_precision(commands.add_parser("precision", help="what fewer bits cost, label by label"))


def require_torch(handler: Handler) -> Handler:
    """``handler`` where torch is installed; elsewhere an InputError that says how to get it."""

    def run(args: argparse.Namespace) -> int:
        if importlib.util.find_spec("torch") is None:
            raise InputError(
                f"edge {' '.join(filter(None, ('train', args.train_command)))}: needs the extra `learn` (torch): "
                "`scripts/setup learn`. Teaching events and learning what is normal do not"
            )
        return handler(args)

    return run


def main_train(args: argparse.Namespace) -> int:
    """Every stage that the work folder does not hold yet, then calibration and export."""
    from edge.train.recipe.sizes import read_sizes
    from edge.train.recipe.stages import run_training

    sizes, fusion = read_sizes(_size_name(args), args.recipe), _checked_fusion(args.fusion)
    print(run_training(_checked_paths(args), sizes, fusion, VERSION))
    return 0


def main_ablate(args: argparse.Namespace) -> int:
    """Every fusion on the work folder's features; the table is printed and left there."""
    from edge.train.recipe.ablation import ablation_table, run_ablation
    from edge.train.recipe.fusion import FusionTrainingConfig
    from edge.train.recipe.sizes import read_sizes
    from edge.train.recipe.stages import load_evidence_weights, load_scene_rows

    sources = _checked_paths(args)
    train, held = load_scene_rows(sources, read_sizes(_size_name(args), args.recipe))
    run = FusionTrainingConfig(steps=args.steps, minutes=args.minutes)
    start, path = load_evidence_weights(sources), sources.work / "ablation.json"
    text = ablation_table(run_ablation(start, train, held, run, range(1, args.seeds + 1), path))
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def main_export(args: argparse.Namespace) -> int:
    """<work>/calibrated.pt -> the engine folder."""
    from edge.train.recipe.export import export_work_folder

    check_tag_files(args.weights, args.recipe)
    done = export_work_folder(args.work, args.weights, args.out, VERSION)
    speed, gap = f"{done.ms_per_row:.1f} ms a row on one thread", f"{done.difference:.4f} from torch"
    print(f"{done.path}: {done.megabytes:.1f} MB, {speed}, {gap}")
    return 0


def _checked_paths(args: argparse.Namespace) -> TrainingPaths:
    """The arguments as the training's sources, all of them there, with torch's threads set."""
    import torch

    from edge.train.checkpoint import TrainingPaths
    from edge.train.data import find_data_root

    data = find_data_root(args.data)
    check_starting_point(args.weights, data, args.recipe)
    torch.set_num_threads(args.threads)
    return TrainingPaths(data, args.weights, args.packages, args.photos, args.work, args.out)


def _size_name(args: argparse.Namespace) -> str:
    """The recipe's sizes that were asked for."""
    return "small" if args.small else "full"


def _checked_fusion(name: str) -> str:
    """A fusion's name, if there is one."""
    from edge.train.nets.fusion import FUSIONS

    if name not in FUSIONS:
        raise InputError(f"no fusion {name!r}: there is {', '.join(FUSIONS)}")
    return name


def _add_background_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--photos", type=Path, default=None, help="openly licensed photographs, for backgrounds")
    parser.add_argument(
        "--packages", type=Path, default=Path("/"), help="where Debian's sound packages are installed or unpacked"
    )


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default=None, help="data folder with manifest.csv (or EDGE_DATA)")
    parser.add_argument(
        "--weights", type=Path, default=Path(os.environ.get("EDGE_WEIGHTS", "weights")), help="starting weights"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("build/learn"), help="cached stages; a stage that is there is not run again"
    )
    parser.add_argument("--out", type=Path, default=Path("engines/fused"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--small",
        action="store_true",
        help="minutes, to try the machinery: `small` in the recipe",
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        default=RECIPE,
        metavar="FILE",
        help="sizes of the stages and digests of the starting weights (default: edge/train/recipe.yaml)",
    )


def _register_words(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("words", help="fit what prompts need (align.pt, text.npz) to a model's encoders")
    parser.add_argument("--engine", type=Path, default=Path("engines/fused"), help="default: %(default)s")
    parser.add_argument("--work", type=Path, default=Path("build/learn"), help="where align.pt goes for the training")
    parser.add_argument("--write", action="store_true", help="put text.npz beside a graph exported with that align.pt")
    parser.add_argument("--data", default=None, help="data folder with manifest.csv (or EDGE_DATA)")
    parser.add_argument("--packages", type=Path, default=Path("/"), help="where sound packages are unpacked")
    parser.add_argument("--photos", type=Path, default=None, help="openly licensed photographs")
    parser.set_defaults(handler=main_words)


def main_words(args: argparse.Namespace) -> int:
    """Fit to the engine's encoders, or write what was fitted into the engine."""
    from edge.engine.manifest import load_folder
    from edge.train.align.build import AlignmentPlan, fit_alignment, write_knowledge
    from edge.train.align.encoders import GraphEncoders
    from edge.train.data import find_data_root

    if args.write:
        print(write_knowledge(args.engine, args.work))
    else:
        encoders, data = GraphEncoders(load_folder(args.engine)), find_data_root(args.data)
        fit_alignment(encoders, data, args.packages, args.photos, AlignmentPlan()).save(args.work)
        print(f"{args.work}/align.pt: export the network with it, then edge train words --write")
    return 0
