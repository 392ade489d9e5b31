"""From marked clips to a profile's next version: read, learn, measure what was held out, compare, write or refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.clock import Clock, SystemClock, iso8601
from edge.config import OFFLINE, LoadedConfig, load, parse
from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.engine.model import Model
from edge.learn.events.clips import NO_EVENT, LabelledClip, deduplicate, regroup_single_groups
from edge.learn.events.earlier import PreviousEvents, load_previous, to_profile_part
from edge.learn.events.examples import Example, check_counts, read_examples
from edge.learn.events.gate import compare_versions
from edge.learn.events.head import fit_head_cross_validated
from edge.learn.events.read import DescribedRecording, ProgressFactory, RecordingReader, clips_of, read_all
from edge.learn.events.report import LearningOutcome, report_lines
from edge.metrics import Metrics
from edge.profile import ProfileFolder, ProfileVersion
from edge.types import F32

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
    """Do it. InputError says what is wrong with the input; nothing is written then, nor when a label got worse."""
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
