"""What is looked for beside the model's own labels: put together from the configuration and what was learned."""

from __future__ import annotations

from pathlib import Path

from edge.config import Loaded
from edge.detect.anomaly import AnomalyScorer, SiteNormal
from edge.detect.derived import Derived, Derivers
from edge.detect.null import QuietTimes
from edge.detect.prompts import Prompts
from edge.detect.taught import Taught
from edge.engine.manifest import Manifest, ModelFolder
from edge.errors import ConfigError
from edge.profile import ProfileFolder, Version
from edge.prompts.ask import Interpreter, Stream, wordings
from edge.prompts.panel import Panel


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


def assemble(loaded: Loaded, folder: ModelFolder, version: Version | None, normal: Derived | None = None) -> Derivers:
    """The derived labels in the order in which they replace one another. InputError when what was learned cannot be
    read or a prompt cannot be asked. ``normal`` judges what is unusual in the profile's stead."""
    parts: list[Derived] = []
    if loaded.config.prompts:
        parts.append(prompts(loaded, folder))
    if normal is not None:
        parts.append(normal)
    elif version is not None and (part := version.part("normal")) is not None:
        parts.append(AnomalyScorer.from_part(part))
    elif loaded.config.anomaly is not None:
        parts.append(SiteNormal(folder.manifest.geometry.hop_s, loaded.config.anomaly.learn_h))
    if version is not None and (events := version.part("events")) is not None:
        parts.append(Taught(events))
    return Derivers(parts)


def prompts(loaded: Loaded, folder: ModelFolder) -> Prompts:
    """The configuration's prompts as labels; ConfigError for those that cannot be grounded, InputError when the text
    model is not installed."""
    interpreter = Interpreter(folder)
    heeded = interpreter.understand(wordings(loaded.config))
    refused = [loaded.fault(("prompts", one.wording.name), one.refusal) for one in heeded if one.refusal]
    if refused:
        raise ConfigError(refused)
    panel = Panel(interpreter.knowledge, [one.asked for one in heeded])
    return Prompts([one.label for one in heeded], lambda: Stream(panel))


def quiet_times(manifest: Manifest, version: Version | None) -> QuietTimes | None:
    """The quiet time that a profile holds, for the labels of ``manifest``."""
    part = version.part("null") if version is not None else None
    return QuietTimes.from_part(manifest.labels, manifest.geometry.hop_s, part) if part is not None else None
