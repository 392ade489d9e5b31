"""Open events, from their first phase to their last: ids, times, and what stays fixed. On the engine thread.

Ids follow from camera, label and time, so a replay gives the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from edge.clock import Clock
from edge.config.models import NodeConfig
from edge.detect.health import SEVERITIES, SEVERITY, HealthStep
from edge.detect.hysteresis import EventStep
from edge.types import Box, Contribution, Event, EventKind, Phase

Key = tuple[str, str]  # camera, label


@dataclass(frozen=True, slots=True)
class EventDetails:
    """The explanation of an event's phase, for users."""

    contribution: Contribution | None
    boxes: Sequence[Box]
    tags: Sequence[tuple[str, float]]


class OpenEvents:
    """Open events by camera and label."""

    def __init__(self, node: NodeConfig, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._open: dict[Key, Event] = {}

    def open_labels(self, camera: str) -> tuple[str, ...]:
        """The labels of the scene's events that are open on ``camera``."""
        return tuple(e.label for (owner, _), e in self._open.items() if owner == camera and e.kind is EventKind.EVENT)

    def wall_ns(self, t_ns: int) -> int:
        """Local time as Unix time, by the current clocks."""
        return self._clock.wall_ns() - (self._clock.mono_ns() - t_ns)

    def begin(
        self, key: Key, step: EventStep, severity: str, why: str, shown: EventDetails | None, zones: Iterable[str]
    ) -> Event:
        """The first phase of an event of the scene."""
        wall_ns = self.wall_ns(step.begin_ns)
        event = Event(
            id=self._id(key, wall_ns),
            camera=key[0],
            kind=EventKind.EVENT,
            label=key[1],
            phase=Phase.BEGIN,
            begin_ns=step.begin_ns,
            end_ns=None,
            media_begin=step.media_begin,
            wall_begin_ns=wall_ns,
            score=step.score,
            peak=step.peak,
            threshold=step.threshold,
            severity=severity,
            why=why,
            zones=tuple(zones),
        )
        self._open[key] = _showing(event, shown)
        return self._open[key]

    def update(self, key: Key, step: EventStep, why: str, shown: EventDetails | None) -> Event:
        """A later phase; what was fixed at the beginning stays."""
        event = replace(
            self._open.pop(key),
            phase=step.phase,
            end_ns=step.end_ns,
            media_end=step.media_end,
            score=step.score,
            peak=step.peak,
            why=why,
        )
        if step.phase is Phase.END:
            return event
        self._open[key] = _showing(event, shown)
        return self._open[key]

    def add_zones(self, key: Key, zones: Iterable[str]) -> None:
        """Add ``zones`` to an open event; its next phase reports them."""
        event = self._open.get(key)
        if event is not None and (new := [zone for zone in zones if zone not in event.zones]):
            self._open[key] = replace(event, zones=(*event.zones, *new))

    def health(self, camera: str, step: HealthStep) -> Event:
        """A phase of a health event."""
        key = (camera, step.label)
        if step.phase is Phase.END:
            return replace(self._open.pop(key), phase=Phase.END, end_ns=step.now_ns, score=0.0, why=_over(step))
        wall_ns = self.wall_ns(step.begin_ns)
        self._open[key] = Event(
            id=self._id(key, wall_ns),
            camera=camera,
            kind=EventKind.HEALTH,
            label=step.label,
            phase=Phase.BEGIN,
            begin_ns=step.begin_ns,
            end_ns=None,
            media_begin=None,
            wall_begin_ns=wall_ns,
            score=1.0,
            peak=1.0,
            threshold=1.0,
            severity=SEVERITIES.get(step.label, SEVERITY),
            why=f"{step.label}: {step.text}",
        )
        return self._open[key]

    def _id(self, key: Key, wall_begin_ns: int) -> str:
        parts = "\0".join((self._node.site, self._node.id, *key, str(wall_begin_ns)))
        return hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()


def _showing(event: Event, shown: EventDetails | None) -> Event:
    if shown is None:
        return event
    return replace(event, contribution=shown.contribution, boxes=shown.boxes, tags=shown.tags)


def _over(step: HealthStep) -> str:
    lasted_s = (step.now_ns - step.begin_ns) / 1e9
    return f"{step.label} ended after {lasted_s:.0f} s: {step.text}"
