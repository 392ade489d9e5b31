"""News: bounded for who is slow, free for nobody, ended when the node ends."""

from __future__ import annotations

import asyncio

from edge.web.hub import Hub, Subscriber


async def _joined(hub: Hub) -> Subscriber:
    listener = hub.subscribe(asyncio.get_running_loop())
    assert listener is not None
    return listener


def test_a_listener_that_never_reads_costs_a_bounded_number_of_news() -> None:
    async def run() -> None:
        hub = Hub()
        slow, quick = await _joined(hub), await _joined(hub)
        for i in range(1000):
            hub.publish("event", lambda i=i: i)  # type: ignore[misc]
            if i % 50 == 49:
                assert [news.value for news in await quick.take(1.0)] == list(range(i - 49, i + 1))
        assert slow.missed == 1000 - Subscriber.MAX_WAITING
        assert [news.value for news in await slow.take(1.0)] == list(range(1000 - Subscriber.MAX_WAITING, 1000))
        assert quick.missed == 0

    asyncio.run(run())


def test_of_scores_only_the_newest_wait_and_events_all() -> None:
    async def run() -> None:
        hub = Hub()
        listener = await _joined(hub)
        for i in range(5):
            hub.publish("scores", lambda i=i: i, key="yard")  # type: ignore[misc]
            hub.publish("scores", lambda i=i: i, key="hall")  # type: ignore[misc]
            hub.publish("event", lambda i=i: i)  # type: ignore[misc]
        waiting = await listener.take(1.0)
        assert [n.value for n in waiting if n.kind == "event"] == [0, 1, 2, 3, 4]
        assert [(n.key, n.value) for n in waiting if n.kind == "scores"] == [("yard", 4), ("hall", 4)]

    asyncio.run(run())


def test_listeners_are_bounded_and_leave() -> None:
    async def run() -> None:
        hub = Hub()
        all_of_them = [hub.subscribe(asyncio.get_running_loop()) for _ in range(Hub.MOST_LISTENERS)]
        assert hub.subscribe(asyncio.get_running_loop()) is None
        for listener in all_of_them:
            assert listener is not None
            hub.unsubscribe(listener)
        assert len(hub) == 0

    asyncio.run(run())


def test_closing_lets_a_waiting_listener_go_at_once() -> None:
    async def run() -> None:
        hub = Hub()
        listener = await _joined(hub)
        waiting = asyncio.create_task(listener.take(60.0))
        await asyncio.sleep(0)
        hub.close()
        assert await asyncio.wait_for(waiting, 5.0) == []
        assert listener.closed

    asyncio.run(run())


def test_a_listener_whose_loop_is_gone_does_not_disturb_the_node() -> None:
    hub = Hub()
    loop = asyncio.new_event_loop()
    listener = hub.subscribe(loop)
    loop.close()
    hub.publish("event", lambda: 1)
    assert listener is not None
    assert listener.closed
