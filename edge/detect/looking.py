"""What every rule of one camera looks at, window by window: a label's score, where and when the rule is about it.

The value is the label's score while the rule holds, 0 where it was looked for and does not hold, and None where nothing
was there that could tell. Called on the engine's thread, with the camera's windows in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edge.config.models import Config
from edge.config.rules import Rule
from edge.config.schedule import parse_schedules
from edge.detect.agreement import agree
from edge.detect.composing import Chain, Composer, Gathered, Ordered
from edge.detect.rules import DEFAULTS, WITHIN_S, objects_of, places_on
from edge.detect.scene import Found, Place, Scene
from edge.detect.schedule import Hours
from edge.engine.manifest import Label, Manifest
from edge.types import Scores, nanoseconds

_ANYWHERE = Place()


@dataclass(frozen=True, slots=True)
class Look:
    """What one rule saw in one window.

    ``label`` is the one whose score it is; ``found`` the objects that it is about, ``before`` what came before it, as
    (label, seconds ago, value). ``but`` says what made ``score`` into 0, or into nothing where too little was there.
    """

    value: float | None
    label: str
    found: tuple[Found, ...] = ()
    before: tuple[tuple[str, float, float], ...] = ()
    but: Literal["", "place", "time", "agree", "schedule", "coverage"] = ""
    score: float = 0.0


class Lookout:
    """The rules of one camera and what they remember."""

    def __init__(self, camera: str, config: Config, manifest: Manifest) -> None:
        """``manifest`` is without the events of one's own."""
        self._camera = camera
        self._manifest = manifest
        self._labels = {label.name: label for label in manifest.labels}
        self._scene = Scene(manifest)
        self._views: dict[str, _View] = {}
        self._hours: dict[tuple[object, object], Hours] = {}
        self._config = config
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        """Take over other rules, places and hours; what was seen of objects stays."""
        before, self._views, self._config = self._views, {}, config
        self._scene.draw(config.cameras.get(self._camera))
        self._hours.clear()
        for name in dict.fromkeys([*self._labels, *(name for name in config.events if name != DEFAULTS)]):
            rule = config.events.get(name, Rule())
            parts = rule.parts or (name,)
            if all(part in self._labels for part in parts):
                known = before.get(name)
                memory = known.memory if known is not None and known.rule == rule else _memory(rule)
                self._views[name] = _View(rule, tuple(self._part(part, rule) for part in parts), memory, self._on(rule))

    def look(self, scores: Scores, names: Sequence[str], wall_ns: int, *, is_covered: bool) -> dict[str, Look] | None:
        """What the rules ``names`` see in this window, which ended at Unix time ``wall_ns``; None for one that is not
        newer than the last. ``is_covered``: enough of it was there to be scored."""
        t_ns = self._scene.advance(scores, is_covered=is_covered)
        if t_ns is None:
            return None
        looks = {}
        for name in names:
            view = self._views[name]
            look = view.look(scores, t_ns, self._scene) if is_covered else view.miss(scores, t_ns)
            if look.value and not view.hours.is_on(wall_ns):
                look = replace(look, value=0.0, but="schedule", score=look.value)
            looks[name] = look
        return looks

    def _part(self, name: str, rule: Rule) -> _Part:
        classes = objects_of(name, self._manifest)
        place = None
        if classes and rule.has_place:
            place = Place(
                places_on(rule.zones, self._config, self._camera, "zones"),
                places_on(rule.lines, self._config, self._camera, "lines"),
                rule.direction or "any",
                nanoseconds(rule.after_s or 0.0),
            )
        return _Part(self._labels[name], place, bool(rule.agree))

    def _on(self, rule: Rule) -> Hours:
        """Rules with the same hours share them."""
        schedule = rule.schedule or self._config.events.get(DEFAULTS, Rule()).schedule
        key = (schedule, self._config.location)
        if key not in self._hours:
            self._hours[key] = Hours(parse_schedules(schedule), self._config.location)
        return self._hours[key]


