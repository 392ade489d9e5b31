"""A question in words -> what is asked for: when, where, which labels, and the rest as text. Pure; English.

What is understood restricts: times, and names of cameras and zones. A label restricts too; where its word means less
than the label ("truck", of the label vehicle) or more is said, the words are searched for as well.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import tzinfo

from edge.events.when import parse_time
from edge.events.words import NARROWER_WORDS, STOP_WORDS, SYNONYMS, split_words, stem
from edge.evidence.archive.records import EventQuery


def parse_question(
    text: str,
    now_wall_ns: int,
    tz: tzinfo,
    cameras: Collection[str],
    zones: Collection[str],
    labels: Collection[str],
) -> EventQuery:
    """What a question asks for; the names are those that there are. A name that is a camera's and a zone's is taken
    for the camera. What a sentence means is not looked at here (`edge.events.search`)."""
    when = parse_time(text, now_wall_ns, tz)
    words = split_words(when.rest)
    found_cameras, words = _named(words, cameras)
    found_zones, words = _named(words, set(zones) - set(cameras))
    words = [word for word in words if word not in STOP_WORDS]
    found_labels, rest, narrowed = _labels(words, labels)
    searched = narrowed or rest
    terms = [*(word for label in found_labels for word in split_words(label)), *words] if searched else []
    return EventQuery(
        text=" ".join(dict.fromkeys(terms)),
        cameras=found_cameras,
        labels=() if rest else found_labels,
        zones=found_zones,
        since_ns=when.since_ns,
        until_ns=when.until_ns,
    )


def _named(words: list[str], names: Collection[str]) -> tuple[tuple[str, ...], list[str]]:
    """The names that are in the words, longer ones first, and the words without them."""
    found: list[str] = []
    for name in sorted(names, key=lambda one: (-len(split_words(one)), one)):
        parts = [stem(part) for part in split_words(name)]
        stems = [stem(word) for word in words]
        for at in range(len(words) - len(parts) + 1):
            if parts and stems[at : at + len(parts)] == parts:
                found.append(name)
                words = words[:at] + words[at + len(parts) :]
                break
    return tuple(sorted(found)), words


def _labels(words: list[str], labels: Collection[str]) -> tuple[tuple[str, ...], list[str], bool]:
    """The labels that the words name, the words that name none, and whether a word means less than its label."""
    stems = {stem(word): word for word in words}
    phrases = [
        (frozenset(stem(word) for word in split_words(phrase) if word not in STOP_WORDS), phrase, label)
        for label in labels
        for phrase in (label, *SYNONYMS.get(label, ()))
    ]
    used: set[str] = set()
    found: list[str] = []
    narrowed = False
    for size in sorted({len(parts) for parts, _, _ in phrases if parts}, reverse=True):
        free = set(stems) - used
        matched = [(parts, phrase, label) for parts, phrase, label in phrases if len(parts) == size and parts <= free]
        for parts, phrase, label in matched:
            found.append(label)
            used |= parts
            narrowed |= phrase in NARROWER_WORDS and phrase != label
    return tuple(sorted(set(found))), [word for key, word in stems.items() if key not in used], narrowed
