"""`edge learn words`: what prompts need of a model, before and after its graph is exported."""

from __future__ import annotations

import argparse
from pathlib import Path

Subparsers = argparse._SubParsersAction  # noqa: SLF001  -- argparse has no public name for it


def register_words(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Give `edge learn` the command."""
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
    from edge.learn.align.file import fit_alignment, write_knowledge
    from edge.learn.data import find_data_root

    if args.write:
        print(write_knowledge(args.engine, args.work))
    else:
        fit_alignment(args.engine, find_data_root(args.data), args.packages, args.photos).save(args.work)
        print(f"{args.work}/align.pt: export the network with it, then edge learn words --write")
    return 0
