"""Sentences that the shipped model accepts and refuses, with the real text encoder: a table to extend."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from edge.engine.manifest import load_folder
from edge.errors import InputError
from edge.prompts.interpreter import InterpretedPrompt, PromptInterpreter, PromptText

ENGINE = Path(__file__).resolve().parents[2] / "engines" / "fused"

HEARD = {
    "a window being smashed": "Shatter",
    "someone screaming for help": "Yell",
    "water running from a tap": "Water tap, faucet",
    "a baby crying at night": "Baby cry, infant cry",
    "a phone ringing": "Telephone bell ringing",
    "heavy rain": "Rain",
    "someone knocks at the door": "Knock",
    "gunfire outside": "Gunshot, gunfire",
    "footsteps in the hallway": "Walk, footsteps",
    "a chainsaw cutting a tree": "Chainsaw",
    "glass_breaking": "Shatter",
    "children playing in the yard": "Children playing",
}
SEEN = {
    "a person with a knife": "knife",
    "an abandoned suitcase": "suitcase",
    "a cat in the garden": "cat",
    "a delivery van": "truck",
    "an umbrella": "umbrella",
    "a person climbing over a fence": "person",
    "a skateboarder": "skateboard",
    "a bear at the bins": "bear",
    "a house on fire": "fire",
}
REFUSED = (
    "quantum entanglement", "my aunt is sad", "asdf qwer zxcv", "the stock market fell", "justice and freedom",
    "a theory of everything", "the meaning of life", "he forgot his password", "a promising business plan",
    "the contract was signed", "an expired licence", "a good idea", "tax evasion", "love at first sight",
    "the temperature is 21 degrees", "it is my birthday", "she likes him",
)  # fmt: skip


@cache
def interpreter() -> PromptInterpreter:
    if not (ENGINE / "text.npz").is_file():
        pytest.skip("engines/fused has no text.npz")
    try:
        return PromptInterpreter(load_folder(ENGINE))
    except InputError as error:
        if "not installed" in str(error):
            pytest.skip(str(error))
        raise


def heeded(text: str, *unlike: str) -> InterpretedPrompt:
    (found,) = interpreter().interpret([PromptText("it", text, unlike)])
    return found


@pytest.mark.parametrize(("text", "name"), HEARD.items())
def test_what_is_heard(text: str, name: str) -> None:
    found = heeded(text)
    assert found.refusal == ""
    assert found.prompt.wanted.heard[0].name == name
    assert "audio" in found.label.modalities


@pytest.mark.parametrize(("text", "name"), SEEN.items())
def test_what_is_seen(text: str, name: str) -> None:
    found = heeded(text)
    assert found.refusal == ""
    assert found.prompt.wanted.seen[0].name == name
    assert "video" in found.label.modalities


@pytest.mark.parametrize("text", REFUSED)
def test_what_means_nothing_to_the_model_is_refused_with_the_nearest(text: str) -> None:
    found = heeded(text)
    assert "cannot be grounded; the nearest that the model knows: " in found.refusal
    assert found.refusal.startswith(f"'{text}'")


def test_a_thing_that_is_only_seen_does_not_prove_its_sound() -> None:
    assert heeded("heavy rain").prompt.wanted.seen == ()
    assert heeded("a window being smashed").label.modalities == ("audio",)


def test_deeds_of_the_same_person_cannot_be_told_apart_and_that_is_said() -> None:
    found = heeded("a person climbing over a fence", "a person walking past a fence")
    assert found.refusal == ""
    assert "cannot be told from 'a person walking past a fence' by picture" in found.warnings[0]
