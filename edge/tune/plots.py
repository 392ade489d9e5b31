"""Plots as inline SVG without a library: curves over thresholds, and events along a recording."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from edge.tune.labels import LabelledSpan
from edge.tune.offline_detector import EventInterval

F64 = NDArray[np.float64]
Scale = Callable[[float], float]
WIDE, HIGH = 470, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 34
STRIP, STRIP_LEFT, STRIP_RIGHT, STRIP_HIGH = 960, 46, 22, 56
ROW = 7


def linear_scale(from_: float, to: float, low: float, high: float) -> Scale:
    """A linear scale from ``from_``..``to`` to ``low``..``high`` of the picture."""
    width = (to - from_) or 1.0
    return lambda value: low + (value - from_) / width * (high - low)


def square_root_scale(most: float, low: float, high: float) -> Scale:
    """A square-root scale from 0..``most``: a few alarms a day and hundreds on one axis."""
    return lambda value: low + math.sqrt(max(value, 0) / (most or 1.0)) * (high - low)


def share_plot(
    thresholds: F64,
    curves: Sequence[tuple[str, F64, F64 | None]],
    marks: Sequence[tuple[str, float]],
) -> str:
    """Curves of shares 0..1 over thresholds [T], each with a class, values [T] and a band [2,T]."""
    x, y = linear_scale(0, 1, LEFT, WIDE - RIGHT), linear_scale(0, 1, HIGH - BOTTOM, TOP)
    ticks = [(share, f"{share:.0%}") for share in (0, 0.25, 0.5, 0.75, 1)]
    parts = [_frame(x, y, ticks)]
    for kind, values, band in curves:
        if band is not None:
            parts.append(_band(thresholds, band, x, y, kind))
        parts.append(_curve(thresholds, values, x, y, kind))
    return _svg(WIDE, HIGH, [*parts, *_marks(marks, x)], "recall and precision over the threshold")


def rate_plot(thresholds: F64, values: F64, band: F64 | None, target: float, marks: Sequence[tuple[str, float]]) -> str:
    """False alarms per day [T] over thresholds [T], with the requested level."""
    finite = values[np.isfinite(values)]
    most = max(float(finite.max()) if len(finite) else 0.0, target * 2, 1.0)
    x, y = linear_scale(0, 1, LEFT, WIDE - RIGHT), square_root_scale(most, HIGH - BOTTOM, TOP)
    parts = [_frame(x, y, _rate_ticks(most))]
    if band is not None:
        parts.append(_band(thresholds, np.minimum(band, most), x, y, "false"))
    at = y(target)
    parts.append(f'<line class="asked" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
    parts.append(
        f'<text class="asked" x="{WIDE - RIGHT - 4}" y="{at - 5:.1f}" text-anchor="end">asked: {target:g}</text>'
    )
    parts.append(_curve(thresholds, values, x, y, "false"))
    return _svg(WIDE, HIGH, [*parts, *_marks(marks, x)], "false alarms a day over the threshold")


def timeline_plot(
    media_s: F64,
    values: F64,
    spans: Sequence[LabelledSpan],
    events: Sequence[tuple[str, Sequence[EventInterval]]],
    levels: Sequence[tuple[str, float]],
    length_s: float,
) -> str:
    """One label along one recording: the score, labelled spans behind it, and rows of events beneath it."""
    high = STRIP_HIGH + ROW * len(events) + 22
    x, y = linear_scale(0, max(length_s, 1e-3), STRIP_LEFT, STRIP - STRIP_RIGHT), linear_scale(0, 1, STRIP_HIGH, 6)
    wide = STRIP - STRIP_RIGHT - STRIP_LEFT
    parts = [f'<rect class="ground" x="{STRIP_LEFT}" y="6" width="{wide}" height="{STRIP_HIGH - 6}"/>']
    for span in spans:
        width = max(x(span.end_s) - x(span.begin_s), 1.5)
        title = f"{span.label} {clock_time(span.begin_s)}–{clock_time(span.end_s)}"
        parts.append(_box("span", x(span.begin_s), 6, width, STRIP_HIGH - 6, title))
    parts.append(_skyline(media_s, values, x, y))
    for kind, level in levels:
        at = y(level)
        parts.append(f'<line class="{kind}" x1="{STRIP_LEFT}" x2="{STRIP - STRIP_RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
    for k, (kind, found) in enumerate(events):
        top = STRIP_HIGH + 3 + k * ROW
        parts.append(f'<text class="row" x="{STRIP_LEFT - 5}" y="{top + 5}" text-anchor="end">{escape(kind)}</text>')
        for event in found:
            title = f"{kind}: {clock_time(event.begin_s)}–{clock_time(event.end_s)}, peak {event.peak:.2f}"
            parts.append(_box(kind, x(event.begin_s), top, max(x(event.end_s) - x(event.begin_s), 2), ROW - 2, title))
    parts += [
        f'<text x="{x(t):.1f}" y="{high - 5}" text-anchor="middle">{clock_time(t)}</text>' for t in time_ticks(length_s)
    ]
    parts.append(f'<text x="{STRIP_LEFT - 5}" y="{y(1.0) + 3:.1f}" text-anchor="end">1</text>')
    return _svg(STRIP, high, parts, "score along the recording")


def clock_time(s: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    whole = int(s)
    hours, minutes, left = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def time_ticks(length_s: float) -> list[float]:
    """Round times along a recording, at most about ten."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600)
    step = next((s for s in steps if length_s / s <= 10), 43200)
    return [k * step for k in range(int(length_s // step) + 1)]


def _frame(x: Scale, y: Scale, ticks: Sequence[tuple[float, str]]) -> str:
    parts = []
    for value, text in ticks:
        at = y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    floor = HIGH - BOTTOM + 16
    parts += [f'<text x="{x(k / 5):.1f}" y="{floor}" text-anchor="middle">{k / 5:g}</text>' for k in range(6)]
    parts.append(f'<text class="axis" x="{(LEFT + WIDE) / 2:.0f}" y="{HIGH - 3}" text-anchor="middle">enter</text>')
    return "".join(parts)


def _rate_ticks(most: float) -> list[tuple[float, str]]:
    steps = [0.0, *(m * 10.0**e for e in range(-1, 6) for m in (1, 2, 5))]
    shown: list[float] = []
    for value in (s for s in steps if s <= most):
        if not shown or math.sqrt(value / most) - math.sqrt(shown[-1] / most) >= 0.14:
            shown.append(value)
    return [(value, f"{value:g}") for value in shown]


def _curve(at: F64, values: F64, x: Scale, y: Scale, kind: str) -> str:
    points = [(x(float(a)), y(float(v))) for a, v in zip(at, values, strict=True) if np.isfinite(v)]
    if not points:
        return ""
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    return f'<polyline class="curve {kind}" points="{path}"/>'


def _band(at: F64, band: F64, x: Scale, y: Scale, kind: str) -> str:
    there = np.isfinite(band).all(axis=0)
    if np.count_nonzero(there) < 2:
        return ""
    low = [f"{x(float(a)):.1f},{y(float(v)):.1f}" for a, v in zip(at[there], band[0, there], strict=True)]
    high = [f"{x(float(a)):.1f},{y(float(v)):.1f}" for a, v in zip(at[there], band[1, there], strict=True)]
    return f'<polygon class="band {kind}" points="{" ".join([*low, *reversed(high)])}"/>'


def _marks(marks: Sequence[tuple[str, float]], x: Scale) -> list[str]:
    return [
        f'<line class="{kind}" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{TOP}" y2="{HIGH - BOTTOM}">'
        f"<title>{kind}: {at:g}</title></line>"
        for kind, at in marks
    ]


def _box(kind: str, left: float, top: float, width: float, high: float, title: str) -> str:
    return (
        f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{high}" rx="1.5">'
        f"<title>{escape(title)}</title></rect>"
    )


def _skyline(media_s: F64, values: F64, x: Scale, y: Scale) -> str:
    """The highest value of every pixel as a filled shape, with gaps where there are no windows."""
    known = ~np.isnan(values)
    pixel = np.array([x(float(t)) for t in media_s[known]]).round().astype(np.int64)
    if not len(pixel):
        return ""
    columns, first = np.unique(pixel, return_index=True)
    highest = np.maximum.reduceat(values[known], first)
    hop = max(2.0, float(np.median(np.diff(columns))) * 1.6) if len(columns) > 1 else 2.0
    runs = np.split(np.arange(len(columns)), np.flatnonzero(np.diff(columns) > hop) + 1)
    shapes = []
    for run in runs:
        points = " ".join(f"{columns[i]},{y(float(highest[i])):.1f}" for i in run)
        ground = y(0.0)
        shapes.append(
            f'<polygon class="score" points="{columns[run[0]]},{ground} {points} {columns[run[-1]]},{ground}"/>'
        )
    return "".join(shapes)


def _svg(width: int, high: int, parts: Sequence[str], name: str) -> str:
    return f'<svg viewBox="0 0 {width} {high}" role="img" aria-label="{escape(name)}">{"".join(parts)}</svg>'
