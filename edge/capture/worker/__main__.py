"""The program of a capture worker: ``python -m edge.capture.worker SOCKET FAULTS [--verbose]``, two file descriptors.

``SOCKET`` leads to the daemon. Each message there is a pickled `Opening` with the socket of the camera; when that
socket closes, the camera is read no longer. The worker ends when ``SOCKET`` closes: with the daemon, however that ends.
In ``FAULTS`` a crash leaves the stacks of the threads, by which the daemon finds whose camera it was.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import selectors
import signal
import socket
import sys
import threading

from edge.capture.bursts import BurstTurn
from edge.capture.worker.camera_reader import CameraReader, SourceOpener, open_network_camera
from edge.capture.worker.messages import COMMAND_BYTES, Opening
from edge.clock import SystemClock
from edge.heap import limit_heap
from edge.logs import configure_logging
from edge.threads import SWITCH_S

_MOST_BYTES = 1 << 20


class CaptureWorker:
    """Starts a thread for each camera that the daemon sends, and passes its commands on. Runs on the main thread."""

    def __init__(self, daemon: socket.socket, open_source: SourceOpener) -> None:
        self._daemon, self._open_source = daemon, open_source
        self._clock, self._turn = SystemClock(), BurstTurn()
        self._selector = selectors.DefaultSelector()
        self._selector.register(daemon, selectors.EVENT_READ)

    def run(self) -> None:
        """Until the daemon is gone."""
        while True:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._command(key.fd, key.data)
                elif not self._open():
                    return

    def _open(self) -> bool:
        """Begin to read the next camera; False when there is no daemon any more."""
        data, fds, _, _ = socket.recv_fds(self._daemon, _MOST_BYTES, 1)
        if not data:
            return False
        opening: Opening = pickle.loads(data)  # noqa: S301 - from the daemon that started this process
        commands = os.dup(fds[0])
        reader = CameraReader(opening, socket.socket(fileno=fds[0]), self._clock, self._turn, self._open_source)
        self._selector.register(commands, selectors.EVENT_READ, reader)
        threading.Thread(target=reader.run, name=f"capture:{opening.name}", daemon=True).start()
        return True

    def _command(self, fd: int, reader: CameraReader) -> None:
        """Pass on one command; without any more, the daemon wants the camera no longer."""
        try:
            data = os.read(fd, COMMAND_BYTES)
        except ConnectionError:
            data = b""
        if len(data) == COMMAND_BYTES:
            reader.command(data)
            return
        self._selector.unregister(fd)
        os.close(fd)
        reader.close()


def main(arguments: list[str], open_source: SourceOpener = open_network_camera) -> None:
    """Serve the daemon at the other end of the socket."""
    for ours in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ours, signal.SIG_IGN)  # the daemon gets them, too, and ends this process when it is done
    faulthandler.enable(int(arguments[1]))
    sys.setswitchinterval(SWITCH_S)
    limit_heap()
    configure_logging(verbose="--verbose" in arguments, apart=True)
    CaptureWorker(socket.socket(fileno=int(arguments[0])), open_source).run()
    os._exit(0)  # threads may be waiting for a camera


if __name__ == "__main__":
    main(sys.argv[1:])
