#!/usr/bin/env python3
"""What the shipped model finds in real recordings, with default thresholds: runs `edge replay`, writes a report.

    python scripts/detections.py --data DIR -o docs/detections.md

`DIR` holds recordings and a `manifest.csv` (file, label, group, tier, dataset, ...). Of every dataset and class the
first `--per-class` files by name are taken, all of the audio-visual clips, and the bundled sample. Nothing is picked
by result. Recordings of the tier `open` may have been used in training and are counted apart, and so is any sound
whose source recording is among them.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

CONFIG = """cameras: {recording: {source: {type: file, path: recording}}}
events: {defaults: {cooldown_s: 0}}
mqtt: null
"""
ROOT = Path(__file__).resolve().parent.parent
EDGE = Path(sys.executable).with_name("edge")
SAMPLE = ROOT / "samples" / "yard.mp4"
ALL_OF = {"AV events", "intel sample-videos", "intel sample-videos preview", "OpenCV vtest"}
PICTURE_FILES = (".jpg", ".jpeg", ".png")
STILL_FRAMES = 30
JOBS = 2
TAIL_S = 2.5  # a sound stays in the model's window for two seconds
SKIPPED = {"Guns-Dataset", "Guns-Dataset labels", "wildfire smoke labels"}

SOUNDS = {
    "dog": "dog_bark", "dog_bark": "dog_bark", "crying_baby": "crying_baby", "crackling_fire": "fire",
    "glass_breaking": "glass_break", "siren": "siren", "clock_alarm": "alarm", "gun_shot": "gunshot",
    "scream": "scream", "knock": "door_knock",
}  # fmt: skip
PICTURES = {
    "fire": ("fire",), "smoke": ("smoke",), "explosion": ("explosion",), "siren": ("siren",),
    "crying_baby": ("crying_baby",), "intrusion": ("person",), "fight": ("person",), "fall": ("person",),
    "normal_person": ("person",), "normal_crowd": ("person",), "normal_car": ("vehicle",),
}  # fmt: skip
PEOPLE = {"Surveillance Camera Fight Dataset", "UCSD Ped2", "UP-Fall subject 1", "UR Fall Detection (30 falls, cam0)",
          "KU Leuven Fall Simulation"}  # fmt: skip
UNLISTED = frozenset({"person", "vehicle", "animal"})  # may be in any picture: the datasets do not say
ALSO = {
    "fire": {"smoke"}, "smoke": {"fire"}, "explosion": {"fire", "smoke"}, "crackling_fire": {"smoke"},
    "fireworks": {"explosion", "fire", "smoke"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One recording, what must be found in it and what may be."""

    path: Path
    shown: str
    dataset: str
    label: str
    seen_in_training: bool
    expected: frozenset[str]
    allowed: frozenset[str]
    length_s: float


@dataclass(frozen=True, slots=True)
class Found:
    """One event that `edge replay` reported: where it begins and ends and when it was told, in media time."""

    label: str
    begin_s: float
    end_s: float
    told_s: float
    peak: float


@dataclass(slots=True)
class Tally:
    """Counts for one label."""

    clips: int = 0
    found: int = 0
    told_s: list[float] = field(default_factory=list)
    false_events: int = 0
    false_clips: int = 0
    other_s: float = 0.0


def main() -> None:
    """Choose, replay, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "docs" / "detections.md")
    parser.add_argument("--per-class", type=int, default=12)
    args = parser.parse_args()
    model = model_labels()
    cases = choose(args.data, args.per_class, set(model))
    print(f"{len(cases)} recordings", file=sys.stderr)
    found, version, unreadable = replay([case.path for case in cases], model)
    readable = [case for case in cases if case.path not in unreadable]
    bad = [case.shown for case in cases if case.path in unreadable]
    args.out.write_text(report(readable, found, version, args.per_class, bad), encoding="utf-8")


def model_labels() -> dict[str, float]:
    """The model's labels and how long each must last before it is told, rounded up to hops."""
    from edge.engine.manifest import find_folder, load_folder

    manifest = load_folder(find_folder("fused")).manifest
    hop_s = manifest.geometry.hop_s
    return {label.name: math.ceil(label.min_s / hop_s) * hop_s for label in manifest.labels}


