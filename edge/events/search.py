"""Searches kept events with an English sentence: parses it, embeds it, and finds the events that fit.

Times and names of cameras and zones restrict the search. A label does, too; when its word is narrower than the label
("truck", of the label vehicle) or there are more words, these are searched for as well.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

import numpy as np

from edge.engine.manifest import ModelFolder
from edge.errors import InputError
from edge.events.time_expression import parse_time
from edge.evidence.archive.records import EventQuery, SearchHit
from edge.evidence.archive.store import EventStore
from edge.prompts.encoder import TextEncoder, find_text_model
from edge.prompts.grounding import ModelVocabulary, load_vocabulary, normalised_text
from edge.types import F32

log = logging.getLogger(__name__)


class SentenceEmbedder:
    """Embeds sentences in the space of `Features.aligned` of the model in ``folder``.

    InputError when the text model is not installed or the model has no words. Opening takes tens of milliseconds.
    """

    def __init__(self, folder: ModelFolder) -> None:
        self._knowledge: ModelVocabulary = load_vocabulary(folder)
        self._encoder = TextEncoder(find_text_model())

    def embed(self, text: str) -> tuple[F32, F32]:
        """A unit vector f32[D]; and f32[2,2], mean and standard deviation of its cosine to ordinary pictures and
        sounds."""
        vector = self._knowledge.aligned(self._encoder.encode([normalised_text(text)]))[0]
        known = self._knowledge
        cosines = [ordinary @ vector for ordinary in (known.ordinary_seen, known.ordinary_heard)]
        ordinary = [[float(np.mean(cosine)), max(1e-3, float(np.std(cosine)))] for cosine in cosines]
        return vector, np.array(ordinary, np.float32)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The events found, the query that was used in the end, and a notice for the user ("" for none)."""

    hits: Sequence[SearchHit]
    query: EventQuery
    notice: str = ""


class EventSearch:
    """Searches one store. ``cameras``, ``zones`` and ``labels`` are the existing names; those of kept events are
    added. ``meaning`` None: search by words alone."""

    def __init__(
        self,
        store: EventStore,
        tz: tzinfo,
        *,
        cameras: Collection[str] = (),
        zones: Collection[str] = (),
        labels: Collection[str] = (),
        meaning: SentenceEmbedder | None = None,
    ) -> None:
        self._store = store
        self._tz = tz
        self._names = tuple(cameras), tuple(zones), tuple(labels)
        self._meaning = meaning

    def parse(self, text: str, now_wall_ns: int) -> EventQuery:
        """The query of a sentence, with an embedding when words are searched for."""
        cameras, zones, labels = self._names
        kept_cameras, kept_labels = (self._store.names(of) for of in ("camera", "label"))
        places = {*cameras, *kept_cameras}, zones, {*labels, *kept_labels}
        return self.with_vector(parse_question(text, now_wall_ns, self._tz, *places))

    def with_vector(self, query: EventQuery) -> EventQuery:
        """A query with the embedding of its text."""
        if self._meaning is None or not query.text:
            return query
        vector, ordinary = self._meaning.embed(query.text)
        return replace(query, vector=vector, baseline=ordinary)

    def find(self, text: str, now_wall_ns: int, narrowed: EventQuery = EventQuery()) -> SearchResult:  # noqa: B008 - frozen
        """The events that fit a sentence; ``narrowed`` restricts further and takes precedence over the sentence.

        When no event has the label that the sentence names, its words are searched for instead.
        """
        query = _both(self.parse(text, now_wall_ns), narrowed)
        found = self._store.find(query)
        if found or not query.labels or narrowed.labels:
            return SearchResult(found, query)
        words = " ".join(
            dict.fromkeys([*(w for label in query.labels for w in split_words(label)), *split_words(query.text)])
        )
        wider = self.with_vector(replace(query, labels=(), text=words))
        names = ", ".join(query.labels)
        return SearchResult(
            self._store.find(wider), wider, f"no event {names} there; these come closest in words and meaning"
        )


def open_embedder(folder: ModelFolder | None, on_fallback: Callable[[str], None] = log.info) -> SentenceEmbedder | None:
    """The embedder, or None when it is not available; ``on_fallback`` then gets a sentence on why and what to
    install."""
    if folder is None:
        return None
    try:
        return SentenceEmbedder(folder)
    except InputError as error:
        on_fallback(f"searching by words alone: {str(error).replace('prompts need', 'what they mean needs')}")
        return None


