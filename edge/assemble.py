"""Builds the derivers of labels beside the model's own, from the configuration and the profile."""

from __future__ import annotations

from pathlib import Path

from edge.config import LoadedConfig
from edge.detect.anomaly import AnomalyScorer, SiteNormal
from edge.detect.background import BackgroundDistribution
from edge.detect.derived import DeriverChain, LabelDeriver, PromptDeriver
from edge.detect.taught import TaughtEvents
from edge.engine.manifest import Manifest, ModelFolder
from edge.errors import ConfigError
from edge.profile import ProfileFolder, ProfileVersion
from edge.prompts.interpreter import PromptInterpreter, PromptStream, prompt_texts
from edge.prompts.scorer import PromptScorer


def load_profile(loaded: LoadedConfig, folder: ModelFolder, profile: Path | None = None) -> ProfileVersion | None:
    """The site's profile, from ``profile`` or the configuration's ``model.profile``; None without either. InputError
    when there is no such profile, or another model learned it."""
    configured = loaded.config.model.profile
    path = profile or (loaded.resolve(configured) if configured is not None else None)
    if path is None:
        return None
    version = ProfileFolder(path).require_current()
    version.check(folder.manifest)
    return version


def build_derivers(
    loaded: LoadedConfig, folder: ModelFolder, version: ProfileVersion | None, normal: LabelDeriver | None = None
) -> DeriverChain:
    """The derivers in the order in which they replace one another. InputError when the profile cannot be read or a
    prompt is refused. ``normal`` replaces the profile's normal model."""
    parts: list[LabelDeriver] = []
    if loaded.config.prompts:
        parts.append(build_prompts(loaded, folder))
    if normal is not None:
        parts.append(normal)
    elif version is not None and (part := version.part("normal")) is not None:
        parts.append(AnomalyScorer.from_part(part))
    elif loaded.config.anomaly is not None:
        parts.append(SiteNormal(folder.manifest.geometry.hop_s, loaded.config.anomaly.learn_h))
    if version is not None and (events := version.part("events")) is not None:
        parts.append(TaughtEvents(events))
    return DeriverChain(parts)


def build_prompts(loaded: LoadedConfig, folder: ModelFolder) -> PromptDeriver:
    """The configuration's prompts as labels; ConfigError for those that cannot be grounded, InputError when the text
    model is not installed."""
    interpreter = PromptInterpreter(folder)
    parsed_prompts = interpreter.interpret(prompt_texts(loaded.config))
    refused = [loaded.fault(("prompts", one.wording.name), one.refusal) for one in parsed_prompts if one.refusal]
    if refused:
        raise ConfigError(refused)
    panel = PromptScorer(interpreter.knowledge, [one.prompt for one in parsed_prompts])
    return PromptDeriver([one.label for one in parsed_prompts], lambda: PromptStream(panel))


def load_background(manifest: Manifest, version: ProfileVersion | None) -> BackgroundDistribution | None:
    """The quiet time that a profile holds, for the labels of ``manifest``."""
    part = version.part("null") if version is not None else None
    return (
        BackgroundDistribution.from_part(manifest.labels, manifest.geometry.hop_s, part) if part is not None else None
    )
