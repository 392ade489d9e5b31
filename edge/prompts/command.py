"""`edge prompts "a sentence"`: shows what the model would rest it on, before it goes into config.yaml."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TextIO

from edge.engine.manifest import find_folder, load_folder
from edge.prompts.grounding import ConceptMatch, Grounding
from edge.prompts.interpreter import InterpretedPrompt, PromptInterpreter, PromptText

DONE, BAD = 0, 2


def run(text: str, unlike: Sequence[str], *, model: str, as_json: bool, out: TextIO) -> int:
    """Print what the sentence, and those that it must not be confused with, rest on; 0, or 2 when it is refused.

    InputError when the text model is not installed, ModelError when the model is not found.
    """
    (interpreted,) = PromptInterpreter(load_folder(find_folder(model))).interpret(
        [PromptText("prompt", text, tuple(unlike))]
    )
    if as_json:
        print(json.dumps(as_object(interpreted), indent=2, ensure_ascii=False), file=out)
    else:
        for line in lines(interpreted):
            print(line, file=out)
    return BAD if interpreted.refusal else DONE


def lines(interpreted: InterpretedPrompt) -> list[str]:
    """Text output: a line for each sentence, then its limitations."""
    if interpreted.refusal:
        return [f"refused: {interpreted.refusal}"]
    found = [interpreted.prompt.wanted, *interpreted.prompt.unlike]
    listed = [f"{word:<8} {one.text!r}: {one.summary()}" for word, one in zip(_words(len(found)), found, strict=True)]
    return [*listed, *(f"warning  {warning}" for warning in interpreted.warnings)]


def as_object(interpreted: InterpretedPrompt) -> dict[str, Any]:
    """For programs."""
    return {
        "grounded": not interpreted.refusal,
        "refusal": interpreted.refusal,
        "warnings": list(interpreted.warnings),
        **_grounding(interpreted.prompt.wanted),
        "unlike": [_grounding(other) for other in interpreted.prompt.unlike],
    }


def _grounding(found: Grounding) -> dict[str, Any]:
    return {
        "text": found.text,
        "heard": [_match_object(near) for near in found.heard],
        "seen": [_match_object(near) for near in found.seen],
        "nearest": [_match_object(near) for near in found.nearest],
    }


def _match_object(near: ConceptMatch) -> dict[str, Any]:
    return {
        "kind": near.kind,
        "name": near.name,
        "closeness": round(near.closeness, 3),
        "weight": round(near.weight, 3),
    }


def _words(count: int) -> list[str]:
    return ["prompt", *["unlike"] * (count - 1)]
