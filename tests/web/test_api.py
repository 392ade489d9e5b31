"""The API over a scripted box: events and their files, zones and rules, thresholds, arming, health."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from media_times import at
from starlette.testclient import TestClient
from web_parts import NOON_NS, ScriptedBackend, event, keep, scores_of_a_day

from edge.config import load, parse
from edge.errors import SinkError
from edge.evidence.archive.records import EvidenceFile, StoredNearMiss
from edge.evidence.archive.traces import ScoreTrace
from edge.status import HeldBack, HoldReason, SensorStatus
from edge.types import NS_PER_S, Box, EventKind, RuleValues
from edge.web.backend import LiveFrame, LiveScores
from edge.web.dependencies import AppState
from edge.web.live import _hello, _to_json

HELD = HeldBack(
    *("yard", "person", 0.6, {HoldReason.RATE_LIMITED: 7, HoldReason.OUTSIDE_ZONE: 3}),
    *(HoldReason.RATE_LIMITED, NOON_NS, 0.91),
)


def error_of(answer: object) -> str:
    body = answer.json()  # type: ignore[attr-defined]
    assert set(body) == {"error"}
    return str(body["error"])


def test_the_node_says_what_it_looks_at(client: TestClient) -> None:
    node = client.get("/api/node").json()
    assert (node["id"], node["site"]) == ("gate-01", "warehouse")
    yard, hall = node["cameras"]
    assert (yard["name"], yard["sound"], list(yard["zones"]), len(yard["masks"])) == ("yard", True, ["drive"], 1)
    assert (hall["name"], hall["sound"]) == ("hall", False)


def test_events_come_newest_first_and_page_on_without_loss(box: ScriptedBackend, client: TestClient) -> None:
    for number in range(1, 8):
        keep(box, event(number))
    seen: list[str] = []
    before = None
    while True:
        page = client.get("/api/events", params={"limit": 3, **({"before": before} if before else {})}).json()
        seen += [one["id"] for one in page["events"]]
        before = page["next"]
        if before is None:
            break
    assert seen == [f"{number:016x}" for number in range(1, 8)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"label": "vehicle"}, [2]),
        ({"camera": "hall"}, [3]),
        ({"zone": "gate"}, [3]),
        ({"kind": "health"}, [4]),
        ({"marked": "true"}, [1]),
        ({"marked": "false"}, []),
        ({"since": NOON_NS / 1e9 - 100}, [1]),
        ({"until": NOON_NS / 1e9 - 170}, [3, 4]),
        ({"label": ["vehicle", "person"], "camera": "yard"}, [1, 2]),
        ({"text": "glass shattered"}, [2]),
    ],
)
def test_filters(box: ScriptedBackend, client: TestClient, query: dict[str, str], expected: list[int]) -> None:
    keep(box, event(1))
    keep(box, event(2, "vehicle", why="vehicle 0.9: glass shattered beside it"))
    keep(box, event(3, camera="hall", zones=("gate",)))
    keep(box, event(4, "no_signal", kind=EventKind.HEALTH))
    assert box.store is not None
    box.store.mark(f"{1:016x}", "true", by="test")
    found = client.get("/api/events", params=query).json()["events"]
    assert [int(one["id"], 16) for one in found] == expected


def test_one_event_is_told_in_full_and_can_be_marked_and_taken_back(box: ScriptedBackend, client: TestClient) -> None:
    keep(box, event(1), {"clip": b"0123456789", "thumbnail": b"jpeg"})
    url = f"/api/events/{1:016x}"
    one = client.get(url).json()
    assert one["begin"] == "2026-01-16T11:59:00.000Z"
    assert (one["duration_s"], one["contribution"]["video"], one["zones"]) == (7.0, 3.1, ["drive"])
    assert one["files"]["clip"] == {"url": f"{url}/clip.mp4", "size": 10, "facts": {}}
    marked = client.post(f"{url}/mark", json={"verdict": "false", "note": "the\x00cat"}).json()["mark"]
    assert (marked["verdict"], marked["by"], marked["note"]) == ("false", "page:local", "the cat")
    assert client.get(url).json()["mark"]["verdict"] == "false"
    assert client.post(f"{url}/mark", json={"verdict": None}).json()["mark"] is None


def test_what_is_known_of_a_file_is_told(box: ScriptedBackend, client: TestClient) -> None:
    keep(box, event(1))
    assert box.store is not None
    box.store.attach(
        f"{1:016x}", "snapshot", EvidenceFile("a.jpg", 5, {"width": 640, "type": "image/jpeg", "value": 0.5})
    )
    facts = client.get(f"/api/events/{1:016x}").json()["files"]["snapshot"]["facts"]
    assert facts == {"width": 640, "type": "image/jpeg", "value": 0.5}


def test_a_clip_is_served_in_parts_as_players_ask(box: ScriptedBackend, client: TestClient) -> None:
    keep(box, event(1), {"clip": bytes(range(100))})
    url = f"/api/events/{1:016x}/clip.mp4"
    whole = client.get(url)
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, bytes(range(100)), "video/mp4")
    part = client.get(url, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["content-range"] == "bytes 10-19/100"
    assert client.get(url, headers={"range": "bytes=500-"}).status_code == 416
    assert 'filename="yard-person-' in client.get(url, params={"download": 1}).headers["content-disposition"]


def test_a_file_that_age_took_is_told(box: ScriptedBackend, client: TestClient) -> None:
    keep(box, event(1), {"clip": b"x"})
    assert box.store is not None
    next(box.store.folder_of(event(1)).glob("clip.mp4")).unlink()
    gone = client.get(f"/api/events/{1:016x}/clip.mp4")
    assert gone.status_code == 404
    assert "no longer kept" in error_of(gone)
    assert client.get(f"/api/events/{1:016x}/snapshot.jpg").status_code == 404
    assert client.get("/api/events/0000/clip.mp4").status_code == 404


def test_no_file_outside_the_evidence_folder_is_served(
    box: ScriptedBackend, client: TestClient, tmp_path: Path
) -> None:
    keep(box, event(1))
    assert box.store is not None
    for path in ("../../config.yaml", str(tmp_path / "config.yaml"), "..", ""):
        box.store.attach(f"{1:016x}", "clip", EvidenceFile(path, 1))
        assert client.get(f"/api/events/{1:016x}/clip.mp4").status_code == 404, path


def test_a_zone_is_drawn_moved_and_removed(box: ScriptedBackend, client: TestClient) -> None:
    corners = [[0.1, 0.2], [0.9, 0.2], [0.9, 0.8]]
    assert client.put("/api/cameras/yard/zones/gate", json={"points": corners}).json() == {"done": "in force"}
    shown = client.get("/api/drawn").json()
    assert shown["cameras"]["yard"]["zones"]["gate"] == {"points": corners, "drawn": True}
    assert shown["cameras"]["yard"]["zones"]["drive"]["drawn"] is False
    assert load(box.loaded.path).config.cameras["yard"].zones["gate"] == tuple(map(tuple, corners))
    moved = [[0.2, 0.2], [0.9, 0.2], [0.9, 0.8]]
    client.put("/api/cameras/yard/zones/gate", json={"points": moved})
    text = client.get("/api/drawn").json()["yaml"]
    assert yaml.safe_load(text) == {"cameras": {"yard": {"zones": {"gate": moved}}}}
    assert client.delete("/api/cameras/yard/zones/gate").status_code == 200
    assert client.get("/api/drawn").json()["yaml"] == ""
    assert client.delete("/api/cameras/yard/zones/gate").status_code == 404
    refused = client.delete("/api/cameras/yard/zones/drive")
    assert refused.status_code == 409
    assert "config.yaml" in error_of(refused)


def test_a_rule_is_made_from_a_zone_and_its_zone_then_stays(client: TestClient) -> None:
    rule = {"when": "person", "zones": ["drive"], "after_s": 2, "schedule": "22:00-06:00"}
    assert client.put("/api/rules/intrusion", json=rule).status_code == 200
    shown = client.get("/api/drawn").json()
    assert shown["rules"]["intrusion"] == {"rule": {**rule, "after_s": 2.0}, "drawn": True, "covers": None}
    client.put("/api/cameras/yard/zones/gate", json={"points": [[0.1, 0.2], [0.9, 0.2], [0.9, 0.8]]})
    client.put("/api/rules/intrusion", params={"replace": "true"}, json={**rule, "zones": ["gate"]})
    kept = client.delete("/api/cameras/yard/zones/gate")
    assert kept.status_code == 409
    assert "gate" in error_of(kept)
    assert "gate" in client.get("/api/drawn").json()["cameras"]["yard"]["zones"]
    assert client.delete("/api/rules/intrusion").status_code == 200
    assert client.delete("/api/cameras/yard/zones/gate").status_code == 200


WATCH = {"when": "person", "zones": ["drive"], "schedule": "22:00-06:00"}


def test_a_rule_of_config_yaml_is_not_taken_away_unasked(box: ScriptedBackend, client: TestClient) -> None:
    other = {"when": "vehicle", "cameras": ["yard"]}
    refused = client.put("/api/rules/night_watch", json=other)
    assert refused.status_code == 409
    for lost in ("night_watch", "config.yaml", "drive", "22:00-06:00", "replace"):
        assert lost in error_of(refused), "what would be lost is said"
    assert box.drawn() == {}
    assert box.loaded.config.events["night_watch"].schedule == "22:00-06:00"
    assert client.put("/api/rules/night_watch", params={"replace": "true"}, json=other).status_code == 200
    shown = client.get("/api/drawn").json()["rules"]["night_watch"]
    assert shown == {"rule": other, "drawn": True, "covers": WATCH}
    assert "drawn here" in error_of(client.put("/api/rules/night_watch", json=WATCH)), (
        "the newer one is not lost either"
    )
    client.delete("/api/rules/night_watch")
    assert client.get("/api/drawn").json()["rules"]["night_watch"] == {"rule": WATCH, "drawn": False, "covers": None}


def test_a_covered_rule_is_shown_where_it_needs_a_drawn_zone(box: ScriptedBackend, client: TestClient) -> None:
    client.put("/api/cameras/yard/zones/gate", json={"points": [[0.1, 0.2], [0.9, 0.2], [0.9, 0.8]]})
    text = box.loaded.path.read_text(encoding="utf-8").replace("zones: [drive]", "zones: [gate]")
    box.loaded.path.write_text(text, encoding="utf-8")
    client.put("/api/rules/night_watch", params={"replace": "true"}, json={"when": "vehicle"})
    assert client.get("/api/drawn").json()["rules"]["night_watch"]["covers"] == {**WATCH, "zones": ["gate"]}


@pytest.mark.parametrize(
    ("kind", "points"), [("zones", [[0.1, 0.2], [0.9, 0.2], [0.9, 0.8]]), ("lines", [[0.1, 0.2], [0.9, 0.2]])]
)
def test_a_new_place_does_not_move_one_that_is_there(client: TestClient, kind: str, points: list[list[float]]) -> None:
    path = f"/api/cameras/yard/{kind}/one"
    assert client.put(path, params={"new": "true"}, json={"points": points}).status_code == 200
    assert "one" in error_of(client.put(path, params={"new": "true"}, json={"points": points[::-1]}))
    assert client.get("/api/drawn").json()["cameras"]["yard"][kind]["one"]["points"] == points
    assert client.put(path, json={"points": points[::-1]}).status_code == 200, "moving is asked for"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("put", "cameras/yard/zones/z", {"points": [[0, 0], [1, 1]]}, 422),
        ("put", "cameras/yard/zones/z", {"points": [[0, 0], [0.5, 0.5], [1, 1]]}, 422),
        ("put", "cameras/yard/zones/z", {"points": [[0, 0], [2, 0.5], [1, 1]]}, 422),
        ("put", "cameras/yard/zones/z", {"points": "all"}, 422),
        ("put", "cameras/yard/zones/z", {"points": [[0, 0], [1, 0], [1, 1]], "more": 1}, 422),
        ("put", "cameras/yard/zones/-z", {"points": [[0, 0], [1, 0], [1, 1]]}, 422),
        ("put", "cameras/cellar/zones/z", {"points": [[0, 0], [1, 0], [1, 1]]}, 404),
        ("put", "cameras/yard/lines/z", {"points": [[0, 0], [0, 0]]}, 422),
        ("put", "rules/intrusion", {"when": "person", "zones": ["nowhere"]}, 409),
        ("put", "rules/intrusion", {"when": "person", "enter": 7}, 422),
        ("put", "rules/Intrusion", {"when": "person"}, 422),
        ("delete", "rules/intrusion", None, 404),
        ("put", "cameras/yard/thresholds/person", {"enter": 0}, 422),
        ("put", "cameras/yard/thresholds/person", {"enter": "0.5x"}, 422),
        ("put", "cameras/yard/thresholds/ghost", {"enter": 0.5}, 404),
        ("put", "cameras/yard/thresholds/anomaly", {"enter": 0.5}, 409),
        ("put", "cameras/yard/armed", {"armed": "perhaps"}, 422),
        ("post", "events/ffff/mark", {"verdict": "true"}, 404),
        ("post", "events/ffff/mark", {"verdict": "maybe"}, 422),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    client: TestClient, method: str, path: str, body: object, status: int
) -> None:
    answer = client.request(method, f"/api/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert len(error_of(answer)) > 10


def test_no_number_is_taken_that_is_none(client: TestClient) -> None:
    for number in ("NaN", "Infinity", "1e999"):
        text = f'{{"enter": {number}}}'
        answer = client.put(
            "/api/cameras/yard/thresholds/person", content=text, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 422, number
        error_of(answer)


def test_a_threshold_is_set_and_given_back(box: ScriptedBackend, client: TestClient) -> None:
    def of_person() -> dict[str, object]:
        rows = client.get("/api/thresholds").json()
        return next(row for row in rows if (row["camera"], row["label"]) == ("yard", "person"))

    assert of_person()["origins"]["enter"] == "default"  # type: ignore[index]
    assert "0.45" in client.put("/api/cameras/yard/thresholds/person", json={"enter": 0.45}).json()["done"]
    assert (of_person()["enter"], of_person()["leave"], box.commands) == (0.45, 0.3, {("yard", "person"): 0.45})
    client.put("/api/cameras/yard/thresholds/person", json={"enter": None})
    assert (of_person()["enter"], box.commands) == (0.6, {})


def test_the_preview_tells_what_another_threshold_would_have_made(box: ScriptedBackend, client: TestClient) -> None:
    scores_of_a_day(box)
    span = {"label": "person", "since": NOON_NS / 1e9 - 3600, "until": NOON_NS / 1e9}
    counts = {}
    for enter in (0.45, 0.6, 0.85, 0.95):
        would = client.get("/api/cameras/yard/preview", params={**span, "enter": enter}).json()
        counts[enter] = would["total"]
    assert counts == {0.45: 5, 0.6: 3, 0.85: 1, 0.95: 0}
    one = client.get("/api/cameras/yard/preview", params={**span, "enter": 0.85}).json()["events"][0]
    assert abs(one["begin_s"] - (NOON_NS / 1e9 - 900)) <= 1
    assert abs(one["peak"] - 0.9) < 0.01
    traced = client.get("/api/cameras/yard/trace", params={**span, "points": 60}).json()
    assert max(v for v in traced["high"] if v is not None) == pytest.approx(0.9, abs=0.005)
    assert traced["high"][10] == pytest.approx(0.12, abs=0.02)
    assert set(traced["labels"]) == {"person", "vehicle"}
    empty = client.get("/api/cameras/yard/trace", params={**span, "label": "ghost"}).json()
    assert set(empty["high"]) == {None}


@pytest.mark.parametrize("span", [(10.0, 10.0), (10.0, 5.0), (0.0, 9e8)])
def test_a_span_that_is_empty_or_endless_is_refused(client: TestClient, span: tuple[float, float]) -> None:
    query = {"label": "person", "since": span[0], "until": span[1], "enter": 0.5}
    for path in ("cameras/yard/preview", "cameras/yard/trace", "digest"):
        assert client.get(f"/api/{path}", params=query).status_code == 409, path


def test_arming_reaches_the_box(box: ScriptedBackend, client: TestClient) -> None:
    assert "disarmed" in client.put("/api/cameras/yard/armed", json={"armed": False}).json()["done"]
    assert box.arming == {"yard": False, "hall": True}
    assert client.get("/api/node").json()["cameras"][0]["armed"] is False


def test_health(box: ScriptedBackend, client: TestClient) -> None:
    box.readings = (
        SensorStatus("temperature", "\N{DEGREE SIGN}C", 21.5, 3.0, is_stale=False),
        SensorStatus("smoke", "ppm", None, None, is_stale=True),
    )
    box.held = [HELD, replace(HELD, label="fire", reason=None)]
    health = client.get("/api/health").json()
    assert [(c["camera"], c["state"]) for c in health["cameras"]] == [("yard", "up"), ("hall", "lost")]
    assert health["cameras"][0]["av_offset_s"] == 0.012
    assert health["evidence"]["events"] == 0
    assert health["cameras"][0]["sensors"] == [
        {"name": "temperature", "unit": "\N{DEGREE SIGN}C", "value": 21.5, "age_s": 3.0, "stale": False},
        {"name": "smoke", "unit": "ppm", "value": None, "age_s": None, "stale": True},
    ]
    person = {"camera": "yard", "label": "person", "reason": "rate_limited", "since_s": NOON_NS / 1e9, "score": 0.91}
    counts = {"enter": 0.6, "this_hour": {"rate_limited": 7, "outside_zone": 3}, "limited": 7}
    assert health["held_back"] == [
        {**person, **counts},
        {**person, **counts, "label": "fire", "reason": None, "since_s": None, "score": None},
    ]


def test_what_is_held_back_is_news(box: ScriptedBackend) -> None:
    box.held = [HELD]
    assert _hello(box)["held_back"][0]["reason"] == "rate_limited"
    assert _to_json((HELD,))[0]["this_hour"] == {"rate_limited": 7, "outside_zone": 3}


def test_what_came_near_an_event_is_listed_with_its_picture(box: ScriptedBackend, client: TestClient) -> None:
    assert client.get("/api/near-misses").json() == []
    assert box.store is not None
    for n, (camera, picture) in enumerate((("yard", b"jpeg"), ("hall", b""))):
        box.store.add_near_miss(StoredNearMiss(camera, "person", NOON_NS + n * NS_PER_S, 0.52, 0.6, picture))
    hall, yard = client.get("/api/near-misses").json()
    assert (hall["camera"], hall["thumbnail"]) == ("hall", None)
    assert (yard["label"], yard["value"], yard["enter"]) == ("person", 0.52, 0.6)
    picture = client.get(yard["thumbnail"])
    assert (picture.content, picture.headers["content-type"]) == (b"jpeg", "image/jpeg")
    assert client.get("/api/near-misses", params={"camera": "yard", "since": NOON_NS / 1e9 + 1}).json() == []
    assert client.get("/api/near-misses/99/thumbnail.jpg").status_code == 404


def test_the_preview_tells_what_would_have_been_held_back(box: ScriptedBackend, client: TestClient) -> None:
    assert box.traces is not None
    for i in range(600):  # three seconds in twenty, for five minutes
        wall_ns = NOON_NS - (600 - i) * NS_PER_S // 2
        box.traces.append(RuleValues("yard", wall_ns, at(wall_ns), {"person": 0.9 if i % 40 < 6 else 0.1}), wall_ns)
    span = {"label": "person", "since": NOON_NS / 1e9 - 600, "until": NOON_NS / 1e9, "enter": 0.6}
    assert client.get("/api/cameras/yard/preview", params=span).json()["held_back"] == {}
    box.most_per_hour = 4
    would = client.get("/api/cameras/yard/preview", params=span).json()
    assert (would["total"], would["held_back"]) == (4, {"rate_limited": 11})


def test_the_scores_that_are_remembered_are_one_labels(box: ScriptedBackend, client: TestClient) -> None:
    """A day of all labels is tens of megabytes, and stays for as long as nobody asks for another."""
    scores_of_a_day(box)
    assert box.traces is not None
    rooms: AppState = client.app.state.shared  # type: ignore[attr-defined]
    span = {"since": NOON_NS / 1e9 - 3600, "until": NOON_NS / 1e9}
    for label in ("person", "vehicle", "glass_break"):
        client.get("/api/cameras/yard/trace", params={**span, "label": label})
    asked: list[float] = []
    read = box.traces.read

    def noted(camera: str, since_ns: int, until_ns: int) -> ScoreTrace:
        asked.append((until_ns - since_ns) / NS_PER_S)
        return read(camera, since_ns, until_ns)

    box.traces.read = noted  # type: ignore[method-assign]
    day = client.get(
        "/api/cameras/yard/trace", params={**span, "since": NOON_NS / 1e9 - 86400, "label": "person"}
    ).json()
    assert asked == [6 * 3600.0] * 4, "some hours at a time"
    assert max(v for v in day["high"] if v is not None) == pytest.approx(0.9, abs=0.005)
    kept = rooms.cached_traces
    assert [(trace.names, trace.values.shape) for trace in kept] == [
        (("glass_break",), (3600, 1)),
        (("person",), (3600, 1)),
    ]
    assert all(trace.values.base is None or trace.values.base.size == 3600 for trace in kept), "no view of them all"


def test_a_picture_is_encoded_once_and_not_sent_twice(box: ScriptedBackend, client: TestClient) -> None:
    assert client.get("/api/cameras/yard/picture.jpg").status_code == 404
    assert client.get("/api/cameras/yard/picture.jpg", params={"after": -1}).status_code == 204
    box.pictures["yard"] = LiveFrame(
        7, np.full((36, 64, 3), (200, 30, 30), np.uint8), (Box("person", 0.9, 0.1, 0.2, 0.3, 0.4),)
    )
    first = client.get("/api/cameras/yard/picture.jpg", params={"after": 3})
    assert (first.status_code, first.headers["x-edge-number"], first.content[:2]) == (200, "7", b"\xff\xd8")
    assert json.loads(first.headers["x-edge-boxes"]) == [{"label": "person", "score": 0.9, "at": [0.1, 0.2, 0.3, 0.4]}]
    assert client.get("/api/cameras/yard/picture.jpg", params={"after": 7}).status_code == 204

    import cv2

    shown = cv2.imdecode(np.frombuffer(first.content, np.uint8), cv2.IMREAD_COLOR)[18, 32]
    assert shown[2] > 150 > shown[0] + 90, "red stays red: JPEG libraries take BGR"


def test_sound_goes_on_where_it_was_left(box: ScriptedBackend, client: TestClient) -> None:
    t = np.arange(2 * 32000) / 32000
    box.heard["yard"] = (0.1 * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
    heard = client.get("/api/cameras/yard/sound").json()
    columns = np.frombuffer(base64.b64decode(heard["columns"]), np.uint8).reshape(-1, heard["bands"])
    assert heard["next"] == 39 or heard["next"] == 40
    loudest = int(columns[-1].argmax())
    assert heard["edges_hz"][loudest] <= 1000 * 1.05
    assert heard["edges_hz"][loudest + 1] >= 1000 * 0.95
    assert heard["levels"][-1] == pytest.approx(-23.0, abs=0.1), "0.1 of full scale as a sine"
    again = client.get("/api/cameras/yard/sound", params={"after": heard["next"]}).json()
    assert (again["levels"], again["next"]) == ([], heard["next"])
    box.heard["yard"] = np.concatenate([box.heard["yard"], np.zeros(16000, np.float32)])
    more = client.get("/api/cameras/yard/sound", params={"after": heard["next"]}).json()
    assert len(more["levels"]) == 10
    assert more["levels"][-1] == -100.0


def test_people_hear_16_bit_samples_from_where_they_were(box: ScriptedBackend, client: TestClient) -> None:
    t = np.arange(3 * 32000) / 32000
    box.heard["yard"] = (0.5 * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
    first = client.get("/api/cameras/yard/sound.pcm")
    assert (first.headers["x-edge-rate"], first.headers["x-edge-next"]) == ("32000", str(3 * 32000))
    samples = np.frombuffer(first.content, "<i2")
    assert np.allclose(samples / 32767, box.heard["yard"][-16000:], atol=1e-4)
    assert client.get("/api/cameras/yard/sound.pcm", params={"after": 3 * 32000}).content == b""
    assert len(client.get("/api/cameras/yard/sound.pcm", params={"after": 0}).content) == 2 * 2 * 32000
    assert client.get("/api/cameras/hall/sound.pcm").status_code == 404
    yard, hall = client.get("/api/node").json()["cameras"]
    assert (yard["listening"], yard["speech"], hall["listening"]) == (True, False, False)


def test_where_sound_is_let_out_nowhere_nobody_listens(box: ScriptedBackend, client: TestClient) -> None:
    text = box.loaded.path.read_text(encoding="utf-8").replace("keep_gb: 20", "keep_gb: 20, audio: false")
    box.loaded = parse(text, box.loaded.path)
    assert "evidence.audio" in error_of(client.get("/api/cameras/yard/sound.pcm"))
    assert client.get("/api/node").json()["cameras"][0]["listening"] is False


@pytest.mark.parametrize("length", [0, 900, 1600, 5 * 32000 - 1, 5 * 32000, 9 * 32000 + 77])
def test_a_column_looks_at_its_own_sound_however_much_there_is(
    box: ScriptedBackend, client: TestClient, length: int
) -> None:
    """Every sample at one level: so is every column, from the first to the last of four seconds."""
    box.heard["yard"] = np.where(np.arange(length) % 2, 0.5, -0.5).astype(np.float32)
    heard = client.get("/api/cameras/yard/sound").json()
    assert heard["next"] == length // 1600
    assert len(heard["levels"]) == min(80, length // 1600)
    assert set(heard["levels"]) <= {-6.0}


def test_nothing_is_made_while_nobody_looks(box: ScriptedBackend, client: TestClient) -> None:
    client.get("/")
    client.get("/api/node")
    made: list[int] = []
    box.hub.publish("scores", lambda: made.append(1))
    assert (made, box.asked, len(box.hub)) == ([], [], 0)


def test_recent_scores_have_holes_and_not_zeros(box: ScriptedBackend, client: TestClient) -> None:
    box.moments["yard"] = [
        LiveScores("yard", NOON_NS, {"person": 0.2}),
        LiveScores("yard", NOON_NS + NS_PER_S, {"person": None, "fire": 0.4}),
    ]
    recent = client.get("/api/cameras/yard/recent").json()
    assert recent["values"] == {"fire": [None, 0.4], "person": [0.2, None]}
    assert recent["times_s"][1] - recent["times_s"][0] == 1.0


def test_a_node_that_is_busy_says_so(box: ScriptedBackend, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> object:
        raise SinkError("the node is busy; try again in a moment")

    for name in ("thresholds", "set_armed", "draw"):
        monkeypatch.setattr(box, name, busy)
    zone = {"points": [[0, 0], [1, 0], [1, 1]]}
    answers = [
        client.get("/api/thresholds"),
        client.put("/api/cameras/yard/armed", json={"armed": True}),
        client.put("/api/cameras/yard/zones/z", json=zone),
    ]
    assert [(a.status_code, error_of(a)) for a in answers] == [(503, "the node is busy; try again in a moment")] * 3


def test_a_digest_of_a_day(box: ScriptedBackend, client: TestClient) -> None:
    for number in (1, 2, 3):
        keep(box, event(number))
    day = {"since": NOON_NS / 1e9 - 43200, "until": NOON_NS / 1e9 + 43200}
    made = client.get("/api/digest", params=day).json()
    assert [(h["label"], h["count"]) for h in made["happened"]] == [("person", 3)]
    assert "3 events" in made["text"]
    assert len(made["notable"]) == 3
    assert client.get("/api/digest/yard/storyboard.jpg", params=day).status_code == 404


def test_without_evidence_the_page_says_so(box: ScriptedBackend, client: TestClient) -> None:
    box.store = box.traces = None
    for path in ("events", "events/ff", "digest?since=1&until=2", "cameras/yard/trace?label=person&since=1&until=2"):
        answer = client.get(f"/api/{path}")
        assert answer.status_code == 404, path
        assert "evidence" in error_of(answer)
    assert client.get("/api/node").json()["keeps_evidence"] is False


def test_openapi_names_everything_without_a_foreign_page(client: TestClient) -> None:
    schema = client.get("/api/openapi.json").json()
    assert "/api/events/{event_id}/clip.mp4" in schema["paths"]
    assert client.get("/docs").status_code == 404
    assert json.dumps(schema).count("https://") == 0


@pytest.mark.parametrize("path", ["/", "/events", f"/events/{1:016x}", "/zones/yard", "/thresholds/yard/person"])
def test_pages_have_real_urls(client: TestClient, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert "<main" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_the_page_loads_nothing_from_elsewhere() -> None:
    static = Path(__file__).parent.parent.parent / "edge" / "web" / "static"
    for path in static.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text, path
        assert "https:" not in text, path
        assert " style=" not in text, path
