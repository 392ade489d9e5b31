"""`edge events` as a person uses it: over a store on the disk, in this process, without a model running."""

from __future__ import annotations

import argparse
import csv
import io
import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from media_times import at

from edge.adapt.examples import read_examples
from edge.clock import SystemClock
from edge.errors import InputError
from edge.events import search
from edge.events.command import register, run
from edge.events.export import export_clips
from edge.evidence.archive.records import EventQuery, EvidenceFile, StoredNearMiss
from edge.evidence.archive.store import EventStore
from edge.types import NS_PER_S, Event, EventKind, Phase

T0 = round(datetime(2026, 3, 9, 22, 0, tzinfo=timezone.utc).timestamp()) * NS_PER_S
CONFIG = """
node: {data_dir: var}
location: {timezone: UTC}
cameras:
  gate: {source: {type: file, path: gate.mp4}, zones: {drive: [[0, 0], [1, 0], [1, 1]]}}
  yard: {source: {type: file, path: yard.mp4}}
"""


def event(name: str, label: str, camera: str, at_s: int) -> Event:
    return Event(
        id=name,
        camera=camera,
        kind=EventKind.EVENT,
        label=label,
        phase=Phase.END,
        begin_ns=0,
        end_ns=4 * NS_PER_S,
        media_begin=at(0),
        wall_begin_ns=T0 + at_s * NS_PER_S,
        score=0.7,
        peak=0.9,
        threshold=0.6,
        severity="alert",
        why=f"{label} 0.90 [x]",
        zones=("drive",) if camera == "gate" else (),
    )


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config and three kept events with clips; without the text model."""

    def missing() -> Path:
        raise InputError("prompts need the text model, which is not installed here: pip install it")

    monkeypatch.setattr(search, "find_text_model", missing)
    (tmp_path / "config.yaml").write_text(CONFIG)
    store = EventStore(tmp_path / "var/evidence", SystemClock())
    for n, (label, camera) in enumerate((("dog_bark", "gate"), ("glass_break", "gate"), ("person", "yard"))):
        happened = event(f"e{n}", label, camera, 60 * n)
        store.put(happened, "fused 0.2.0")
        for kind, facts in (("clip", {"seconds": 19.0, "event_at_s": 5.0}), ("snapshot", {})):
            path = store.folder_of(happened) / (f"{kind}.mp4" if kind == "clip" else f"{kind}.jpg")
            path.write_bytes(b"media of " + happened.id.encode())
            store.attach(happened.id, kind, EvidenceFile(path.relative_to(store.folder).as_posix(), 11, facts))  # type: ignore[arg-type]
    store.close()
    return tmp_path


def edge(box: Path, *words: str) -> str:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    out = io.StringIO()
    assert run(parser.parse_args(["events", "-c", str(box / "config.yaml"), *words]), out) == 0
    return out.getvalue()


def ids(text: str) -> list[str]:
    return [one["id"] for one in json.loads(text)["events"]]


def test_listing_and_filters(box: Path) -> None:
    assert ids(edge(box, "--json")) == ["e2", "e1", "e0"]
    assert ids(edge(box, "--json", "--camera", "gate", "--limit", "1")) == ["e1"]
    assert ids(edge(box, "--json", "--label", "person", "--label", "dog_bark")) == ["e2", "e0"]
    assert ids(edge(box, "--json", "--since", "2026-03-09T22:00:30", "--until", "2026-03-09")) == ["e2", "e1"]
    assert ids(edge(box, "--json", "--since", "2026-03-10")) == []
    table = edge(box)
    assert "2026-03-09 22:01:00" in table
    assert "glass_break 0.90 [x]" in table  # nothing of it is taken for markup
    assert edge(box, "--label", "fire").strip() == "no events"


def test_the_secrets_of_the_service_are_not_needed(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    secret = "mqtt: {url: 'mqtt://h', password_file: '${CREDENTIALS_DIRECTORY}/mqtt-password'}\n"
    (box / "config.yaml").write_text(CONFIG + secret)
    assert ids(edge(box, "--json")) == ["e2", "e1", "e0"]


def test_search_in_words_says_once_what_is_missing(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ids(edge(box, "--json", "--search", "glass breaking near the gate")) == ["e1"]
    assert capsys.readouterr().err.count("searching by words alone") == 1
    assert ids(edge(box, "--json", "--search", "who was in the drive on 2026-03-09")) == ["e1", "e0"]
    told = json.loads(edge(box, "--json", "--search", "dog barking at the yard"))
    assert told["events"] == []
    assert "no event dog_bark there" in told["told"]


def test_marks_are_kept_and_taken_back(box: Path) -> None:
    assert "e1 (glass_break at gate): true" in edge(box, "--mark", "e1", "true", "--note", "a bottle")
    (marked,) = json.loads(edge(box, "--json", "--marked", "true"))["events"]
    assert marked["mark"]["note"] == "a bottle"
    assert marked["mark"]["by"].startswith("terminal:")
    edge(box, "--mark", "e1", "none")
    assert ids(edge(box, "--json", "--marked", "none")) == ["e2", "e1", "e0"]
    with pytest.raises(InputError, match="no event 'e9'"):
        edge(box, "--mark", "e9", "true")
    with pytest.raises(InputError, match="say true, false"):
        edge(box, "--mark", "e1", "perhaps")


def test_export_is_what_learning_and_tuning_read(box: Path) -> None:
    with pytest.raises(InputError, match="none of these events is marked"):
        edge(box, "--export", str(box / "out"))
    for name, verdict in (("e0", "true"), ("e1", "false"), ("e2", "true")):
        edge(box, "--mark", name, verdict)
    assert f"{box / 'out' / 'dog_bark'}: 1 clip\n" in edge(box, "--export", str(box / "out"))
    examples = {e.path.stem[-2:]: (e.label, e.group) for e in read_examples(box / "out")}
    assert examples == {
        "e0": ("dog_bark", "gate-2026-03-09"),
        "e1": ("", "gate-2026-03-09"),
        "e2": ("person", "yard-2026-03-09"),
    }
    with (box / "out/labels.csv").open() as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    assert list(rows["person"]) == ["file", "label", "begin_s", "end_s"]
    assert (float(rows["person"]["begin_s"]), float(rows["person"]["end_s"])) == (5.0, 9.0)
    assert (box / "out" / rows["normal"]["file"]).read_bytes() == b"media of e1"
    assert len(list((box / "out/.snapshots").rglob("*.jpg"))) == 3
    edge(box, "--mark", "e1", "true")  # thought better of
    edge(box, "--export", str(box / "out"))
    assert {e.path.stem[-2:]: e.label for e in read_examples(box / "out")}["e1"] == "glass_break"
    assert len(list((box / "out").rglob("*-e1.mp4"))) == 1


def test_what_cannot_be_exported_is_named(box: Path) -> None:
    store = EventStore(box / "var/evidence", SystemClock())
    store.put(event("odd", "anomaly", "gate", 400), "m")
    store.put(event("bare", "fire", "gate", 500), "m")
    for name in ("odd", "bare", "e0"):
        store.mark(name, "true", by="x")
    (store.folder / "2026-03-09/gate/e0/clip.mp4").unlink()
    done = export_clips([one.record for one in store.find(EventQuery(marked="true"))], store.folder, box / "out")
    assert done.clips == {}
    assert {name: reason.split(":")[0] for name, reason in done.left_out.items()} == {
        "odd": "anomaly is learned from ordinary hours, not from clips",
        "bare": "has no clip",
        "e0": "its clip is gone",
    }
    store.close()


def test_a_day_is_summed_up(box: Path) -> None:
    text = edge(box, "--digest", "2026-03-09")
    assert "3 events on gate, yard" in text
    made = json.loads(edge(box, "--digest", "2026-03-09", "--json"))
    assert made["events"] == 3
    assert "Nothing happened." in edge(box, "--digest", "2026-03-08")
    with pytest.raises(InputError, match="write it as"):
        edge(box, "--digest", "whenever")


def test_what_came_near_an_event_is_listed(box: Path) -> None:
    assert edge(box, "--near").strip() == "nothing came near an event"
    store = EventStore(box / "var/evidence", SystemClock(), keeps=False)
    for n, (camera, label, value) in enumerate((("gate", "fire", 0.41), ("yard", "person", 0.52))):
        store.add_near_miss(StoredNearMiss(camera, label, T0 + 60 * n * NS_PER_S, value, 0.6, b"jpeg"))
    store.close()
    found = json.loads(edge(box, "--near", "--json"))["near_misses"]
    assert found == [
        {"camera": "yard", "label": "person", "at": "2026-03-09T22:01:00.000Z", "score": 0.52, "threshold": 0.6},
        {"camera": "gate", "label": "fire", "at": "2026-03-09T22:00:00.000Z", "score": 0.41, "threshold": 0.6},
    ]
    assert "0.52" not in edge(box, "--near", "--camera", "gate", "--label", "fire")
    assert "2026-03-09 22:00:00" in edge(box, "--near", "--until", "2026-03-09T22:00:30")
    with pytest.raises(InputError, match="--near goes with"):
        edge(box, "--near", "--search", "fire")


def test_without_evidence_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    with pytest.raises(InputError, match="there is none yet"):
        edge(tmp_path)


def test_beside_a_daemon_that_writes(box: Path) -> None:
    daemon = EventStore(box / "var/evidence", SystemClock())
    daemon.put(event("e3", "fire", "yard", 300), "m")
    assert ids(edge(box, "--json"))[0] == "e3"
    edge(box, "--mark", "e3", "false")
    daemon.put(replace(event("e3", "fire", "yard", 300), peak=0.99), "m")
    record = daemon.get("e3")
    assert record is not None
    assert record.mark is not None
    daemon.close()
