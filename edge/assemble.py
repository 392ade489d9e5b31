"""What is looked for beside the model's own labels: put together from the configuration and what was learned."""

from __future__ import annotations

from pathlib import Path

from edge.config import Loaded
from edge.detect.derived import Derived, Derivers
from edge.detect.null import QuietTimes
from edge.detect.taught import Taught
from edge.engine.manifest import Manifest, ModelFolder
from edge.profile import ProfileFolder, Version


def learned(loaded: Loaded, folder: ModelFolder, profile: Path | None = None) -> Version | None:
    """What was learned of the site, from ``profile`` or the configuration's ``model.profile``; None where neither is
    given. InputError when there is no profile, or one that another model learned."""
    own = loaded.config.model.profile
    path = profile or (loaded.resolve(own) if own is not None else None)
    if path is None:
        return None
    version = ProfileFolder(path).existing()
    version.check(folder.manifest)
    return version


def assemble(loaded: Loaded, folder: ModelFolder, version: Version | None) -> Derivers:  # noqa: ARG001
    """The derived labels in the order in which they replace one another."""
    parts: list[Derived] = []
    events = version.part("events") if version is not None else None
    if events is not None:
        parts.append(Taught(events))
    return Derivers(parts)


def quiet_times(manifest: Manifest, version: Version | None) -> QuietTimes | None:
    """The quiet time that a profile holds, for the labels of ``manifest``."""
    part = version.part("null") if version is not None else None
    return QuietTimes.from_part(manifest.labels, manifest.geometry.hop_s, part) if part is not None else None
