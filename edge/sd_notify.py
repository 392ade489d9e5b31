"""Notifies systemd (sd_notify), without a library. Does nothing without systemd.

Protocol: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import logging
import os
import socket

from edge.clock import Clock

log = logging.getLogger(__name__)


def ready(status: str = "") -> None:
    """The service is up, or finished reloading."""
    send("READY=1", *_status(status))


def status(text: str) -> None:
    """One line for `systemctl status`."""
    send(*_status(text))


def watchdog() -> None:
    """The service is alive; systemd restarts it when this does not come for WatchdogSec."""
    send("WATCHDOG=1")


def reloading(clock: Clock) -> None:
    """The configuration is being read again; `ready` ends it."""
    send("RELOADING=1", f"MONOTONIC_USEC={clock.mono_ns() // 1000}")


def stopping(text: str = "") -> None:
    """The service is shutting down."""
    send("STOPPING=1", *_status(text))


def send(*lines: str) -> bool:
    """Send assignments to systemd in one message; whether systemd listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or not lines:
        return False
    if address.startswith("@"):
        address = f"\0{address[1:]}"  # the abstract namespace
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
            s.connect(address)
            s.sendall("\n".join(lines).encode("utf-8", "replace"))
    except OSError as error:
        log.debug("systemd cannot be told %s: %s", lines[0], error)
        return False
    return True


def _status(text: str) -> list[str]:
    return [f"STATUS={' '.join(text.split())}"] if text else []
