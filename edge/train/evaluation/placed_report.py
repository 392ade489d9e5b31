"""What decoding on demand changed of placed events: by condition, in Markdown and as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from edge.train.evaluation.placed_comparison import EventSpan, PairedReplay
from edge.train.evaluation.placed_trials import FPS, PlacedTrial, conditions_of, trial_at


@dataclass(slots=True)
class ConditionTally:
    """Trials and events of one value of a condition; ``late_s`` and ``early_s`` are the greatest shifts of a begin."""

    trials: int = 0
    events: int = 0
    lost: int = 0
    new: int = 0
    late_s: float = 0.0
    early_s: float = 0.0


@dataclass(slots=True)
class PlacedSummary:
    """All recordings: ``events`` are those that decoding everything reports."""

    total: ConditionTally = field(default_factory=ConditionTally)
    by_condition: dict[str, dict[str, ConditionTally]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    differences: list[dict[str, Any]] = field(default_factory=list)
    recordings: int = 0
    media_s: float = 0.0
    windows: tuple[int, int] = (0, 0)
    spent_s: float = 0.0
    saved_s: float = 0.0
    skipped: int = 0
    wakes: dict[str, int] = field(default_factory=dict)

    @property
    def is_proof(self) -> bool:
        """Whether there were events, and none was lost and none is new."""
        return self.total.events > 0 and not self.total.lost and not self.total.new


def summarise(pairs: Sequence[PairedReplay]) -> PlacedSummary:
    """Count everything."""
    found = PlacedSummary(recordings=len(pairs))
    for pair in pairs:
        recording = pair.recording
        found.media_s += recording.seconds
        found.windows = (found.windows[0] + pair.windows[0], found.windows[1] + pair.windows[1])
        found.spent_s += pair.spent_s
        found.saved_s += pair.saved_s
        found.skipped += pair.skipped
        for reason, n in pair.wakes.items():
            found.wakes[reason] = found.wakes.get(reason, 0) + n
        for trial in recording.trials:
            for tally in _tallies(found, pair, trial):
                tally.trials += 1
        _add_events(found, pair)
    return found


def _add_events(found: PlacedSummary, pair: PairedReplay) -> None:
    for decoded, on_demand in pair.matches.pairs:
        later_s = on_demand.begin_s - decoded.begin_s
        found.labels[decoded.label] = found.labels.get(decoded.label, 0) + 1
        for tally in _tallies_at(found, pair, decoded):
            tally.events += 1
            tally.late_s, tally.early_s = max(tally.late_s, later_s), max(tally.early_s, -later_s)
    for event in pair.matches.lost:
        found.labels[event.label] = found.labels.get(event.label, 0) + 1
        found.differences.append(_difference("lost", pair, event))
        for tally in _tallies_at(found, pair, event):
            tally.events += 1
            tally.lost += 1
    for event in pair.matches.new:
        found.differences.append(_difference("new", pair, event))
        for tally in _tallies_at(found, pair, event):
            tally.new += 1


def _tallies_at(found: PlacedSummary, pair: PairedReplay, event: EventSpan) -> list[ConditionTally]:
    return _tallies(found, pair, trial_at(pair.recording, event.begin_s))


def _tallies(found: PlacedSummary, pair: PairedReplay, trial: PlacedTrial | None) -> list[ConditionTally]:
    by = found.by_condition
    values = conditions_of(pair.recording, trial).items()
    return [found.total, *(by.setdefault(name, {}).setdefault(value, ConditionTally()) for name, value in values)]


def _difference(kind: str, pair: PairedReplay, event: EventSpan) -> dict[str, Any]:
    trial = trial_at(pair.recording, event.begin_s)
    conditions = conditions_of(pair.recording, trial)
    placed = {} if trial is None else {"begin_s": trial.begin_s, "length_s": trial.length_s,
                                       "picture": trial.picture and trial.picture.name,
                                       "sound": trial.sound and trial.sound.name}  # fmt: skip
    return {"what": kind, **asdict(event), "recording": pair.recording.seed, "trial": placed, **conditions}


def markdown_report(found: PlacedSummary, about: str) -> str:
    """The tables."""
    total, saved = found.total, 100 * found.saved_s / max(found.spent_s, 1e-9)
    verdict = "none lost, none new" if found.is_proof else f"{total.lost} lost, {total.new} new"
    moved = f"A begin moved by {total.late_s:.1f} s later and {total.early_s:.1f} s earlier at most."
    windows = f"Windows: {found.windows[0]} with everything decoded, {found.windows[1]} on demand."
    cost = (
        f"Apart from the model, {found.spent_s:.0f} CPU-s with everything decoded, of which decoding on demand saves "
        f"{found.saved_s:.0f} ({saved:.0f} %)."
    )
    share = 100 * found.skipped / max(1.0, found.media_s * FPS)
    wakes = ", ".join(f"{reason} {n}" for reason, n in sorted(found.wakes.items(), key=lambda item: -item[1]))
    left_out = f"On demand, {found.skipped} pictures were not decoded ({share:.0f} %); wakes: {wakes or 'none'}."
    placed = f"{total.trials} placed in {found.recordings} recordings ({found.media_s / 3600:.1f} h)"
    lines = [
        about,
        "",
        f"**{total.events} events** of {placed}: **{verdict}**. {moved} {windows} {left_out} {cost}",
        "",
        "| condition | | placed | events | lost | new | begin later at most, s |",
        "| --- |" + " --- |" * 6,
        *_condition_rows(found),
        "",
        "Labels: "
        + ", ".join(f"{label} {n}" for label, n in sorted(found.labels.items(), key=lambda item: -item[1]))
        + ".",
    ]
    lines += ["", *(f"- {_sentence(one)}" for one in found.differences)] if found.differences else []
    return "\n".join(lines) + "\n"


def _condition_rows(found: PlacedSummary) -> Iterator[str]:
    for name, values in found.by_condition.items():
        for value, t in sorted(values.items()):
            yield f"| {name} | {value} | {t.trials} | {t.events} | {t.lost} | {t.new} | {t.late_s:.1f} |"


def _sentence(one: dict[str, Any]) -> str:
    return f"{one['what']}: {one['label']} at {one['begin_s']:.1f} s of recording {one['recording']}, {one['trial']}"


def as_json(found: PlacedSummary) -> dict[str, Any]:
    """The same for programs."""
    return {**asdict(found), "is_proof": found.is_proof}
