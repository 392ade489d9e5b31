"""The command `edge events`: lists, searches, marks, exports and summarises kept events, with or without a daemon."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from edge.errors import InputError, ModelError

if TYPE_CHECKING:
    from edge.config import LoadedConfig
    from edge.engine.manifest import ModelFolder
    from edge.events.search import SearchResult
    from edge.evidence.archive.records import EventQuery
    from edge.evidence.archive.store import EventStore

DONE = 0
NO_LIMIT = 1_000_000


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``events`` to the command line."""
    parser = subparsers.add_parser("events", help="what happened: list, search in words, mark, export, sum up")
    parser.add_argument("-c", "--config", type=Path, default=Path("config.yaml"), help="default: %(default)s")
    parser.add_argument("--search", metavar="TEXT", help='in words: "glass breaking near the gate last night"')
    parser.add_argument("--camera", action="append", default=[], help="only of this camera; may be given again")
    parser.add_argument("--label", action="append", default=[], help="only with this label; may be given again")
    parser.add_argument("--since", metavar="TIME", help='2026-01-31, 2026-01-31T22:00, "yesterday", "2 hours ago"')
    parser.add_argument("--until", metavar="TIME", help="as --since; a day is taken with all of it")
    parser.add_argument("--marked", choices=("true", "false", "none"), help="only those marked so, or by nobody")
    parser.add_argument("--limit", type=_positive, metavar="N", help="at most so many; default 50, all with --export")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--mark", nargs=2, metavar=("ID", "VERDICT"), help="say that an event was true, false, or none")
    doing.add_argument("--export", type=Path, metavar="FOLDER", help="copy marked clips to learn and tune from")
    doing.add_argument("--near", action="store_true", help="what came near an event and was none, to set thresholds by")
    doing.add_argument("--digest", nargs="?", const="today", metavar="DAY", help="sum up a day; default: today")
    parser.add_argument("--note", default="", help="with --mark: why")
    parser.set_defaults(handler=lambda args: run(args, sys.stdout))


def run(args: argparse.Namespace, out: TextIO) -> int:
    """Run the command; 0. InputError when an argument is not understood or an event does not exist."""
    from edge.clock import SystemClock
    from edge.config import OFFLINE, load
    from edge.detect.schedule import zone_of
    from edge.evidence.archive.store import EventStore

    loaded = load(args.config, needs=OFFLINE)
    folder = loaded.resolve(loaded.config.node.data_dir) / "evidence"
    writes = args.mark is not None
    with closing(EventStore(folder, SystemClock(), read_only=not writes, keeps=False)) as store:
        desk = _EventsCommand(args, loaded, store, zone_of(loaded.config.location), SystemClock().wall_ns(), out)
        ways: tuple[tuple[bool, Callable[[], None]], ...] = (
            (writes, desk.mark),
            (args.export is not None, desk.export),
            (args.digest is not None, desk.digest),
            (args.near, desk.near_misses),
        )
        next((way for wanted, way in ways if wanted), desk.show)()
    return DONE


