"""Sets how closely each camera is looked at, so that the box keeps up: less under load, more again when there is room.

Pure: it gets the load measured since the last call and returns the cameras for which something changes. Less is looked
at in this order: key pictures of quiet cameras, then longer hops of cameras without an open event, then of those with
one. A camera with a longer hop is still scored on time, while skipping windows would leave it to chance what is missed.

Two things are limited: the engine, which takes one window after the other, and the processor, for which decoding
competes with it. What a change saves or costs of each is planned with the relative costs below; how much of the box
that is follows from the measured load. A plan that was too bold shows in the next measurement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

STRIDES: Final = (1, 2, 4)
"""Every how many of the model's hops a camera is scored, and every how many key pictures a quiet one is looked at."""
SKIPPED_SHARE: Final = 0.02
"""Share of skipped due windows from which the box is behind."""
BEHIND_ROUNDS: Final = 2
"""Rounds in a row in which it must be behind before less is looked at, so that a short peak changes nothing."""
TARGET_UTILISATION: Final = 0.93
"""Share of the capacity that is planned to be used after cameras were slowed down."""
PROCESSOR_FULL: Final = 0.9
"""Share of the processor's time from which it is taken to be what limits a box that is behind."""
RECOVERY_UTILISATION: Final = 0.85
"""Share of the capacity up to which cameras are looked at more closely again."""
CALM_ROUNDS: Final = 3
"""Rounds in a row in which it is not behind before cameras are sped up."""
MOST_GROWTH: Final = 2.0
"""What is asked of the box grows by at most this factor in a round, because the costs are estimates."""
TRIAL_ROUNDS: Final = 10
"""Cameras were sped up in vain when the box is behind again within so many rounds."""
FIRST_PATIENCE: Final = 10
"""Rounds until what was in vain is tried again; twice as many after each further failure, at most `MOST_PATIENCE`."""
MOST_PATIENCE: Final = 900
LIGHTER: Final = 0.8
"""It is tried again at once when all cameras together cost less than this share of what they did when it failed."""

QUIET_WINDOW: Final = 0.25
"""A window of a quiet camera, in windows of a moving one: its pictures and mostly its sound are not encoded."""
DECODING: Final = 1.5
"""Reading and decoding a second of a moving camera, in processor time of one of its windows."""
KEY_PICTURES: Final = 0.3
"""Reading a second of a quiet camera and decoding its key pictures, in the same unit."""


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """Load over ``wall_s`` seconds: windows scored and skipped, and how long the engine was busy with them.

    ``processor`` is the share 0..1 of all cores' time that the process took; 0 where that is not known.
    """

    wall_s: float
    busy_s: float
    scored: int
    skipped: int
    processor: float = 0.0

    @property
    def engine(self) -> float:
        """Share 0..1 of the time in which the engine was busy."""
        return min(1.0, self.busy_s / self.wall_s) if self.wall_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Attention:
    """How closely a camera is looked at: every ``stride`` hops; while quiet, every ``key_stride`` key pictures."""

    stride: int = 1
    key_stride: int = 1


@dataclass(frozen=True, slots=True)
class _Cost:
    """What is asked of the engine and of the processor, in windows of a moving camera a second."""

    engine: float
    processor: float


@dataclass(frozen=True, slots=True)
class _UnitLoad:
    """Share of the capacity that one unit of `_Cost` takes, measured: of the engine and of the processor."""

    engine: float
    processor: float

    def utilisation(self, cost: _Cost) -> float:
        """Of whichever is nearer its limit."""
        return max(self.engine * cost.engine, self.processor * cost.processor)