def choose(data: Path, per_class: int, known: set[str]) -> list[Case]:
    """The recordings, in the manifest's order of datasets, by name within each class."""
    with (data / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] not in SKIPPED and is_media(data / row["file"])]
    open_sources = {row["group"] for row in rows if row["tier"] == "open" and row["group"].startswith("freesound:")}
    classes: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["file"]):
        classes[row["dataset"], row["label"]].append(row)
    chosen = [row for (dataset, _), rows in sorted(classes.items())
              for row in (rows if dataset in ALL_OF else rows[:per_class])]  # fmt: skip
    return [case_of(data, row, open_sources, known) for row in chosen]


def is_media(path: Path) -> bool:
    """Whether the file is there and can be replayed."""
    return (
        path.suffix.lower() in {".ogg", ".wav", ".flac", ".mp3", ".mp4", ".avi", ".jpg", ".jpeg", ".png"}
        and path.is_file()
    )


def case_of(data: Path, row: Mapping[str, str], open_sources: set[str], known: set[str]) -> Case:
    """What the manifest says of a file, as a case."""
    is_sound = "/audio/" in row["file"]
    label, dataset = row["label"], row["dataset"]
    if is_sound:
        expected = {SOUNDS[label]} if label in SOUNDS else set()
        allowed: set[str] = set()
    else:
        expected = {"person"} if dataset in PEOPLE else set(PICTURES.get(label, ()))
        allowed = set(UNLISTED)
    return Case(
        path=data / row["file"],
        shown=row["file"].split("/", 2)[-1],
        dataset=dataset,
        label=label,
        seen_in_training=row["tier"] == "open" or source_of(row) in open_sources,
        expected=frozenset(expected & known),
        allowed=frozenset(allowed | ALSO.get(label, set())),
        length_s=float(row["duration_s"] or STILL_FRAMES / 5),
    )


def source_of(row: Mapping[str, str]) -> str:
    """The Freesound recording a sound was cut from, as the manifest writes it; else its group."""
    if row["dataset"].startswith("UrbanSound8K"):
        return "freesound:" + Path(row["file"]).name.split("-")[0]
    return row["group"]


def replay(paths: Sequence[Path], model: Mapping[str, float]) -> tuple[dict[Path, list[Found]], str, set[Path]]:
    """All recordings through `edge replay`: events by recording, the model's version, and what could not be read."""
    with tempfile.TemporaryDirectory(prefix="edge-detections-") as folder:
        played = {moving(path, Path(folder)): path for path in [*paths, SAMPLE]}
        config = Path(folder) / "config.yaml"
        config.write_text(CONFIG)
        with ThreadPoolExecutor() as pool:
            jobs = [list(played)[start::JOBS] for start in range(JOBS)]
            done = list(
                pool.map(lambda job: replay_some(job[1], config, Path(folder) / f"{job[0]}.jsonl"), enumerate(jobs))
            )
    lines = [line for some, _ in done for line in some]
    ends = {(line["file"], line["id"]): line for line in lines if line["phase"] == "end"}
    found: dict[Path, list[Found]] = defaultdict(list)
    for line in lines:
        if line["kind"] == "event" and line["phase"] == "begin":
            begin_s, end = float(line["t_s"]), ends[line["file"], line["id"]]
            told_s, end_s = begin_s + model[line["label"]], begin_s + float(end["duration_s"])
            event = Found(line["label"], begin_s, end_s, told_s, float(end["peak"]))
            found[played[Path(line["file"])]].append(event)
    unreadable = {played[path] for _, bad in done for path in bad}
    return found, str(lines[0]["model"]) if lines else "?", unreadable


