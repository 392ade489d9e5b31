"""From the outbox to the broker: one step at a time, on the publisher's thread.

A message leaves the outbox when the broker acknowledged it. At most a window of them is in flight, in order; after a
lost connection everything unacknowledged goes again, in order; a broker that acknowledges nothing for a while is taken
for lost. What the broker refuses is parked: it stays on disk, lets the rest pass, and is tried again after a minute,
then ever more seldom, and at the next connection. Nothing here waits for the disk.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from edge.clock import Backoff, Clock
from edge.errors import SinkError
from edge.metrics import Metrics
from edge.publish.backlog import QueuedMessage
from edge.publish.commands import IncomingMessage
from edge.publish.connection import BrokerConnection
from edge.publish.outbox import Outbox
from edge.publish.transient_queue import TransientQueue
from edge.types import Message, nanoseconds, seconds

log = logging.getLogger(__name__)


class Publisher:
    """Moves messages; `step` on one thread, `announce`, `send` and `nudge` from any.

    ``hello`` and ``goodbye`` are the first and the last message of a connection; ``on_message`` gets what arrives.
    """

    IDLE_S = 1.0
    LATENCIES_AT_MOST = 2000
    PARKED_FIRST_S, PARKED_LONGEST_S = 60.0, 3600.0
    LOSSES_AT_MOST = 5
    SHORT_S = 10.0  # a connection that lasted less is short; three in a row are no accident
    OVERHEAD = 64  # bytes of a packet beyond topic and payload, generously
    SILENT_S = 30.0  # a broker that acknowledges nothing for so long is lost, whatever TCP says
    SLOWEST_BYTES_PER_S = 4000  # a connection may take this much longer for what is in flight

    def __init__(
        self,
        outbox: Outbox,
        link: BrokerConnection,
        clock: Clock,
        metrics: Metrics,
        *,
        hello: Message,
        goodbye: Message,
        on_message: Callable[[IncomingMessage], None],
    ) -> None:
        self._outbox, self._link, self._clock, self._metrics = outbox, link, clock, metrics
        self._hello, self._goodbye, self._on_message = hello, goodbye, on_message
        self._wake = threading.Event()
        link.wake = self._wake.set
        self._backoff = Backoff(clock)
        self._direct = TransientQueue(metrics)
        self._lock = threading.Lock()
        self._sent: dict[int, int] = {}  # sequence number -> when it was sent
        self._largest = 0  # bytes of the largest message in flight
        self._answered_ns = 0  # when the broker last acknowledged, or something was sent while nothing was in flight
        self._is_silent = False
        self._refused_topics: dict[str, str] = {}
        self._park_s = self.PARKED_FIRST_S
        self._unpark_ns: int | None = None
        self._latencies: dict[int, tuple[int, int]] = {}  # message -> when its media had come, and the model's time
        self._up = False
        self._next_try_ns = 0
        self._trouble = ""
        self._losses = 0
        self._has_poison = False
        self._arrived_ns = 0
        self._short_connections = 0
        metrics.broker_up.set(0)

    def announce(self, messages: Iterable[Message]) -> None:
        """Retained state that is sent when it changes and at every connection."""
        self._direct.announce(messages)
        self.nudge()

    def announce_again(self) -> None:
        """Send all announced state once more."""
        self._direct.announce_again()
        self.nudge()

    def send(self, message: Message, correlation: bytes | None = None) -> None:
        """Send past the outbox: QoS 0 is lost while there is no connection, QoS 1 waits in memory."""
        if message.qos == 0 and not self._up:
            self._metrics.drops.labels("mqtt", "not_connected").inc()
            return
        self._direct.push(message, correlation)
        self.nudge()

    def nudge(self, ready: dict[int, int] | None = None, infer_ns: int = 0) -> None:
        """Have the thread look now; ``ready``: when the media behind outbox messages had come, for the latency.

        ``infer_ns`` is what the model took of that.
        """
        if ready:
            with self._lock:
                self._latencies.update((seq, (ready_ns, infer_ns)) for seq, ready_ns in ready.items())
                while len(self._latencies) > self.LATENCIES_AT_MOST:
                    del self._latencies[next(iter(self._latencies))]
        self._wake.set()

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._up

    @property
    def trouble(self) -> str:
        """What keeps it from connecting, as a sentence; empty when nothing does."""
        return self._trouble

    def run(self, stop: threading.Event) -> None:
        """The thread: step until ``stop`` is set (and `nudge` was called)."""
        while not stop.is_set():
            wait_s = self.step()
            self._clock.wait(self._wake, wait_s)

    def step(self) -> float:
        """Do what can be done now; seconds until there may be more to do without a nudge."""
        self._wake.clear()
        for incoming in self._link.take_incoming():
            self._on_message(incoming)
        self._collect()
        self._outbox.report()
        if self._link.connected and self._is_unanswered():
            self._give_up()
        if not self._link.connected:
            return self._reconnect()
        if not self._link.in_flight:
            self._answered_ns, self._largest = self._clock.mono_ns(), 0
        self._unpark()
        self._send_direct()
        self._send_outbox()
        next_s = self._outbox.next_s
        return self.IDLE_S if next_s is None else min(self.IDLE_S, next_s)

    def drain(self, timeout_s: float) -> bool:
        """Send what waits for at most ``timeout_s``, say goodbye, disconnect; whether the outbox is empty.

        Call it when `run` has ended.
        """
        deadline_ns = self._clock.mono_ns() + nanoseconds(timeout_s)
        if self._link.connected:
            self._until(deadline_ns, lambda: not (self._sent or self._direct or self._outbox.unsent))
            self._direct.push(self._goodbye)
            deadline_ns = max(deadline_ns, self._clock.mono_ns() + nanoseconds(min(timeout_s, 1.0)))
            self._until(deadline_ns, lambda: not self._direct and not self._link.in_flight)
        self._link.close()
        self._up = False
        self._metrics.broker_up.set(0)
        return self._outbox.depth == 0

    def _until(self, deadline_ns: int, done: Callable[[], bool]) -> None:
        self.step()
        while not done() and self._link.connected and self._clock.mono_ns() < deadline_ns:
            self._clock.wait(self._wake, min(0.1, seconds(deadline_ns - self._clock.mono_ns())))
            self.step()

    def _reconnect(self) -> float:
        now_ns = self._clock.mono_ns()
        if self._up:
            self._disconnected()
        elif now_ns >= self._next_try_ns:
            try:
                self._link.connect()
            except SinkError as error:
                self._failed(str(error))
            else:
                self._connected()
                return 0.0
        return max(0.0, min(self.IDLE_S, seconds(self._next_try_ns - self._clock.mono_ns())))

    def _is_unanswered(self) -> bool:
        """Whether messages have been in flight for longer than any connection takes, without a single answer."""
        limit_s = self.SILENT_S + self._largest / self.SLOWEST_BYTES_PER_S
        return self._link.in_flight > 0 and seconds(self._clock.mono_ns() - self._answered_ns) >= limit_s

    def _give_up(self) -> None:
        """End a connection that takes messages and acknowledges none; all of them go again."""
        self._link.close(timeout_s=0.0)
        self._up = False
        self._metrics.broker_up.set(0)
        self._metrics.drops.labels("mqtt", "unanswered").inc()
        self._sent.clear()
        self._is_silent = True
        self._failed(f"the broker has acknowledged nothing for {self.SILENT_S:.0f} s; connecting anew")

    def _connected(self) -> None:
        self._up = True
        self._arrived_ns = self._answered_ns = self._clock.mono_ns()
        self._largest = 0
        if not self._is_silent:  # else it is well when it answers
            self._trouble = ""
        self._backoff.succeeded()
        self._metrics.broker_up.set(1)
        log.info("connected to the broker (%s)", self._link.version)
        if not self._has_poison:
            self._park_s = self.PARKED_FIRST_S
            self._release()
        self._direct.begin_connection(self._hello)

    def _disconnected(self) -> None:
        self._up = False
        self._metrics.broker_up.set(0)
        if self._sent:
            self._losses += 1
        if self._losses >= self.LOSSES_AT_MOST:
            self._losses = 0
            head = min(self._sent)
            log.error("the broker dropped the connection %d times at the same message: set aside", self.LOSSES_AT_MOST)
            self._has_poison = True
            self._unpark_ns = self._clock.mono_ns() + nanoseconds(self.PARKED_LONGEST_S)
            self._park([head])
        self._sent.clear()
        is_short = seconds(self._clock.mono_ns() - self._arrived_ns) < self.SHORT_S
        self._short_connections = self._short_connections + 1 if is_short else 0
        twin = "; does another box use the same node.id and node.site?" if self._short_connections >= 3 else ""
        self._failed(self._link.lost_reason + twin)

    def _failed(self, why: str) -> None:
        delay_s = self._backoff.failed()
        self._next_try_ns = self._clock.mono_ns() + nanoseconds(delay_s)
        self._report(f"{why}; trying again, alerts wait on the disk")

    def _report(self, why: str) -> None:
        log.log(logging.DEBUG if why == self._trouble else logging.WARNING, "%s", why)
        self._trouble = why

    def _collect(self) -> None:
        done, refused, now_ns = [], [], self._clock.mono_ns()
        for ack in self._link.take_acks():
            self._answered_ns = now_ns
            if self._is_silent:
                self._is_silent, self._trouble = False, ""
            if ack.refused is not None:
                self._note_refusal(ack.topic, ack.refused)
            if ack.token is None:
                continue
            sent_ns = self._sent.pop(ack.token, now_ns)
            self._losses = 0
            if ack.refused is not None:
                refused.append(ack.token)
                continue
            done.append(ack.token)
            self._measure(ack.token, sent_ns, now_ns)
        if refused:
            self._park(refused)
        if done:
            self._outbox.acknowledge(*done)

    def _measure(self, seq: int, sent_ns: int, now_ns: int) -> None:
        self._metrics.publish_s.observe(seconds(now_ns - sent_ns))
        with self._lock:
            behind = self._latencies.pop(seq, None)
        if behind is not None:
            ready_ns, infer_ns = behind
            self._metrics.end_to_end_s.observe(max(0.0, seconds(now_ns - ready_ns)))
            self._metrics.added_s.observe(max(0.0, seconds(now_ns - ready_ns - infer_ns)))

    def _send_direct(self) -> None:
        while self._link.room and (item := self._direct.pop()) is not None:
            if not self._link.publish(item[0], None, item[1]):
                self._direct.push_front(item)
                return

    def _send_outbox(self) -> None:
        while room := self._link.room:
            batch = self._waiting(room)
            blocked = [w for w in batch if self._blocked(w)]
            if blocked:
                self._park([w.seq for w in blocked])
                continue
            for waiting in batch:
                if not self._link.publish(waiting.message, waiting.seq):
                    return
                self._sent[waiting.seq] = self._clock.mono_ns()
                self._largest = max(self._largest, len(waiting.message.payload))
            if len(batch) < room:
                return

    def _waiting(self, limit: int) -> list[QueuedMessage]:
        return [w for w in self._outbox.pending(limit + len(self._sent)) if w.seq not in self._sent][:limit]

    def _blocked(self, waiting: QueuedMessage) -> bool:
        message, limit = waiting.message, self._link.packet_limit
        if limit is not None and len(message.payload) + len(message.topic.encode()) + self.OVERHEAD > limit:
            self._note_refusal(message.topic, f"larger than the broker's limit of {limit} bytes")
        return message.topic in self._refused_topics

    def _note_refusal(self, topic: str, reason: str) -> None:
        self._metrics.drops.labels("mqtt", "refused").inc()
        if topic not in self._refused_topics:
            log.warning(
                "the broker refuses %s (%s): allow this user to write it (ACL) or check its quota; "
                "what it refuses stays on the disk and is tried again later",
                *(topic, reason),
            )
        self._refused_topics[topic] = reason

    def _park(self, seqs: list[int]) -> None:
        if self._unpark_ns is None:
            self._unpark_ns = self._clock.mono_ns() + nanoseconds(self._park_s)
            self._park_s = min(self.PARKED_LONGEST_S, 2 * self._park_s)
        self._outbox.park(*seqs)

    def _unpark(self) -> None:
        if self._unpark_ns is not None and self._clock.mono_ns() >= self._unpark_ns:
            self._release()

    def _release(self) -> None:
        self._unpark_ns = None
        self._has_poison = False
        self._refused_topics.clear()
        self._outbox.unpark()