class Governor:
    """The attention to some cameras; the model's hop is ``hop_s`` seconds."""

    def __init__(self, cameras: Sequence[str], hop_s: float) -> None:
        self._attention = dict.fromkeys(cameras, Attention())
        self._hop_s = hop_s
        self._quiet: frozenset[str] = frozenset()
        self._behind = self._calm = 0
        self._recent: deque[_UnitLoad] = deque(maxlen=CALM_ROUNDS)
        self._trial = _Trial()

    @property
    def attention(self) -> Mapping[str, Attention]:
        """By camera: how closely it is looked at."""
        return self._attention

    def advance(
        self, load: EngineLoad, open_cameras: Collection[str] = (), quiet_cameras: Collection[str] = ()
    ) -> list[str]:
        """Process the measured load; the cameras whose `attention` changed.

        Cameras with an open event (``open_cameras``) are slowed down last and sped up first. Of ``quiet_cameras`` key
        pictures alone are decoded.
        """
        due = load.scored + load.skipped
        if not due:
            return []
        self._quiet = frozenset(quiet_cameras)
        self._trial.pass_round()
        self._recent.append(self._unit_load(load))
        is_behind = load.skipped > SKIPPED_SHARE * due
        self._behind = self._behind + 1 if is_behind else 0
        self._calm = 0 if is_behind else self._calm + 1
        if self._behind >= BEHIND_ROUNDS:
            self._behind = 0
            self._trial.note_behind()
            return self._slow_down(load, self._recent[-1], open_cameras)
        if self._calm >= CALM_ROUNDS:
            return self._speed_up(open_cameras)
        return []

    def _unit_load(self, load: EngineLoad) -> _UnitLoad:
        """What a unit of the planned cost took of the box.

        Cameras that are off are taken for cheap ones: they are in the plan, but cost nothing.
        """
        due, cost = load.scored + load.skipped, self._cost(self._attention)
        surplus = max(1.0, due / load.wall_s / self._due_hz())  # windows that were due from before
        windows = cost.engine * surplus * load.scored / due
        decoding = cost.processor - cost.engine
        return _UnitLoad(load.engine / max(windows, 1e-9), load.processor / max(windows + decoding, 1e-9))

    def _due_hz(self) -> float:
        """Windows due per second while all cameras deliver."""
        return sum(1 / (self._hop_s * one.stride) for one in self._attention.values())

    def _cost(self, attention: Mapping[str, Attention]) -> _Cost:
        """What all cameras ask for when they are looked at so closely."""
        engine = decoding = 0.0
        for name, one in attention.items():
            is_quiet = name in self._quiet
            engine += (QUIET_WINDOW if is_quiet else 1.0) / (self._hop_s * one.stride)
            decoding += KEY_PICTURES / one.key_stride if is_quiet else DECODING
        return _Cost(engine, engine + decoding)

    def _in_full(self) -> float:
        """The utilisation if every camera were looked at as closely as can be."""
        return self._worst_unit().utilisation(self._cost(dict.fromkeys(self._attention, Attention())))

    def _worst_unit(self) -> _UnitLoad:
        """The highest unit load of the last rounds: room is believed only when it was there in each."""
        return _UnitLoad(max(unit.engine for unit in self._recent), max(unit.processor for unit in self._recent))

    def _slow_down(self, load: EngineLoad, unit: _UnitLoad, open_cameras: Collection[str]) -> list[str]:
        """Key pictures one step; then as many steps of hops as `TARGET_UTILISATION` takes.

        Where the processor is the limit, what the key pictures save is measured before hops get longer: it frees the
        engine, too.
        """
        before = dict(self._attention)
        if self._skip_key_pictures() and load.processor >= PROCESSOR_FULL:
            return [name for name in before if self._attention[name] != before[name]]
        while self._attention == before or unit.utilisation(self._cost(self._attention)) > TARGET_UTILISATION:
            able = [name for name, one in self._attention.items() if one.stride != STRIDES[-1]]
            if not able:
                break
            name = min(able, key=lambda n: (self._attention[n].stride, n in open_cameras, n not in self._quiet))
            one = self._attention[name]
            self._attention[name] = replace(one, stride=_next(one.stride))
        return [name for name, one in self._attention.items() if one != before[name]]

    def _skip_key_pictures(self) -> bool:
        """Look at the key pictures of quiet cameras one step less often, the closest first; False when none can be."""
        able = [name for name in self._attention if name in self._quiet]
        closest = min((self._attention[name].key_stride for name in able), default=STRIDES[-1])
        if closest == STRIDES[-1]:
            return False
        for name in able:
            one = self._attention[name]
            if one.key_stride == closest:
                self._attention[name] = replace(one, key_stride=_next(closest))
        return True

    def _speed_up(self, open_cameras: Collection[str]) -> list[str]:
        """All steps back that fit into `RECOVERY_UTILISATION`: hops first, the longest first, then key pictures."""
        if all(one == Attention() for one in self._attention.values()):
            return []
        in_full = self._in_full()
        if not self._trial.may_begin(in_full):
            return []
        before, unit = dict(self._attention), self._worst_unit()
        most = min(RECOVERY_UTILISATION, MOST_GROWTH * unit.utilisation(self._cost(self._attention)))
        order = sorted(before, key=lambda n: (before[n].stride, n in open_cameras, n not in self._quiet), reverse=True)
        for name in order:
            one = self._attention[name]
            if one.stride != STRIDES[0]:
                self._try(name, replace(one, stride=_next(one.stride, -1)), unit, most)
        for name in order:
            one = self._attention[name]
            if one.key_stride != STRIDES[0]:
                self._try(name, replace(one, key_stride=_next(one.key_stride, -1)), unit, most)
        changed = [name for name in order if self._attention[name] != before[name]]
        if changed:
            self._trial.begin(in_full)
        return changed

    def _try(self, name: str, attention: Attention, unit: _UnitLoad, most: float) -> None:
        """Look at a camera so closely if the utilisation then is at most ``most``."""
        before, self._attention[name] = self._attention[name], attention
        if unit.utilisation(self._cost(self._attention)) > most:
            self._attention[name] = before


class _Trial:
    """Whether speeding up lasted. What was in vain is tried again later and later, so that nothing swings for ever."""

    def __init__(self) -> None:
        self._age: int | None = None
        self._load = self._failed_load = 0.0
        self._patience = self._wait = 0

    def pass_round(self) -> None:
        """A round passes; a trial that is old enough has succeeded."""
        self._wait = max(0, self._wait - 1)
        if self._age is not None:
            self._age += 1
            if self._age > TRIAL_ROUNDS:
                self._age, self._patience = None, 0

    def may_begin(self, load: float) -> bool:
        """Whether cameras may be sped up when all of them in full would make this ``load``."""
        return self._wait == 0 or load < LIGHTER * self._failed_load

    def begin(self, load: float) -> None:
        """Cameras are sped up."""
        self._age, self._load = 0, load

    def note_behind(self) -> None:
        """The box is behind: a trial that runs has failed."""
        if self._age is None:
            return
        self._patience = min(MOST_PATIENCE, max(FIRST_PATIENCE, 2 * self._patience))
        self._wait, self._failed_load, self._age = self._patience, self._load, None


def _next(stride: int, by: int = 1) -> int:
    return STRIDES[STRIDES.index(stride) + by]
