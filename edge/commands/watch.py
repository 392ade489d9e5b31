"""`edge watch`: follows a node's events in the terminal, as a subscriber of the broker."""

from __future__ import annotations

import argparse
import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from edge.clock import SystemClock
from edge.commands.pipeline import add_config
from edge.errors import InputError, SinkError

_COLOURS = {"begin": "bold red", "update": "yellow", "end": "green"}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``watch`` to the command line."""
    parser = subparsers.add_parser("watch", help="follow events in the terminal, from the broker")
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="payloads as they come, one a line")
    parser.add_argument("--count", type=int, metavar="N", help="stop after N events")
    parser.add_argument("--until-gone", type=int, metavar="PID", help="stop with an error when that process ends")
    parser.set_defaults(handler=_watch)


def _watch(args: argparse.Namespace) -> int:
    return run(args.config, as_json=args.json, count=args.count, until_gone=args.until_gone, out=sys.stdout)


def run(path: Path, *, as_json: bool, count: int | None, until_gone: int | None, out: TextIO) -> int:
    """Print events until interrupted, after ``count`` events, or until process ``until_gone`` ended (then 1)."""
    from edge.config import load
    from edge.publish.mqtt import subscribe

    loaded = load(path, needs={"node", "mqtt"})
    if loaded.config.mqtt is None:
        raise InputError(f"{path}: mqtt is off (mqtt: null); `edge watch` follows events through a broker")
    arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    topic = f"{loaded.config.topic_root}/+/event"
    with ExitStack() as stack:

        def connect() -> None:
            stack.enter_context(subscribe(loaded, [topic], lambda _topic, payload: arrived.put(payload)))

        if not _connect(connect, until_gone):
            return 1
        return _print_events(arrived, as_json, count, until_gone, out)


def _connect(connect: Callable[[], None], until_gone: int | None) -> bool:
    """Connect; with ``until_gone`` try again as long as that process, which may still be starting, lives."""
    clock, never = SystemClock(), threading.Event()
    while True:
        try:
            connect()
        except SinkError:
            if until_gone is None:
                raise
            if not _alive(until_gone):
                return False
            clock.wait(never, 0.2)
        else:
            return True


def _print_events(
    arrived: queue.SimpleQueue[bytes], as_json: bool, count: int | None, until_gone: int | None, out: TextIO
) -> int:
    shown = 0
    while count is None or shown < count:
        try:
            payload = arrived.get(timeout=0.5)
        except queue.Empty:
            if until_gone is not None and not _alive(until_gone):
                return 1
            continue
        _print_event(payload, as_json, out)
        shown += 1
    return 0


def event_line(event: dict[str, Any]) -> str:
    """One event payload as a line of text, with when it began or, once it ended, when it ended."""
    at = str(event["begin"] if event.get("end") is None else event["end"])[11:19]
    length = "" if event.get("end") is None else f" after {event['duration_s']:.1f} s"
    added = event.get("contribution") or {}
    parts = "  ".join(f"{name} {value:+.1f}" for name, value in added.items())
    score = f"{event['peak' if event['phase'] == 'end' else 'score']:.2f}/{event['threshold']:.2f}"
    return f"{at}  {event['camera']:<8} {event['phase']:<6} {event['label']:<12} {score}{length}  {parts}".rstrip()


def _print_event(payload: bytes, as_json: bool, out: TextIO) -> None:
    if as_json:
        print(payload.decode("utf-8", "replace"), file=out, flush=True)
        return
    from rich.console import Console
    from rich.text import Text

    event = json.loads(payload)
    console = Console(file=out, soft_wrap=True, highlight=False)
    console.print(Text(event_line(event), style=_COLOURS.get(event["phase"], "")))
    if event["phase"] != "end":
        console.print(Text(f"          {event['why']}", style="dim"))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False
