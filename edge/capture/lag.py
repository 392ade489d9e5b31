"""Whether the capture of a live camera lags, because the box does not get on: less is then decoded, or left out."""

from __future__ import annotations

from edge.demand import PictureDemand
from edge.types import NS_PER_S

_LATE_NS = NS_PER_S
_LASTS_NS = NS_PER_S  # after a stall of the network packets are late, too, but soon read
_BACKLOG_NS = 3 * NS_PER_S
_CAUGHT_UP_NS = 3 * NS_PER_S // 10


class CaptureLag:
    """How late packets are read, told to ``demand``.

    Packets that are read more than a second late for longer than a second lag. A backlog of three seconds is not caught
    up with: it is left out until the newest packets are reached.
    """

    def __init__(self, demand: PictureDemand) -> None:
        self._demand = demand
        self.restart()

    def restart(self) -> None:
        """Begin a connection."""
        self._since_ns: int | None = None
        self._rested_ns = 0
        self._demand.lags, self._demand.lag_ns = False, 0
        self.discards = False
        """Whether packets are to be left out undecoded."""

    def note_rest(self, rested_ns: int) -> None:
        """Packets were left unread for so long: what is late after it has lagged for as long."""
        self._rested_ns = rested_ns

    def note(self, late_ns: int, now_ns: int) -> None:
        """Note a packet that is read at ``now_ns``, ``late_ns`` later than the promptest ones."""
        if late_ns < _LATE_NS:
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = now_ns - self._rested_ns
        self._rested_ns = 0
        lags = self._since_ns is not None and now_ns - self._since_ns >= _LASTS_NS
        self._demand.lags, self._demand.lag_ns = lags, late_ns if late_ns >= _LATE_NS else 0
        self.discards = late_ns >= _CAUGHT_UP_NS if self.discards else lags and late_ns >= _BACKLOG_NS
