"""Derived labels stand beside the model's own, replace those of the same name, and become events like any other."""

from __future__ import annotations

from collections.abc import Mapping

from detect_parts import MANIFEST, config, scores

from edge.clock import VirtualClock
from edge.detect.derived import DeriverChain
from edge.detect.detector import Detector
from edge.engine.manifest import Label
from edge.types import Contribution, DerivedScore, Phase, Scores


class Fixed:
    """Finds the same in every window."""

    def __init__(self, name: str, value: float | None, why: str = "") -> None:
        self.labels = (Label(name=name, modalities=("video", "audio"), enter=0.6, leave=0.4, min_s=0.0),)
        self._value, self._why = value, why
        self.forgotten: list[str] = []

    def derive(self, _scores: Scores) -> Mapping[str, DerivedScore]:
        if self._value is None:
            return {}
        return {self.labels[0].name: DerivedScore(self._value, Contribution(2.0, 0.5, 0.0), self._why)}

    def forget(self, camera: str) -> None:
        self.forgotten.append(camera)


def test_without_any_the_scores_are_the_models_own() -> None:
    one = scores(1, {"fire": 0.3})
    assert DeriverChain().enrich(one) is one


def test_a_new_label_stands_beside_the_models() -> None:
    enriched = DeriverChain([Fixed("forklift", 0.7, "as taught")]).enrich(scores(1, {"fire": 0.3}))
    assert (enriched.values["fire"], enriched.values["forklift"]) == (0.3, 0.7)
    assert enriched.contribution["forklift"].video == 2.0
    assert enriched.reasons == {"forklift": "as taught"}


def test_a_taught_label_takes_the_models_place_and_is_a_hole_where_it_says_nothing() -> None:
    assert DeriverChain([Fixed("fire", 0.9)]).enrich(scores(1, {"fire": 0.3})).values["fire"] == 0.9
    silent = DeriverChain([Fixed("fire", None)]).enrich(scores(1, {"fire": 0.3}))
    assert "fire" not in silent.values
    assert "fire" not in silent.contribution


def test_the_later_of_two_holds_and_the_name_is_listed_once() -> None:
    derivers = DeriverChain([Fixed("forklift", 0.2), Fixed("forklift", 0.8)])
    assert derivers.enrich(scores(1, {})).values["forklift"] == 0.8
    assert [label.name for label in derivers.labels] == ["forklift"]


def test_every_part_forgets() -> None:
    parts = [Fixed("one", 0.1), Fixed("two", 0.1)]
    DeriverChain(parts).forget("gate")
    assert [part.forgotten for part in parts] == [["gate"], ["gate"]]


def test_a_derived_label_becomes_an_event_with_its_own_words() -> None:
    derivers = DeriverChain([Fixed("forklift", 0.9, "as taught: mostly picture")])
    manifest = MANIFEST.with_labels(derivers.labels)
    assert manifest.label_names == ("person", "glass_break", "fire", "forklift")
    detector = Detector(config(), manifest, VirtualClock(0))
    events = detector.scores(derivers.enrich(scores(1, {})))
    assert [(event.label, event.phase) for event in events] == [("forklift", Phase.BEGIN)]
    assert events[0].why == "forklift 0.90 (enter 0.60): as taught: mostly picture"
    assert events[0].contribution == Contribution(2.0, 0.5, 0.0)


def test_a_replacing_label_keeps_its_place_in_the_list() -> None:
    assert MANIFEST.with_labels(Fixed("glass_break", 0.1).labels).label_names == MANIFEST.label_names
