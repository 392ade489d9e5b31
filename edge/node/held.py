"""What is held back, told: as a state of each camera, and once in the log when it begins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from edge.holds import HeldBack, HoldReason
from edge.types import NS_PER_S

log = logging.getLogger(__name__)
EVERY_NS = 5 * NS_PER_S
LOG_EVERY_NS = 3600 * NS_PER_S
_EXPLANATIONS = {
    HoldReason.LOW_COVERAGE: "too little picture or sound is there to tell",
    HoldReason.NOT_AGREED: "picture and sound do not agree (agree)",
    HoldReason.OUTSIDE_ZONE: "nothing is where the rule wants it (zones, lines)",
    HoldReason.OUTSIDE_SCHEDULE: "it is outside of the rule's hours (schedule)",
    HoldReason.DISARMED: "the camera is disarmed",
    HoldReason.COOLDOWN: "one has ended only just now (cooldown_s)",
    HoldReason.RATE_LIMITED: "it repeats what was told often enough in the last hour (most_per_hour)",
}


class HeldBackReporter:
    """``publish(cameras, held)`` is called for cameras whose state changed, at most every five seconds each. Each
    camera's label and reason is logged at most once an hour; what only waits for its time is not."""

    def __init__(self, cameras: Sequence[str], publish: Callable[[Sequence[str], Sequence[HeldBack]], None]) -> None:
        self._cameras, self._publish = tuple(cameras), publish
        self._published: dict[str, object] = {}
        self._next_ns: dict[str, int] = {}
        self._logged_ns: dict[tuple[str, str, HoldReason], int] = {}

    def report(self, held: Sequence[HeldBack], now_ns: int) -> None:
        """Take in everything that is held back at local time ``now_ns``."""
        self._log(held, now_ns)
        changed = []
        for camera in self._cameras:
            state = [(one.label, one.reason, dict(one.this_hour)) for one in held if one.camera == camera]
            if self._published.get(camera) != state and now_ns >= self._next_ns.get(camera, 0):
                self._published[camera], self._next_ns[camera] = state, now_ns + EVERY_NS
                changed.append(camera)
        if changed:
            self._publish(changed, held)

    def _log(self, held: Sequence[HeldBack], now_ns: int) -> None:
        for item in held:
            for reason in item.reasons & _EXPLANATIONS.keys():
                key = item.camera, item.label, reason
                before_ns = self._logged_ns.get(key)
                if before_ns is None or now_ns - before_ns >= LOG_EVERY_NS:
                    self._logged_ns[key] = now_ns
                    message = f"{item.label} is above its threshold of {item.enter:.2f} and no event"
                    log.info("%s: %s: %s", item.camera, message, _EXPLANATIONS[reason])
