"""Whoever logs waits for nobody: not for a journal on a disk that hangs, nor for a terminal that is paused."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator

import pytest

from edge.logs import ThreadedLogHandler


class Paused(io.StringIO):
    """Takes nothing until ``reads`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = threading.Event()

    def write(self, text: str) -> int:
        self.reads.wait(60)
        return super().write(text)


@pytest.fixture
def stream() -> Iterator[Paused]:
    made = Paused()
    yield made
    made.reads.set()


def log_of(handler: logging.Handler) -> logging.Logger:
    log = logging.Logger("test")  # noqa: LOG001 - of this test alone
    log.addHandler(handler)
    return log


def test_what_is_logged_while_nobody_reads_comes_later_in_order(
    stream: Paused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ThreadedLogHandler, "AT_MOST", 5)
    monkeypatch.setattr(ThreadedLogHandler, "CLOSING_S", 60.0)
    handler = ThreadedLogHandler(stream)
    log = log_of(handler)
    log.info("first")
    while handler.waiting:  # the thread has it, and waits for the reader
        pass
    for n in range(8):
        log.info("line %d", n)
    assert stream.getvalue() == ""
    stream.reads.set()
    while handler.waiting:
        pass
    log.info("last")
    handler.close()
    lost = "3 lines of this log are lost: nobody read them in time"
    assert stream.getvalue().splitlines() == ["first", *(f"line {n}" for n in range(5)), lost, "last"]


def test_closing_does_not_wait_for_ever(stream: Paused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThreadedLogHandler, "CLOSING_S", 0.0)
    handler = ThreadedLogHandler(stream)
    log_of(handler).info("unread")
    handler.close()


def test_a_traceback_is_part_of_its_line() -> None:
    stream = io.StringIO()
    handler = ThreadedLogHandler(stream)
    log = log_of(handler)
    try:
        int("bug")
    except ValueError:
        log.exception("failed")
    handler.close()
    assert stream.getvalue().startswith("failed\nTraceback")


def test_a_reader_that_is_gone_is_nobodys_bug() -> None:
    stream = io.StringIO()
    stream.close()
    handler = ThreadedLogHandler(stream)
    log_of(handler).info("x")
    handler.close()
