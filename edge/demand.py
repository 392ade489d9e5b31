"""Who wants a camera's pictures decoded: asked for from any thread, answered by the camera's capture thread.

A quiet camera's key pictures alone are decoded (`edge.capture.on_demand`). What asks for more does so here; what the
capture thread does about it is read here. So does what asks for less, while the box is behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from edge.threads import WakeEvent
from edge.types import NS_PER_S


class DecodeState(str, Enum):
    """Which of a camera's pictures are decoded: key pictures alone, those kept (after the fact), or all; ``limited``:
    key pictures alone although something happens, because the box is behind."""

    QUIET = "quiet"
    WAKING = "waking"
    AWAKE = "awake"
    LIMITED = "limited"


class WakeReason(str, Enum):
    """Why all of a camera's pictures are decoded. The last two hold as long as the stream is what it is."""

    START = "start"
    PICTURE = "picture"
    PACKET_SIZE = "packet_size"
    SOUND = "sound"
    DOUBT = "doubt"
    EVENT = "event"
    RULE = "rule"
    PAGE = "page"
    CAMERA = "camera"
    BREAK = "break"
    DAMAGED = "damaged"
    KEY_LATE = "key_late"
    OVERFLOW = "overflow"
    KEYS_APART = "keys_apart"
    ALL_KEYS = "all_keys"

    @property
    def text(self) -> str:
        """A sentence for people."""
        return _TEXTS[self]


_TEXTS: Mapping[WakeReason, str] = {
    WakeReason.START: "it has just begun",
    WakeReason.PICTURE: "its picture changes",
    WakeReason.PACKET_SIZE: "its encoded pictures grew",
    WakeReason.SOUND: "its sound rose",
    WakeReason.DOUBT: "a label is in doubt",
    WakeReason.EVENT: "an event is open",
    WakeReason.RULE: "a rule follows something in the picture",
    WakeReason.PAGE: "somebody looks at it",
    WakeReason.CAMERA: "the camera reports motion",
    WakeReason.BREAK: "its clock broke",
    WakeReason.DAMAGED: "a picture could not be decoded",
    WakeReason.KEY_LATE: "a key picture is overdue",
    WakeReason.OVERFLOW: "its packets need too much memory",
    WakeReason.KEYS_APART: "its key pictures lie more than 2 s apart; set the camera's key frame (I-frame, GOP) "
    "interval to 1 or 2 s and switch smart codecs off, and a quiet picture costs a fifth",
    WakeReason.ALL_KEYS: "every picture is a key picture (MJPEG); with H.264 or H.265 a quiet picture costs a fifth",
}


@dataclass(frozen=True, slots=True)
class DecodeStatus:
    """What the capture thread does: ``reason`` is why it is awake, or why it last was; ``group_s`` the distance of
    the last two key pictures, None before the second."""

    state: DecodeState
    reason: WakeReason
    group_s: float | None = None


@dataclass(frozen=True, slots=True)
class CaptureProgress:
    """How the capture of a camera gets on: what `PictureDemand` shows of it."""

    status: DecodeStatus = DecodeStatus(DecodeState.AWAKE, WakeReason.START)
    lags: bool = False
    lag_ns: int = 0
    left_out_ns: int | None = None
    unread_since_ns: int | None = None
    packet_ns: int | None = None


class PictureDemand:
    """One camera's demand for pictures. Times are those of arrival, local monotonic ns.

    ``key_stride``: of a quiet camera every so many-th key picture is looked at (1 unless the box is too slow).
    ``is_limited``: its key pictures alone are decoded, whatever asks for more. ``wake``: what the capture thread
    rests on, a new event unless one is given.
    """

    HOLD_NS = 3 * NS_PER_S
    """How much longer windows wait for pictures that are held back: a group of pictures, and time to decode it."""
    LIMITED_HOLD_NS = NS_PER_S
    """The same while limited: nothing is held back, but the packets are read in bursts by a box that is behind."""
    _HOLDS_NS: Final = {DecodeState.AWAKE: 0, DecodeState.LIMITED: LIMITED_HOLD_NS}

    def __init__(self, wake: WakeEvent | None = None) -> None:
        self.status = DecodeStatus(DecodeState.AWAKE, WakeReason.START)
        self.wake = wake or WakeEvent()
        self.key_stride = 1
        self.is_limited = False
        self.lags = False
        """Whether the capture lags, because the box does not get on."""
        self.lag_ns = 0
        """How much later than they came packets are read now, where that is more than a moment."""
        self.left_out_ns: int | None = None
        """Arrival of the newest packet that was left out undecoded, because the box does not get on."""
        self.unread_since_ns: int | None = None
        """Since when packets are left unread for a while; None while they are read."""
        self.packet_ns: int | None = None
        """Arrival of the newest packet with a picture, decoded or not."""
        self.settle: Callable[[], None] = lambda: None
        """Called before a decision: returns when all that was delivered was answered. Live cameras do not wait."""
        self._until_ns: dict[WakeReason, int] = {}

    @property
    def is_awake(self) -> bool:
        """Whether all pictures are decoded."""
        return self.status.state is DecodeState.AWAKE

    def hold_ns(self, now_ns: int) -> int:
        """How much longer than usual windows wait for pictures at ``now_ns``: what came and lies unread is waited for,
        because a window without it would be wrong, and cost more to score."""
        return self._HOLDS_NS.get(self.status.state, self.HOLD_NS) + self.behind_ns(now_ns)

    def behind_ns(self, now_ns: int) -> int:
        """How long media has lain unread at ``now_ns``, where that is more than a moment."""
        unread_ns = now_ns - self.unread_since_ns if self.unread_since_ns is not None else 0
        return self.lag_ns + max(0, unread_ns)

    def want(self, reason: WakeReason, until_ns: int) -> None:
        """Ask for all pictures that arrive before ``until_ns``, and for those of the current group; from any thread."""
        if until_ns > self._until_ns.get(reason, until_ns - 1):
            self._until_ns[reason] = until_ns
            if self.status.state is DecodeState.QUIET:
                self.wake.set()

    def attend(self, key_stride: int, *, is_limited: bool) -> None:
        """Set how closely the camera is looked at."""
        self.key_stride, self.is_limited = key_stride, is_limited

    def progress(self) -> CaptureProgress:
        """What the capture thread has set, as one value for another process."""
        return CaptureProgress(
            *(self.status, self.lags, self.lag_ns, self.left_out_ns, self.unread_since_ns, self.packet_ns)
        )

    def follow(self, progress: CaptureProgress) -> None:
        """Show what the capture thread of another process has set."""
        self.status, self.lags, self.lag_ns = progress.status, progress.lags, progress.lag_ns
        self.left_out_ns, self.packet_ns = progress.left_out_ns, progress.packet_ns
        self.unread_since_ns = progress.unread_since_ns

    def wanted(self, now_ns: int) -> WakeReason | None:
        """Why pictures are wanted at ``now_ns``; None when they are not."""
        reason, until_ns = self.latest()
        return reason if until_ns > now_ns else None

    def asked(self) -> dict[WakeReason, int]:
        """Until when each reason asks for pictures, or asked."""
        return self._until_ns.copy()

    def latest(self) -> tuple[WakeReason, int]:
        """The reason that asks for pictures longest, and until when."""
        return max(self.asked().items(), key=lambda one: one[1], default=(WakeReason.START, -(1 << 62)))
