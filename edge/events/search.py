"""Searching kept events with a sentence: what it asks for, what it means, and the events that fit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

import numpy as np

from edge.engine.manifest import ModelFolder
from edge.errors import InputError
from edge.events.ask import parse_question
from edge.events.words import split_words
from edge.evidence.archive.records import EventQuery, SearchHit
from edge.evidence.archive.store import EventStore
from edge.prompts.encoder import TextEncoder, find_text_model
from edge.prompts.ground import normalised_text
from edge.prompts.knowledge import ModelVocabulary, load_vocabulary
from edge.types import F32

log = logging.getLogger(__name__)


class SentenceEmbedder:
    """What sentences mean, in the space of `Features.aligned` of the model in ``folder``.

    InputError when the text model is not installed or the model has no words. Opening takes tens of milliseconds.
    """

    def __init__(self, folder: ModelFolder) -> None:
        self._knowledge: ModelVocabulary = load_vocabulary(folder)
        self._encoder = TextEncoder(find_text_model())

    def embed(self, text: str) -> tuple[F32, F32]:
        """A unit vector f32[D]; and f32[2,2], the mean and spread of its cosine to ordinary pictures and sounds."""
        vector = self._knowledge.aligned(self._encoder.encode([normalised_text(text)]))[0]
        known = self._knowledge
        cosines = [ordinary @ vector for ordinary in (known.ordinary_seen, known.ordinary_heard)]
        ordinary = [[float(np.mean(cosine)), max(1e-3, float(np.std(cosine)))] for cosine in cosines]
        return vector, np.array(ordinary, np.float32)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What was found, what was asked for in the end, and what to tell whoever asked ("" for nothing)."""

    hits: Sequence[SearchHit]
    query: EventQuery
    notice: str = ""


class EventSearch:
    """Answers questions about one store. ``cameras``, ``zones`` and ``labels`` are the names that there are; those of
    kept events are known besides. ``meaning`` None: by words alone."""

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
        """What a sentence asks for, with its meaning where words are searched for."""
        cameras, zones, labels = self._names
        kept_cameras, kept_labels = (self._store.names(of) for of in ("camera", "label"))
        places = {*cameras, *kept_cameras}, zones, {*labels, *kept_labels}
        return self.with_vector(parse_question(text, now_wall_ns, self._tz, *places))

    def with_vector(self, query: EventQuery) -> EventQuery:
        """A query with what its text means."""
        if self._meaning is None or not query.text:
            return query
        vector, ordinary = self._meaning.embed(query.text)
        return replace(query, vector=vector, baseline=ordinary)

    def find(self, text: str, now_wall_ns: int, narrowed: EventQuery = EventQuery()) -> SearchResult:  # noqa: B008 - frozen
        """The events that fit a sentence; what ``narrowed`` says is taken besides, and goes before the sentence.

        Where no event has the label that the sentence names, its words are searched for instead.
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
    """What sentences mean, or None where that cannot be told; ``on_fallback`` is told once why, and what to install."""
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
