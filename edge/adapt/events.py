"""`edge learn events`: reads marked clips, learns, measures on held-out clips, compares, and writes the profile's next
version or refuses. Also the command's summary in plain lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge.adapt.cross_validation import CrossValidatedHead, fit_head_cross_validated
from edge.adapt.examples import (
    NO_EVENT,
    Example,
    LabelledClip,
    check_counts,
    deduplicate,
    read_examples,
    regroup_single_groups,
)
from edge.adapt.quality_gate import (
    ClipMetrics,
    PreviousEvents,
    VersionComparison,
    aligned_table,
    average_precision,
    compare_versions,
    load_previous,
    to_profile_part,
)
from edge.adapt.recordings import DescribedRecording, ProgressFactory, RecordingReader, clips_of, read_all
from edge.clock import Clock, SystemClock, iso8601
from edge.config import OFFLINE, LoadedConfig, load, parse
from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.engine.model import Model
from edge.metrics import Metrics
from edge.profile import ProfileFolder, ProfileVersion
from edge.types import F32


@dataclass(frozen=True, slots=True)
class LearningOutcome:
    """All that a report speaks of; ``single`` are the labels whose clips are all of one group."""

    clips: Sequence[LabelledClip]
    trained: CrossValidatedHead
    comparison: VersionComparison
    faults: Sequence[str]
    single: Sequence[str] = ()


def report_lines(outcome: LearningOutcome, profile: Path, version: ProfileVersion | None) -> list[str]:
    """The report's lines; ``version`` is None when the new version was refused."""
    lines = [_training_summary(outcome), ""]
    lines += _metrics_table(outcome)
    lines += ["", *_modalities(outcome)] if len(outcome.trained.head.cases) > 1 else []
    lines += (
        ["", f"left out ({len(outcome.faults)}):", *(f"  {fault}" for fault in outcome.faults)]
        if outcome.faults
        else []
    )
    lines += ["", *_advice(outcome), *_conclusion(outcome, profile, version)]
    return lines


def _training_summary(outcome: LearningOutcome) -> str:
    counts = Counter(clip.label for clip in outcome.clips if not clip.is_remainder)
    listed = ", ".join(f"{label or 'no event'} {n}" for label, n in sorted(counts.items()))
    groups = len({clip.group for clip in outcome.clips})
    total = sum(counts.values())
    clips, kinds = (f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in ((total, "clip"), (groups, "group")))
    return f"learned from {clips} of {kinds}: {listed}"


def _metrics_table(outcome: LearningOutcome) -> list[str]:
    """Held-out figures now and, for labels that were there, before and after on the same clips."""
    heading = ["label", "clips", "precision", "recall", "average precision", "enter"]
    rows = [heading]
    rows += [[label, str(m.events), *_metric_cells(m), f"{m.enter:.2f}"] for label, m in outcome.comparison.now.items()]
    lines = ["held out (each clip judged by what was learned from clips of other groups):", *_indented(rows)]
    return [*lines, *_comparison_table(outcome)]


def _comparison_table(outcome: LearningOutcome) -> list[str]:
    """What is replaced, and how that did on the clips that both are compared on."""
    c = outcome.comparison
    rows = [["label", "in the place of", "clips", "precision", "recall", ""]]
    for label, was in c.before.items():
        m = c.after[label]
        verdict = "worse" if label in c.fallen else ""
        cells = (f"{was.precision:.2f} -> {m.precision:.2f}", f"{was.recall:.2f} -> {m.recall:.2f}")
        rows.append([label, c.origin[label], f"{was.events} of {was.clips}", *cells, verdict])
    gone = [f"  {label} would be gone" for label in c.fallen if label not in c.now]
    new = [label for label in c.now if label not in c.before]
    lines = ["", "before -> now, on the same clips:", *_indented(rows)] if len(rows) > 1 else []
    return [*lines, *gone, *([f"new: {', '.join(new)}"] if new else [])]


def _indented(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"  {line}" for line in aligned_table(rows)]


def _metric_cells(m: ClipMetrics) -> tuple[str, str, str]:
    return f"{m.precision:.2f}", f"{m.recall:.2f}", f"{m.average_precision:.2f}"


def _modalities(outcome: LearningOutcome) -> list[str]:
    """Average precision of everything, of the picture and of the sound."""
    rows = [["average precision", "all", "picture alone", "sound alone"]]
    values = (outcome.trained.fused, outcome.trained.picture_only, outcome.trained.sound_only)
    for k, label in enumerate(outcome.comparison.now):
        is_event = np.array([clip.label == label for clip in outcome.clips])
        rows.append([label, *(_precision_cell(v[:, k], is_event) for v in values)])
    return aligned_table(rows)


def _precision_cell(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], is_event: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> str:
    there = ~np.isnan(values)
    if not is_event[there].any():
        return "-"
    text = f"{average_precision(values[there], is_event[there]):.2f}"
    return text if there.all() else f"{text} ({int(there.sum())} clips)"