def _both(parsed: EventQuery, narrowed: EventQuery) -> EventQuery:
    return replace(
        parsed,
        cameras=narrowed.cameras or parsed.cameras,
        labels=narrowed.labels or parsed.labels,
        zones=narrowed.zones or parsed.zones,
        kinds=narrowed.kinds or parsed.kinds,
        since_ns=parsed.since_ns if narrowed.since_ns is None else narrowed.since_ns,
        until_ns=parsed.until_ns if narrowed.until_ns is None else narrowed.until_ns,
        marked=narrowed.marked,
        limit=narrowed.limit,
        before_ns=narrowed.before_ns,
    )


def parse_question(
    text: str,
    now_wall_ns: int,
    tz: tzinfo,
    cameras: Collection[str],
    zones: Collection[str],
    labels: Collection[str],
) -> EventQuery:
    """The query of a question, given the existing names. A name of both a camera and a zone is taken for the camera.
    No embedding is computed here."""
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
    """The names among the words, longer ones first, and the words without them."""
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
    """The labels that the words name, the other words, and whether a word is narrower than its label."""
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


SYNONYMS: dict[str, tuple[str, ...]] = {
    "person": ("people", "somebody", "someone", "man", "woman", "child", "human", "intruder", "burglar", "pedestrian"),
    "vehicle": ("car", "truck", "van", "lorry", "bus", "motorcycle", "motorbike", "automobile", "traffic"),
    "animal": ("dog", "cat", "bird", "horse", "cow", "sheep", "bear", "pet", "fox", "deer"),
    "fire": ("flame", "burning", "burn", "blaze"),
    "smoke": ("fume",),
    "explosion": ("explode", "blast", "bang", "bomb", "detonation"),
    "gunshot": ("shot fired", "gun", "gun shot", "shot", "shooting", "gunfire"),
    "glass_break": ("broken glass", "shatter glass", "smash window", "broken window", "break window", "shattering"),
    "scream": ("shriek", "yell", "shout", "cry for help"),
    "alarm": ("beeping", "smoke detector", "fire alarm", "burglar alarm", "smoke alarm"),
    "siren": ("ambulance", "police car", "fire engine", "emergency vehicle"),
    "crying_baby": ("baby", "infant", "baby cry", "crying child", "sobbing", "crying", "weeping"),
    "dog_bark": ("dog", "bark", "woof", "howl"),
    "door_knock": ("knock", "knock on door", "door", "someone at door"),
    "fall": ("fallen", "person down", "fall down", "collapse", "fell"),
    "fight": ("brawl", "assault", "violence", "hit"),
    "anomaly": ("unusual", "strange", "odd", "weird"),
}
"""Synonyms for the labels of the shipped model, without the labels' own words."""

NARROWER_WORDS = frozenset({
    *("man", "woman", "child", "car", "truck", "van", "lorry", "bus", "motorcycle", "motorbike", "dog", "cat", "bird"),
    *("horse", "cow", "sheep", "bear", "fox", "deer", "ambulance", "smoke detector", "fire alarm", "police car"),
    *("door", "fire engine", "burglar alarm", "smoke alarm", "howl"),
})  # fmt: skip
"""Words that are narrower than their label: they also restrict the search by their meaning."""

STOP_WORDS = frozenset(
    """a an and are as at be been but by camera cameras can clip clips did do does event events find for from had has
    have heard hear how i in inside into is it its near of off on or over saw see seen show sound sounds something
    the there these this those to video videos was were what when where which while who with zone any anything me my
    all please happened happen happens happening around about close next outside alert alerts noise noises""".split()  # noqa: SIM905 - read as a sentence
)


def stem(word: str) -> str:
    """A word without its commonest endings, so that "barking", "barks" and "bark" are the same."""
    for ending, least in (("ies", 2), ("ing", 3), ("ed", 3), ("s", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
            root = word[: -len(ending)]
            if ending == "ies":
                return f"{root}y"
            doubled = ending != "s" and len(root) > 3 and root[-1] == root[-2] and root[-1] not in "ls"
            root = root[:-1] if doubled else root
            return root.removesuffix("e")
    return word.removesuffix("e") if len(word) > 3 else word


def split_words(text: str) -> list[str]:
    """The words of a text in lower case; names are split (``glass_break`` is two words)."""
    return re.findall(r"[^\W_]+", text.lower())
