"""The embedded MQTT broker, for machines without one: rumqttd from the package `iotcore` (extra `broker`).

It runs as a child process that ends with this one. It speaks MQTT 3.1.1 without TLS or logins, and keeps retained
messages only in memory: after its restart the node publishes its state again. See docs/reference/topics.md.
"""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator
from typing import Any

from edge.config.values import split_listen
from edge.errors import InputError, SinkError, install_command

log = logging.getLogger(__name__)

_LARGEST = 4 << 20  # bytes of a message: Home Assistant's description of a node with many cameras is large


class EmbeddedBroker:
    """A broker at ``listen`` (host:port). InputError when the package is missing."""

    def __init__(self, listen: str) -> None:
        self._listen = listen
        host, port = split_listen(listen)
        try:
            from iotcore import Broker
        except ImportError as error:
            raise InputError(
                f"broker: needs the extra `broker` ({install_command('broker')}); "
                "or remove `broker:` and give the address of a broker in mqtt.url"
            ) from error
        logging.getLogger("iotcore").setLevel(logging.WARNING)  # it would log the same as this module
        self._broker: Any = Broker(port=port, listen=host, max_payload_size=_LARGEST)

    def start(self) -> None:
        """Start, and return when it accepts connections; SinkError says why it cannot."""
        try:
            with _without_interrupts():
                self._broker.start()
        except OSError as error:
            raise SinkError(
                f"broker.listen: {self._listen} cannot be used ({error.strerror or error}); does another broker run "
                "here? Then remove `broker:` and use that one, or give another port"
            ) from error
        except RuntimeError as error:
            raise SinkError(f"broker.listen: the broker at {self._listen} did not start ({error})") from error
        log.info("broker listening on %s", self._listen)

    def stop(self) -> None:
        """Stop the broker; safe to call twice."""
        self._broker.stop()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Child processes started inside ignore Ctrl-C: the broker must outlive the last message."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
