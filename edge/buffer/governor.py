"""Sets how closely each camera is looked at, so that the box keeps up: less under load, more again when there is room.

Pure: it gets the load measured since the last call and returns the cameras for which something changes. Less is looked
at in this order: key pictures of quiet cameras, then hops twice as long, then of moving cameras key pictures alone,
then hops four times as long; in each step cameras without an open event before those with one. A camera with a longer
hop is still scored on time, while skipping windows would leave it to chance what is missed.

Two things are limited: the engine, which takes one window after the other, and the processor, for which decoding
competes with it. What a change saves or costs of each is planned with the relative costs below; how much of the box
that is follows from the measured load. A plan that was too bold shows in the next measurement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edge.buffer.attention import STRIDES, Attention, EngineLoad, next_stride

SKIPPED_SHARE: Final = 0.02
"""Share of skipped due windows from which the box is behind."""
BEHIND_ROUNDS: Final = 2
"""Rounds in a row in which it must be behind before less is looked at, so that a short peak changes nothing."""
TARGET_UTILISATION: Final = 0.93
"""Share of the capacity that is planned to be used after cameras were slowed down."""
PROCESSOR_FULL: Final = 0.9
"""Share of the processor's time from which it is taken to be what limits a box that is behind, and beyond which
nothing is planned: what was tried there was soon taken back."""
RECOVERY_UTILISATION: Final = 0.85
"""Share of the capacity up to which cameras are looked at more closely again."""
CALM_ROUNDS: Final = 3
"""Rounds in a row in which it is not behind before cameras are sped up."""
SETTLED_ROUNDS: Final = 4
"""Rounds in a row in which nothing changed before more than `RECOVERY_UTILISATION` is tried."""
TRIED_UTILISATION: Final = 1.0
"""Share of the capacity that is tried then: costs are estimates, and what fails is not tried again for long."""
SHARES: Final = (TRIED_UTILISATION, RECOVERY_UTILISATION)
MOST_GROWTH: Final = 2.0
"""What is asked of the box grows by at most this factor in a round, because the costs are estimates."""
MOST_SPED_UP: Final = 0.5
"""Share of the cameras (four at least) that are sped up in a round: after a change of its hop the windows of a camera
at which something happens cost more for eight seconds, because its memory has to fill."""
LAGGING_SLOWED: Final = 0.25
"""Share of the cameras that are slowed down at least in a round where their capture lags."""
LAGGING_SHARE: Final = 0.2
"""Share of the cameras whose capture lags, from which the box is behind: one of many may lag at a peak. Where the
processor is full, the same share of those that are to have all pictures decoded."""
TRIAL_ROUNDS: Final = 10
"""Cameras were sped up in vain when the box is behind again within so many rounds."""
FIRST_PATIENCE: Final = 20
"""Rounds until what was in vain is tried again; twice as many after each further failure, at most `MOST_PATIENCE`."""
MOST_PATIENCE: Final = 900
LIGHTER: Final = 0.8
"""It is tried again at once when all cameras together cost less than this share of what they did when it failed; and a
smaller share of the box than failed, where less than this share of it is in use."""

QUIET_WINDOW: Final = 0.1
"""A window of a quiet camera, in windows of a moving one: its pictures and mostly its sound are not encoded."""
DECODING: Final = 1.5
"""Reading and decoding a second of a moving camera, in processor time of one of its windows."""
READING: Final = 0.16
"""Reading a second of a camera, of which its sound alone is decoded, in the same unit."""
KEY_PICTURES: Final = 0.1
"""Decoding a second's key pictures beside that, in the same unit."""
LIMITED_WINDOW: Final = 0.5
"""A window of a moving camera whose key pictures alone are decoded, in windows of one that has all."""


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
        """Of whichever is nearer its limit. The processor's is `PROCESSOR_FULL`."""
        return max(self.engine * cost.engine, self.processor * cost.processor / PROCESSOR_FULL)

    def is_processor_bound(self, cost: _Cost) -> bool:
        """Whether that is the processor."""
        return self.processor * cost.processor / PROCESSOR_FULL > self.engine * cost.engine


