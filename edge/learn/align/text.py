"""Names of what the model knows, and other words for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Kind = Literal["tags", "classes", "picture_tags", "labels"]
KINDS: Final[tuple[Kind, ...]] = ("tags", "classes", "picture_tags", "labels")
_WORDS: Final = Path(__file__).with_name("words.txt")


@dataclass(frozen=True, slots=True)
class Phrase:
    """``text`` means entry ``index`` of the list ``kind``."""

    text: str
    kind: Kind
    index: int


def load_synonyms() -> dict[str, dict[str, list[str]]]:
    """Section -> name -> phrases, of words.txt."""
    words: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in _WORDS.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = words.setdefault(line.strip("[] "), {})
        elif line and not line.startswith("#"):
            name, _, phrases = line.partition(": ")
            section[name] = [phrase.strip() for phrase in phrases.split(";")]
    return words


def all_phrases(
    tags: Sequence[str], classes: Sequence[str], picture_tags: Sequence[str], labels: Sequence[str]
) -> list[Phrase]:
    """All phrases; ValueError for words about a name that is not there. ImageNet's names are lists of synonyms.

    Of the labels only those that the words name: the others are heard, and the tags know them better.
    """
    words = load_synonyms()
    for section, names in (("tags", tags), ("classes", classes)):
        unknown = set(words[section]) - set(names)
        if unknown:
            raise ValueError(f"words.txt, [{section}]: the model does not know {sorted(unknown)}")
    phrases = [Phrase(text, "tags", n) for n, tag in enumerate(tags) for text in (tag, *words["tags"].get(tag, ()))]
    phrases += [
        Phrase(text, "classes", n) for n, name in enumerate(classes) for text in (name, *words["classes"].get(name, ()))
    ]
    phrases += [
        Phrase(text.strip(), "picture_tags", n) for n, names in enumerate(picture_tags) for text in names.split(",")
    ]
    known = {label: n for n, label in enumerate(labels)}
    phrases += [
        Phrase(text, "labels", known[label])
        for label, texts in words["labels"].items()
        if label in known
        for text in (label.replace("_", " "), *texts)
    ]
    return phrases
