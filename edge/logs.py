"""Whose log lines a person sees of a command that prints lines of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_ALL = "edge"


def hush(own: str) -> None:
    """Let warnings alone through from modules outside ``own``, whose lines would stand between; with `-v` all stay."""
    if logging.getLogger().level > logging.DEBUG:
        logging.getLogger(_ALL).setLevel(logging.WARNING)
        logging.getLogger(own).setLevel(logging.INFO)


@contextmanager
def own_lines(own: str) -> Iterator[None]:
    """`hush` for as long as the context lasts."""
    loggers = [logging.getLogger(name) for name in (_ALL, own)]
    before = [logger.level for logger in loggers]
    hush(own)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
