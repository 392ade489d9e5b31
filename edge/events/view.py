"""Shows kept events as JSON and as tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any, TextIO

from edge.clock import iso8601
from edge.evidence.archive.records import EventRecord, SearchHit, StoredNearMiss
from edge.evidence.digest import Digest
from edge.types import NS_PER_S, seconds

_COLOURS = {"alert": "bold red", "warning": "yellow", "info": "default"}
_MARKS = {"true": "[green]true[/]", "false": "[dim]false[/]"}


def as_json(found: SearchHit) -> dict[str, Any]:
    """One event for programs; times as ISO 8601 in UTC, files as paths below the evidence folder."""
    r = found.record
    return {
        "id": r.id,
        "camera": r.camera,
        "kind": r.kind.value,
        "label": r.label,
        "severity": r.severity,
        "begin": iso8601(r.begin_ns),
        "end": None if r.end_ns is None else iso8601(r.end_ns),
        "peak": round(r.peak, 4),
        "threshold": round(r.threshold, 4),
        "why": r.why,
        "zones": list(r.zones),
        "tags": {name: round(value, 4) for name, value in r.tags},
        "model": r.model,
        "caption": r.caption,
        "mark": None
        if r.mark is None
        else {"verdict": r.mark.verdict, "by": r.mark.by, "at": iso8601(r.mark.wall_ns), "note": r.mark.note},
        "files": {kind: file.path for kind, file in r.files.items()},
        "missing": dict(r.missing),
        "score": round(found.score, 6),
    }


def show_events(found: Sequence[SearchHit], tz: tzinfo, out: TextIO) -> None:
    """A table, in the order given."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("time", "camera", "event", "peak", "lasted", "marked", "kept", "id"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", overflow="fold")
    for one in found:
        r = one.record
        colour = _COLOURS.get(r.severity, "default")
        table.add_row(
            local(r.begin_ns, tz),
            r.camera,
            f"[{colour}]{escape(r.label)}[/]",
            f"{r.peak:.2f}",
            _lasted(r),
            _MARKS[r.mark.verdict] if r.mark else "",
            ", ".join(kind for kind in ("clip", "snapshot") if kind in r.files),
            r.id,
            escape(r.caption or r.why),
        )
    console = Console(file=out, width=None if out.isatty() else 200)
    console.print(table) if found else console.print("no events")


def near_miss_json(one: StoredNearMiss) -> dict[str, Any]:
    """One near miss for programs."""
    return {
        "camera": one.camera,
        "label": one.label,
        "at": iso8601(one.wall_ns),
        "score": round(one.value, 4),
        "threshold": round(one.enter, 4),
    }


def show_near_misses(found: Sequence[StoredNearMiss], tz: tzinfo, out: TextIO) -> None:
    """A table, in the order given."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("time", "camera", "event", "score", "threshold"):
        table.add_column(name, no_wrap=True)
    for one in found:
        table.add_row(local(one.wall_ns, tz), one.camera, one.label, f"{one.value:.2f}", f"{one.enter:.2f}")
    console = Console(file=out, width=None if out.isatty() else 200)
    console.print(table) if found else console.print("nothing came near an event")


def show_digest(made: Digest, tz: tzinfo, out: TextIO) -> None:
    """The digest of a day in words and as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("camera", "event", "count", "first", "last", "peak", "true", "false"):
        table.add_column(name, no_wrap=True, justify="right" if name in {"count", "peak", "true", "false"} else "left")
    for h in made.happened:
        times = (local(ns, tz)[11:16] for ns in (h.first_ns, h.last_ns))
        counts = (str(n or "") for n in (h.marked_true, h.marked_false))
        table.add_row(h.camera, h.label, str(h.count), *times, f"{h.peak:.2f}", *counts)
    console = Console(file=out, width=None if out.isatty() else 200)
    console.print(f"{made.day}: {made.text}", markup=False, highlight=False)
    if made.happened:
        console.print(table)


def local(ns: int, tz: tzinfo) -> str:
    """Local date and time."""
    return datetime.fromtimestamp(ns // NS_PER_S, tz).strftime("%Y-%m-%d %H:%M:%S")


def _lasted(record: EventRecord) -> str:
    if record.end_ns is None:
        return "…"
    lasted_s = seconds(record.end_ns - record.begin_ns)
    return f"{lasted_s:.1f} s" if lasted_s < 100 else f"{lasted_s / 60:.0f} min"