@dataclass(frozen=True)
class _EventsCommand:
    """One call of the command."""

    args: argparse.Namespace
    loaded: LoadedConfig
    store: EventStore
    tz: tzinfo
    now_ns: int
    out: TextIO

    def show(self) -> None:
        from edge.events.view import as_json, show_events

        answer = self._answer(50)
        if self.args.json:
            found = [as_json(one) for one in answer.hits]
            print(json.dumps({"events": found, "told": answer.notice}, ensure_ascii=False, indent=1), file=self.out)
            return
        if answer.notice:
            print(answer.notice, file=self.out)
        show_events(answer.hits, self.tz, self.out)

    def near_misses(self) -> None:
        from edge.events.view import near_miss_json, show_near_misses

        if self.args.search or self.args.marked:
            raise InputError("--near goes with --camera, --label, --since, --until, --limit and --json alone")
        found = self.store.near_misses(self._narrowed(50))
        if self.args.json:
            rows = [near_miss_json(one) for one in found]
            print(json.dumps({"near_misses": rows}, ensure_ascii=False, indent=1), file=self.out)
        else:
            show_near_misses(found, self.tz, self.out)

    def mark(self) -> None:
        from edge.evidence.archive.records import Verdict

        event_id, verdict = self.args.mark
        verdicts: dict[str, Verdict | None] = {"true": "true", "false": "false", "none": None}
        if verdict not in verdicts:
            raise InputError(f"--mark {event_id} {verdict}: say true, false, or none to take it back")
        record = self.store.mark(event_id, verdicts[verdict], by=f"terminal:{_who()}", note=self.args.note)
        print(f"{record.id} ({record.label} at {record.camera}): {verdict}", file=self.out)

    def export(self) -> None:
        from edge.events.export import export_clips

        found = self._answer(NO_LIMIT).hits
        marked = [one.record for one in found if one.record.mark is not None]
        if not marked:
            raise InputError("none of these events is marked: say which were right with `edge events --mark ID true`")
        done = export_clips(marked, self.store.folder, self.args.export)
        for label, count in sorted(done.clips.items()):
            print(f"{self.args.export / label}: {count} clip{'' if count == 1 else 's'}", file=self.out)
        for event_id, reason in done.left_out.items():
            print(f"left out {event_id}: {reason}", file=self.out)

    def digest(self) -> None:
        from edge.events.view import show_digest
        from edge.evidence.digest import as_json, day_span, make_digest

        since_ns, _ = self._span(self.args.digest, "--digest")
        day = datetime.fromtimestamp(since_ns // 1_000_000_000, self.tz).date()
        made = make_digest(self.store, *day_span(day, self.tz), tuple(self.args.camera), self.tz)
        if self.args.json:
            print(json.dumps(as_json(made), ensure_ascii=False, indent=1), file=self.out)
        else:
            show_digest(made, self.tz, self.out)

    def _answer(self, limit: int) -> SearchResult:
        from edge.events.search import EventSearch, SearchResult, open_embedder

        narrowed = self._narrowed(limit)
        if not self.args.search:
            return SearchResult(self.store.find(narrowed), narrowed)
        config = self.loaded.config
        folder = _model(config.model.name)
        search = EventSearch(
            self.store,
            self.tz,
            cameras=tuple(config.cameras),
            zones=tuple({zone for camera in config.cameras.values() for zone in camera.zones}),
            labels=(*(folder.manifest.label_names if folder else ()), *config.prompts, *config.events),
            meaning=open_embedder(folder, on_fallback=lambda text: print(text, file=sys.stderr)),
        )
        return search.find(self.args.search, self.now_ns, narrowed)

    def _narrowed(self, limit: int) -> EventQuery:
        from edge.evidence.archive.records import EventQuery

        args = self.args
        return EventQuery(
            cameras=tuple(args.camera),
            labels=tuple(args.label),
            since_ns=self._span(args.since, "--since")[0] if args.since else None,
            until_ns=self._span(args.until, "--until")[1] if args.until else None,
            marked=args.marked,
            limit=args.limit or limit,
        )

    def _span(self, text: str, option: str) -> tuple[int, int]:
        """The span of a time: a moment is empty, a day is all of it."""
        from edge.events.time_expression import parse_time

        try:
            if len(text) > 10:
                moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
                local = moment if moment.tzinfo else moment.replace(tzinfo=self.tz)
                return (round(local.timestamp()) * 1_000_000_000,) * 2
        except ValueError:
            pass
        when = parse_time(text, self.now_ns, self.tz)
        if when.rest or when.since_ns is None or when.until_ns is None:
            raise InputError(f'{option} {text!r}: write it as 2026-01-31, 2026-01-31T22:00 or "yesterday"')
        return when.since_ns, when.until_ns


def _model(name: str) -> ModelFolder | None:
    from edge.engine.manifest import find_folder, load_folder

    try:
        return load_folder(find_folder(name))
    except ModelError:
        return None


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value
