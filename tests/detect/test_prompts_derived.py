"""Prompts are labels like any other: one asker a camera, findings as they come, a fresh start when forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detect_parts import scores

from edge.detect.derived import DeriverChain, PromptDeriver
from edge.engine.manifest import Label
from edge.types import Contribution, Scores

SEEN = Contribution(1.0, 0.0, 0.0)
CLIMBING = Label(name="climbing", modalities=("video",))


@dataclass(frozen=True, slots=True)
class Said:
    value: float
    contribution: Contribution
    why: str = "seen person"


class Counting:
    """Answers how many windows it was asked; says nothing of the first."""

    def __init__(self) -> None:
        self.asked = 0

    def evaluate(self, _scores: Scores) -> Mapping[str, Said]:
        self.asked += 1
        return {"climbing": Said(self.asked / 10, SEEN)} if self.asked > 1 else {}


def test_what_is_answered_becomes_a_value_a_contribution_and_a_reason() -> None:
    derivers = DeriverChain([PromptDeriver([CLIMBING], Counting)])
    first, second = (derivers.enrich(scores(n, {"fire": 0.1})) for n in (1, 2))
    assert "climbing" not in first.values
    assert (second.values["fire"], second.values["climbing"]) == (0.1, 0.2)
    assert second.contribution["climbing"] == SEEN
    assert second.reasons["climbing"] == "seen person"
    assert derivers.labels == (CLIMBING,)


def test_each_camera_has_its_own_asker_and_forgetting_starts_it_anew() -> None:
    begun: list[Counting] = []

    def begin() -> Counting:
        begun.append(Counting())
        return begun[-1]

    prompts = PromptDeriver([CLIMBING], begin)
    one = scores(1, {"fire": 0.1})
    prompts.derive(one)
    prompts.derive(one)
    assert [asker.asked for asker in begun] == [2]
    prompts.forget(one.camera)
    assert prompts.derive(one) == {}
    assert [asker.asked for asker in begun] == [2, 1]
    prompts.forget("nobody")
