"""Parses the time in a question: "last night", "monday between 22:00 and 2:00", "2 hours ago", "31 January". Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from edge.types import NS_PER_S

Span = tuple[datetime, datetime]
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_PARTS = {
    "morning": (5.0, 12.0),
    "noon": (11.0, 14.0),
    "lunchtime": (11.0, 14.0),
    "afternoon": (12.0, 18.0),
    "evening": (17.0, 23.0),
    "night": (20.0, 30.0),
    "midnight": (23.0, 25.0),
}
_LAST_NIGHT = (18.0, 30.0)  # the evening is meant, too
_UNITS = {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600, "h": 3600, "day": 86400}
_UNITS |= {"week": 7 * 86400}
_NUMBERS = {name: n for n, name in enumerate(("a", "two", "three", "four", "five", "six"), 1)} | {"an": 1, "one": 1}
_CLOCK = r"(\d{1,2})(?:[:.](\d{2}))?\s*(am|pm|h|o'?clock)?"
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_COUNT = r"(\d+|an?|one|two|three|four|five|six)"
_UNIT = r"(seconds?|secs?|minutes?|mins?|hours?|hrs?|h|days?|weeks?)"


@dataclass(frozen=True, slots=True)
class TimeExpression:
    """The time that a question asks about, as Unix nanoseconds (None: open), and the question without the words."""

    since_ns: int | None
    until_ns: int | None
    rest: str


def parse_time(text: str, now_wall_ns: int, tz: tzinfo) -> TimeExpression:
    """Extract the time from a question. A weekday means the most recent one; hours without a day mean the most recent
    ones that have begun."""
    now = datetime.fromtimestamp(now_wall_ns / NS_PER_S, tz)
    reader = _TimeParser(" ".join(text.lower().split()), now)
    reader.relative()
    if reader.since is None and reader.until is None:
        reader.day()
        reader.hours()
    return TimeExpression(_ns(reader.since), _ns(reader.until), " ".join(reader.text.split()))


class _TimeParser:
    """Removes what it understands from ``text``."""

    def __init__(self, text: str, now: datetime) -> None:
        self.text = text
        self.now = now
        self.since: datetime | None = None
        self.until: datetime | None = None
        self._day: date | None = None

    def relative(self) -> None:
        """ "2 hours ago", "in the last 3 days"."""
        if found := self._take(rf"\b{_COUNT}\s*{_UNIT}\s+ago\b"):
            count, unit = _count(found[1]), _unit(found[2])
            if unit >= 86400:
                day = (self.now - timedelta(seconds=count * unit)).date()
                self.since, self.until = self._span(day, 0, 24 * (7 if unit > 86400 else 1))
                return
            about = max(unit / 2, 0.25 * count * unit)
            middle = self.now - timedelta(seconds=count * unit)
            self.since, self.until = middle - timedelta(seconds=about), middle + timedelta(seconds=about)
        elif found := self._take(
            rf"\b(?:(?:in|over|during|within)\s+)?(?:the\s+)?(?:last|past)\s+{_COUNT}\s*{_UNIT}\b"
        ):
            self.since, self.until = self.now - timedelta(seconds=_count(found[1]) * _unit(found[2])), self.now
        elif found := self._take(r"\b(?:in\s+)?(?:the\s+)?(?:last|past)\s+(minute|hour|24h|24 h)\b"):
            size = {"minute": 60, "hour": 3600}.get(found[1], 86400)
            self.since, self.until = self.now - timedelta(seconds=size), self.now

    def day(self) -> None:
        """A day, days or a part of a day; sets the span and the day that hours refer to."""
        for pattern, means in self._days():
            if found := self._take(pattern):
                means(found)
                return

    def hours(self) -> None:
        """ "between 22:00 and 2:00", "after 22:00", "at 7 pm", within the named day or the last one."""
        if found := self._take(rf"\b(?:between|from)\s+{_CLOCK}\s+(?:and|to|until|till)\s+{_CLOCK}(?!\w)"):
            start, end = _hour(found, 1, half=found[6]), _hour(found, 4)
            if start is not None and end is not None and start > end:
                start = _hour(found, 1)  # "between 11 and 1 pm"
            if start is not None and end is not None:
                self.since, self.until = self._of_day(start, end if end > start else end + 24)
        elif found := self._take(rf"\b(after|since|before|until)\s+{_CLOCK}(?!\w)"):
            hour = _hour(found, 2)
            if hour is not None and found[1] in {"after", "since"}:
                whole = self._day is not None and self._day != self.now.date()
                self.since, until = self._of_day(hour, 24 if whole else hour + 24)
                self.until = min(until, self.now) if not whole else until
            elif hour is not None:
                self.since, self.until = self._span(self._day or self.now.date(), 0, hour)
        elif found := self._take(rf"\b(?:at|around|about)\s+{_CLOCK}(?!\w)"):
            hour = _hour(found, 1)
            if hour is not None:
                self.since, self.until = self._of_day(hour - 0.5, hour + 0.5)

    def _days(self) -> list[tuple[str, Callable[[re.Match[str]], None]]]:
        """The supported wordings, longer ones first."""
        parts = "|".join(_PARTS)
        before = r"\b(?:on\s+|in\s+|during\s+|since\s+)?(?:the\s+)?"
        return [
            (rf"{before}last night\b", lambda _: self._night(-1)),
            (rf"{before}(?:tonight|this night)\b", lambda _: self._night(0)),
            (rf"{before}day before yesterday(?:\s+({parts}))?\b", lambda m: self._on(self._ago(2), m[1])),
            (rf"{before}yesterday(?:\s+({parts}))?\b", lambda m: self._on(self._ago(1), m[1])),
            (rf"{before}(?:today|this)\s+({parts})\b", lambda m: self._on(self._ago(0), m[1])),
            (rf"{before}today\b", lambda _: self._on(self._ago(0), None)),
            (rf"{before}(last|this) (week|month)\b", lambda m: self._stretch(m[1], m[2])),
            (rf"{before}(?:last |this )?weekend\b", lambda _: self._weekend()),
            (rf"{before}(last )?({'|'.join(_DAYS)})s?(?:\s+({parts}))?\b", lambda m: self._weekday(m[1], m[2], m[3])),
            (rf"{before}(\d{{4}})-(\d{{2}})-(\d{{2}})\b", lambda m: self._date(m[3], m[2], m[1])),
            (rf"{before}(\d{{1,2}})\.\s?(\d{{1,2}})\.(\d{{4}})?", lambda m: self._date(m[1], m[2], m[3])),
            (rf"{before}(\d{{1,2}})(?:st|nd|rd|th)?\.?\s+(?:of\s+)?{_MONTH}(?:\s+(\d{{4}}))?\b",
             lambda m: self._date(m[1], str(_MONTHS.index(m[2]) + 1), m[3])),
            (rf"{before}{_MONTH}\s+(\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(\d{{4}}))?\b",
             lambda m: self._date(m[2], str(_MONTHS.index(m[1]) + 1), m[3])),
            (rf"{before}(?:at\s+)({parts})\b", lambda m: self._on(self._ago(0), m[1])),
        ]  # fmt: skip

    def _take(self, pattern: str) -> re.Match[str] | None:
        found = re.search(pattern, self.text)
        if found is not None:
            self.text = f"{self.text[: found.start()]} {self.text[found.end() :]}"
        return found

    def _ago(self, days: int) -> date:
        return self.now.date() - timedelta(days=days)

    def _on(self, day: date, part: str | None) -> None:
        self._day = day
        self.since, self.until = self._span(day, *(_PARTS[part] if part else (0.0, 24.0)))
        if part is not None and self.since > self.now:  # "at night", asked in the afternoon
            self.since, self.until = self._span(day - timedelta(days=1), *_PARTS[part])

    def _night(self, which: int) -> None:
        early = self.now.hour < 6  # the night is still on
        begin = self._ago(1) if which < 0 or early else self._ago(0)
        self._day = begin
        self.since, self.until = self._span(begin, *_LAST_NIGHT)

    def _stretch(self, which: str, unit: str) -> None:
        today = self.now.date()
        first = today.replace(day=1) if unit == "month" else today - timedelta(days=today.weekday())
        end = today + timedelta(days=1)
        if which == "last":
            end = first
            first = (first - timedelta(days=1)).replace(day=1) if unit == "month" else first - timedelta(days=7)
        self.since, self.until = self._at(first, 0), self._at(end, 0)

    def _weekend(self) -> None:
        saturday = self.now.date() - timedelta(days=(self.now.weekday() - 5) % 7)
        self.since, self.until = self._span(saturday, 0, 48)

    def _weekday(self, last: str | None, name: str, part: str | None) -> None:
        back = (self.now.weekday() - _DAYS.index(name)) % 7
        self._on(self._ago(back or (7 if last else 0)), part)

    def _date(self, day: str, month: str, year: str | None) -> None:
        try:
            found = date(int(year or self.now.year), int(month), int(day))
        except ValueError:
            return
        if year is None and found > self.now.date():
            found = found.replace(year=found.year - 1)
        self._on(found, None)

    def _of_day(self, start: float, end: float) -> Span:
        """Hours of the named day, or of the last day on which they have begun."""
        if self._day is not None:
            return self._span(self._day, start, end)
        since, until = self._span(self.now.date(), start, end)
        return (since, until) if since <= self.now else self._span(self._ago(1), start, end)

    def _span(self, day: date, start: float, end: float) -> Span:
        return self._at(day, start), self._at(day, end)

    def _at(self, day: date, hour: float) -> datetime:
        days, rest = divmod(hour, 24)
        midnight = datetime.combine(day + timedelta(days=days), time(), self.now.tzinfo)
        return midnight + timedelta(hours=rest)


def _count(text: str) -> int:
    return int(text) if text.isdigit() else _NUMBERS[text]


def _unit(text: str) -> int:
    return _UNITS[text] if text in _UNITS else _UNITS[text.removesuffix("s")]


def _hour(found: re.Match[str], group: int, half: str | None = None) -> float | None:
    """An hour of the day from the groups hour, minute, half (or else ``half``); None when that is no time."""
    hour, minute, half = int(found[group]), int(found[group + 1] or 0), found[group + 2] or half
    if half in {"am", "pm"}:
        hour = hour % 12 + (12 if half == "pm" else 0)
    return hour + minute / 60 if hour <= 24 and minute < 60 else None


def _ns(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp()) * NS_PER_S
