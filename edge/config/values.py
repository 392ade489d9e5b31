"""Value types that several sections of config.yaml share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""How the environment variable NAME is written: ``${NAME}``."""
MOST_CORNERS = 64
Duration = Annotated[float, Field(ge=0)]
EventName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Severity = Literal["info", "warning", "alert"]


def _probability(value: Any) -> Any:
    if isinstance(value, int | float) and not 0 <= value <= 1:
        raise ValueError(f"must be a probability between 0 and 1{percent_hint(value)}")
    return value


def percent_hint(value: float) -> str:
    """A question for the user when a probability looks like per cent; else empty."""
    return f"; did you mean {value / 100:g}?" if 1 < value <= 100 else ""


Probability = Annotated[float, Field(ge=0, le=1), BeforeValidator(_probability)]
AboveZero = Annotated[float, Field(gt=0, le=1), BeforeValidator(_probability)]
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


def _polygon(value: Any) -> tuple[Point, ...]:
    points = _corners(value)
    if not 3 <= len(points) <= MOST_CORNERS:
        raise ValueError(f"has {_counted(len(points))}; an area has 3 to {MOST_CORNERS}")
    following = (*points[1:], points[0])
    doubled = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, following, strict=True))
    if abs(doubled) < 1e-6:
        raise ValueError("has no area: give the corners in order, as in [[0.1, 0.2], [0.9, 0.2], [0.9, 1]]")
    return points


def _segment(value: Any) -> tuple[Point, ...]:
    points = _corners(value)
    if len(points) != 2:
        raise ValueError(f"has {_counted(len(points))}; a line has 2")
    if points[0] == points[1]:
        raise ValueError("needs two different points")
    return points


def _corners(value: Any) -> tuple[Point, ...]:
    """The corners of an area or the ends of a line; errors name the corner."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError("must be a list of corners, as in [[0.1, 0.2], [0.9, 0.2], [0.9, 1]]")  # noqa: TRY004 - for pydantic
    return tuple(_corner(k, corner) for k, corner in enumerate(value, start=1))


def _corner(number: int, value: Any) -> Point:
    try:
        x, y = (float(part) for part in value)
    except (TypeError, ValueError):
        raise ValueError(f"corner {number} must be two numbers, as in [0.1, 0.2]") from None
    if not (0 <= x <= 1 and 0 <= y <= 1):
        pixels = "; divide pixels by the picture's width and height" if max(x, y) > 1 else ""
        raise ValueError(f"corner {number} ({x:g}, {y:g}) is outside the picture, which goes from 0 to 1{pixels}")
    return x, y


def _counted(corners: int) -> str:
    return f"{corners} corner{'' if corners == 1 else 's'}"


Listen = Annotated[str, AfterValidator(_listen)]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3, max_length=MOST_CORNERS), BeforeValidator(_polygon)]
Segment = Annotated[tuple[Point, Point], BeforeValidator(_segment)]
