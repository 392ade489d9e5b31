"""`edge check`: one line a finding, what is wrong and what to do."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Literal, TextIO

from edge.assemble import assemble, learned
from edge.capture.base import Source
from edge.capture.registry import open_microphone, open_source
from edge.clock import SystemClock
from edge.config import Loaded, load
from edge.detect.thresholds import Thresholds, check
from edge.engine.manifest import Manifest, ModelFolder, find_folder, load_folder
from edge.engine.model import Model
from edge.errors import ConfigError, EdgeError, InputError
from edge.metrics import Metrics
from edge.prompts.ask import Interpreter, wordings
from edge.publish.saved import saved_thresholds
from edge.types import AudioChunk, Frame
from edge.web.access import Access

DONE, BAD = 0, 2
LOW_DISK_BYTES = 200_000_000
ITEMS_AT_MOST = 2000  # looked at before a source that yields no picture or sound is called empty


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and in words what was found."""

    area: str
    level: Literal["ok", "warning", "error"]
    text: str


def run(path: Path, *, as_json: bool, out: TextIO) -> int:
    """Look at everything the configuration names; 0, or 2 when anything is an error."""
    findings = []
    for finding in check_all(path):
        findings.append(finding)
        if not as_json:
            print(f"{finding.level:<8} {finding.area:<22} {finding.text}", file=out, flush=True)
    failed = any(finding.level == "error" for finding in findings)
    if as_json:
        print(json.dumps({"ok": not failed, "findings": [asdict(f) for f in findings]}, indent=2), file=out)
    return BAD if failed else DONE


def check_all(path: Path) -> Iterator[Finding]:
    """Every finding, in the order in which the daemon would meet them."""
    try:
        loaded = load(path)
    except ConfigError as error:
        yield from (Finding("config", "error", problem) for problem in error.problems)
        return
    yield Finding(
        "config", "ok", f"{path}: {len(loaded.config.cameras)} cameras, topics below {loaded.config.topic_root}"
    )
    folder = None
    try:
        folder = load_folder(find_folder(loaded.config.model.name))
        yield _check_model(loaded, folder)
    except EdgeError as error:
        yield Finding("model", "error", str(error))
    if folder is not None:
        yield from _check_prompts(loaded, folder)
        yield from _check_events(loaded, folder)
        yield from _check_sources(loaded, folder.manifest)
    yield _check_disk(loaded)
    yield _check_evidence(loaded)
    yield _check_page(loaded)
    yield _check_broker(loaded)


def _check_model(loaded: Loaded, folder: ModelFolder) -> Finding:
    model = Model.open(folder, loaded.config.model, 1, Metrics())
    text = f"{model.name}: digests and self-test are right; {model.info}"
    model.close()
    return Finding("model", "ok", text)


def _check_prompts(loaded: Loaded, folder: ModelFolder) -> Iterator[Finding]:
    """What each prompt rests on, or why it is refused."""
    if not loaded.config.prompts:
        return
    try:
        heeded = Interpreter(folder).understand(wordings(loaded.config))
    except InputError as error:
        yield Finding("prompts", "error", str(error))
        return
    for one in heeded:
        area = f"prompts.{one.wording.name}"
        if one.refusal:
            yield Finding(area, "error", one.refusal)
            continue
        yield Finding(area, "ok", one.asked.wanted.described())
        if one.wording.name in folder.manifest.label_names:
            yield Finding(area, "warning", "takes the place of the model's own label of this name")
        yield from (Finding(area, "warning", warning) for warning in one.warnings)


def _check_events(loaded: Loaded, folder: ModelFolder) -> Iterator[Finding]:
    try:
        derivers = assemble(loaded, folder, learned(loaded, folder))
    except InputError as error:
        if not isinstance(error, ConfigError):  # a prompt's fault is told by now
            yield Finding("learned", "error", str(error))
        return
    manifest = folder.manifest.plus(derivers.labels)
    faults = check(loaded.config, manifest)
    yield from (Finding("events", "error", loaded.fault(key, message)) for key, message in faults)
    if faults:
        return
    thresholds = Thresholds(loaded.config, manifest)
    for camera, label, value in saved_thresholds(loaded.resolve(loaded.config.node.data_dir) / "outbox.db"):
        with suppress(InputError):  # a camera or label that is no more
            thresholds.set(camera, label, value)
    for one in thresholds.listing():
        state = "" if one.enabled else ", off"
        enter = f"enter {one.enter:g} ({one.origins['enter'].value})"
        yield Finding(f"{one.camera}/{one.label}", "ok", f"{enter}, leave {one.leave:g}, {one.severity}{state}")


