"""The outcome in the terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.tune.outcome import LabelTuning, TuningResult, worst_mistakes
from edge.tune.suggest import LEAST_QUIET_S, ThresholdEffect

HEAD = ("event", "enter", "suggested", "recall", "precision", "false a day", "found apart", "")


def as_table(outcome: TuningResult, out: Path) -> str:
    """A table for people, the diff, and where the report lies."""
    notable = notable_rows(outcome)
    quiet = [row.sweep.label for row in outcome.rows if row not in notable]
    lines = columns([HEAD, *(_cells(row, outcome.has_labels) for row in notable)]) if notable else []
    if quiet:
        lines.append(f"nothing to say of {', '.join(quiet)}: no event, no label, too little quiet time")
    if not outcome.has_labels:
        lines.append("No labels were given: every event counts as false, and what would be missed is not known.")
    if any(row.suggestion.before.is_short for row in notable):
        lines.append(
            f"Less than {LEAST_QUIET_S / 3600:g} h is too short to tell how many come in a day: they are counted."
        )
    lines += outcome.remarks
    passed = outcome.passed
    count = len(outcome.recordings)
    lines += ["", f"{count} recording{'' if count == 1 else 's'}, {passed.media_s / 3600:.2f} h; {speed_text(outcome)}"]
    lines += ["", outcome.diff.rstrip() or "No change to config.yaml.", "", f"Report: {out / 'report.html'}"]
    return "\n".join(lines)


def as_json(outcome: TuningResult) -> str:
    """Everything that was measured, one object."""
    passed = outcome.passed
    return json.dumps(
        {
            "schema": 1,
            "false_alarms_per_day": outcome.per_day,
            "labelled": outcome.has_labels,
            "recordings": [str(r.path) for r in outcome.recordings],
            "media_s": round(passed.media_s, 3),
            "scored_s": round(passed.scored_s, 3),
            "scoring_took_s": round(passed.scoring_took_s, 3),
            "deciding_took_s": round(passed.deciding_took_s, 3),
            "events": {row.sweep.label: _entry(outcome, row) for row in outcome.rows},
            "diff": outcome.diff,
            "remarks": list(outcome.remarks),
            "unreadable": list(outcome.unreadable),
        },
        ensure_ascii=False,
        indent=1,
        allow_nan=False,
    )


def notable_rows(outcome: TuningResult) -> list[LabelTuning]:
    """The labels of which there is anything to say: those that change first, then those that were labelled."""
    notable = [r for r in outcome.rows if r.suggestion.before.spans or r.suggestion.before.false or r.suggestion.after]
    return sorted(notable, key=lambda row: (row.suggestion.after is None, not row.suggestion.before.spans))


def speed_text(outcome: TuningResult) -> str:
    """How fast it was, as a phrase."""
    passed = outcome.passed
    deciding = f"decided in {passed.deciding_took_s:.1f} s"
    if not passed.scored_s:
        return f"scores were kept, {deciding}"
    return f"scored at {passed.scored_s / passed.scoring_took_s:.1f} times real time, {deciding}"


def arrow(before: str, after: str | None) -> str:
    """What it is, and what it becomes."""
    return before if after is None or after == before else f"{before} → {after}"


def share(value: float | None) -> str:
    """A share as per cent."""
    return "–" if value is None else f"{100 * value:.0f} %"


def rate(value: float | None) -> str:
    """A rate, with as many digits as mean something."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def frequency(effect: ThresholdEffect) -> str:
    """How often there are false alarms: a day, or as counted in what is too short for that."""
    return f"{effect.false} in {_length(effect.quiet_s)}" if effect.is_short else rate(effect.per_day)


def _length(length_s: float) -> str:
    return f"{length_s:.0f} s" if length_s < 120 else f"{length_s / 60:.0f} min"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equal length as lines, each column as wide as its widest cell."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cells(row: LabelTuning, is_labelled: bool) -> tuple[str, ...]:
    s = row.suggestion
    before, after = s.before, s.after
    return (
        s.label,
        f"{before.enter:g}",
        f"{after.enter:g}" if after else "–",
        arrow(share(before.recall), share(after.recall) if after else None),
        arrow(share(before.precision), share(after.precision) if after else None) if is_labelled else "–",
        arrow(frequency(before), frequency(after) if after else None),
        f"{s.apart.found} of {s.apart.spans}" if s.apart else "–",
        s.remark,
    )


def _entry(outcome: TuningResult, row: LabelTuning) -> dict[str, Any]:
    s = row.suggestion
    return {
        "method": s.method,
        "before": _effect(s.before),
        "after": _effect(s.after),
        "apart": _effect(s.apart),
        "remark": s.remark,
        "exact": row.sweep.is_exact,
        "mistakes": [
            {
                "file": str(m.path),
                "kind": m.kind,
                "begin_s": m.begin_s,
                "end_s": m.end_s,
                "peak": round(m.peak, 4),
                "why": m.why,
            }
            for m in worst_mistakes(outcome, s.label)
        ],
    }


def _effect(effect: ThresholdEffect | None) -> dict[str, float | int | None] | None:
    if effect is None:
        return None
    measured = {
        "recall": effect.recall,
        "precision": effect.precision,
        "f1": effect.f1,
        "false_per_day": effect.per_day,
        "false_per_day_at_most": effect.at_most_per_day,
    }
    counted = {"spans": effect.spans, "found": effect.found, "false": effect.false}
    rounded = {name: None if value is None else round(value, 4) for name, value in measured.items()}
    return {"enter": effect.enter, **counted, "quiet_s": round(effect.quiet_s, 1), **rounded}