@dataclass(frozen=True, slots=True)
class _Part:
    """One label as a rule looks at it."""

    label: Label
    place: Place | None
    agree: bool

    def look(self, scores: Scores, scene: Scene) -> Look:
        name = self.label.name
        value = scores.values.get(name) if was_looked_for(self.label, scores) else None
        if value is None:
            return Look(None, name)
        if (self.agree and not (scores.video_ok and scores.audio_ok)) or (self.place and not scores.video_ok):
            return Look(None, name, but="coverage", score=value)
        found = scene.found(name, self.place or _ANYWHERE)
        if self.place is not None and not found:
            is_there = self.place.after_ns > 0 and bool(scene.found(name, replace(self.place, after_ns=0)))
            return Look(0.0, name, but="time" if is_there else "place", score=value)
        added = scores.contribution.get(name)
        if self.agree and (added is None or not agree(value, added)):
            return Look(0.0, name, found, but="agree", score=value)
        return Look(value, name, found)

    def miss(self, scores: Scores) -> Look:
        """Too little of the window was there."""
        value = scores.values.get(self.label.name, 0.0) if was_looked_for(self.label, scores) else 0.0
        return Look(None, self.label.name, but="coverage", score=value)


@dataclass(frozen=True, slots=True)
class _View:
    """One rule: its parts, and what must come together of them."""

    rule: Rule
    parts: tuple[_Part, ...]
    memory: Composer | None
    hours: Hours

    def look(self, scores: Scores, t_ns: int, scene: Scene) -> Look:
        if len(self.parts) == 1:
            return self.parts[0].look(scores, scene)
        looks = [part.look(scores, scene) for part in self.parts]
        if self.memory is None:
            there = [look for look in looks if look.value is not None]
            return max(there or looks, key=lambda look: (look.value or 0.0, look.score))
        times = max(sum(len(found.crossings) for found in look.found) for look in looks)
        chain = self.memory.advance(t_ns, [look.value for look in looks], times)
        return self._composed(chain, t_ns, looks)

    def miss(self, scores: Scores, t_ns: int) -> Look:
        """Nothing can be told of this window."""
        if self.memory is not None:
            self.memory.advance(t_ns, [None] * len(self.parts))
            return Look(None, self.parts[0].label.name)
        return max((part.miss(scores) for part in self.parts), key=lambda look: look.score)

    def _composed(self, chain: Chain | None, t_ns: int, looks: Sequence[Look]) -> Look:
        last = looks[-1]
        if chain is None:
            return Look(None, last.label)
        if not chain.links:
            return Look(0.0, last.label, but=last.but)
        *earlier, newest = chain.links
        before = tuple((looks[link.part].label, (t_ns - link.t_ns) / 1e9, link.value) for link in earlier)
        there = [looks[newest.part], *looks]
        found = next((look.found for look in there if look.found), ())
        return Look(chain.value, looks[newest.part].label, found, before)


def was_looked_for(label: Label, scores: Scores) -> bool:
    """Whether anything that can evidence the label was there; without it the score is a prior, not a finding.

    The graph masks what a missing modality contributed to exactly zero, which is how missing sensors show.
    """
    modalities = label.modalities
    if (scores.video_ok and "video" in modalities) or (scores.audio_ok and "audio" in modalities):
        return True
    contribution = scores.contribution.get(label.name) if "sensors" in modalities else None
    return contribution is not None and contribution.sensors != 0.0


def _memory(rule: Rule) -> Composer | None:
    within_ns = nanoseconds(rule.within_s or WITHIN_S)
    if rule.sequence is not None:
        return Ordered(len(rule.sequence), within_ns, repeats=len(set(rule.sequence)) < len(rule.sequence))
    return Gathered(len(rule.all_of), within_ns) if rule.all_of is not None else None
