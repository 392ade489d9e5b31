"""`edge run`, `check`, `replay` and `prompts`: their options. Importing this module loads nothing heavy."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge.engine.manifest import DEFAULT_MODEL


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``run``, ``check``, ``replay`` and ``prompts`` to the command line."""
    run = subparsers.add_parser("run", help="the daemon, in the foreground")
    add_config(run)
    run.set_defaults(handler=_run)
    check = subparsers.add_parser("check", help="config, devices, model, broker, disk: what is wrong and what to do")
    add_config(check)
    check.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    check.set_defaults(handler=_check)
    _register_replay(subparsers)
    _register_prompts(subparsers)


def add_config(parser: argparse.ArgumentParser) -> None:
    """The option that names config.yaml."""
    parser.add_argument("-c", "--config", type=Path, default=Path("config.yaml"), help="default: %(default)s")


def _register_replay(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("replay", help="the same pipeline over recordings, as fast as it goes")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="videos, sound files or pictures")
    parser.add_argument("-c", "--config", type=Path, help="thresholds and model from this file; else the defaults")
    parser.add_argument("--events", type=Path, metavar="JSONL", help="write events here instead of standard output")
    parser.add_argument("--scores", type=Path, metavar="CSV", help="write every window's scores here")
    parser.add_argument(
        "--profile", type=Path, help="what was learned of the site (edge learn normal, edge learn events)"
    )
    parser.add_argument("--camera", help="whose recordings they are: that camera's zones, masks and rules apply")
    parser.add_argument("--start", metavar="TIME", help="ISO 8601 time at which the recordings start; default 1970")
    parser.set_defaults(handler=_replay)


def _register_prompts(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("prompts", help="what the model would rest a sentence on, before you ask for it")
    parser.add_argument("text", help='what happens, in words: "a dog barking at the gate"')
    parser.add_argument("--unlike", action="append", default=[], metavar="TEXT", help="what it must not be taken for")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.set_defaults(handler=_prompts)


def _run(args: argparse.Namespace) -> int:
    from edge.node import run

    return run(args.config)


def _check(args: argparse.Namespace) -> int:
    from edge.checks import run

    return run(args.config, as_json=args.json, out=sys.stdout)


def _replay(args: argparse.Namespace) -> int:
    from edge.replay import run

    return run(
        args.files,
        args.config,
        events=args.events,
        scores=args.scores,
        start=args.start,
        profile=args.profile,
        camera=args.camera,
    )


def _prompts(args: argparse.Namespace) -> int:
    from edge.prompts.command import run

    return run(args.text, args.unlike, model=args.model, as_json=args.json, out=sys.stdout)
