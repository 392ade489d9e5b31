"""From marked clips to a profile's next version: read, learn, measure what was held out, compare, write or refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge.clock import Clock, SystemClock, iso8601
from edge.config import Loaded, load, parse
from edge.engine.manifest import Manifest, ModelFolder, find_folder, load_folder
from edge.engine.model import Model
from edge.learn.events_clips import NONE, Clip, without_doubles
from edge.learn.events_earlier import Earlier, earlier_events, part_of
from edge.learn.events_examples import Example, check_counts, read_examples
from edge.learn.events_head import Learned, learn, values_of
from edge.learn.events_measure import Measured, choose_enter, fallen, measure
from edge.learn.events_read import Reader, Shown, clips_of, read_all
from edge.learn.events_report import Outcome, report
from edge.metrics import Metrics
from edge.profile import ProfileFolder, Version
from edge.types import F32

PART: Final = "events"
_DEFAULTS: Final = "cameras: {recording: {source: {type: file, path: recording}}}\nmqtt: null"


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for: examples, the profile's folder, a config file (its model), and whether earlier clips are
    forgotten (``only``) and a worse version is taken all the same (``force``)."""

    source: Path
    profile: Path
    config: Path | None = None
    only: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """The new current version, None when it was refused; the report's lines; what was learned and measured."""

    version: Version | None
    report: list[str]
    outcome: Outcome


def learn_events(request: Request, shown: Shown, clock: Clock | None = None) -> Done:
    """Do it. InputError says what is wrong with the input; nothing is written then, nor when a label got worse."""
    given = read_examples(request.source)
    loaded = load(request.config) if request.config else parse(_DEFAULTS)
    folder = load_folder(find_folder(loaded.config.model.name))
    profile = ProfileFolder(request.profile)
    earlier = earlier_events(profile.current(), folder.manifest)
    read = _read(request, given, earlier, folder, loaded, shown)
    check_counts(Counter(clip.label for clip in read.clips if not clip.is_rest))
    labels = sorted({clip.label for clip in read.clips} - {NONE})
    with shown("learning", 7) as tell:
        learned = learn(read.clips, labels, read.silence, tell)
    before = _before(read.clips, labels, earlier, folder.manifest)
    after = _after(read.clips, labels, learned, before)
    outcome = Outcome(read.clips, learned, before, after, fallen(before, after), read.faults)
    if outcome.fallen and not request.force:
        return Done(None, report(outcome, request.profile, None), outcome)
    part = part_of(read.examples, read.clips, learned, after, folder.manifest.geometry.hop_s)
    notes = {"at": iso8601((clock or SystemClock()).wall_ns()), "learned": PART, "from": str(request.source)}
    version = profile.write(folder.manifest, {PART: part}, notes)
    return Done(version, report(outcome, request.profile, version), outcome)


@dataclass(frozen=True, slots=True)
class _Read:
    examples: Sequence[tuple[Example, str]]
    clips: Sequence[Clip]
    silence: F32
    faults: Sequence[str]


def _read(
    request: Request,
    given: Sequence[Example],
    earlier: Earlier | None,
    folder: ModelFolder,
    loaded: Loaded,
    shown: Shown,
) -> _Read:
    """All clips: those given, and those that the profile learned from before unless they are marked anew."""
    model = Model.open(folder, loaded.config.model, 1, Metrics())
    try:
        reader = Reader(model, loaded.config, request.profile)
        found, faults = read_all(given, reader, shown)
        marked = {recording.digest for _, recording in found}
        if earlier is not None and not request.only:
            for example, digest in earlier.examples:
                recording = None if digest in marked else reader.again(example.path, digest)
                if recording is not None:
                    found.append((example, recording))
                elif digest not in marked:
                    faults.append(f"{example.path}: learned from before, is not there any more; left out")
    finally:
        model.close()
    clips = [clip for example, recording in found for clip in clips_of(example, recording, reader.silence)]
    examples = [(example, recording.digest) for example, recording in found]
    return _Read(examples, without_doubles(clips), reader.silence, faults)


def _before(
    clips: Sequence[Clip], labels: Sequence[str], earlier: Earlier | None, manifest: Manifest
) -> dict[str, Measured]:
    """Figures of the labels that were there before: the profile's, else the model's own of the same name. Clips that
    the profile learned from count with the value held out then; labels that are to go, as they were measured then."""
    figures = {}
    own = {label.name: label.enter for label in manifest.labels}
    for label in labels:
        is_event = np.array([clip.label == label for clip in clips])
        if earlier is not None and label in earlier.measured:
            figures[label] = measure(earlier.values(clips, label), is_event, earlier.measured[label].enter)
        elif label in own:
            values = np.array([clip.model.get(label, np.nan) for clip in clips])
            figures[label] = measure(values, is_event, own[label])
    if earlier is not None:
        figures |= {label: m for label, m in earlier.measured.items() if label not in labels}
    return figures


def _after(
    clips: Sequence[Clip], labels: Sequence[str], learned: Learned, before: Mapping[str, Measured]
) -> dict[str, Measured]:
    values = values_of(learned)
    return {
        label: choose_enter(values[:, k], np.array([clip.label == label for clip in clips]), before.get(label))
        for k, label in enumerate(labels)
    }