class Governor:
    """The attention to some cameras; the model's hop is ``hop_s`` seconds."""

    def __init__(self, cameras: Sequence[str], hop_s: float) -> None:
        self._attention = dict.fromkeys(cameras, Attention())
        self._hop_s = hop_s
        self._quiet = self._lagging = self._off = frozenset[str]()
        self._behind = self._calm = self._settled = 0
        self._recent: deque[_UnitLoad] = deque(maxlen=CALM_ROUNDS)
        self._trial = _Trial()

    @property
    def attention(self) -> Mapping[str, Attention]:
        """By camera: how closely it is looked at."""
        return self._attention

    def advance(
        self,
        load: EngineLoad,
        open_cameras: Collection[str] = (),
        quiet_cameras: Collection[str] = (),
        limited_cameras: Collection[str] = (),
        off_cameras: Collection[str] = (),
        lagging_cameras: Collection[str] = (),
    ) -> list[str]:
        """Process the measured load; the cameras whose `attention` changed.

        Cameras with an open event (``open_cameras``) are slowed down last and sped up first. Of ``quiet_cameras`` key
        pictures alone are decoded, and of ``limited_cameras`` although they move: as they are to be, or because their
        capture lags. ``off_cameras`` deliver nothing and cost nothing; when they begin to, they are looked at no more
        closely than the others. The media of ``lagging_cameras`` is read late.
        """
        if not load.scored + load.skipped:
            return []
        before = dict(self._attention)
        self._quiet = frozenset(quiet_cameras)
        self._begin(self._off.difference(off_cameras))
        self._off = frozenset(off_cameras)
        self._lagging = frozenset(name for name in limited_cameras if not self._attention[name].is_limited)
        self._adjust(load, open_cameras, many_lag=len(lagging_cameras) > LAGGING_SHARE * len(self._on()))
        return [name for name, one in self._attention.items() if one != before[name]]

    def _adjust(self, load: EngineLoad, open_cameras: Collection[str], *, many_lag: bool) -> None:
        self._trial.pass_round()
        self._recent.append(self._unit_load(load))
        is_behind = many_lag or load.skipped > SKIPPED_SHARE * (load.scored + load.skipped) or self._is_full(load)
        self._behind = self._behind + 1 if is_behind else 0
        self._calm, self._settled = (0, 0) if is_behind else (self._calm + 1, self._settled + 1)
        if self._behind >= BEHIND_ROUNDS:
            self._behind = 0
            self._trial.note_behind()
            least = round(LAGGING_SLOWED * len(self._on())) if many_lag else 1
            self._slow_down(load, self._recent[-1], open_cameras, least)
        elif self._calm >= CALM_ROUNDS and self._speed_up(open_cameras):
            self._settled = 0

    def _begin(self, names: Collection[str]) -> None:
        """Cameras that begin to deliver: all their pictures are decoded at first, which a busy box has no room for."""
        most = max((one.stride for name, one in self._on() if name not in names), default=STRIDES[0])
        for name in names:
            self._attention[name] = Attention(most, is_limited=True) if most > STRIDES[0] else Attention()
        if names:
            self._trial.void()

    def _is_full(self, load: EngineLoad) -> bool:
        """Whether the processor is, and capture lags because of that."""
        if load.processor < PROCESSOR_FULL:
            return False
        awake = [n for n, one in self._on() if n not in self._quiet and not one.is_limited]
        return len(self._lagging) > LAGGING_SHARE * len(awake)

    def _on(self) -> list[tuple[str, Attention]]:
        """The cameras that deliver."""
        return [(name, one) for name, one in self._attention.items() if name not in self._off]

    def _unit_load(self, load: EngineLoad) -> _UnitLoad:
        """What a unit of the planned cost took of the box."""
        lagging = {name: replace(self._attention[name], is_limited=True) for name in self._lagging}
        due, cost = load.scored + load.skipped, self._cost({**self._attention, **lagging})
        surplus = max(1.0, due / load.wall_s / self._due_hz())  # windows that were due from before
        windows = cost.engine * surplus * load.scored / due
        decoding = cost.processor - cost.engine
        return _UnitLoad(load.engine / max(windows, 1e-9), load.processor / max(windows + decoding, 1e-9))

    def _due_hz(self) -> float:
        """Windows due per second while all cameras deliver."""
        return sum(1 / (self._hop_s * one.stride) for _, one in self._on()) or 1 / self._hop_s

    def _cost(self, attention: Mapping[str, Attention]) -> _Cost:
        """What all cameras ask for when they are looked at so closely."""
        engine = decoding = 0.0
        for name, one in attention.items():
            if name in self._off:
                continue
            is_quiet = name in self._quiet
            window = QUIET_WINDOW if is_quiet else LIMITED_WINDOW if one.is_limited else 1.0
            engine += window / (self._hop_s * one.stride)
            if is_quiet:
                decoding += READING + KEY_PICTURES / one.key_stride
            else:
                decoding += READING + KEY_PICTURES if one.is_limited else DECODING
        return _Cost(engine, engine + decoding)

    def _in_full(self) -> float:
        """The utilisation if every camera were looked at as closely as can be."""
        return self._worst_unit().utilisation(self._cost(dict.fromkeys(self._attention, Attention())))

    def _worst_unit(self) -> _UnitLoad:
        """The highest unit load of the last rounds: room is believed only when it was there in each."""
        return _UnitLoad(max(unit.engine for unit in self._recent), max(unit.processor for unit in self._recent))

    def _slow_down(self, load: EngineLoad, unit: _UnitLoad, open_cameras: Collection[str], least: int) -> None:
        """Key pictures of quiet cameras one step; then as many other steps as `TARGET_UTILISATION` takes, with those
        ``least`` steps.

        Where the processor is the limit, what the key pictures save is measured before hops get longer: it frees the
        engine, too.
        """
        steps = int(self._skip_key_pictures())
        if steps and load.processor >= PROCESSOR_FULL:
            return
        while steps < least or unit.utilisation(self._cost(self._attention)) > TARGET_UTILISATION:
            steps += 1
            able = self._less(is_processor_bound=unit.is_processor_bound(self._cost(self._attention)))
            if not able:
                break
            name = min(able, key=lambda n: (self._attention[n].level, n in open_cameras, n not in self._quiet))
            self._attention[name] = able[name]

    def _less(self, *, is_processor_bound: bool) -> dict[str, Attention]:
        """One step less for each camera where that saves something. Where the processor is the limit, the longest hop
        saves nothing of a quiet camera: reading it and renewing its features cost the same at any hop."""
        less = {}
        for name, one in self._on():
            is_quiet = name in self._quiet
            step = one.less(quiet=is_quiet)
            if step is not None and not (is_quiet and is_processor_bound and step.stride == STRIDES[-1]):
                less[name] = step
        return less

    def _skip_key_pictures(self) -> bool:
        """Look at the key pictures of quiet cameras one step less often, the closest first; False when none can be."""
        able = [name for name, _ in self._on() if name in self._quiet]
        closest = min((self._attention[name].key_stride for name in able), default=STRIDES[-1])
        if closest == STRIDES[-1]:
            return False
        for name in able:
            one = self._attention[name]
            if one.key_stride == closest:
                self._attention[name] = replace(one, key_stride=next_stride(closest))
        return True

    def _speed_up(self, open_cameras: Collection[str]) -> bool:
        """All steps back that fit into `RECOVERY_UTILISATION`, after a while `TRIED_UTILISATION`: the slowest cameras
        first. Key pictures of quiet cameras come when every camera has its own hop again: they would take the room that
        the hops need. Whether there were any."""
        if all(one == Attention() for _, one in self._on()):
            return False
        in_full, used = self._in_full(), self._worst_unit().utilisation(self._cost(self._attention))
        shares = (RECOVERY_UTILISATION,) if self._settled < SETTLED_ROUNDS else SHARES
        share = next((one for one in shares if self._trial.may_begin(in_full, used, one)), None)
        if share is None:
            return False
        before, unit = dict(self._on()), self._worst_unit()
        most = min(share, MOST_GROWTH * used)
        order = sorted(before, key=lambda n: (before[n].level, n in open_cameras, n not in self._quiet), reverse=True)
        left = max(4, round(MOST_SPED_UP * len(order)))
        for name in order:
            if left and before[name].level != Attention().level:
                left -= self._try(name, before[name].more(), unit, most)
        if all(one.level == Attention().level for _, one in self._on()):
            for name in order:
                one = self._attention[name]
                if one.key_stride != STRIDES[0]:
                    self._try(name, replace(one, key_stride=next_stride(one.key_stride, -1)), unit, most)
        has_changed = any(self._attention[name] != one for name, one in before.items())
        if has_changed:
            self._trial.begin(in_full, share)
        return has_changed

    def _try(self, name: str, attention: Attention, unit: _UnitLoad, most: float) -> bool:
        """Look at a camera so closely if the utilisation then is at most ``most``; whether it is."""
        before, self._attention[name] = self._attention[name], attention
        fits = unit.utilisation(self._cost(self._attention)) <= most
        self._attention[name] = attention if fits else before
        return fits


