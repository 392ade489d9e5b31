"""From marked clips to a profile's next version: read, learn, measure what was held out, compare, write or refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.clock import Clock, SystemClock, iso8601
from edge.config import OFFLINE, Loaded, load, parse
from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.engine.model import Model
from edge.learn.events.clips import NONE, Clip, split_single_groups, without_doubles
from edge.learn.events.earlier import Earlier, earlier_events, part_of
from edge.learn.events.examples import Example, check_counts, read_examples
from edge.learn.events.gate import compare
from edge.learn.events.head import learn
from edge.learn.events.read import Reader, Recording, Shown, clips_of, read_all
from edge.learn.events.report import Outcome, report
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
    loaded = load(request.config, needs=OFFLINE) if request.config else parse(_DEFAULTS)
    folder = load_folder(find_folder(loaded.config.model.name))
    profile = ProfileFolder(request.profile)
    earlier = earlier_events(profile.current(), folder.manifest)
    if earlier is None:
        check_counts(Counter(example.label for example in given))
    read = _read(request, given, earlier, folder, loaded, shown)
    check_counts(Counter(clip.label for clip in read.clips if not clip.is_rest))
    clips, single = split_single_groups(read.clips)
    labels = sorted({clip.label for clip in clips} - {NONE})
    with shown("learning", 7) as tell:
        learned = learn(clips, labels, read.silence, folder.manifest.label_names, tell)
    comparison = compare(clips, learned, earlier, read.earlier, {x.name: x.enter for x in folder.manifest.labels})
    outcome = Outcome(clips, learned, comparison, read.faults, single)
    if comparison.fallen and not request.force:
        return Done(None, report(outcome, request.profile, None), outcome)
    part = part_of(read.examples, clips, learned, comparison.now, folder.manifest.geometry.hop_s)
    notes = {"at": iso8601((clock or SystemClock()).wall_ns()), "learned": PART, "from": str(request.source)}
    version = profile.write(folder.manifest, {PART: part}, notes)
    return Done(version, report(outcome, request.profile, version), outcome)


@dataclass(frozen=True, slots=True)
class _Read:
    """Clips to learn from, the ``earlier`` ones as they were marked then, and lines on what could not be read."""

    examples: Sequence[tuple[Example, str]]
    clips: Sequence[Clip]
    earlier: Sequence[Clip]
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
        past, gone = _again(earlier, reader)
    finally:
        model.close()
    marked = {recording.digest for _, recording in found}
    if not request.only:
        found += [(example, recording) for example, recording in past if recording.digest not in marked]
        faults += gone
    clips = [clip for example, recording in found for clip in clips_of(example, recording, reader.silence)]
    then = [clip for example, recording in past for clip in clips_of(example, recording, reader.silence)]
    examples = [(example, recording.digest) for example, recording in found]
    return _Read(examples, without_doubles(clips), without_doubles(then), reader.silence, faults)


def _again(earlier: Earlier | None, reader: Reader) -> tuple[list[tuple[Example, Recording]], list[str]]:
    """What was learned from before, and a line for each clip that is gone."""
    past, gone = [], []
    for example, digest in earlier.examples if earlier is not None else ():
        recording = reader.again(example.path, digest)
        if recording is None:
            gone.append(f"{example.path}: learned from before, is not there any more; left out")
        else:
            past.append((example, recording))
    return past, gone
