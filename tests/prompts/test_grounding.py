"""A sentence rests on what the model knows by the closest words, each modality on its own, or is refused."""

from __future__ import annotations

import pytest
from prompts_parts import Dictionary, knowledge, meaning

from edge.prompts.grounding import Grounding, ground, normalised_text
from edge.prompts.interpreter import without_shared
from edge.types import F32


def grounded(vector: F32) -> Grounding:
    (found,) = ground(knowledge(), Dictionary(it=vector), ["it"])  # type: ignore[arg-type]
    return found


def test_what_is_heard_and_seen_is_found() -> None:
    found = grounded(meaning(dog=1))
    assert [near.name for near in found.heard] == ["Dog"]  # a bark is too far from "dog" to count beside it
    assert [near.name for near in found.seen] == ["dog"]
    assert found.heard[0].weight == pytest.approx(1, abs=0.02)


def test_tags_that_sound_together_count_together() -> None:
    found = grounded(meaning(dog=0.85, bark=0.52))
    assert [near.name for near in found.heard] == ["Bark", "Dog"]
    assert 0.2 < found.heard[1].weight < found.heard[0].weight


def test_a_sound_is_not_proven_by_a_thing_that_is_less_close() -> None:
    found = grounded(meaning(dog=0.5, bark=0.85))
    assert found.heard[0].name == "Bark"
    assert found.seen == ()


def test_tags_that_do_not_sound_together_do_not_count_together() -> None:
    found = grounded(meaning(glass=1, speech=0.9))
    assert [near.name for near in found.heard] == ["Glass"]


def test_what_means_nothing_known_is_refused_with_the_nearest() -> None:
    found = grounded(meaning(speech=0.5, nothing=0.3, fence=0.5, person=0.5, bark=0.5))
    assert not found.grounded
    assert found.nearest[0].closeness < 0.56
    assert found.summary().startswith("cannot be grounded; the nearest that the model knows: ")


def test_labels_of_the_model_can_be_seen() -> None:
    found = grounded(meaning(fire=1))
    assert (found.heard, found.seen[0].kind, found.seen[0].name) == ((), "labels", "fire")
    assert found.summary() == "seen as fire 1.00"


@pytest.mark.parametrize(
    ("text", "words"),
    [("glass_breaking", "glass breaking"), ("a dog", "dog"), ("The  Siren", "Siren"), ("a", "a"), ("an_egg", "egg")],
)
def test_articles_and_underscores_say_nothing(text: str, words: str) -> None:
    assert normalised_text(text) == words


def test_unlike_that_is_something_else_is_kept() -> None:
    other = grounded(meaning(glass=1))
    assert without_shared(grounded(meaning(dog=1)), other) == (other, "")


def test_unlike_that_looks_the_same_is_held_against_it_only_where_it_sounds_different() -> None:
    left, warning = without_shared(grounded(meaning(person=1)), grounded(meaning(person=1, speech=1)))
    assert left.seen == ()
    assert [near.name for near in left.heard] == ["Speech"]
    assert "cannot be told from 'it' by picture: the model knows both as person" in warning


def test_unlike_that_means_nothing_is_told() -> None:
    left, warning = without_shared(grounded(meaning(dog=1)), grounded(meaning(bark=1, speech=1, fence=1, person=1)))
    assert not left.grounded
    assert "cannot be grounded and is not used" in warning
