"""Which events found which labelled spans.

An event finds a span when they overlap, the span taken ``TOLERANCE_BEFORE_S`` longer before and ``TOLERANCE_AFTER_S``
longer behind: a window ends after what it shows began, and a sound stays in the window for two seconds. Each span
counts once. An event that overlaps no span is false, and so is one that goes on for more than ``MAX_OUTSIDE_S`` outside
of all spans: what is always on finds nothing. A further event on a span that was found already is neither true nor
false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.tune.judge import EventInterval
from edge.tune.labels import LabelledSpan

TOLERANCE_BEFORE_S = 1.0
TOLERANCE_AFTER_S = 3.0
MAX_OUTSIDE_S = 30.0


@dataclass(frozen=True, slots=True)
class MatchResult:
    """Indices: ``missed`` of spans, ``false`` of events; ``found`` counts spans."""

    found: int
    missed: tuple[int, ...]
    false: tuple[int, ...]


def match_events(events: Sequence[EventInterval], spans: Sequence[LabelledSpan]) -> MatchResult:
    """Events and spans of one label of one recording."""
    fit = [event for event in events if not is_false(event, spans)]
    hit = [any(overlap(event, span) for event in fit) for span in spans]
    false = [i for i, event in enumerate(events) if is_false(event, spans)]
    return MatchResult(sum(hit), tuple(i for i, there in enumerate(hit) if not there), tuple(false))


def is_false(event: EventInterval, spans: Sequence[LabelledSpan]) -> bool:
    """Whether the event overlaps no span, or lasts too long beside them."""
    near = sorted((s.begin_s - TOLERANCE_BEFORE_S, s.end_s + TOLERANCE_AFTER_S) for s in spans if overlap(event, s))
    outside_s, at_s = 0.0, event.begin_s
    for begin_s, end_s in near:
        outside_s += max(0.0, begin_s - at_s)
        at_s = max(at_s, end_s)
    return not near or outside_s + max(0.0, event.end_s - at_s) > MAX_OUTSIDE_S


def overlap(event: EventInterval, span: LabelledSpan) -> bool:
    """Whether the event finds the span."""
    return event.begin_s <= span.end_s + TOLERANCE_AFTER_S and event.end_s >= span.begin_s - TOLERANCE_BEFORE_S


def outside(media_s: NDArray[np.float64], spans: Sequence[LabelledSpan]) -> NDArray[np.bool_]:
    """Which windows [n] lie outside all spans and their slack."""
    free = np.ones(len(media_s), bool)
    for span in spans:
        free &= (media_s < span.begin_s - TOLERANCE_BEFORE_S) | (media_s > span.end_s + TOLERANCE_AFTER_S)
    return free
