"""From a query to events: what restricts goes to SQL, what is searched for is ranked.

Ranking. Words give a rank by BM25 (a hit in the label or the caption counts most), meaning gives a rank by closeness;
the two are joined by reciprocal rank fusion (Cormack, Clarke, Buettcher 2009: the sum of 1 / (60 + rank)), which needs
no common scale of two numbers that have none. An event without a hit in words counts only when its meaning stands
out: closeness alone always names somebody as the closest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from edge.evidence.archive.records import EventQuery, EventRecord

WEIGHTS = "8.0, 1.0, 3.0, 2.0, 1.0, 6.0"  # of label, why, tags, zones, camera, caption
DEPTH = 400  # how far down each of the two rankings is looked
RRF_K = 60.0
LEAST_Z_SCORE = 2.0  # spreads above what is ordinary, from which a meaning counts without a word
LEAST_COSINE = 0.35  # the same where nothing is known of what is ordinary
WORDS_BATCH = 10_000  # events that are ranked by words at once
NO_RESTRICTION = "1"  # no restriction
_WORD = re.compile(r"\w+")


def where_clause(query: EventQuery) -> tuple[str, list[object]]:
    """The restrictions of a query as SQL over ``events e``, and its arguments."""
    parts, args = [NO_RESTRICTION], list[object]()
    for column, names in (("camera", query.cameras), ("label", query.labels), ("kind", query.kinds)):
        if names:
            parts.append(f"e.{column} IN ({', '.join('?' * len(names))})")
            args += [getattr(name, "value", name) for name in names]
    if query.zones:
        parts.append("(" + " OR ".join(["instr(e.zones, ?) > 0"] * len(query.zones)) + ")")
        args += [f'"{zone}"' for zone in query.zones]
    if query.until_ns is not None:
        parts.append("e.begin_ns < ?")
        args.append(query.until_ns)
    if query.before_ns is not None:
        parts.append("e.begin_ns < ?")
        args.append(query.before_ns)
    if query.since_ns is not None:
        parts.append("coalesce(e.end_ns, e.begin_ns) >= ?")
        args.append(query.since_ns)
    if query.marked is not None:
        parts.append("e.verdict IS NULL" if query.marked == "none" else "e.verdict = ?")
        args += [] if query.marked == "none" else [query.marked]
    return " AND ".join(parts[1:] or parts), args


def matches(record: EventRecord, query: EventQuery) -> bool:
    """What `where_clause` says, of a record that is not in the database (yet)."""
    end_ns = record.begin_ns if record.end_ns is None else record.end_ns
    verdict = "none" if record.mark is None else record.mark.verdict
    return all(
        (
            not query.cameras or record.camera in query.cameras,
            not query.labels or record.label in query.labels,
            not query.kinds or record.kind in query.kinds,
            not query.zones or bool(set(query.zones) & set(record.zones)),
            query.until_ns is None or record.begin_ns < query.until_ns,
            query.before_ns is None or record.begin_ns < query.before_ns,
            query.since_ns is None or end_ns >= query.since_ns,
            query.marked is None or query.marked == verdict,
        )
    )


def match_expression(text: str) -> str:
    """Words as a full-text expression that any of them fulfils; "" when there is none. Nothing in it is syntax."""
    return " OR ".join(f'"{word}"' for word in dict.fromkeys(_WORD.findall(text.lower())))


def reciprocal_rank_fusion(
    words: Sequence[int], meaning: Sequence[tuple[int, float]], least: float
) -> dict[int, float]:
    """Reciprocal rank fusion of two rankings, best first; ``least`` is what a meaning without a word must reach."""
    scores: dict[int, float] = {n: 1.0 / (RRF_K + rank) for rank, n in enumerate(words, 1)}
    hits = set(scores)
    for rank, (n, closeness) in enumerate(meaning, 1):
        if n in hits or closeness >= least:
            scores[n] = scores.get(n, 0.0) + 1.0 / (RRF_K + rank)
    return scores


def by_score(scores: Mapping[int, float]) -> list[tuple[int, float]]:
    """By score, the newer of equals first."""
    return sorted(scores.items(), key=lambda item: (-item[1], -item[0]))
