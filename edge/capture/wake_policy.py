"""When a camera's pictures are all decoded, and when its key pictures alone: a state machine without threads or time.

Everything follows from media, arrival times and earlier requests, so a recording gives the same decisions each time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from edge.demand import DecodeState, DecodeStatus, WakeReason
from edge.signal_change import BlockMeans, pair_noise
from edge.types import NS_PER_S, U8, nanoseconds, seconds


@dataclass(frozen=True, slots=True)
class WakeLimits:
    """When a camera falls quiet and what wakes it.

    It falls quiet at a key picture, ``calm_s`` after the last reason to be awake (at once where there was none since it
    began), if the last two groups of pictures lasted at most ``group_s``; a key picture that is ``late_s`` overdue
    wakes it. Packets wake it when one is ``packet`` times, or half a second of them ``size`` times as large as any in
    the last while, and ``size_bytes`` more. At most ``most_bytes`` are kept. While limited, a key picture sooner than
    ``limited_s`` after the last one is not decoded: where all are key pictures, most are left out.
    """

    calm_s: float = 4.0
    group_s: float = 2.05
    late_s: float = 0.5
    packet: float = 2.0
    size: float = 1.3
    size_bytes: int = 100
    most_bytes: int = 8_000_000
    limited_s: float = 0.9


DEFAULT_WAKE_LIMITS = WakeLimits()
_SHORTEST_GROUP = 3  # pictures: with shorter groups there is nothing to gain


class WakePolicy:
    """One camera's state. Times are arrivals in ns."""

    def __init__(self, limits: WakeLimits = DEFAULT_WAKE_LIMITS) -> None:
        self._limits = limits
        self._calm_ns = nanoseconds(limits.calm_s)
        self.restart(WakeReason.START)

    def restart(self, reason: WakeReason) -> None:
        """Begin anew with a connection or after a break: awake."""
        self.state = DecodeState.AWAKE
        self.reason = reason
        self._since_ns: int | None = None
        self._last_key_ns: int | None = None
        self._groups_ns: deque[int] = deque(maxlen=2)
        self._pictures = self._pictures_of_group = 0

    @property
    def status(self) -> DecodeStatus:
        """State, reason and the last group's length."""
        group_s = seconds(self._groups_ns[-1]) if self._groups_ns else None
        return DecodeStatus(self.state, self.unfit or self.reason, group_s)

    @property
    def group_ns(self) -> int:
        """The longest of the last groups of pictures; 0 before the first has ended."""
        return max(self._groups_ns, default=0)

    @property
    def unfit(self) -> WakeReason | None:
        """Why this stream's pictures are all decoded whatever they show; None when they need not be."""
        if self.group_ns > nanoseconds(self._limits.group_s):
            return WakeReason.KEYS_APART
        return WakeReason.ALL_KEYS if 0 < self._pictures_of_group < _SHORTEST_GROUP else None

    def add_packet(self, pts_ns: int, *, is_key: bool) -> None:
        """A picture's packet came."""
        if is_key:
            if self._last_key_ns is not None and pts_ns > self._last_key_ns:
                self._groups_ns.append(pts_ns - self._last_key_ns)
                self._pictures_of_group = self._pictures
            self._last_key_ns, self._pictures = pts_ns, 0
        self._pictures += 1

    def is_overdue(self, pts_ns: int) -> bool:
        """Whether the next key picture should have come before ``pts_ns``."""
        if self._last_key_ns is None:
            return False
        return pts_ns - self._last_key_ns > max(self.group_ns, NS_PER_S // 2) + nanoseconds(self._limits.late_s)

    def keep_awake(self, reason: WakeReason, now_ns: int) -> None:
        """Note a reason to be awake at ``now_ns``."""
        if self._since_ns is None or now_ns > self._since_ns:
            self.reason, self._since_ns = reason, now_ns

    def may_sleep(self, now_ns: int) -> bool:
        """Whether the camera may fall quiet with a key picture that arrives at ``now_ns``."""
        is_calm = self._since_ns is None or now_ns - self._since_ns >= self._calm_ns
        return is_calm and bool(self._groups_ns) and self.unfit is None


class PictureReference:
    """Whether a camera's picture differs from the reference by more than its noise and its coding do.

    Key pictures look alike, other pictures less so: among all pictures ``_CODING`` grey levels more still count as the
    same. The reference is the last picture that differed, or the key picture that the camera fell quiet with.
    """

    _NOISE_RATE = 0.1
    _CODING = 2.0

    def __init__(self, height: int, width: int) -> None:
        self._means = BlockMeans(height, width)
        self._now, self._before, self._reference = (np.zeros(self._means.shape, np.uint8) for _ in range(3))
        self._noise = 0.0
        self._has_before = self._has_reference = False

    def moves(self, image: U8) -> bool:
        """Compare any picture u8[H,W,3] with the reference, which it becomes when it differs."""
        differs = self._differs(image, self._CODING)
        if differs:
            np.copyto(self._reference, self._before)
        return differs

    def settle(self, image: U8) -> bool:
        """Compare a key picture u8[H,W,3] as `moves` does; it becomes the reference."""
        differs = self._differs(image, self._CODING)
        np.copyto(self._reference, self._before)
        return differs

    def key_differs(self, image: U8) -> bool:
        """Compare a later key picture with the one of `settle`."""
        return self._differs(image, 0.0)

    def forget(self) -> None:
        """Take the next picture as the reference."""
        self._has_before = self._has_reference = False

    def _differs(self, image: U8, more: float) -> bool:
        self._means.reduce(image, self._now)
        if self._has_before:
            self._noise += self._NOISE_RATE * (pair_noise(self._now, self._before) - self._noise)
        limit = self._means.limit(self._noise) + more
        differs = self._has_reference and self._means.differ(self._now, self._reference, limit)
        if not self._has_reference:
            np.copyto(self._reference, self._now)
        self._now, self._before = self._before, self._now
        self._has_before = self._has_reference = True
        return differs


class PacketSizes:
    """Whether packets are larger than any were while nothing changed: one alone, or half a second of them.

    Nothing stands out in the first seconds. The largest ones fade with a half-life of 10 s, when others take their
    place: those of a group of pictures count once a picture after them showed nothing new. Small packets say nothing:
    sizes never let sleep.
    """

    _SPAN_NS = NS_PER_S // 2
    _HALF_LIFE_NS = 10 * NS_PER_S
    _FIRST_NS = 9 * NS_PER_S // 2  # two groups of pictures

    def __init__(self, limits: WakeLimits = DEFAULT_WAKE_LIMITS) -> None:
        self._limits = limits
        self._recent: deque[tuple[int, int]] = deque()
        self._sum = 0
        self._usual_packet = self._usual_sum = 0.0
        self._new_packet = self._new_sum = 0
        self._now_ns = self._confirmed_ns = 0
        self._first_ns: int | None = None

    def jump(self, pts_ns: int, size: int) -> bool:
        """Add a packet of ``size`` bytes that is no key picture's; whether it stands out."""
        while self._recent and not 0 <= pts_ns - self._recent[0][0] < self._SPAN_NS:
            self._sum -= self._recent.popleft()[1]
        self._recent.append((pts_ns, size))
        self._sum += size
        self._now_ns = pts_ns
        if self._first_ns is None or pts_ns < self._first_ns:
            self._first_ns = self._confirmed_ns = pts_ns
        self._new_packet, self._new_sum = max(self._new_packet, size), max(self._new_sum, self._sum)
        if pts_ns - self._first_ns < self._FIRST_NS:
            return False
        limits = self._limits
        stands_out = size > limits.packet * self._usual_packet + limits.size_bytes
        return stands_out or self._sum > limits.size * self._usual_sum + limits.size_bytes

    def confirm(self) -> None:
        """What came since the last call shows nothing new."""
        faded = 0.5 ** min(60.0, max(0, self._now_ns - self._confirmed_ns) / self._HALF_LIFE_NS)
        self._usual_packet = max(self._usual_packet * faded, float(self._new_packet))
        self._usual_sum = max(self._usual_sum * faded, float(self._new_sum))
        self.discard()

    def discard(self) -> None:
        """What came since the last call shows something new."""
        self._new_packet = self._new_sum = 0
        self._confirmed_ns = self._now_ns
