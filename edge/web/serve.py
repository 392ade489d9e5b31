"""The web server on a thread of its own, without signal handlers and with a bounded shutdown."""

from __future__ import annotations

import logging
import socket
import threading
from typing import TYPE_CHECKING

from edge.config.services import WebConfig
from edge.config.values import split_listen
from edge.errors import InputError, exhausted_resource, install_command
from edge.web.backend import NodeBackend

if TYPE_CHECKING:
    import uvicorn

log = logging.getLogger(__name__)
GRACE_S = 2
JOIN_S = 4.0


class WebServer:
    """Serves the page. `start` and `stop` are called on the main thread; ``fault`` is a bug in the server."""

    def __init__(self, box: NodeBackend, settings: WebConfig) -> None:
        self._box, self._settings = box, settings
        self._server: uvicorn.Server | None = None
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self.fault: BaseException | None = None

    @property
    def address(self) -> str:
        """The URL on which it listens."""
        host, port = split_listen(self._settings.listen)
        if self._socket is not None:
            port = self._socket.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._settings.cert_file else 'http'}://{shown}:{port}"

    def start(self) -> None:
        """Listen and serve. InputError: the port is taken, a secret or certificate cannot be read, or the extra `web`
        is not installed."""
        try:
            import uvicorn

            from edge.web.app import create_app
        except ImportError as error:
            raise InputError(f"web: the page needs the extra `web`: {install_command('web')}") from error

        app = create_app(self._box, self._settings)
        loaded, s = self._box.loaded, self._settings
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            http="h11",
            loop="asyncio",
            ws="none",
            limit_concurrency=96,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=str(loaded.resolve(s.cert_file)) if s.cert_file else None,
            ssl_keyfile=str(loaded.resolve(s.key_file)) if s.key_file else None,
        )
        try:
            config.load()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise InputError(f"web.cert_file, web.key_file: cannot be used ({type(error).__name__})") from error
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # the node logs start and stop itself
        self._socket = _bound(*split_listen(s.listen))
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()
        log.info("the page is at %s", s.base_url or self.address)

    def stop(self) -> None:
        """Disconnect every viewer and end within a few seconds."""
        self._box.hub.close()
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(JOIN_S)
            if self._thread.is_alive():
                log.warning("the page does not stop; it ends with the process")
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        assert self._server is not None
        assert self._socket is not None
        try:
            self._server.run(sockets=[self._socket])
        except BaseException as error:
            self.fault = error
            reason = exhausted_resource(error)
            log.critical("the web server failed: %s", reason or error, exc_info=None if reason else error)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(128)
    except OSError as error:
        bound.close()
        raise InputError(
            f"web.listen: {host}:{port} cannot be served ({error.strerror or error}); choose another port"
        ) from error
    return bound
