"""Where a rule's values come from: its own, what was commanded or learned, the defaults, the model's advice."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from edge.config.rules import RuleConfig
from edge.engine.manifest import Label

_T = TypeVar("_T")


class ValueOrigin(str, Enum):
    """Where a value came from; ``default`` is the model's advice or built in."""

    DEFAULT = "default"
    LEARNED = "learned"
    CONFIG = "config"
    COMMAND = "command"


def first_given(own: _T | None, defaults: _T | None, otherwise: _T) -> tuple[_T, ValueOrigin]:
    """The first that is given."""
    for value in (own, defaults):
        if value is not None:
            return value, ValueOrigin.CONFIG
    return otherwise, ValueOrigin.DEFAULT


def enter_and_leave(
    command: float | None, own: RuleConfig, learned: float | None, defaults: RuleConfig, advice: Label
) -> tuple[float, ValueOrigin, float, ValueOrigin]:
    """enter and leave. A leave that stands beside or below another enter than the one in force was meant for that one:
    2/3 of enter then. ``defaults.enter`` is the least for every label: it raises the model's advice, never lowers it.
    """
    levels: tuple[tuple[ValueOrigin, float | None, float | None], ...] = (
        (ValueOrigin.COMMAND, command, None),
        (ValueOrigin.CONFIG, own.enter, own.leave),
        (ValueOrigin.LEARNED, learned, None),
        (ValueOrigin.CONFIG, *_raising(defaults, advice)),
        (ValueOrigin.DEFAULT, advice.enter, advice.leave),
    )
    leave: tuple[float, ValueOrigin] | None = None
    for origin, enter, own_leave in levels:
        if own_leave is not None and leave is None:
            leave = own_leave, origin
        if enter is not None:
            value, leave_from = leave or (round(enter * 2 / 3, 4), origin)
            return enter, origin, min(value, enter), leave_from
    raise AssertionError("a label always advises enter")


def _raising(defaults: RuleConfig, advice: Label) -> tuple[float | None, float | None]:
    """enter and leave of ``defaults``, as far as they are about a label with this advice."""
    if defaults.enter is not None and defaults.enter < advice.enter:
        return None, None
    return defaults.enter, defaults.leave
