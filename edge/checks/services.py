"""`edge check`: disk, evidence, page and broker."""

from __future__ import annotations

import ipaddress
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from edge.checks.finding import ERROR, OK, WARNING, CheckFinding
from edge.clock import SystemClock
from edge.config import LoadedConfig
from edge.config.services import MqttConfig, WebConfig
from edge.errors import EdgeError, InputError
from edge.extras import install_command
from edge.web.access import Authenticator

LOW_DISK_BYTES = 200_000_000


def check_disk(loaded: LoadedConfig) -> CheckFinding:
    """Whether the data folder can be written, and how much room there is."""
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
    """What is kept, and whether there is room for it."""
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
