"""Whether a schedule is active: its spans on real days, with clock changes, sunrise and sunset. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge.config.models import LocationConfig
from edge.config.schedule import ScheduleSpan, TimeOfDay
from edge.types import NS_PER_S

_LOCALTIME = Path("/etc/localtime")
_A_DAY = timedelta(days=1)
_DAYS_AROUND = (-2, -1, 0, 1)  # days whose spans may contain a moment: spans last up to a day, sun spans begin late


class ActiveHours:
    """When the spans of one schedule are active. Pure, except that it caches the last answer."""

    def __init__(self, spans: tuple[ScheduleSpan, ...], location: LocationConfig) -> None:
        """Without spans it is always active."""
        self._spans = spans
        self._zone = zone_of(location)
        self._sun = SunTimes(location, self._zone)
        self._from_s = self._until_s = 0
        self._is_on = not spans

    def is_on(self, wall_ns: int) -> bool:
        """Whether Unix time ``wall_ns`` lies in one of the spans, begin included, end excluded."""
        now_s = wall_ns // NS_PER_S
        if self._spans and not self._from_s <= now_s < self._until_s:
            self._refresh(now_s)
        return self._is_on

    def _refresh(self, now_s: int) -> None:
        """Compute the answer at ``now_s``, and the span for which it stays the same."""
        today = datetime.fromtimestamp(now_s, self._zone).date()
        days = [today + timedelta(days=n) for n in _DAYS_AROUND]
        on = [(begin, end) for day in days for begin, end in self._on(day) if begin < end]
        edges = sorted({now_s - 1, now_s + 3600, *(edge for span in on for edge in span)})
        self._until_s = next(edge for edge in edges if edge > now_s)
        self._from_s = next(edge for edge in reversed(edges) if edge <= now_s)
        self._is_on = any(begin <= now_s < end for begin, end in on)

    def _on(self, day: date) -> Iterator[tuple[int, int]]:
        """Unix seconds of the spans that begin on ``day``.

        For times that the clocks show twice or skip, the reading with the longer span is used.
        """
        for span in self._spans:
            if day.weekday() in span.days:
                end_day = day + timedelta(days=1) if span.lasts_into_next_day else day
                yield min(self._readings(day, span.begin)), max(self._readings(end_day, span.end))

    def _readings(self, day: date, moment: TimeOfDay) -> tuple[int, ...]:
        if moment.base == "clock":
            return clock_readings(day, moment.minutes, self._zone)
        rise, sets = self._sun.rise_and_set(day)
        return ((rise if moment.base == "sunrise" else sets) + 60 * moment.minutes,)


class SunTimes:
    """Sunrise and sunset at a place, also near the poles, where the sun may not rise or set for months."""

    def __init__(self, location: LocationConfig, zone: tzinfo) -> None:
        self._location = location
        self._zone = zone
        self._known: dict[date, tuple[int, int]] = {}

    def rise_and_set(self, day: date) -> tuple[int, int]:
        """Unix seconds of both on ``day``. Both are noon when the sun stays down, and the day's begin and end when it
        stays up."""
        if day not in self._known:
            if len(self._known) > 16:
                self._known.clear()
            self._known[day] = self._computed(day)
        return self._known[day]

    def _computed(self, day: date) -> tuple[int, int]:
        from astral import Observer
        from astral.sun import noon, sunrise, sunset, zenith

        latitude, longitude = self._location.latitude, self._location.longitude
        if latitude is None or longitude is None:
            raise ValueError("a schedule by the sun needs location.latitude and location.longitude")
        observer = Observer(latitude, longitude)
        solar = timezone(timedelta(minutes=round(4 * longitude)))  # in which the sun's own day is one date
        midday = datetime(day.year, day.month, day.day, 12, tzinfo=self._zone)
        sun_day = day - timedelta(days=round((_offset(midday) - _offset(midday.replace(tzinfo=solar))) / _A_DAY))
        try:
            rise, sets = (int(at(observer, sun_day, solar).timestamp()) for at in (sunrise, sunset))
        except ValueError:
            highest = noon(observer, sun_day, solar)
            if zenith(observer, highest) > 90.0:
                return (int(highest.timestamp()),) * 2
            tomorrow = day + timedelta(days=1)
            return clock_readings(day, 0, self._zone)[0], clock_readings(tomorrow, 0, self._zone)[-1]
        return rise, sets


def clock_readings(day: date, minutes: int, zone: tzinfo) -> tuple[int, int]:
    """Unix seconds of ``minutes`` after midnight of ``day`` by local clocks: both readings of a time that is shown
    twice or skipped, else the same value twice."""
    shown = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)  # noqa: DTZ001 - the zone comes next
    first, second = (int(shown.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))
    return first, second


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta()


def zone_of(location: LocationConfig) -> tzinfo:
    """The configured time zone, else the machine's, else UTC."""
    if location.timezone is not None:
        return ZoneInfo(location.timezone)
    name = os.environ.get("TZ", "").removeprefix(":")
    try:
        if name:
            return ZoneInfo(name)
        with _LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return timezone.utc
