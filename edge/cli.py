"""The `edge` command. Every command is a function elsewhere; heavy libraries are loaded by the command that needs them.

Exit codes: 0 done, 1 fault, 2 bad input or configuration, 130 interrupted.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge import __version__
from edge.errors import EdgeError, InputError, exhausted_resource, is_disk_error
from edge.logs import configure_logging

if TYPE_CHECKING:
    from edge.engine.commands import Progress
    from edge.engine.manifest import ModelFolder
    from edge.engine.precision.quantise import CalibrationSet

DONE, FAULT, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
Handler = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    # Before numpy is loaded: the threads of its OpenBLAS spin beside the engine, for products too small to share.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    parser = build_parser()
    args = parser.parse_args(argv)
    is_daemon = getattr(args, "command", None) == "run"
    configure_logging(verbose=args.verbose, apart=is_daemon)
    code = _exit_code(args)
    if is_daemon:
        atexit.register(_exit_now, code)
    return code


def _exit_code(args: argparse.Namespace) -> int:
    handler: Handler = args.handler
    try:
        return handler(args)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        message = exhausted_resource(error) or (str(error) if isinstance(error, EdgeError) else None)
        if message is None:
            raise
        print(f"edge: {message}", file=sys.stderr)
        is_theirs = isinstance(error, InputError) and not exhausted_resource(error) and not is_disk_error(error)
        return BAD_INPUT if is_theirs else FAULT


def _exit_now(code: int) -> None:
    """End the process where a thread that did not stop in time still runs, with what was said written.

    Python ends such a thread in the middle of what it does, by an exception of the C library. Inside C++ (a picture
    that is scaled, a graph that is run) that is fatal: ``terminate called without an active exception``, SIGABRT.
    """
    if any(thread.daemon for thread in threading.enumerate()):
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="edge", description="Audio-visual edge monitor.")
    parser.add_argument("--version", action="version", version=f"edge {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_check(commands)
    _add_devices(commands)
    _add_watch(commands)
    _add_replay(commands)
    _add_tune(commands)
    _add_events(commands)
    _add_prompts(commands)
    _add_engine(commands)
    _add_bench(commands)
    _add_learn(commands)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, default=Path("config.yaml"), help="default: %(default)s")


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("run", help="the daemon, in the foreground")
    _add_config(parser)

    def handler(args: argparse.Namespace) -> int:
        from edge.node import run

        return run(args.config)

    parser.set_defaults(handler=handler)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("check", help="config, devices, model, broker, disk: what is wrong and what to do")
    _add_config(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")

    def handler(args: argparse.Namespace) -> int:
        from edge.checks import run

        return run(args.config, as_json=args.json, out=sys.stdout)

    parser.set_defaults(handler=handler)


def _add_devices(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("devices", help="cameras and microphones found here, ready to paste into config.yaml")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of YAML")

    def handler(args: argparse.Namespace) -> int:
        from edge.commands.devices import run

        return run(as_json=args.json, out=sys.stdout)

    parser.set_defaults(handler=handler)


def _add_watch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("watch", help="follow events in the terminal, from the broker")
    _add_config(parser)
    parser.add_argument("--json", action="store_true", help="payloads as they come, one a line")
    parser.add_argument("--count", type=int, metavar="N", help="stop after N events")
    parser.add_argument("--until-gone", type=int, metavar="PID", help="stop with an error when that process ends")

    def handler(args: argparse.Namespace) -> int:
        from edge.commands.watch import run

        return run(args.config, as_json=args.json, count=args.count, until_gone=args.until_gone, out=sys.stdout)

    parser.set_defaults(handler=handler)


def _add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("replay", help="the same pipeline over recordings, as fast as it goes")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="videos, sound files or pictures")
    parser.add_argument("-c", "--config", type=Path, help="thresholds and model from this file; else the defaults")
    parser.add_argument("--events", type=Path, metavar="JSONL", help="write events here instead of standard output")
    parser.add_argument("--scores", type=Path, metavar="CSV", help="write every window's scores here")
    parser.add_argument(
        "--profile", type=Path, help="what was learned of the site (edge learn normal, edge learn events)"
    )
    parser.add_argument("--camera", help="whose recordings they are: that camera's zones, masks and rules apply")
    parser.add_argument("--start", metavar="TIME", help="ISO 8601 time at which the recordings start; default 1970")

    def handler(args: argparse.Namespace) -> int:
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

    parser.set_defaults(handler=handler)


def _add_prompts(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("prompts", help="what the model would rest a sentence on, before you ask for it")
    parser.add_argument("text", help='what happens, in words: "a dog barking at the gate"')
    parser.add_argument("--unlike", action="append", default=[], metavar="TEXT", help="what it must not be taken for")
    parser.add_argument("--model", default="fused", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")

    def handler(args: argparse.Namespace) -> int:
        from edge.prompts.command import run

        return run(args.text, args.unlike, model=args.model, as_json=args.json, out=sys.stdout)

    parser.set_defaults(handler=handler)


def _add_tune(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from edge.tune.command import add_command

    add_command(commands)


def _add_events(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from edge.events.command import add_command

    add_command(commands)


def _add_engine(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from edge.engine.commands import add_commands

    add_commands(commands.add_parser("engine", help="model engines: list, verify, build"), _record_windows)


def _record_windows(folder: ModelFolder, files: Sequence[Path], most: int, progress: Progress) -> CalibrationSet:
    from edge.replay.calibration_windows import record_windows

    return record_windows(folder, files, most, progress)


def _add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from edge.bench.command import add_command

    add_command(commands)


def _add_learn(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from edge.train.command import register

    register(commands.add_parser("learn", help="train, evaluate, export (extra `learn`)"))
