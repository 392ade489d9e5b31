"""Runs everything that the report says, and keeps what is slow on disk."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge.engine.manifest import Label
from edge.errors import InputError
from edge.files import atomic_write
from edge.learn.evaluation.figures import Scored
from edge.learn.evaluation.onsets import Latency, active_spans, compose, decode, latency
from edge.learn.evaluation.recordings import VIEWS, Answer, Bench, Job, View
from edge.learn.evaluation.sets import ABOUT, ALL, Row, mark_trained, pick, read_rows

_log = logging.getLogger(__name__)

CUT: Final = ("fight_surv", "av_events")
"""Sets whose recordings are also played without their sound and without their picture."""
KEPT: Final = ("esc10", "esc50_part", "fight_surv")
"""Sets that prompts and taught events are tried on: their windows are kept whole."""
NEEDED: Final = {"esc10": "esc10", "fight_surv": "fights"}
"""Sets of which a protocol of `edge.learn.evaluation.learned` needs every recording."""
LATENCY_MOST: Final = 4
_NOT_SCORED: Final = ("ucsd_ped2",)
"""Measured by its own protocol (`edge.learn.evaluation.learned`): without a normal learned there is no anomaly."""

Say = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asked for."""

    data: Path
    engine: Path
    work: Path
    only: tuple[str, ...] = ()
    most: int = 20
    workers: int = 1
    yamnet: Path | None = None
    weights: Path | None = None
    skip: tuple[str, ...] = ()

    @property
    def whole(self) -> frozenset[str]:
        """The sets of which everything is taken: those with a goal, and those that a protocol needs all of."""
        needed = {name for name, protocol in NEEDED.items() if not {"learned", protocol} & set(self.skip)}
        return ALL | needed


@dataclass(slots=True)
class Findings:
    """All that was measured; the report is made of this alone."""

    model: str
    digest: str
    labels: tuple[Label, ...]
    command: str
    most: int
    whole_sets: frozenset[str] = ALL
    rows: Sequence[Row] = ()
    whole: Sequence[Scored] = ()
    cut: Mapping[View, Sequence[Scored]] = field(default_factory=dict)
    unreadable: Sequence[str] = ()
    spans: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    latencies: Sequence[Latency] = ()
    yamnet: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    learned: Mapping[str, Any] = field(default_factory=dict)
    ablation: Mapping[str, Any] | None = None
    compute: Mapping[str, Any] | None = None


def chosen_rows(asked: Asked) -> list[Row]:
    """The recordings that are asked for; InputError names sets that are not there."""
    from edge.learn.data import recordings

    rows = read_rows(asked.data)
    known = {row.set_name for row in rows}
    unknown = sorted(set(asked.only) - known)
    if unknown:
        raise InputError(f"--only {','.join(unknown)}: no such set; there is: {', '.join(sorted(known))}")
    trained = [r.path for r in recordings(asked.data) if not r.held_out]
    rows = [row for row in mark_trained(rows, trained) if row.set_name in ABOUT]
    return [row for row in pick(rows, asked.most, asked.whole) if not asked.only or row.set_name in asked.only]


def collect(asked: Asked, findings: Findings, bench: Bench, say: Say) -> None:
    """Fill ``findings`` but for what is learned, the ablation and the cost."""
    rows = findings.rows = chosen_rows(asked)
    played = [row for row in rows if row.set_name not in _NOT_SCORED]
    jobs = [job_of(row) for row in played]
    jobs += [job_of(row, view) for row in played if row.set_name in CUT for view in VIEWS[1:]]
    answers = play(bench, jobs, say)
    findings.unreadable = [job.path.name for job in jobs if answers[job] is None and job.view == "whole"]
    findings.whole = _scored(played, answers, "whole")
    cut = [row for row in played if row.set_name in CUT and answers[job_of(row, "sound")] is not None]
    findings.cut = {view: _scored(cut, answers, view) for view in VIEWS}
    findings.spans = spans_of(bench, played)
    if "latency" not in asked.skip:
        findings.latencies = latencies(bench, played, findings.labels, say)
    if asked.yamnet is not None:
        findings.yamnet = heard_by_yamnet(asked.yamnet, asked.work, played, say)


def job_of(row: Row, view: View = "whole") -> Job:
    """How ``row`` is played."""
    return Job(row.path, view, keeps=row.set_name in KEPT and view != "sound")


def play(bench: Bench, jobs: Sequence[Job], say: Say) -> dict[Job, Answer | None]:
    """Every job's answer; says how far it is."""
    found: dict[Job, Answer | None] = {}
    for job, answer in bench.run(jobs):
        found[job] = answer
        say(len(found), len(set(jobs)), job.path.name)
    return found


def spans_of(bench: Bench, rows: Iterable[Row]) -> dict[str, list[tuple[float, float]]]:
    """Where each recording with an event is active: by its level for sounds, as a whole for pictures and clips."""
    place = bench.cache.parent / "spans.json"
    known: dict[str, list[tuple[float, float]]] = read_json(place) or {}
    for row in rows:
        key = str(row.path)
        if key not in known:
            known[key] = active_spans(decode(row.path)) if row.kind == "sound" else [(0.0, 1e9)]
    write_json(place, known)
    return known


def latencies(bench: Bench, rows: Sequence[Row], labels: Sequence[Label], say: Say) -> list[Latency]:
    """From the sample at which a sound begins to the telling of its event, on recordings composed for it."""
    folder = bench.cache.parent / "onsets"
    folder.mkdir(exist_ok=True)
    jobs: dict[Job, tuple[str, float]] = {}
    for label in labels:
        heard = [r for r in rows if r.kind == "sound" and "audio" in label.modalities and r.truth(label.name)]
        step = max(1, len(heard) // LATENCY_MOST)
        for row in heard[::step][:LATENCY_MOST]:
            out = folder / f"{row.set_name}-{row.path.stem}.wav"
            jobs[Job(out)] = (label.name, compose(row.path, out))
    answers = play(bench, list(jobs), say)
    return [
        Latency(label, job.path.name, latency(answer, label, onset_s))
        for job, (label, onset_s) in jobs.items()
        if (answer := answers[job]) is not None
    ]


def heard_by_yamnet(folder: Path, work: Path, rows: Sequence[Row], say: Say) -> dict[str, dict[str, float]]:
    """YAMNet's scores by label and path, of recordings with sound alone."""
    place = work / "yamnet.json"
    known: dict[str, dict[str, float]] = read_json(place) or {}
    sounds = [row for row in rows if row.kind == "sound"]
    todo = [row for row in sounds if str(row.path) not in known]
    if todo:
        from edge.learn.evaluation.yamnet import Yamnet

        net = Yamnet(folder)
        for k, row in enumerate(todo):
            known[str(row.path)] = net.scores(row.path)
            say(k + 1, len(todo), f"YAMNet {row.path.name}")
        write_json(place, known)
    labels = next(iter(known.values()), {})
    return {label: {str(row.path): known[str(row.path)][label] for row in sounds} for label in labels}


def read_json(path: Path) -> Any:
    """What `write_json` wrote; None where there is nothing."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write_json(path: Path, value: Any) -> None:
    """Write whole or not at all."""
    atomic_write(path, json.dumps(value, indent=1))


def _scored(rows: Iterable[Row], answers: Mapping[Job, Answer | None], view: View) -> list[Scored]:
    return [Scored(row, answer) for row in rows if (answer := answers.get(job_of(row, view))) is not None]
