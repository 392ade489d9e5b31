"""What gating left out and what it changed, set by set, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge.learn.evaluation.gating import PARTS, EventDifference, GatedRun, event_difference
from edge.learn.evaluation.metrics import average_precision
from edge.learn.evaluation.recordings import RecordingResult
from edge.learn.evaluation.sets import DATASETS, DatasetRow, labelled_rows

_HEAD = (
    "| set | recordings | windows | pictures reused | sound reused | CPU of the model left out | events | lost | new "
    "| moved at most, s | AP changed at most |\n| --- |" + " --- |" * 10 + "\n"
)


def event_changes(played: Sequence[tuple[DatasetRow, GatedRun]]) -> list[tuple[DatasetRow, EventDifference]]:
    """What gating changed of each recording's events."""
    return [(row, event_difference(pair.off.events, pair.on.events)) for row, pair in played]


def gating_table(played: Sequence[tuple[DatasetRow, GatedRun]], costs_s: Mapping[str, float]) -> str:
    """Markdown: a line a set, one for all, then what was lost or is new. ``costs_s``: CPU of a row by part."""
    names = list(dict.fromkeys(row.set_name for row, _ in played))
    lines = [
        _line(DATASETS[n].title if n in DATASETS else n, [p for p in played if p[0].set_name == n], costs_s)
        for n in names
    ]
    lines.append(_line("**all**", played, costs_s))
    cost = ", ".join(f"{name} {1000 * s:.1f}" for name, s in costs_s.items())
    words = [
        f"- `{row.path.name}`: {what} {event.label} at {event.reported_s:.1f} s"
        for row, d in event_changes(played)
        for what, events in (("lost", d.lost), ("new", d.new))
        for event in events
    ]
    return _HEAD + "\n".join([*lines, "", f"CPU of a row by part, ms: {cost}.", *words, ""])


def saved_share(pair: Sequence[GatedRun], costs_s: Mapping[str, float]) -> float:
    """Share of the parts' CPU time that was left out; all windows cost alike."""
    windows = sum(p.encoded["see"] + p.reused["see"] for p in pair)
    left_out = sum(p.reused[part] * costs_s[part] for p in pair for part in PARTS)
    return left_out / max(1e-9, windows * sum(costs_s.values()))


def greatest_precision_change(played: Sequence[tuple[DatasetRow, GatedRun]]) -> float:
    """The greatest difference of average precision (each recording by its highest score) over labels that can be
    judged; NaN where none can."""
    rows, found = [row for row, _ in played], [float("nan")]
    for label in played[0][1].off.labels if played else ():
        which, holds = labelled_rows(rows, label)
        truth = np.array(holds, bool)
        if not truth.any() or truth.all():
            continue
        off, on = (_precision([getattr(played[k][1], side) for k in which], label, truth) for side in ("off", "on"))
        found.append(abs(off - on))
    return float(np.nanmax(found)) if len(found) > 1 else float("nan")


def _precision(answers: Sequence[RecordingResult], label: str, truth: np.ndarray) -> float:
    return average_precision(np.array([answer.peak(label) for answer in answers]), truth)


def _line(title: str, played: Sequence[tuple[DatasetRow, GatedRun]], costs_s: Mapping[str, float]) -> str:
    pairs = [pair for _, pair in played]
    windows = sum(p.encoded["see"] + p.reused["see"] for p in pairs)
    share = {part: sum(p.reused[part] for p in pairs) / max(1, windows) for part in PARTS}
    differences = [d for _, d in event_changes(played)]
    moved, ap = max((d.max_delay_s for d in differences), default=0.0), greatest_precision_change(played)
    cells = [
        title, str(len(played)), str(windows), f"{share['see']:.0%}", f"{share['hear']:.0%}",
        f"{saved_share(pairs, costs_s):.0%}", str(sum(len(p.off.events) for p in pairs)),
        str(sum(len(d.lost) for d in differences)), str(sum(len(d.new) for d in differences)), f"{moved:.1f}",
        "–" if np.isnan(ap) else f"{ap:.4f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"
