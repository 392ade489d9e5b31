"""Kinds of values that several sections of config.yaml share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Duration = Annotated[float, Field(ge=0)]
EventName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Severity = Literal["info", "warning", "alert"]
Point = tuple[Probability, Probability]
"""x and y in 0..1 of the camera's picture, from its top left corner."""


def split_listen(value: str) -> tuple[str, int]:
    """``host:port`` apart; ValueError says how to write it."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("must be host:port, as in 127.0.0.1:9108")
    return host.strip("[]"), int(port)


def _listen(value: str) -> str:
    split_listen(value)
    return value


def _polygon(points: tuple[Point, ...]) -> tuple[Point, ...]:
    following = (*points[1:], points[0])
    doubled = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, following, strict=True))
    if abs(doubled) < 1e-6:
        raise ValueError("has no area: give the corners in order, as in [[0.1, 0.2], [0.9, 0.2], [0.9, 1]]")
    return points


def _segment(points: tuple[Point, Point]) -> tuple[Point, Point]:
    if points[0] == points[1]:
        raise ValueError("needs two different points")
    return points


Listen = Annotated[str, AfterValidator(_listen)]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3, max_length=64), AfterValidator(_polygon)]
Segment = Annotated[tuple[Point, Point], AfterValidator(_segment)]
