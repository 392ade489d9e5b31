"""What the running daemon learns of its site, kept on disk: the normal model and the background distribution.

Lives on the engine thread, which writes no file: ``submit`` passes that to another thread. A file that cannot be read
is put aside with a warning and learned anew; the daemon runs all the same.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

from edge.clock import Clock
from edge.config.models import AnomalyConfig
from edge.detect.anomaly import SiteNormal
from edge.detect.background import BackgroundDistribution
from edge.engine.manifest import Label, Manifest
from edge.errors import InputError, SinkError
from edge.pipeline import Learner
from edge.profile import ProfilePart, ProfileVersion, load_part, save_part
from edge.types import NS_PER_S

log = logging.getLogger(__name__)
_GRAPH = "graph_sha256"
_T = TypeVar("_T")


class SiteLearner:
    """``folder`` is the node's data folder. ``version`` is the profile to start from when nothing was learned here
    yet. ``submit`` calls its argument on the thread that may wait for a disk."""

    SAVE_EVERY_NS = 1800 * NS_PER_S

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        anomaly: AnomalyConfig | None,
        version: ProfileVersion | None,
        clock: Clock,
        submit: Callable[[Callable[[], None]], None] = lambda work: work(),
    ) -> None:
        self._submit = submit
        self._to_save: dict[str, ProfilePart] = {}
        self._folder = folder
        self._manifest = manifest
        self._version = version
        self._clock = clock
        self._saved_ns = clock.mono_ns()
        self.normal: SiteNormal | None = None
        if anomaly is not None:
            self.normal = self._resumed(
                "normal", lambda part: SiteNormal(manifest.geometry.hop_s, anomaly.learn_h, part)
            )
        self.background = BackgroundDistribution((), manifest.geometry.hop_s)

    def track_background(self, labels: Iterable[Label]) -> None:
        """Track the background distribution of ``labels``, going on from what is on disk."""
        labels, hop_s = tuple(labels), self._manifest.geometry.hop_s
        self.background = self._resumed(
            "null",
            lambda part: (
                BackgroundDistribution.from_part(labels, hop_s, part)
                if part is not None
                else BackgroundDistribution(labels, hop_s)
            ),
        )

    @property
    def learners(self) -> tuple[Learner, ...]:
        """The learners that get every window."""
        return (self.background,) if self.normal is None else (self.background, self.normal)

    def save_if_due(self, *, at_once: bool = False) -> None:
        """Save what was learned when it is due, or ``at_once``. A full disk is logged and tried again later."""
        now_ns = self._clock.mono_ns()
        if at_once or now_ns - self._saved_ns >= self.SAVE_EVERY_NS:
            self._saved_ns = now_ns
            self._save("null", self.background.to_part())
        if self.normal is not None and (at_once or self.normal.due_save(now_ns)):
            self._save("normal", self.normal.part())
            self.normal.saved(now_ns)

    def _save(self, name: str, part: ProfilePart) -> None:
        """Write a copy of ``part`` soon; a newer one replaces one that still waits."""
        is_asked = name in self._to_save
        arrays = {key: array.copy() for key, array in part.arrays.items()}
        self._to_save[name] = ProfilePart(arrays, {**part.facts, _GRAPH: self._manifest.sha256})
        if not is_asked:
            self._submit(partial(self._write, name))

    def _write(self, name: str) -> None:
        try:
            save_part(self._path(name), self._to_save.pop(name))
        except SinkError as error:
            log.warning("what was learned is not saved now: %s", error)

    def _resumed(self, name: str, begin: Callable[[ProfilePart | None], _T]) -> _T:
        """``begin`` with what was learned before, or with the profile's part when that is not valid."""
        stored = self._stored(name)
        try:
            return begin(stored)
        except InputError as error:
            if not os.path.exists(self._path(name)):
                raise
            self._quarantine(self._path(name), str(error))
            return begin(self._stored(name))

    def _stored(self, name: str) -> ProfilePart | None:
        """What was learned here with this model, else the profile's part."""
        path = self._path(name)
        if os.path.exists(path):
            try:
                part = load_part(path)
            except InputError as error:
                self._quarantine(path, str(error))
            else:
                if part.facts.get(_GRAPH) == self._manifest.sha256:
                    return part
                self._quarantine(path, "another model learned it")
        return self._version.part(name) if self._version is not None else None

    def _quarantine(self, path: Path, reason: str) -> None:
        aside = path.with_suffix(".before.npz")
        log.warning("%s: put aside as %s and learned anew: %s", path, aside.name, reason)
        try:
            path.replace(aside)
        except OSError as error:
            log.warning("%s: cannot be put aside (%s)", path, error.strerror)

    def _path(self, name: str) -> Path:
        return self._folder / "learned" / f"{name}.npz"
