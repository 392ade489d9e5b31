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
    from edge.engine.trt.quantise import CalibrationSet

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
    """Flush the output and end the process at once when a thread that did not stop in time still runs.

    Python would end such a thread by an exception of the C library. Inside C++ (scaling a picture, running a graph)
    that is fatal: ``terminate called without an active exception``, SIGABRT.
    """
    if any(thread.daemon for thread in threading.enumerate()):
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    from edge.adapt import command as adapt
    from edge.adapt import normal
    from edge.bench import command as bench
    from edge.commands import devices, pipeline, watch
    from edge.engine import commands as engine
    from edge.events import command as events
    from edge.train import command as train
    from edge.tune import command as tune

    parser = argparse.ArgumentParser(prog="edge", description="Audio-visual edge monitor.")
    parser.add_argument("--version", action="version", version=f"edge {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (pipeline, devices, watch, tune, events):
        module.register(subparsers)
    engine.register(subparsers, _record_windows)
    bench.register(subparsers)
    learn = subparsers.add_parser("learn", help="learn on this box what is normal here, and events from examples")
    learn_subparsers = learn.add_subparsers(dest="learn_command", required=True, metavar="COMMAND")
    for module in (adapt, normal):
        module.register(learn_subparsers)
    train.register(subparsers)
    return parser


def _record_windows(folder: ModelFolder, files: Sequence[Path], most: int, progress: Progress) -> CalibrationSet:
    from edge.replay.calibration_windows import record_windows

    return record_windows(folder, files, most, progress)