class _Trial:
    """Whether speeding up lasted. What was in vain is tried again later and later, so that nothing swings for ever; a
    smaller share of the box than failed may be used meanwhile."""

    def __init__(self) -> None:
        self._age: int | None = None
        self._load = self._failed_load = 0.0
        self._share = self._failed_share = 0.0
        self._patience = self._wait = 0

    def pass_round(self) -> None:
        """A round passes; a trial that is old enough has succeeded."""
        self._wait = max(0, self._wait - 1)
        if self._age is not None:
            self._age += 1
            if self._age > TRIAL_ROUNDS:
                self._age = None
                if self._share >= self._failed_share:
                    self._patience, self._failed_share = 0, 0.0

    def may_begin(self, load: float, used: float, share: float) -> bool:
        """Whether cameras may be sped up to a ``share`` of the box, of which ``used`` is in use, when all of them in
        full would make this ``load``."""
        is_lighter = load < LIGHTER * self._failed_load or (used < LIGHTER and share < self._failed_share)
        return self._wait == 0 or is_lighter

    def begin(self, load: float, share: float) -> None:
        """Cameras are sped up to ``share``."""
        self._age, self._load, self._share = 0, load, share

    def void(self) -> None:
        """Something else was asked of the box meanwhile: no trial, running or failed, says anything."""
        self._age, self._wait = None, 0

    def note_behind(self) -> None:
        """The box is behind: a trial that runs has failed."""
        if self._age is None:
            return
        self._patience = min(MOST_PATIENCE, max(FIRST_PATIENCE, 2 * self._patience))
        self._wait, self._failed_load, self._failed_share = self._patience, self._load, self._share
        self._age = None