def _advice(outcome: LearningOutcome) -> list[str]:
    lines = []
    if not any(clip.label == NO_EVENT for clip in outcome.clips):
        lines.append(
            "No clips without an event were given: the labels are told from one another, not from ordinary moments. "
            "Add a sub-folder `normal` with clips of them, or expect false alarms."
        )
    if outcome.single:
        names = ", ".join(label or "normal" for label in outcome.single)
        lines.append(f"All clips of {names} are of one group, so they were held out one by one: these figures flatter.")
    for label, m in outcome.comparison.now.items():
        chance = m.events / m.clips
        if m.average_precision < chance + 0.25 * (1 - chance):
            lines.append(
                f"{label} is hardly told apart from the rest (average precision {m.average_precision:.2f}, by chance "
                f"{chance:.2f}): give more, and more different, clips."
            )
    return [*lines, ""] if lines else []


def _conclusion(outcome: LearningOutcome, profile: Path, version: ProfileVersion | None) -> list[str]:
    if version is None:
        return [
            f"refused: {', '.join(outcome.comparison.fallen)} got worse; {profile} stays as it is.",
            "Look at the figures, put wrong marks right or give more clips; --force takes it all the same.",
        ]
    forced = (
        f" although {', '.join(outcome.comparison.fallen)} got worse (--force)" if outcome.comparison.fallen else ""
    )
    back = f"; back: edge learn rollback {profile}" if version.number > 1 else ""
    return [f"version {version.number} of {profile} is current now{forced}{back}"]


PART: Final = "events"
_DEFAULTS: Final = "cameras: {recording: {source: {type: file, path: recording}}}\nmqtt: null"


@dataclass(frozen=True, slots=True)
class LearningRequest:
    """What was asked for: examples, the profile's folder, a config file (its model), and whether earlier clips are
    forgotten (``only``) and a worse version is taken all the same (``force``)."""

    source: Path
    profile: Path
    config: Path | None = None
    only: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class LearningResult:
    """The new current version, None when it was refused; the report's lines; what was learned and measured."""

    version: ProfileVersion | None
    report: list[str]
    outcome: LearningOutcome


def learn_events(request: LearningRequest, progress: ProgressFactory, clock: Clock | None = None) -> LearningResult:
    """Learn and write; nothing is written when a label got worse. InputError names what is wrong with the input."""
    examples = read_examples(request.source)
    loaded = load(request.config, needs=OFFLINE) if request.config else parse(_DEFAULTS)
    folder = load_folder(find_folder(loaded.config.model.name))
    profile = ProfileFolder(request.profile)
    previous = load_previous(profile.current(), folder.manifest)
    if previous is None:
        check_counts(Counter(example.label for example in examples))
    clips_read = _read_clips(request, examples, previous, folder, loaded, progress)
    check_counts(Counter(clip.label for clip in clips_read.clips if not clip.is_remainder))
    clips, single = regroup_single_groups(clips_read.clips)
    labels = sorted({clip.label for clip in clips} - {NO_EVENT})
    with progress("learning", 7) as advance:
        trained = fit_head_cross_validated(clips, labels, clips_read.silence, folder.manifest.label_names, advance)
    comparison = compare_versions(
        clips, trained, previous, clips_read.previous, {x.name: x.enter for x in folder.manifest.labels}
    )
    outcome = LearningOutcome(clips, trained, comparison, clips_read.faults, single)
    if comparison.fallen and not request.force:
        return LearningResult(None, report_lines(outcome, request.profile, None), outcome)
    part = to_profile_part(clips_read.examples, clips, trained, comparison.now, folder.manifest.geometry.hop_s)
    notes = {"at": iso8601((clock or SystemClock()).wall_ns()), "learned": PART, "from": str(request.source)}
    version = profile.write(folder.manifest, {PART: part}, notes)
    return LearningResult(version, report_lines(outcome, request.profile, version), outcome)


@dataclass(frozen=True, slots=True)
class _ReadClips:
    """Clips to learn from, the ``previous`` ones as they were marked then, and lines on what could not be read."""

    examples: Sequence[tuple[Example, str]]
    clips: Sequence[LabelledClip]
    previous: Sequence[LabelledClip]
    silence: F32
    faults: Sequence[str]


def _read_clips(
    request: LearningRequest,
    new_examples: Sequence[Example],
    previous: PreviousEvents | None,
    folder: ModelFolder,
    loaded: LoadedConfig,
    progress: ProgressFactory,
) -> _ReadClips:
    """All clips: those given, and those that the profile learned from before unless they are marked anew."""
    model = Model.open(folder, loaded.config.model, 1, Metrics())
    try:
        reader = RecordingReader(model, loaded.config, request.profile)
        recordings, faults = read_all(new_examples, reader, progress)
        past, gone = _previous_clips(previous, reader)
    finally:
        model.close()
    marked = {recording.digest for _, recording in recordings}
    if not request.only:
        recordings += [(example, recording) for example, recording in past if recording.digest not in marked]
        faults += gone
    clips = [clip for example, recording in recordings for clip in clips_of(example, recording, reader.silence)]
    then = [clip for example, recording in past for clip in clips_of(example, recording, reader.silence)]
    examples = [(example, recording.digest) for example, recording in recordings]
    return _ReadClips(examples, deduplicate(clips), deduplicate(then), reader.silence, faults)


def _previous_clips(
    previous: PreviousEvents | None, reader: RecordingReader
) -> tuple[list[tuple[Example, DescribedRecording]], list[str]]:
    """What was learned from before, and a line for each clip that is gone."""
    past, gone = [], []
    for example, digest in previous.examples if previous is not None else ():
        recording = reader.reread(example.path, digest)
        if recording is None:
            gone.append(f"{example.path}: learned from before, is not there any more; left out")
        else:
            past.append((example, recording))
    return past, gone
