"""The application: the API under /api, the page's files under /static, and the page itself at its own URLs."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from edge import __version__
from edge.config.services import WebConfig
from edge.errors import EdgeError, InputError
from edge.web import digest, drawing, events, live, login, node, tuning
from edge.web.access import Authenticator
from edge.web.backend import NodeBackend
from edge.web.dependencies import AppState
from edge.web.guard import RequestGuard

STATIC = Path(__file__).parent / "static"
PAGES = ("live", "events", "zones", "thresholds", "health", "digest", "login")
THREADS = 12


def create_app(box: NodeBackend, settings: WebConfig | None = None) -> FastAPI:
    """The page of one node; ``settings`` are those of the node's configuration unless given.

    InputError when a secret cannot be read, or when the page would be open to the network.
    """
    settings = settings or box.loaded.config.web or WebConfig()
    access = Authenticator(settings, box.loaded, box.clock)
    app = FastAPI(
        title="edge",
        version=__version__,
        description="What this box sees and hears. Errors are `{error: sentence}`.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=_few_threads,
    )
    app.state.shared = AppState(box, access)
    for part in (login, node, live, events, drawing, tuning, digest):
        app.include_router(part.router)
    _add_page(app)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _wrong)
    app.add_exception_handler(EdgeError, _refused)
    tls = settings.cert_file is not None
    app.add_middleware(RequestGuard, access=access, clock=box.clock, base_url=settings.base_url, tls=tls)
    return app


@asynccontextmanager
async def _few_threads(_app: FastAPI) -> AsyncIterator[None]:
    """Limit requests to a dozen threads: the engine needs the cores."""
    import anyio.to_thread

    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _add_page(app: FastAPI) -> None:
    mimetypes.add_type("text/javascript", ".js")
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    paths = ["/", *(f"/{name}" for name in PAGES), *(f"/{name}/{{rest:path}}" for name in PAGES)]
    for path in paths:
        app.add_api_route(path, page, methods=["GET"], include_in_schema=False, response_class=FileResponse)


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers) if error.headers else None
    return JSONResponse({"error": str(error.detail)}, error.status_code, headers)


async def _wrong(_request: Request, error: Exception) -> JSONResponse:
    """What is wrong with a request, without its content: that may be a secret, or no JSON."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"error": problems_sentence(error.errors())}, 422)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    """An error of the node, or of its input, as an answer."""
    return JSONResponse({"error": str(error)}, 409 if isinstance(error, InputError) else 503)


def problems_sentence(problems: Sequence[Any]) -> str:
    """The first problems of a request as one sentence."""
    parts = []
    for problem in problems[:3]:
        where = ".".join(str(part) for part in problem["loc"] if part not in {"body", "query", "path"})
        message = str(problem["msg"]).removeprefix("Value error, ")
        parts.append(f"{where}: {message}" if where else message)
    return "; ".join(parts) or "the request is wrong"
