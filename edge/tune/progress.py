"""How far the scoring is: a bar of media time on a terminal, a line a recording otherwise."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge.clock import SystemClock
from edge.types import seconds

_log = logging.getLogger(__name__)
LOGGER_NAME = "edge.tune"
OnProgress = Callable[[float], None]
OnFinished = Callable[[str], None]


@contextmanager
def scoring_progress(total_s: float, count: int) -> Iterator[tuple[OnProgress, OnFinished]]:
    """Two functions: one that hears seconds of media as they pass, one that is given a line for each recording."""
    clock = SystemClock()
    began_ns, passed_s, done = clock.mono_ns(), 0.0, 0

    def line(text: str) -> str:
        speed = passed_s / max(seconds(clock.mono_ns() - began_ns), 1e-3)
        return f"{done} of {count}: {text} ({speed:.1f} times real time)"

    if not sys.stderr.isatty() or not count:

        def advance_silently(media_s: float) -> None:
            nonlocal passed_s
            passed_s += media_s

        def finished(text: str) -> None:
            nonlocal done
            done += 1
            _log.info("%s", line(text))

        yield advance_silently, finished
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("scoring", total=total_s or None)

        def advance(media_s: float) -> None:
            nonlocal passed_s
            passed_s += media_s
            progress.update(task, advance=media_s)

        def ended(text: str) -> None:
            nonlocal done
            done += 1
            progress.update(task, description=f"scoring {done} of {count}")
            progress.console.print(line(text), highlight=False, markup=False)

        yield advance, ended
