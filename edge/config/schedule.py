"""Parses schedules: ``22:00-06:00``, ``sunset-sunrise``, ``mon-fri 18:00-07:00``, ``always``. Pure.

`edge.detect.schedule` computes the actual times at a place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ALWAYS = "always"
MINUTES_A_DAY = 1440
_EVERY_DAY = frozenset(range(7))
MOST_OFFSET_MIN = 720
_LONGEST = 100
_CLOCK = re.compile(r"^(\d{1,2}):(\d{2})$")
_SUN = re.compile(r"^(sunrise|sunset)(?:([+-])(\d{1,2}):(\d{2}))?$")
_TYPICAL_MINUTES = {"clock": 0, "sunrise": 6 * 60, "sunset": 18 * 60}
_SYNTAX = (
    'write it as "22:00-06:00", "sunset-sunrise", "sunset+00:30-23:00", "mon-fri 18:00-07:00", "sat-sun" or "always"'
)


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """A time of day: ``minutes`` after midnight, or after sunrise or sunset (negative: before)."""

    base: Literal["clock", "sunrise", "sunset"]
    minutes: int

    @property
    def typical_minutes(self) -> int:
        """Minutes after midnight, with sunrise taken for six and sunset for eighteen hours."""
        return _TYPICAL_MINUTES[self.base] + self.minutes


@dataclass(frozen=True, slots=True)
class ScheduleSpan:
    """From ``begin`` to ``end`` on the days (0 is Monday) on which it begins."""

    days: frozenset[int]
    begin: TimeOfDay
    end: TimeOfDay

    @property
    def lasts_into_next_day(self) -> bool:
        """Whether ``end`` is one of the next day; of times by the sun the usual ones decide."""
        return self.end.typical_minutes <= self.begin.typical_minutes

    @property
    def needs_sun(self) -> bool:
        """Whether it depends on where the box stands."""
        return self.begin.base != "clock" or self.end.base != "clock"


def parse_schedule(text: str) -> tuple[ScheduleSpan, ...]:
    """One line of a schedule; none for ``always``. ValueError says what is wrong and how to write it."""
    if len(text) > _LONGEST:
        raise ValueError(f"a line of more than {_LONGEST} characters is no schedule; {_SYNTAX}")
    words = re.sub(r"\s*([-,+])\s*", r"\1", text.lower()).split()
    if words == [ALWAYS]:
        return ()
    if not 1 <= len(words) <= 2:
        raise ValueError(f"{text!r} is no schedule; {_SYNTAX}")
    if len(words) == 2:
        return (_span(_days(words[0], text), words[1], text),)
    is_days = re.split("[-,]", words[0])[0] in DAYS
    return (_span(_days(words[0], text), "00:00-24:00", text) if is_days else _span(_EVERY_DAY, words[0], text),)


def parse_schedules(schedule: str | tuple[str, ...] | None) -> tuple[ScheduleSpan, ...]:
    """Every span of a schedule; none when it is always active."""
    lines = (schedule,) if isinstance(schedule, str) else schedule or ()
    parsed = [parse_schedule(line) for line in lines]
    return tuple(span for spans in parsed for span in spans) if all(parsed) else ()


def describe_schedule(schedule: str | tuple[str, ...]) -> str:
    """The schedule in words."""
    return schedule if isinstance(schedule, str) else " or ".join(schedule)


def _check(schedule: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if not schedule:
        raise ValueError(f"is empty; {_SYNTAX}")
    parse_schedules(schedule)
    return schedule


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"no time zone {name!r}; name it as in Europe/Berlin or UTC") from error
    return name


TimeZone = Annotated[str, AfterValidator(_time_zone)]
Schedule = Annotated[str | tuple[str, ...], AfterValidator(_check)]


def _span(days: frozenset[int], times: str, text: str) -> ScheduleSpan:
    ends = _split_times(times)
    if ends is None:
        raise ValueError(f"{text!r} has no two times with a - between; {_SYNTAX}")
    begin, end = _moment(ends[0], text, is_end=False), _moment(ends[1], text, is_end=True)
    if begin == end:
        raise ValueError(f"{text!r} begins and ends at once; for whole days write 00:00-24:00")
    return ScheduleSpan(days, begin, end)


def _split_times(times: str) -> tuple[str, str] | None:
    """The two times; a - before an offset of the sun parts nothing."""
    for i, sign in enumerate(times):
        begin, end = times[:i], times[i + 1 :]
        if sign == "-" and all(_CLOCK.match(part) or _SUN.match(part) for part in (begin, end)):
            return begin, end
    halves = times.split("-")
    return (halves[0], halves[1]) if len(halves) == 2 else None


def _moment(part: str, text: str, *, is_end: bool) -> TimeOfDay:
    if match := _CLOCK.match(part):
        minutes = _minutes(match[1], match[2], part, text)
        if minutes > MINUTES_A_DAY - (not is_end):
            raise ValueError(f"{text!r}: {part} is no time of day; the day goes from 00:00 to 24:00")
        return TimeOfDay("clock", minutes)
    if match := _SUN.match(part):
        offset = _minutes(match[3], match[4], part, text) if match[2] else 0
        if offset > MOST_OFFSET_MIN:
            raise ValueError(f"{text!r}: {part} is further from the sun than 12:00")
        base: Literal["sunrise", "sunset"] = "sunrise" if match[1] == "sunrise" else "sunset"
        return TimeOfDay(base, -offset if match[2] == "-" else offset)
    raise ValueError(f"{text!r}: {part!r} is neither a time such as 22:00 nor sunrise or sunset; {_SYNTAX}")


def _minutes(hours: str, minutes: str, part: str, text: str) -> int:
    if int(minutes) > 59:
        raise ValueError(f"{text!r}: {part} has more than 59 minutes")
    return int(hours) * 60 + int(minutes)


def _days(word: str, text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in word.split(","):
        ends = part.split("-")
        unknown = [name for name in ends if name not in DAYS]
        if unknown or len(ends) > 2:
            raise ValueError(f"{text!r}: {unknown[0] if unknown else part!r} is no day; days are {', '.join(DAYS)}")
        first, last = DAYS.index(ends[0]), DAYS.index(ends[-1])
        days |= {(first + n) % 7 for n in range((last - first) % 7 + 1)}
    return frozenset(days)
