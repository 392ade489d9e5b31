"""The API under requests made from its own OpenAPI description, good and bad: answers as described, and never a 500."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from web_parts import ScriptedBackend, event, keep, scores_of_a_day

from edge.types import NS_PER_S
from edge.web.app import create_app

ENDLESS = r"^/api/(live|cameras/\{camera\}/live\.mjpeg)$"
KNOWN = {"camera": "yard", "event_id": f"{1:016x}", "label": "person", "name": "gate"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedBackend]:
    box = ScriptedBackend(tmp_path_factory.mktemp("schema"))
    for number in range(1, 4):
        keep(box, event(number), {"clip": b"0123456789", "thumbnail": b"jpeg"})
    scores_of_a_day(box)
    yield box
    assert box.store is not None
    assert box.traces is not None
    box.store.close()
    box.traces.close()


def test_every_request_is_answered_as_described(whole: ScriptedBackend) -> None:
    app = create_app(whole)
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app, headers={"host": "127.0.0.1"})
    operations = [found.ok() for found in schema.exclude(path_regex=ENDLESS).get_all_operations()]
    assert len(operations) >= 25
    statuses: Counter[int] = Counter()
    for operation in operations:
        for mode in GenerationMode:
            cases = operation.as_strategy(generation_mode=mode)
            hammer(whole, cases, statuses, known=mode is GenerationMode.POSITIVE)
    assert sum(statuses.values()) > 150
    assert statuses[200] > 30
    assert statuses[422] > 30


def hammer(
    box: ScriptedBackend, cases: SearchStrategy[schemathesis.Case], statuses: Counter[int], *, known: bool
) -> None:
    """Requests of one kind to one operation; where nothing can be wrong there are no wrong ones. ``known``: they are
    about things that there are."""

    @given(case=cases)
    @settings(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def asked(case: schemathesis.Case) -> None:
        box.clock.advance(10 * NS_PER_S)  # nobody waits for the rate limit here
        case.headers["host"] = "127.0.0.1"
        if known:
            case.path_parameters.update({name: KNOWN[name] for name in case.path_parameters if name in KNOWN})
        statuses[case.call_and_validate(checks=CHECKS).status_code] += 1

    with contextlib.suppress(Unsatisfiable):
        asked()