def replay_some(paths: Sequence[Path], config: Path, events: Path) -> tuple[list[dict[str, Any]], set[Path]]:
    """Event lines of these recordings, and those that could not be read, one that stopped the program included."""
    lines: list[dict[str, Any]] = []
    unreadable: set[Path] = set()
    left = list(paths)
    while left:
        command = [str(EDGE), "replay", "-c", str(config), "--events", str(events), *map(str, left)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        lines += [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
        unreadable |= {path for path in left if f"edge: {path}:" in done.stderr}
        if done.returncode in {0, 2}:
            break
        stopped_at = next(path for path in left if f"{path}: " not in done.stderr)
        print(f"{stopped_at}: edge replay failed\n{done.stderr[-300:]}", file=sys.stderr)
        unreadable.add(stopped_at)
        left = left[left.index(stopped_at) + 1 :]
    return lines, unreadable


def moving(path: Path, folder: Path) -> Path:
    """The recording itself; a still picture as a video that shows it for six seconds."""
    if path.suffix.lower() not in PICTURE_FILES:
        return path
    import av

    with av.open(str(path)) as container:
        picture = next(container.decode(video=0))
    clip = folder / f"{len(list(folder.iterdir()))}-{path.stem}.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=5, options={"crf": "12", "preset": "veryfast"})
        stream.width, stream.height = picture.width // 2 * 2, picture.height // 2 * 2
        stream.pix_fmt = "yuv420p"
        still = picture.reformat(stream.width, stream.height, "yuv420p")
        for index in range(STILL_FRAMES):
            still.pts, still.time_base = index, Fraction(1, 5)
            container.mux(stream.encode(still))
        container.mux(stream.encode(None))
    return clip


def count(cases: Iterable[Case], found: Mapping[Path, list[Found]], labels: Iterable[str]) -> dict[str, Tally]:
    """Found, missed and false by label."""
    tallies = {label: Tally() for label in labels}
    for case in cases:
        for label, tally in tallies.items():
            mine = [event for event in found.get(case.path, []) if event.label == label]
            if label in case.expected:
                tally.clips += 1
                tally.found += bool(mine)
                tally.told_s += [mine[0].told_s] if mine else []
            elif label not in case.allowed:
                tally.false_events += len(mine)
                tally.false_clips += bool(mine)
                tally.other_s += case.length_s
    return tallies


def report(
    cases: Sequence[Case], found: Mapping[Path, list[Found]], version: str, per_class: int, bad: Sequence[str]
) -> str:
    """The Markdown page."""
    fresh = [case for case in cases if not case.seen_in_training]
    seen = [case for case in cases if case.seen_in_training]
    labels = sorted(
        {label for case in cases for label in case.expected} | {e.label for es in found.values() for e in es}
    )
    unread = "All could be read" if not bad else f"Not readable: {', '.join(bad)}"
    head = HEAD.format(version=version, per_class=per_class, n=len(cases), unreadable=unread, fresh=len(fresh))
    parts = [
        head,
        in_short(count(fresh, found, labels)),
        "## Recordings that training never saw\n",
        totals(count(fresh, found, labels)),
        "## Recordings that may have been in training (openly licensed)\n",
        "How well these are found says little about other recordings.\n",
        totals(count(seen, found, labels)),
        "## The bundled sample\n",
        sample_table(found.get(SAMPLE, [])),
        "## Every recording\n",
        EVERY,
    ]
    by_dataset: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_dataset[case.dataset].append(case)
    for dataset, mine in by_dataset.items():
        parts += [f"### {dataset}\n", clip_table(mine, found)]
    return "\n".join(parts)


def in_short(tallies: Mapping[str, Tally]) -> str:
    """Which labels are mostly found, which seldom, and which never, in recordings that training never saw."""
    known = {label: t.found / t.clips for label, t in tallies.items() if t.clips}
    groups = {
        "Found in at least half of their recordings": [name for name, share in known.items() if share >= 0.5],
        "Found in fewer": [name for name, share in known.items() if 0 < share < 0.5],
        "**Never found**": [name for name, share in known.items() if share == 0],
    }
    lines = [f"- {text}: {', '.join(names)}" for text, names in groups.items() if names]
    return "\n".join(["In short, of recordings that training never saw:\n", *lines, ""])


def totals(tallies: Mapping[str, Tally]) -> str:
    """One line a label."""
    head = "label|recordings with it|found|missed|told after, median|false events|in recordings|without it, min"
    lines = [f"| {head.replace('|', ' | ')} |", "|---" * 8 + "|"]
    for label, t in tallies.items():
        told = f"{sorted(t.told_s)[len(t.told_s) // 2]:.1f} s" if t.told_s else ""
        share = f"{t.found} ({100 * t.found / t.clips:.0f} %)" if t.clips else ""
        missed = str(t.clips - t.found) if t.clips else ""
        cells = [label, t.clips or "none", share, missed, told, t.false_events, t.false_clips, f"{t.other_s / 60:.1f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def clip_table(cases: Sequence[Case], found: Mapping[Path, list[Found]]) -> str:
    """One line a recording."""
    lines = ["| recording | class | expected | found | verdict |", "|---|---|---|---|---|"]
    for case in cases:
        events = found.get(case.path, [])
        shown = ", ".join(f"{e.label} {e.begin_s:.1f}→{e.told_s:.1f} s ({e.peak:.2f})" for e in events) or "-"
        expected = ", ".join(sorted(case.expected)) or "-"
        lines.append(f"| {case.shown} | {case.label} | {expected} | {shown} | {verdict(case, events)} |")
    return "\n".join(lines) + "\n"


def verdict(case: Case, events: Sequence[Found]) -> str:
    """Right, missed, false: in words."""
    labels = {event.label for event in events}
    missed = sorted(case.expected - labels)
    false = sorted(labels - case.expected - case.allowed)
    parts = [f"**missed** {', '.join(missed)}"] * bool(missed) + [f"**false** {', '.join(false)}"] * bool(false)
    return "; ".join(parts) or "right"


def sample_table(events: Sequence[Found]) -> str:
    """The sample's truth beside what was found, and what was found beside the truth."""
    with SAMPLE.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = ["| truth | from - to | by | found | told after onset |", "|---|---|---|---|---|"]
    explained: set[Found] = set()
    for row in rows:
        begin_s, end_s = float(row["t_begin_s"]), float(row["t_end_s"])
        mine = [e for e in events if e.label == row["label"] and e.begin_s <= end_s + TAIL_S and e.end_s > begin_s]
        explained.update(mine)
        shown = ", ".join(f"{e.begin_s:.1f} - {e.end_s:.1f} s ({e.peak:.2f})" for e in mine) or "**missed**"
        told = f"{mine[0].told_s - begin_s:+.1f} s" if mine else ""
        late = "still open from before" if mine and mine[0].told_s < begin_s else told
        lines.append(f"| {row['label']} | {begin_s:.1f} - {end_s:.1f} s | {row['modality']} | {shown} | {late} |")
    false = [e for e in events if e not in explained]
    lines += [f"| - | - | - | **false** {e.label} at {e.begin_s:.1f} s ({e.peak:.2f}) | |" for e in false]
    return "\n".join(lines) + "\n"


HEAD = """# What the shipped model finds in real recordings

Made by `scripts/detections.py` with model {version} and the default thresholds, through `edge replay`: the same
pipeline as the daemon's. The cooldown is off, so that an event is told also shortly after another.

{n} recordings: of every dataset and class the first {per_class} files by name, and all of the audio-visual clips.
Nothing was picked by result; misses and false events are listed. {fresh} of the recordings come from other sources than
anything in training; they are counted first and apart. {unreadable}.

How to read it

- *Expected* is what the dataset's own class says: one label for a whole clip, often without a time. A picture may hold
  people, vehicles or animals that the dataset does not mention; those are never counted as false. Fires may give
  smoke, smoke may give fire, and explosions and fireworks may give both.
- *Told after* is media time from the start of the clip to the hop on which the event would have been published: the
  first hop above the threshold, and the shortest time the label must last (0 to 2 s). In most clips the event begins
  near the start. It contains no computing time; see benchmarks.md for that.
- Still pictures are shown for six seconds: nothing moves in them, which a real fire never does.
- Fights, falls and break-ins are expected to give `person` only: the model has no label for what happens in them.
- Sound clips begin with the sound, so their first hops see a window that is only partly filled, and the shortest ones
  (under 1 s) are seen once. A running camera has no such beginning.
- False events are counted over all recordings without the label (their length is the last column). Most of those are
  near-misses on purpose (thunder, fireworks, clatter, speech), so a rate per day does not follow from them.
"""
EVERY = """`label begin→told (peak score)`; several events of one recording are separated by commas.
"""


if __name__ == "__main__":
    main()
