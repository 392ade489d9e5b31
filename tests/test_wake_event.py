"""What wakes the engine's thread."""

from __future__ import annotations

import threading

from edge.threads import WakeEvent


def test_rung_once_or_often_it_wakes_once() -> None:
    bell = WakeEvent()
    assert not bell.wait(0.0)
    bell.set()
    bell.set()
    assert bell.wait(0.0)
    assert not bell.wait(0.0)
    bell.set()
    assert bell.wait(10.0)


def test_who_waits_is_woken_and_no_ring_is_lost_among_many_who_ring() -> None:
    bell, done, asked = WakeEvent(), threading.Event(), [0]

    def ring() -> None:
        for _ in range(500):
            asked[0] += 1
            bell.set()

    threads = [threading.Thread(target=ring) for _ in range(4)]
    waiter = threading.Thread(target=lambda: (bell.wait(30.0), done.set()))
    waiter.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waiter.join(30.0)
    assert done.is_set()
    bell.set()
    assert bell.wait(0.0)
