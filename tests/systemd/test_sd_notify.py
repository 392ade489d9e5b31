"""What systemd is told, seen from the socket's other end."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import sd_notify
from edge.clock import VirtualClock


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(tmp_path / "notify"))
        s.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield s


def told(manager: socket.socket) -> str:
    return manager.recv(4096).decode()


def test_each_message(manager: socket.socket) -> None:
    clock = VirtualClock()
    clock.advance(1_234_567_890)
    sd_notify.ready("2 cameras")
    assert told(manager) == "READY=1\nSTATUS=2 cameras"
    sd_notify.ready()
    assert told(manager) == "READY=1"
    sd_notify.status("opening\nthe  model")
    assert told(manager) == "STATUS=opening the model"
    sd_notify.watchdog()
    assert told(manager) == "WATCHDOG=1"
    sd_notify.reloading(clock)
    assert told(manager) == "RELOADING=1\nMONOTONIC_USEC=1234567"
    sd_notify.stopping("draining")
    assert told(manager) == "STOPPING=1\nSTATUS=draining"


def test_a_status_cannot_smuggle_in_another_message(manager: socket.socket) -> None:
    sd_notify.status("x\nSTOPPING=1")
    assert told(manager) == "STATUS=x STOPPING=1"


def test_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"edge-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert sd_notify.send("READY=1")
        assert told(s) == "READY=1"


@pytest.mark.parametrize("address", [None, "", "vsock:2:1", "relative", "/no/such/socket"])
def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    if address is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not sd_notify.send("READY=1")
