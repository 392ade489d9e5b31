"""A real mosquitto with certificates, passwords and an access list, and a subscriber that misses nothing."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.bench.processes import free_port
from edge.clock import SystemClock
from edge.publish.broker_login import BrokerLogin
from edge.publish.commands import IncomingMessage
from edge.publish.mqtt import MqttConnection

ACL = """
user edge
topic readwrite edge/#
topic readwrite homeassistant/#
topic readwrite frigate/#
topic read yard/#
topic deny edge/site/node/denied/event
user viewer
topic readwrite #
"""
CONF = """
per_listener_settings false
allow_anonymous false
password_file {folder}/passwd
acl_file {folder}/acl
persistence true
persistence_location {folder}/data/
max_packet_size 300000
user root
listener {plain} 127.0.0.1
listener {tls} 127.0.0.1
cafile {certs}/ca.crt
certfile {certs}/server.crt
keyfile {certs}/server.key
listener {expired} 127.0.0.1
cafile {certs}/ca.crt
certfile {certs}/expired.crt
keyfile {certs}/expired.key
listener {mutual} 127.0.0.1
cafile {certs}/ca.crt
certfile {certs}/server.crt
keyfile {certs}/server.key
require_certificate true
"""


def until(done: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait generously for something to become true."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def need(program: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{program} is missing (apt install {program})")
    return path


def make_certificates(folder: Path) -> None:
    """An authority, a server, an expired server, a client, and an authority nobody trusts."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def openssl(*args: str) -> None:
        subprocess.run([need("openssl"), *args], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "30",
                "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    (folder / "ext").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n")
    for name, days in (("server", "30"), ("client", "30"), ("expired", "-1")):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", days, "-out", f"{name}.crt", "-extfile", "ext")  # fmt: skip


class Mosquitto:
    """A broker process that can be stopped, killed and started again with what it kept."""

    def __init__(self, folder: Path, certs: Path) -> None:
        program = need("mosquitto")
        (folder / "data").mkdir()
        self.certs = certs
        self.plain, self.tls, self.expired, self.mutual = (free_port() for _ in range(4))
        (folder / "passwd").write_text("edge:s3cret\nviewer:look\n")
        subprocess.run([need("mosquitto_passwd"), "-U", str(folder / "passwd")], check=True, capture_output=True)
        (folder / "acl").write_text(ACL)
        conf = folder / "mosquitto.conf"
        ports = {"plain": self.plain, "tls": self.tls, "expired": self.expired, "mutual": self.mutual}
        conf.write_text(CONF.format(folder=folder, certs=certs, **ports))
        self._command = [program, "-c", str(conf)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._process = process
        try:
            until(lambda: process.poll() is not None or self._listens())
            assert process.returncode is None, f"mosquitto ended with {process.returncode} before it listened"
        except AssertionError:
            self.stop(signal.SIGKILL)
            raise
        return self

    def _listens(self) -> bool:
        return all(_listens(port) for port in (self.plain, self.tls, self.expired, self.mutual))

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(sig)
            self._process.wait(20)
            self._process = None

    def access(self, **changes: object) -> BrokerLogin:
        base: dict[str, object] = {
            "host": "localhost", "port": self.tls, "tls": True, "username": "edge", "password": "s3cret",
            "ca_file": self.certs / "ca.crt", "keepalive_s": 5,
        }  # fmt: skip
        return BrokerLogin(**{**base, **changes})  # type: ignore[arg-type]


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
        return True
    return False


class Listener:
    """A subscriber with a lasting session: what it misses while away comes later."""

    def __init__(self, to: BrokerLogin, *filters: str) -> None:
        self._link = MqttConnection(to, f"listener-{free_port()}", SystemClock(), filters=filters)
        self.got: list[IncomingMessage] = []
        self._link.connect()

    def poll(self) -> list[IncomingMessage]:
        if not self._link.connected:
            with contextlib.suppress(Exception):
                self._link.connect()
        self.got += self._link.take_incoming()
        return self.got

    def payloads(self, topic: str) -> list[bytes]:
        return [i.payload for i in self.poll() if i.topic == topic]

    def send(self, topic: str, payload: bytes, **more: object) -> None:
        from edge.types import Message

        assert self._link.publish(Message(topic, payload, 1, bool(more.get("retain"))), 0, more.get("correlation"))  # type: ignore[arg-type]
        until(self._link.take_acks)

    def close(self) -> None:
        self._link.close()


@contextlib.contextmanager
def listening(to: BrokerLogin, *filters: str) -> Iterator[Listener]:
    listener = Listener(to, *filters)
    try:
        yield listener
    finally:
        listener.close()
