"""Logging to standard error: directly or, for the daemon, on a thread of its own. Mutes other loggers for commands.

Behind standard error is a journal or a file. If its disk hangs, it stops reading, and any thread that logs directly
would wait, the engine thread, too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_ALL = "edge"


def configure_logging(*, verbose: bool, apart: bool) -> None:
    """Log to standard error, with ``apart`` on a thread of its own. Under systemd the journal adds the time."""
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if apart:
        with contextlib.suppress(RuntimeError):  # no more threads: the command fails later, when it needs one
            handler = ThreadedLogHandler(sys.stderr)
    logging.basicConfig(
        handlers=[handler],
        level=logging.DEBUG if verbose else logging.INFO,
        format=stamp + "%(levelname)s %(threadName)s %(name)s: %(message)s",
    )


def mute_other_loggers(own_logger: str) -> None:
    """Show only warnings of modules outside ``own_logger``, so that their lines do not mix with the command's output;
    with `-v` all stay."""
    if logging.getLogger().level > logging.DEBUG:
        logging.getLogger(_ALL).setLevel(logging.WARNING)
        logging.getLogger(own_logger).setLevel(logging.INFO)


@contextmanager
def other_loggers_muted(own_logger: str) -> Iterator[None]:
    """`mute_other_loggers` for as long as the context lasts."""
    loggers = [logging.getLogger(name) for name in (_ALL, own_logger)]
    before = [logger.level for logger in loggers]
    mute_other_loggers(own_logger)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


class ThreadedLogHandler(logging.Handler):
    """Writes to ``stream`` on the thread ``log``. Lines beyond `AT_MOST` that wait are lost; how many is written."""

    AT_MOST = 10_000
    CLOSING_S = 1.0

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()  # may be put to in a signal's handler
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Lines that wait to be written."""
        return self._lines.qsize()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one line; never waits."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler does
            self.handleError(record)
            return
        if self._lines.qsize() >= self.AT_MOST:
            self._lost += 1
            return
        if self._lost:
            line = f"{self._lost} lines of this log are lost: nobody read them in time\n{line}"
            self._lost = 0
        self._lines.put(line)

    def close(self) -> None:
        """Write what waits, for at most `CLOSING_S`."""
        self._lines.put(None)
        self._thread.join(self.CLOSING_S)
        super().close()

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            with contextlib.suppress(OSError, ValueError):  # there is no reader
                self._stream.write(f"{line}\n")
                self._stream.flush()
