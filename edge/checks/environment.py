"""`edge check` of the environment: disk, evidence, page, broker, sensors, and cameras and microphones.

Sources are opened and read for a few seconds; two cameras with the same stream are reported.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Literal

from edge.capture.base import MediaSource
from edge.capture.registry import open_microphone, open_source
from edge.capture.sensors import read_value
from edge.clock import Clock, SystemClock
from edge.config import LoadedConfig
from edge.config.models import duplicate_streams
from edge.config.services import MqttConfig, WebConfig
from edge.config.sources import SensorTopic
from edge.engine.manifest import Manifest
from edge.errors import EdgeError, InputError, SourceError, install_command
from edge.metrics import Metrics
from edge.types import AudioChunk, Frame
from edge.web.access import Authenticator

OK: Literal["ok"] = "ok"
WARNING: Literal["warning"] = "warning"
ERROR: Literal["error"] = "error"
LOW_DISK_BYTES = 200_000_000
WAIT_S = 5.0
Subscribe = Callable[[LoadedConfig, Sequence[str], Callable[[str, bytes], None]], AbstractContextManager[None]]
ITEMS_AT_MOST = 2000  # read before a source without picture and sound is reported as empty


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One line: what was checked, its level, and a sentence."""

    area: str
    level: Literal["ok", "warning", "error"]
    text: str


def check_disk(loaded: LoadedConfig) -> CheckFinding:
    """Check that the data folder can be written and has enough room."""
    folder = loaded.resolve(loaded.config.node.data_dir)
    existing = _nearest_existing(loaded)
    if not os.access(existing, os.W_OK):
        return CheckFinding("disk", ERROR, f"{existing} is not writable for user id {os.getuid()}; see node.data_dir")
    free = shutil.disk_usage(existing).free
    text = f"{folder}: {free / 1e9:.1f} GB free"
    if free < LOW_DISK_BYTES:
        return CheckFinding("disk", WARNING, f"{text}; alerts are kept until the disk is full: make room")
    return CheckFinding("disk", OK, text)


def check_evidence(loaded: LoadedConfig) -> CheckFinding:
    """Check the limits of evidence, and that there is room for it."""
    settings = loaded.config.evidence
    if settings is None:
        return CheckFinding("evidence", OK, "off (evidence: null)")
    sound = "without sound" if not settings.audio else "with speech" if settings.speech else "silent where speech is"
    text = f"kept for {settings.keep_days:g} days, {settings.keep_gb:g} GB at most; clips {sound}"
    if shutil.disk_usage(_nearest_existing(loaded)).free < settings.keep_free_gb * 1e9:
        less = f"less than evidence.keep_free_gb ({settings.keep_free_gb:g} GB) is free"
        return CheckFinding("evidence", WARNING, f"{less}: no clips are kept until there is room; alerts go on")
    return CheckFinding("evidence", OK, text)


def check_page(loaded: LoadedConfig) -> Iterator[CheckFinding]:
    """Whether the page can be served, to whom, and whether phones get anywhere by its links."""
    web = loaded.config.web
    if web is None:
        yield CheckFinding("web", OK, "off (give web: {} for the page)")
        return
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        yield CheckFinding("web", ERROR, f"the page needs the extra `web`: {install_command('web')}")
        return
    if not loaded.has_unset("web"):
        try:
            access = Authenticator(web, loaded, SystemClock())
        except InputError as error:
            yield CheckFinding("web", ERROR, str(error))
            return
        who = "with a login" if access.is_guarded else "for this machine alone"
        yield CheckFinding("web", OK, f"{web.base_url or web.listen}, {who}")
    yield from check_reach(web)


def check_reach(web: WebConfig) -> Iterator[CheckFinding]:
    """Whether links in alerts lead to the page, and whether its password crosses the network for all to read."""
    if web.is_local:
        if web.base_url is None:
            message = "links in alerts begin with /, without a host; give base_url if a proxy makes the page reachable"
            yield CheckFinding("web.base_url", OK, message)
        return
    if web.base_url is None:
        message = "is missing: links in alerts have no host and lead nowhere from a phone; give the page's address"
        yield CheckFinding("web.base_url", WARNING, f"{message}, as in {_example(web)}")
    if web.cert_file is None and not (web.base_url or "").startswith("https:"):
        message = "passwords and pictures cross the network unencrypted; give cert_file and key_file, or listen on"
        yield CheckFinding("web.listen", WARNING, f"{web.listen}: {message} 127.0.0.1 behind a proxy with HTTPS")


def _example(web: WebConfig) -> str:
    return f"http{'' if web.cert_file is None else 's'}://gate-01.example:{web.listen.rpartition(':')[2]}"


def _nearest_existing(loaded: LoadedConfig) -> Path:
    """The data folder, or the nearest of its parents that exists."""
    folder = loaded.resolve(loaded.config.node.data_dir)
    return next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())


def check_broker(loaded: LoadedConfig) -> CheckFinding:
    """Whether the broker can be reached and takes the login."""
    from edge.publish.mqtt import subscribe

    mqtt = loaded.config.mqtt
    if mqtt is None:
        return CheckFinding("mqtt", OK, "off (mqtt: null)")
    if loaded.has_unset("mqtt"):
        return CheckFinding("mqtt", WARNING, f"{mqtt.url}: not tried, for what it needs is not set here")
    if loaded.config.broker is not None:
        return CheckFinding("mqtt", OK, f"{mqtt.url}, the broker inside the daemon at {loaded.config.broker.listen}")
    try:
        with subscribe(loaded, [f"{loaded.config.topic_root}/status"], lambda _topic, _payload: None):
            return CheckFinding("mqtt", OK, f"{mqtt.url}: connected and logged in{_in_the_clear(mqtt)}")
    except EdgeError as error:
        return CheckFinding("mqtt", ERROR, str(error))


