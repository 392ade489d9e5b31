"""Runs work on recordings in processes side by side: decoding and inference of one recording do not fill all cores.

Each process gets its setup once and then one recording after another; only what can be pickled travels.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final, TypeVar

from edge.clock import core_count
from edge.errors import SinkError

POLL_S: Final = 0.5
Item = TypeVar("Item")
Result = TypeVar("Result")
SPAWN: Final = multiprocessing.get_context("spawn")


def process_count(recordings: int) -> int:
    """As many processes as there are cores and recordings."""
    return min(recordings, core_count())


def run_in_processes(
    begin: Callable[..., None],
    setup: tuple[Any, ...],
    work: Callable[[Item], Result],
    items: Sequence[Item],
    on_poll: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """``work(item)`` of all ``items``, in the order in which they end.

    ``begin(*setup)`` is called once in each process, ``on_poll`` here now and then. Errors of ``work`` are raised here.
    SinkError when a process was killed.
    """
    pool = ProcessPoolExecutor(process_count(len(items)), SPAWN, begin, setup)
    waiting = {pool.submit(work, item) for item in items}
    try:
        while waiting:
            ended, waiting = wait(waiting, POLL_S, FIRST_COMPLETED)
            on_poll()
            for future in ended:
                yield future.result()
    except BrokenProcessPool as error:
        raise SinkError(
            "a process that worked on recordings was killed, perhaps for want of memory; "
            "run the same again, or give fewer recordings at once"
        ) from error
    finally:
        if waiting:
            for child in multiprocessing.active_children():
                child.terminate()
        pool.shutdown(cancel_futures=True)


def in_order(results: Iterator[tuple[int, Result]]) -> Iterator[Result]:
    """The results by their number, from 0 on; those that come early wait."""
    early: dict[int, Result] = {}
    following = 0
    for number, result in results:
        early[number] = result
        while following in early:
            yield early.pop(following)
            following += 1