def _check_sources(loaded: Loaded, manifest: Manifest) -> Iterator[Finding]:
    geometry, clock, metrics = manifest.geometry, SystemClock(), Metrics()
    for name, camera in loaded.config.cameras.items():
        if camera.source is not None:
            source = open_source(name, camera.source, geometry, clock, metrics, loaded.path.parent)
            yield _probe(f"cameras.{name}", source, wants_audio=camera.microphone == "stream")
        if camera.record is not None:
            source = open_source(name, camera.record, geometry, clock, metrics, loaded.path.parent)
            yield _probe(f"cameras.{name}.record", source, wants_audio=camera.microphone == "stream")
    for name, microphone in loaded.config.microphones.items():
        source = open_microphone(name, microphone, geometry, clock, metrics)
        yield _probe(f"microphones.{name}", source, wants_audio=True)


def _probe(area: str, source: Source, *, wants_audio: bool) -> Finding:
    """Read until picture and sound came, as far as the source has them."""
    pictures = chunks = 0
    try:
        for item in islice(source.items(), ITEMS_AT_MOST):
            pictures += isinstance(item, Frame)
            chunks += isinstance(item, AudioChunk)
            if (pictures or not source.has_video) and (chunks or not (source.has_audio and wants_audio)):
                break
    except EdgeError as error:
        return Finding(area, "error", str(error))
    finally:
        source.close()
    found = [what for what, count in (("picture", pictures), ("sound", chunks)) if count]
    if not found:
        return Finding(area, "error", "opened, but neither picture nor sound came; is it the right stream?")
    missing = " (no sound: set microphone: none, or name one)" if wants_audio and not chunks else ""
    return Finding(area, "warning" if missing else "ok", f"{' and '.join(found)} arrive{missing}")


def _check_disk(loaded: Loaded) -> Finding:
    folder = loaded.resolve(loaded.config.node.data_dir)
    there = _there(loaded)
    if not os.access(there, os.W_OK):
        return Finding("disk", "error", f"{there} is not writable for user id {os.getuid()}; see node.data_dir")
    free = shutil.disk_usage(there).free
    text = f"{folder}: {free / 1e9:.1f} GB free"
    if free < LOW_DISK_BYTES:
        return Finding("disk", "warning", f"{text}; alerts are kept until the disk is full: make room")
    return Finding("disk", "ok", text)


def _check_evidence(loaded: Loaded) -> Finding:
    settings = loaded.config.evidence
    if settings is None:
        return Finding("evidence", "ok", "off (evidence: null)")
    sound = "without sound" if not settings.audio else "with speech" if settings.speech else "silent where speech is"
    text = f"kept for {settings.keep_days:g} days, {settings.keep_gb:g} GB at most; clips {sound}"
    if shutil.disk_usage(_there(loaded)).free < settings.keep_free_gb * 1e9:
        less = f"less than evidence.keep_free_gb ({settings.keep_free_gb:g} GB) is free"
        return Finding("evidence", "warning", f"{less}: no clips are kept until there is room; alerts go on")
    return Finding("evidence", "ok", text)


def _check_page(loaded: Loaded) -> Finding:
    web = loaded.config.web
    if web is None:
        return Finding("web", "ok", "off (give web: {} for the page)")
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        return Finding("web", "error", "the page needs the extra `web`: pip install 'edge-monitor[web]'")
    try:
        access = Access(web, loaded, SystemClock())
    except InputError as error:
        return Finding("web", "error", str(error))
    who = "with a login" if access.is_guarded else "for this machine alone"
    return Finding("web", "ok", f"{web.base_url or web.listen}, {who}")


def _there(loaded: Loaded) -> Path:
    """The data folder, or the nearest of its parents that exists."""
    folder = loaded.resolve(loaded.config.node.data_dir)
    return next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())


def _check_broker(loaded: Loaded) -> Finding:
    from edge.publish.mqtt import subscribe

    mqtt = loaded.config.mqtt
    if mqtt is None:
        return Finding("mqtt", "ok", "off (mqtt: null)")
    if loaded.config.broker is not None:
        return Finding("mqtt", "ok", f"{mqtt.url}, the broker inside the daemon at {loaded.config.broker.listen}")
    try:
        with subscribe(loaded, [f"{loaded.config.topic_root}/status"], lambda _topic, _payload: None):
            return Finding("mqtt", "ok", f"{mqtt.url}: connected and logged in")
    except EdgeError as error:
        return Finding("mqtt", "error", str(error))
