"""Matchers for composite rules: parts in order (`SequenceMatcher`) or in any (`AllOfMatcher`), within a time. Pure.

They need no threshold: the result is the highest value that all parts reached, while the newest part is present, so it
can be compared with any threshold. An unknown value is None, never zero.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

LEAST_VALUE = 0.01
"""Values below this are ignored."""
NEGLIGIBLE = 1e-3
"""An unknown value is ignored when it could change the result by no more than this."""

PartValues = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class ChainLink:
    """Part number ``part`` reached ``value`` at ``t_ns``."""

    part: int
    t_ns: int
    value: float


@dataclass(frozen=True, slots=True)
class EventChain:
    """A match: the least of the links' values, and the links in order of time."""

    value: float
    links: tuple[ChainLink, ...]

    @property
    def begin_ns(self) -> int:
        """The time of the first link."""
        return self.links[0].t_ns


NO_CHAIN = EventChain(0.0, ())


class CompositeMatcher(Protocol):
    """Matches the values of all parts, window by window, in order of time."""

    def advance(self, t_ns: int, values: PartValues, times: int = 1) -> EventChain | None:
        """The match at ``t_ns``; None when it is unknown. ``times``: how often the part occurred in this window."""
        ...


class SequenceMatcher:
    """Parts 0..n-1 one after the other, the last of them now, the first at most ``within_ns`` ago.

    Parts may coincide, unless a part is required again (``repeats``): then each needs a time of its own.
    """

    def __init__(self, parts: int, within_ns: int, *, repeats: bool) -> None:
        self._within_ns = within_ns
        self._repeats = repeats
        self._begun: list[list[EventChain]] = [[] for _ in range(parts - 1)]  # by the number of links, less one

    def advance(self, t_ns: int, values: PartValues, times: int = 1) -> EventChain | None:
        """See `CompositeMatcher`."""
        self._begun = [[c for c in chains if t_ns - c.begin_ns <= self._within_ns] for chains in self._begun]
        best = NO_CHAIN
        for _ in range(max(times, 1)):
            best = max(best, self._once(t_ns, values), key=lambda chain: chain.value)
        if values[-1] is None:
            return None if any(chain.value > NEGLIGIBLE for chain in self._begun[-1]) else NO_CHAIN
        return best

    def _once(self, t_ns: int, values: PartValues) -> EventChain:
        before = list(self._begun) if self._repeats else self._begun
        for part, value in enumerate(values):
            longer = self._longer(before, part, t_ns, value) if value is not None and value >= LEAST_VALUE else []
            if part == len(values) - 1:
                return max(longer, key=lambda chain: chain.value, default=NO_CHAIN)
            if longer:
                self._begun[part] = _best(self._begun[part] + longer)
        raise AssertionError("a sequence has parts")

    @staticmethod
    def _longer(begun: Sequence[Sequence[EventChain]], part: int, t_ns: int, value: float) -> list[EventChain]:
        link = ChainLink(part, t_ns, value)
        if part == 0:
            return [EventChain(value, (link,))]
        return [EventChain(min(chain.value, value), (*chain.links, link)) for chain in begun[part - 1]]


class AllOfMatcher:
    """All parts in any order, one of them now, the others at most ``within_ns`` ago."""

    def __init__(self, parts: int, within_ns: int) -> None:
        self._within_ns = within_ns
        self._highest: list[deque[ChainLink]] = [deque() for _ in range(parts)]  # falling values, rising times

    def advance(self, t_ns: int, values: PartValues, times: int = 1) -> EventChain | None:  # noqa: ARG002
        """See `CompositeMatcher`; ``times`` makes no difference."""
        for part, value in enumerate(values):
            links = self._highest[part]
            while links and t_ns - links[0].t_ns > self._within_ns:
                links.popleft()
            if value is not None and value >= LEAST_VALUE:
                while links and links[-1].value <= value:
                    links.pop()
                links.append(ChainLink(part, t_ns, value))
        best = [links[0] if links else None for links in self._highest]
        surely = _together(t_ns, values, best)
        if None not in values:
            return surely
        perhaps = [ChainLink(n, t_ns, 1.0) if value is None else link for n, (value, link) in _numbered(values, best)]
        at_most = _together(t_ns, [1.0 if value is None else value for value in values], perhaps)
        return surely if at_most.value - surely.value <= NEGLIGIBLE else None


def _numbered(values: PartValues, best: Sequence[ChainLink | None]) -> enumerate[tuple[float | None, ChainLink | None]]:
    return enumerate(zip(values, best, strict=True))


def _together(t_ns: int, values: PartValues, best: Sequence[ChainLink | None]) -> EventChain:
    """The best match of one part now with the best of each other part."""
    found = NO_CHAIN
    for part, value in enumerate(values):
        others = [link for n, link in enumerate(best) if n != part]
        if value is None or value < LEAST_VALUE or None in others:
            continue
        links = [ChainLink(part, t_ns, value), *(link for link in others if link is not None)]
        least = min(link.value for link in links)
        if least > found.value:
            found = EventChain(least, tuple(sorted(links, key=lambda link: (link.t_ns, link.part))))
    return found


def _best(chains: list[EventChain]) -> list[EventChain]:
    """The chains that no other chain beats in both value and begin."""
    kept: list[EventChain] = []
    for chain in sorted(chains, key=lambda c: (-c.begin_ns, -c.value)):
        if not kept or chain.value > kept[-1].value:
            kept.append(chain)
    return kept
