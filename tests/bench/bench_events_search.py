"""How long a search takes among 100,000 events: words, meaning and restrictions together. Prints p50 and p95.

python tests/bench/bench_events_search.py [--events 100000] [--searches 200] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from edge.clock import VirtualClock
from edge.evidence.archive.records import EventQuery
from edge.evidence.archive.schema import INDEXED, PUT_EVENT, to_event_record, to_row
from edge.evidence.archive.store import EventStore
from edge.evidence.archive.vectors import pack_vector
from edge.types import NS_PER_S, Event, EventKind, Phase

LABELS = ("person", "vehicle", "animal", "fire", "smoke", "glass_break", "scream", "siren", "crying_baby", "dog_bark")
CAMERAS = ("gate", "yard", "front_door", "garage")
TAGS = ("Bark", "Dog", "Speech", "Vehicle", "Engine", "Siren", "Glass", "Shatter", "Music", "Rain", "Wind", "Silence")
NOUNS = ("man", "woman", "van", "truck", "cat", "ladder", "parcel", "bicycle", "umbrella", "hammer", "lamp", "gate")
WORDS = (
    "dog barking",
    "white van",
    "a person with a ladder",
    "glass shattering",
    "vehicle",
    "parcel at the gate",
    "siren",
)
D = 192


def fill(store: EventStore, count: int, rng: np.random.Generator) -> None:
    """Events of 100 days with tags, captions and two meanings each, a thousand a transaction."""
    for start in range(0, count, 1000):
        statements = []
        for n in range(start, min(start + 1000, count)):
            label, camera = LABELS[int(rng.integers(10))], CAMERAS[int(rng.integers(4))]
            tags = tuple((str(t), float(rng.random())) for t in rng.choice(TAGS, 5, replace=False))
            event = Event(
                *(f"{n:016x}", camera, EventKind.EVENT, label, Phase.END, 0, 5 * NS_PER_S, None),
                *(1_700_000_000 * NS_PER_S + n * 86 * NS_PER_S, 0.8, 0.9, 0.6, "alert"),
                f"{label} {rng.random():.2f} at {camera}: heard {tags[0][0]}, seen {NOUNS[int(rng.integers(12))]}",
                tags=tags,
                zones=("drive",) if rng.random() < 0.3 else (),
            )
            vectors = rng.normal(size=(2, D)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            record = to_event_record(event, "bench 1")
            caption = f"A {NOUNS[int(rng.integers(12))]} next to a {NOUNS[int(rng.integers(12))]}" if n % 2 else ""
            statements += [
                (PUT_EVENT, to_row(record)),
                ("UPDATE events SET caption = ? WHERE id = ?", (caption, event.id)),
                (
                    "INSERT INTO vectors (n, data) SELECT n, ? FROM events WHERE id = ?",
                    (pack_vector(vectors), event.id),
                ),
                (f"{INDEXED} WHERE id = ?", (event.id,)),
            ]
        store.transact(statements)


def queries(rng: np.random.Generator, count: int) -> list[tuple[str, EventQuery]]:
    """Sentences with their meaning; a third unrestricted, a third of one camera and week, a third of a day's labels."""
    ordinary = np.array([[0.0, 0.07], [0.0, 0.07]], np.float32)
    made = []
    for n in range(count):
        vector = rng.normal(size=D).astype(np.float32)
        query = EventQuery(text=WORDS[n % len(WORDS)], vector=vector / np.linalg.norm(vector), baseline=ordinary)
        since = 1_700_000_000 * NS_PER_S + int(rng.integers(90)) * 86_400 * NS_PER_S
        kind = ("all", "camera and week", "label and day")[n % 3]
        given = {
            "all": {},
            "camera and week": {"cameras": ("gate",), "since_ns": since, "until_ns": since + 7 * 86_400 * NS_PER_S},
            "label and day": {
                "labels": ("dog_bark", "vehicle"),
                "since_ns": since,
                "until_ns": since + 86_400 * NS_PER_S,
            },
        }[kind]
        made.append((kind, EventQuery(text=query.text, vector=query.vector, baseline=ordinary, **given)))  # type: ignore[arg-type]
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        is_there = (folder / "events.db").exists()
        writer = EventStore(folder, VirtualClock())
        if not is_there:
            started = time.perf_counter()
            fill(writer, args.events, rng)
            print(f"{args.events} events written in {time.perf_counter() - started:.0f} s")
        writer.close()
        print(f"database {sum(p.stat().st_size for p in folder.glob('events.db*')) / 1e6:.0f} MB")
        store = EventStore(folder, VirtualClock(), read_only=True)
        started = time.perf_counter()
        store.find(queries(rng, 1)[0][1])
        print(f"first search (reads all meanings): {1000 * (time.perf_counter() - started):.0f} ms")
        times: dict[str, list[float]] = {"together": []}
        cpu: list[float] = []
        for kind, query in queries(rng, args.searches):
            started, started_cpu = time.perf_counter(), time.process_time()
            store.find(query)
            took = 1000 * (time.perf_counter() - started)
            times["together"].append(took)
            cpu.append(1000 * (time.process_time() - started_cpu))
            times.setdefault(kind, []).append(took)
        for kind, values in times.items():
            print(f"{kind:16} p50 {np.percentile(values, 50):6.1f} ms   p95 {np.percentile(values, 95):6.1f} ms")
        print(f"{'CPU time':16} p50 {np.percentile(cpu, 50):6.1f} ms   p95 {np.percentile(cpu, 95):6.1f} ms")
        store.close()


if __name__ == "__main__":
    main()
