"""A page over a scripted box, without a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from starlette.testclient import TestClient
from web_parts import ScriptedBackend

from edge.clock import VirtualClock
from edge.types import NS_PER_S
from edge.web.app import create_app
from edge.web.dependencies import AppState


@pytest.fixture
def box(tmp_path: Path) -> Iterator[ScriptedBackend]:
    made = ScriptedBackend(tmp_path)
    store, traces = made.store, made.traces
    yield made
    assert store is not None
    assert traces is not None
    store.close()
    traces.close()


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, VirtualClock]]:
    """One application for all tests, which each put their own box into: making it takes half a second."""
    first = ScriptedBackend(tmp_path_factory.mktemp("first"))
    with TestClient(create_app(first), base_url="http://127.0.0.1:8088") as made:
        yield made, first.clock
    assert first.store is not None
    first.store.close()


@pytest.fixture
def client(box: ScriptedBackend, page: tuple[TestClient, VirtualClock]) -> TestClient:
    made, clock = page
    clock.advance(60 * NS_PER_S)  # what earlier tests wrote does not count
    state = made.app.state  # type: ignore[attr-defined]
    state.shared = AppState(box, state.shared.authenticator)
    return made
