"""Every kind of stream: snapshot, boxes, clip, blur and live picture are of the very frame that the model looked at."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from conformance.numbered import FPS, SECONDS, STREAMS, STRIPE, THING, number_of, place_of, recording
from conformance.rig import MANIFEST, Rig
from evidence.clip_parts import played

from edge.capture.base import SourceOptions
from edge.capture.decode import ContainerDecoder
from edge.capture.registry import open_source
from edge.clock import VirtualClock
from edge.config.sources import FileSourceConfig
from edge.evidence.archive.records import EventRecord
from edge.types import NS_PER_S

if shutil.which("ffmpeg") is None:
    pytest.skip("needs apt: ffmpeg", allow_module_level=True)

WANTED = {*range(75, 105), *range(150, 165), *range(225, 250)}
SELDOM = {*range(8, 12), *range(20, 24)}
UNEVEN = {*range(30, 50), *range(90, 110)}
GEOMETRY = MANIFEST.geometry
ROUND = round(SECONDS * FPS)


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording(tmp_path_factory.mktemp("numbered") / "numbers.mp4")


@pytest.fixture(params=list(STREAMS))
def stream(request: pytest.FixtureRequest, numbers: Path, tmp_path: Path) -> tuple[str, Path]:
    return request.param, STREAMS[request.param](numbers, tmp_path)


@pytest.fixture
def rigs() -> Iterator[list[Rig]]:
    made: list[Rig] = []
    yield made
    for one in made:
        one.close()


def run(rig: Rig, path: Path) -> Rig:
    file = FileSourceConfig(type="file", path=path, pace="fast")
    source = open_source(
        "cam", file, GEOMETRY, VirtualClock(), rig.metrics, Path(), SourceOptions(packet_sink=rig.tape)
    )
    for item in source.items():
        rig.buffer.expect(video=source.has_video, audio=source.has_audio)
        rig.push(item)
    rig.finish()
    return rig


def run_moved(rig: Rig, path: Path, by_s: float) -> Rig:
    """The same with a clock that no container can state."""
    decoder = ContainerDecoder("cam", GEOMETRY, VirtualClock(), rig.metrics, SourceOptions(packet_sink=rig.tape))
    begin_ns = round(by_s * NS_PER_S)
    with av.open(str(path)) as container:
        for item in decoder.items(container, threading.Event(), lambda pts_ns: pts_ns - begin_ns, begin_ns):
            rig.push(item)
    rig.finish()
    return rig


def test_all_that_is_kept_shows_what_the_model_saw(stream: tuple[str, Path], tmp_path: Path, rigs: list[Rig]) -> None:
    name, path = stream
    rigs.append(run(Rig(tmp_path / "evidence", wanted_of(name)), path))
    check_all(rigs[0])


def test_so_it_is_on_a_clock_below_zero(numbers: Path, tmp_path: Path, rigs: list[Rig]) -> None:
    rigs.append(run_moved(Rig(tmp_path / "evidence", WANTED), numbers, -7.3))
    assert min(time.pts_ns for time in rigs[0].model.read) < -6 * NS_PER_S
    check_all(rigs[0])


def wanted_of(name: str) -> set[int]:
    return {"one picture a second": SELDOM, "uneven picture rate": UNEVEN}.get(name, WANTED)


def check_all(rig: Rig) -> None:
    """Pictures, boxes and clips of all events, of which none lacks anything."""
    assert len(rig.records) >= 2
    assert rig.shown
    assert all(live == read for live, read in rig.shown), "the live picture of a window is its newest frame"
    for record in rig.records:
        assert set(record.files) >= {"snapshot", "thumbnail", "clip"}
        assert not record.missing
        check_snapshot(rig, record)
        check_clip(rig, record)


def check_snapshot(rig: Rig, record: EventRecord) -> None:
    """The picture is one that the model read, of this event, and the box lies on the thing in it."""
    number = number_of(rig.image(record, "thumbnail"))
    assert number in rig.wanted
    assert number in rig.model.read.values()
    drawn, plain = rig.image(record, "snapshot").astype(int), rig.image(record, "thumbnail").astype(int)
    changed = np.abs(drawn - plain).max(axis=-1) > 50
    x, y = place_of(number)
    for edge in (x, x + THING - 1):
        along = changed[y + 4 : y + THING - 4, max(0, edge - 2) : edge + 3].any(axis=1)
        assert along.mean() > 0.8, "the box stands around the thing"
    assert changed[y + 8 : y + THING - 8, x + 8 : x + THING - 8].mean() < 0.05, "and not across it"


def check_clip(rig: Rig, record: EventRecord) -> None:
    """Every picture of the span once, and the event where the clip says that it is."""
    clip = played(rig.folder / record.files["clip"].path)
    shown = [number_of(image) for image in clip.images]
    begun = rig.begun(record.id)
    assert begun.media_begin is not None
    if shown[-2:] == [shown[-1]] * 2:
        shown.pop()  # what broke off in the middle of a picture shows the one before once more
    rises = [(b - a) % ROUND for a, b in pairwise(shown)]
    assert set(rises) == {1}, "every picture of the span once, in order"
    at_s = float(record.files["clip"].facts["event_at_s"])
    at_event = max(i for i, t in enumerate(clip.times) if t <= at_s + 0.012)
    assert shown[at_event] == rig.read_at(begun.media_begin)


def test_blur_covers_the_thing_in_every_stored_picture(
    stream: tuple[str, Path], tmp_path: Path, rigs: list[Rig]
) -> None:
    name, path = stream
    rigs.append(run(Rig(tmp_path / "evidence", wanted_of(name), {"blur": ["person"]}), path))
    check_all_blurred(rigs[0])


def check_all_blurred(rig: Rig) -> None:
    assert len(rig.records) >= 2
    for record in rig.records:
        check_blurred(rig.image(record, "thumbnail"))
        for image in played(rig.folder / record.files["clip"].path).images:
            check_blurred(image)


def check_blurred(image: np.ndarray) -> None:
    """None of the thing's stripes is left anywhere."""
    steps = np.abs(np.diff(image[STRIPE + 8 :].astype(int), axis=1)).max(axis=-1)
    assert (steps > 60).sum() < 8, "the thing can still be seen"


def test_the_position_in_the_recording_is_told_from_its_beginning(
    numbers: Path, tmp_path: Path, rigs: list[Rig]
) -> None:
    rig = run(Rig(tmp_path / "evidence", WANTED), STREAMS["MPEG-TS, clock at 95,000 s"](numbers, tmp_path))
    rigs.append(rig)
    for record in rig.records:
        begun = rig.begun(record.id)
        assert begun.media_begin is not None
        first = rig.read_at(begun.media_begin)
        assert begun.media_begin.position_ns / 1e9 == pytest.approx(first / FPS, abs=0.1)
        assert begun.media_begin.pts_ns / 1e9 == pytest.approx(95_000 + first / FPS, abs=0.2)
