"""Sends messages from the outbox to the broker, one step at a time, on the publisher's thread.

A message is removed from the outbox when the broker acknowledged it. A limited number is in flight, in order; after a
lost connection all unacknowledged messages are sent again, in order (`ConnectionPolicy`). Messages that the broker
refuses are parked (`ParkingPolicy`). Nothing here waits for the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from edge.clock import Clock
from edge.errors import SinkError
from edge.metrics import Metrics
from edge.publish.backlog import QueuedMessage
from edge.publish.commands import IncomingMessage
from edge.publish.connection import BrokerConnection, ConnectionPolicy
from edge.publish.outbox import Outbox
from edge.publish.parking import ParkingPolicy
from edge.publish.transient_queue import TransientQueue
from edge.types import Message, nanoseconds, seconds


class LatencyTracker:
    """Measures the latency from a message's media to the broker's answer, for the metrics. Thread-safe."""

    MAX_TRACKED = 2000

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._behind: dict[int, tuple[int, int]] = {}  # message -> arrival of its media, and the model's time

    def track(self, ready: Mapping[int, int], infer_ns: int) -> None:
        """Note when the media of messages arrived, and that the model took ``infer_ns`` for it."""
        with self._lock:
            self._behind.update((seq, (ready_ns, infer_ns)) for seq, ready_ns in ready.items())
            while len(self._behind) > self.MAX_TRACKED:
                del self._behind[next(iter(self._behind))]

    def acknowledged(self, seq: int, sent_ns: int, now_ns: int) -> None:
        """Note that the broker has message ``seq``."""
        self._metrics.publish_s.observe(seconds(now_ns - sent_ns))
        with self._lock:
            behind = self._behind.pop(seq, None)
        if behind is not None:
            ready_ns, infer_ns = behind
            self._metrics.end_to_end_s.observe(max(0.0, seconds(now_ns - ready_ns)))
            self._metrics.added_s.observe(max(0.0, seconds(now_ns - ready_ns - infer_ns)))


class Publisher:
    """Sends messages; `step` on one thread, `announce`, `send` and `nudge` from any.

    ``hello`` and ``goodbye`` are the first and the last message of a connection; ``on_message`` gets incoming
    messages.
    """

    IDLE_S = 1.0

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
        self._policy = ConnectionPolicy(clock, metrics)
        self._parking = ParkingPolicy(outbox, clock, metrics)
        self._latency = LatencyTracker(metrics)
        self._direct = TransientQueue(metrics)
        self._sent: dict[int, int] = {}  # sequence number -> when it was sent

    def announce(self, messages: Iterable[Message]) -> None:
        """Set retained state, which is sent when it changes and at every connection."""
        self._direct.announce(messages)
        self.nudge()

    def announce_again(self) -> None:
        """Send all announced state once more."""
        self._direct.announce_again()
        self.nudge()

    def send(self, message: Message, correlation: bytes | None = None) -> None:
        """Send past the outbox: QoS 0 is lost while there is no connection, QoS 1 waits in memory."""
        if message.qos == 0 and not self.connected:
            self._metrics.drops.labels("mqtt", "not_connected").inc()
            return
        self._direct.push(message, correlation)
        self.nudge()

    def nudge(self, ready: Mapping[int, int] | None = None, infer_ns: int = 0) -> None:
        """Wake the thread; ``ready``: when the media of outbox messages had arrived, for the latency.

        ``infer_ns`` is the model's share of it.
        """
        if ready:
            self._latency.track(ready, infer_ns)
        self._wake.set()

    @property
    def connected(self) -> bool:
        """Whether the broker is connected."""
        return self._policy.up

    @property
    def trouble(self) -> str:
        """Why it does not connect, as a sentence; empty when all is well."""
        return self._policy.trouble

    def run(self, stop: threading.Event) -> None:
        """The thread's loop: step until ``stop`` is set (and `nudge` was called)."""
        while not stop.is_set():
            wait_s = self.step()
            self._clock.wait(self._wake, wait_s)

    def step(self) -> float:
        """Do what can be done now; seconds until there may be more work without a nudge."""
        self._wake.clear()
        for incoming in self._link.take_incoming():
            self._on_message(incoming)
        self._collect()
        self._outbox.report()
        if self._link.connected and self._policy.is_unanswered(self._link.in_flight):
            self._link.close(timeout_s=0.0)
            self._sent.clear()
            self._policy.give_up()
        if not self._link.connected:
            return self._reconnect()
        if not self._link.in_flight:
            self._policy.note_idle()
        self._parking.release_due()
        self._send_direct()
        self._send_outbox()
        next_s = self._outbox.next_s
        return self.IDLE_S if next_s is None else min(self.IDLE_S, next_s)

    def drain(self, timeout_s: float) -> bool:
        """Send what waits for at most ``timeout_s``, then ``goodbye``, and disconnect; whether the outbox is empty.

        Call it when `run` has ended.
        """
        deadline_ns = self._clock.mono_ns() + nanoseconds(timeout_s)
        if self._link.connected:
            self._until(deadline_ns, lambda: not (self._sent or self._direct or self._outbox.unsent))
            self._direct.push(self._goodbye)
            deadline_ns = max(deadline_ns, self._clock.mono_ns() + nanoseconds(min(timeout_s, 1.0)))
            self._until(deadline_ns, lambda: not self._direct and not self._link.in_flight)
        self._link.close()
        self._policy.closed()
        return self._outbox.depth == 0

    def _until(self, deadline_ns: int, done: Callable[[], bool]) -> None:
        self.step()
        while not done() and self._link.connected and self._clock.mono_ns() < deadline_ns:
            self._clock.wait(self._wake, min(0.1, seconds(deadline_ns - self._clock.mono_ns())))
            self.step()

    def _reconnect(self) -> float:
        if self.connected:
            if self._policy.lost(is_sending=bool(self._sent)):
                self._parking.set_aside(min(self._sent))
            self._sent.clear()
            self._policy.explain_loss(self._link.lost_reason)
        elif self._policy.may_connect:
            try:
                self._link.connect()
            except SinkError as error:
                self._policy.failed(str(error))
            else:
                self._policy.connected(self._link.version)
                self._parking.begin_connection()
                self._direct.begin_connection(self._hello)
                return 0.0
        return max(0.0, min(self.IDLE_S, self._policy.wait_s))

    def _collect(self) -> None:
        done, refused, now_ns = [], [], self._clock.mono_ns()
        for ack in self._link.take_acks():
            self._policy.note_answer()
            if ack.refused is not None:
                self._parking.note_refusal(ack.topic, ack.refused)
            if ack.token is None:
                continue
            sent_ns = self._sent.pop(ack.token, now_ns)
            self._policy.note_progress()
            if ack.refused is not None:
                refused.append(ack.token)
                continue
            done.append(ack.token)
            self._latency.acknowledged(ack.token, sent_ns, now_ns)
        if refused:
            self._parking.park(refused)
        if done:
            self._outbox.acknowledge(*done)

    def _send_direct(self) -> None:
        while self._link.room and (item := self._direct.pop()) is not None:
            if not self._link.publish(item[0], None, item[1]):
                self._direct.push_front(item)
                return

    def _send_outbox(self) -> None:
        while room := self._link.room:
            batch = self._waiting(room)
            blocked = [w.seq for w in batch if self._parking.is_blocked(w, self._link.packet_limit)]
            if blocked:
                self._parking.park(blocked)
                continue
            for waiting in batch:
                if not self._link.publish(waiting.message, waiting.seq):
                    return
                self._sent[waiting.seq] = self._clock.mono_ns()
                self._policy.note_sent(len(waiting.message.payload))
            if len(batch) < room:
                return

    def _waiting(self, limit: int) -> list[QueuedMessage]:
        return [w for w in self._outbox.pending(limit + len(self._sent)) if w.seq not in self._sent][:limit]
