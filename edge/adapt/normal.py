"""`edge learn normal`: learns what is normal at a place from its own recordings.

The recordings are replayed as in service. Importing this module loads neither a runtime nor a media library.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge.adapt.command import progress_bar
from edge.errors import InputError, MediaError

if TYPE_CHECKING:
    from edge.detect.anomaly.model import FittedNormal
    from edge.engine.manifest import Manifest
    from edge.engine.model import Model
    from edge.profile import ProfilePart
    from edge.types import Event, Scores

_log = logging.getLogger(__name__)
_DEFAULTS: Final = "cameras: {recording: {source: {type: file, path: recording}}}\nmqtt: null"
_FIT_STEPS: Final = 5


@dataclass(frozen=True, slots=True)
class NormalResult:
    """What was learned: how many recordings and hours, the highest value of a window that was held out, the profile's
    new version, and why recordings were left out."""

    recordings: int
    hours: float
    highest: float
    version: int
    faults: tuple[str, ...]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Give `edge learn` its command `normal`."""
    normal = subparsers.add_parser("normal", help="learn what is normal at a place from its recordings, into a profile")
    normal.add_argument("recordings", nargs="+", type=Path, metavar="RECORDING", help="ordinary hours, no incidents")
    normal.add_argument("-o", "--profile", type=Path, required=True, metavar="PROFILE", help="made if not there")
    normal.add_argument("--camera", metavar="NAME", help="for this camera alone; else for every camera without its own")
    normal.add_argument("-c", "--config", type=Path, help="the model named in this file; else the usual one")
    normal.set_defaults(handler=main_normal)


def main_normal(args: argparse.Namespace) -> int:
    """Learn and report: 0, or 2 when a recording could not be read (it is learned from the others all the same)."""
    done = learn_normal(args.recordings, args.profile, camera=args.camera, config=args.config)
    print(
        f"{args.profile}: version {done.version}, learned from {done.recordings} recordings, {done.hours:.2f} h; "
        f"the most unusual window of them, when held out, had anomaly {done.highest:.2f}"
    )
    for fault in done.faults:
        print(f"left out: {fault}")
    return 2 if done.faults else 0


def learn_normal(
    recordings: Sequence[Path], profile: Path, *, camera: str | None = None, config: Path | None = None
) -> NormalResult:
    """Replay ``recordings``, learn what is normal in them and write the parts `normal` and `null` of ``profile``.

    InputError when nothing usable was in them, and when the profile cannot be read; nothing is written then.
    """
    from edge.clock import SystemClock, iso8601
    from edge.config import OFFLINE, load, parse
    from edge.engine.manifest import find_folder, load_folder
    from edge.engine.model import Model
    from edge.metrics import Metrics
    from edge.profile import ProfileFolder

    settings = (load(config, needs=OFFLINE) if config else parse(_DEFAULTS)).config
    folder, target = load_folder(find_folder(settings.model.name)), ProfileFolder(profile)
    before = target.current()
    model = Model.open(folder, settings.model, 1, Metrics())
    try:
        collected, faults = _replay_all(settings, model, recordings)
    finally:
        model.close()
    with progress_bar("learning", _FIT_STEPS) as advance:
        fitted = collected.collector.fit(lambda: advance(""))
    # Another camera's normal stays, as long as the same model learned it.
    old = before.part("normal") if before is not None and before.graph_sha256 == folder.manifest.sha256 else None
    parts = {"normal": _with_camera(old, camera, fitted), "null": collected.background(folder.manifest, fitted)}
    hours = len(fitted.held_out) * collected.collector.stride * folder.manifest.geometry.hop_s / 3600
    used = len(recordings) - len(faults)
    notes = {
        "at": iso8601(SystemClock().wall_ns()),
        "learned": "normal",
        "camera": camera or "any",
        "recordings": used,
        "hours": round(hours, 3),
    }
    version = target.write(folder.manifest, parts, notes)
    return NormalResult(used, hours, float(fitted.held_out.max()), version.number, tuple(faults))


class _NormalCollector:
    """What the replay of all recordings gave: what the parts saw, and the scores without their features."""

    def __init__(self) -> None:
        from edge.detect.anomaly.model import NormalTrainer

        self.collector = NormalTrainer()
        self._recording = 0
        self._count = 0
        self._kept: dict[int, Scores] = {}

    def start_recording(self) -> None:
        """Another recording begins."""
        self._recording += 1

    def on_scores(self, scores: Scores) -> None:
        """One window was scored."""
        from dataclasses import replace

        if self.collector.add(self._recording, scores):
            light = replace(scores, boxes=(), tags={}, features=None, embedding=np.zeros(0, np.float32))
            self._kept[self._count] = light
        self._count += 1

    def on_event(self, event: Event) -> None:
        """Ignored: the recordings count as normal."""

    def background(self, manifest: Manifest, fitted: FittedNormal) -> ProfilePart:
        """The quiet time of every label, as one camera's without a break; the anomaly of windows held out."""
        from dataclasses import replace

        from edge.detect.anomaly import ANOMALY, LABEL
        from edge.detect.background import BackgroundDistribution

        labels, stride = manifest.with_labels([LABEL]).labels, self.collector.stride
        quiet = BackgroundDistribution(labels, manifest.geometry.hop_s * stride)
        for number, value in zip(self.collector.numbers, fitted.held_out.tolist(), strict=True):
            scores = self._kept[number]
            values = {**scores.values, ANOMALY: value}
            quiet.observe(replace(scores, camera="", t_end_ns=number * manifest.geometry.hop_ns, values=values))
        return quiet.to_part()


def _replay_all(settings: Any, model: Model, recordings: Sequence[Path]) -> tuple[_NormalCollector, list[str]]:
    from edge.replay import Replay

    replay, collector, faults = Replay(settings, model), _NormalCollector(), []
    with progress_bar("watching", len(recordings)) as advance:
        for path in recordings:
            collector.start_recording()
            try:
                done = replay.run(path, collector)
                advance(f"{path}: {done.media_s:.0f} s, {done.windows} windows" if done.media_s > 600 else "")
            except MediaError as error:
                faults.append(str(error))
                advance(f"{error}; left out")
    if len(faults) == len(recordings):
        raise InputError(f"none of the recordings can be read, nothing was learned: {'; '.join(faults)}")
    return collector, faults


def _with_camera(old: ProfilePart | None, camera: str | None, fitted: FittedNormal) -> ProfilePart:
    """The part with this camera's normal put in."""
    from edge.detect.anomaly import ANY_CAMERA, load_normals, to_profile_part
    from edge.detect.anomaly.scorer import ready_cameras

    name = camera or ANY_CAMERA
    normals = load_normals(old) if old is not None else {}
    ready = ready_cameras(old) if old is not None else set()
    return to_profile_part({**normals, name: fitted.normal}, ready | {name})
