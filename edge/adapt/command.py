"""`edge learn events | versions | rollback`: events learned from a few marked clips, in minutes, with a way back.

Importing this module loads neither a runtime nor a media library.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import InputError

if TYPE_CHECKING:
    from edge.profile import ProfileVersion

_log = logging.getLogger(__name__)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Give `edge learn` its commands `events`, `versions` and `rollback`."""
    events = subparsers.add_parser("events", help="learn events from a few marked clips, into a profile")
    events.add_argument("source", type=Path, metavar="FOLDER|CSV", help="a sub-folder a label; or columns file,label")
    events.add_argument("-o", "--profile", type=Path, required=True, metavar="PROFILE", help="made if not there")
    events.add_argument("--only", action="store_true", help="forget the clips that the profile learned from before")
    events.add_argument("--force", action="store_true", help="make it current even if a label got worse")
    events.add_argument("-c", "--config", type=Path, help="the model named in this file; else the usual one")
    events.set_defaults(handler=main_events)
    versions = subparsers.add_parser("versions", help="list what a profile learned and when, newest last")
    versions.add_argument("profile", type=Path, metavar="PROFILE")
    versions.set_defaults(handler=main_versions)
    rollback = subparsers.add_parser("rollback", help="go back to the profile's version before")
    rollback.add_argument("profile", type=Path, metavar="PROFILE")
    rollback.set_defaults(handler=main_rollback)


def main_events(args: argparse.Namespace) -> int:
    """Learn and report: 0, or 1 when the new version was refused; InputError for input that cannot be learned from."""
    from edge.adapt.events import LearningRequest, learn_events

    done = learn_events(LearningRequest(args.source, args.profile, args.config, args.only, args.force), progress_bar)
    print("\n".join(done.report))
    return 0 if done.version is not None else 1


def main_versions(args: argparse.Namespace) -> int:
    """The listing."""
    print("\n".join(version_lines(args.profile)))
    return 0


def main_rollback(args: argparse.Namespace) -> int:
    """One version back, and what is current now."""
    print("\n".join(roll_back(args.profile)))
    return 0


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """A function to call after each step, with a line worth reading or "": a bar on a terminal, log lines otherwise."""
    if not sys.stderr.isatty():
        done = 0

        def log(text: str) -> None:
            nonlocal done
            done += 1
            if text:
                _log.info("%s: %s", title, text)
            elif done % 20 == 0 or done == total:
                _log.info("%s: %d of %d", title, done, total)

        yield log
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total)

        def advance(text: str) -> None:
            if text:
                progress.console.print(f"{title}: {text}", highlight=False, markup=False)
            progress.advance(task)

        yield advance


_WORDS = {"normal": "what is normal", "null": "false alarm rates of quiet time"}


def version_lines(path: Path) -> list[str]:
    """A line a version, oldest first, the current one marked; InputError where there is no profile."""
    from edge.profile import ProfileFolder

    folder = ProfileFolder(path)
    current = folder.require_current()
    return [_version_line(version, current.number) for version in folder.versions()]


def roll_back(path: Path) -> list[str]:
    """Make the version before the current one current and say so; InputError when there is none."""
    from edge.profile import ProfileFolder

    folder = ProfileFolder(path)
    before = folder.require_current()
    now = folder.rollback()
    return [
        f"{path}: version {before.number} -> {now.number}; nothing is deleted. Restart a running daemon to use it.",
        _version_line(now, now.number),
    ]


def _version_line(version: ProfileVersion, current: int) -> str:
    mark = "*" if version.number == current else " "
    parts = ", ".join(_part_text(version, name) for name in version.parts())
    when = version.notes.get("at")
    return f"{mark} {version.number:4d}  {when or '':20}  {parts or 'empty'}  (model {version.model})"


def _part_text(version: ProfileVersion, name: str) -> str:
    """A part in words: what was learned, and of what."""
    text = _WORDS.get(name, name)
    try:
        part = version.part(name)
    except InputError:
        return f"{text} (damaged)"
    facts: Mapping[str, Any] = part.facts if part is not None else {}
    of = {"events": facts.get("head", {}).get("labels"), "normal": facts.get("cameras")}.get(name)
    return f"{text} ({', '.join('all cameras' if one == '*' else str(one) for one in of)})" if of else text