def _in_the_clear(mqtt: MqttConfig) -> str:
    has_password = mqtt.password is not None or mqtt.password_file is not None
    return "; the password crosses the network unencrypted, mqtts:// would hide it" * (
        has_password and not mqtt.tls and not _is_loopback(mqtt.host)
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_sensors(
    loaded: LoadedConfig, manifest: Manifest, subscribe: Subscribe | None = None, clock: Clock | None = None
) -> Iterator[CheckFinding]:
    """Report the newest reading of each sensor that arrives within a few seconds."""
    sensors = {
        f"cameras.{name}.sensors.{channel}": (channel, spec)
        for name, camera in loaded.config.cameras.items()
        for channel, spec in camera.sensor_topics().items()
    }
    if not sensors or loaded.has_unset("mqtt"):
        return
    if loaded.config.mqtt is None:
        yield CheckFinding("sensors", WARNING, "mqtt is off (mqtt: null): no reading can arrive")
        return
    topics = sorted({spec.topic for _, spec in sensors.values()})
    try:
        payloads = _newest_payloads(loaded, topics, subscribe or _mqtt_subscribe(), clock or SystemClock())
    except EdgeError as error:
        if loaded.config.broker is not None:
            yield CheckFinding("sensors", OK, "not checked: the embedded broker runs only while `edge run` does")
        else:
            yield CheckFinding("sensors", WARNING, f"not checked: {error}")
        return
    units = {channel.name: channel.unit for channel in manifest.geometry.sensors}
    for area, (channel, spec) in sensors.items():
        yield _reading(area, spec, payloads.get(spec.topic), units.get(channel, ""))


def _newest_payloads(
    loaded: LoadedConfig, topics: Sequence[str], subscribe: Subscribe, clock: Clock
) -> Mapping[str, bytes]:
    """The newest payload of each topic, when all have arrived or the time is over."""
    payloads: dict[str, bytes] = {}
    complete = threading.Event()

    def on_message(topic: str, payload: bytes) -> None:
        payloads[topic] = payload
        if payloads.keys() >= set(topics):
            complete.set()

    with subscribe(loaded, topics, on_message):
        clock.wait(complete, WAIT_S)
    return payloads


def _reading(area: str, spec: SensorTopic, payload: bytes | None, unit: str) -> CheckFinding:
    if payload is None:
        message = f"nothing came within {WAIT_S:g} s; is the topic right? What speaks seldom should publish retained"
        return CheckFinding(area, WARNING, f"{spec.topic}: {message}")
    try:
        value = read_value(payload, spec.path)
    except SourceError as error:
        return CheckFinding(area, ERROR, f"{spec.topic}: {error}")
    return CheckFinding(area, OK, f"{spec.topic}: {value:g} {unit}".rstrip())


def _mqtt_subscribe() -> Subscribe:
    from edge.publish.mqtt import subscribe

    return subscribe


def check_sources(loaded: LoadedConfig, manifest: Manifest) -> Iterator[CheckFinding]:
    """Open each camera and microphone, and report what it delivers."""
    for key, message in duplicate_streams(loaded.config):
        yield CheckFinding(f"cameras.{key[1]}", WARNING, loaded.fault(key, message))
    geometry, clock, metrics = manifest.geometry, SystemClock(), Metrics()
    for name, camera in loaded.config.cameras.items():
        if camera.source is not None and not loaded.has_unset("cameras", name, "source"):
            source = open_source(name, camera.source, geometry, clock, metrics, loaded.path.parent)
            yield _probe(f"cameras.{name}", source, wants_audio=camera.microphone == "stream")
        if camera.record is not None and not loaded.has_unset("cameras", name, "record"):
            source = open_source(name, camera.record, geometry, clock, metrics, loaded.path.parent)
            yield _probe(f"cameras.{name}.record", source, wants_audio=camera.microphone == "stream")
    for name, microphone in loaded.config.microphones.items():
        source = open_microphone(name, microphone, geometry, clock, metrics)
        yield _probe(f"microphones.{name}", source, wants_audio=True)


def _probe(area: str, source: MediaSource, *, wants_audio: bool) -> CheckFinding:
    """Read until picture and sound have arrived, as far as the source has them."""
    pictures = chunks = 0
    try:
        for item in islice(source.items(), ITEMS_AT_MOST):
            pictures += isinstance(item, Frame)
            chunks += isinstance(item, AudioChunk)
            if (pictures or not source.has_video) and (chunks or not (source.has_audio and wants_audio)):
                break
    except EdgeError as error:
        return CheckFinding(area, ERROR, str(error))
    finally:
        source.close()
    delivered = [what for what, count in (("picture", pictures), ("sound", chunks)) if count]
    if not delivered:
        return CheckFinding(area, ERROR, "opened, but neither picture nor sound came; is it the right stream?")
    missing = " (no sound: set microphone: none, or name one)" if wants_audio and not chunks else ""
    arrive = "arrive" if len(delivered) > 1 else "arrives"
    return CheckFinding(area, WARNING if missing else OK, f"{' and '.join(delivered)} {arrive}{missing}")
