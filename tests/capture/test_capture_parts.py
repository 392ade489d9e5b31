"""Parts of capture without a device: sensors' payloads, sample counts, decimation, local cameras, device lists."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_file import GEOMETRY

from edge.capture import v4l2
from edge.capture.microphone import CallbackRing, SampleCounter
from edge.capture.normaliser import EpochTracker, PtsContinuity
from edge.capture.picture import FrameDecimator
from edge.capture.registry import open_source
from edge.capture.sensors import SensorParser, read_value
from edge.clock import VirtualClock
from edge.commands import devices
from edge.config.sources import SensorTopic, V4l2SourceConfig
from edge.errors import SourceError
from edge.metrics import Metrics
from edge.types import NS_PER_MS, NS_PER_S, Frame, LumaSample, MediaItem, SensorReading, Stream

RATE = 16000


@pytest.mark.parametrize(
    ("payload", "path", "value"),
    [
        (b"21.5", "", 21.5),
        (b" -3e2\n", "", -300.0),
        (b"ON", "", 1.0),
        (b"closed", "", 0.0),
        (b"true", "", 1.0),
        (b'"22.5"', "", 22.5),
        (b'{"a": {"b": [1, 7]}}', "a.b.1", 7.0),
        (b'{"contact": false}', "contact", 0.0),
        (b'{"t": "19,5"}', "t", None),
        (b'{"a": 1}', "", None),
        (b'{"a": 1}', "b", None),
        (b'{"a": [1]}', "a.1", None),
        (b"nan", "", None),
        (b"1e999", "", None),
        (b'{"a": 1e999}', "a", None),
        (b"null", "", None),
        (b"", "", None),
        (b"\xff\xfe", "", None),
        (b"[" * 100_000, "a", None),
    ],
)
def test_sensor_payloads(payload: bytes, path: str, value: float | None) -> None:
    if value is None:
        with pytest.raises(SourceError):
            read_value(payload, path)
    else:
        assert read_value(payload, path) == value


@settings(deadline=None)
@given(
    payload=st.one_of(
        st.binary(max_size=80), st.text(max_size=40).map(str.encode), st.floats().map(lambda f: b"%r" % f)
    ),
    path=st.sampled_from(["", "a.0"]),
)
def test_any_payload_is_a_finite_number_or_a_source_error(payload: bytes, path: str) -> None:
    with suppress(SourceError):
        assert np.isfinite(read_value(payload, path))


def test_parser_feeds_every_camera_and_counts_what_it_cannot_read(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    yard = {"temperature": SensorTopic(topic="yard", path="t"), "light": SensorTopic(topic="yard", path="lux")}
    parser = SensorParser({"a": yard, "b": {"temperature": SensorTopic(topic="yard", path="t")}}, metrics)
    assert parser.topics == ["yard"]
    got = parser.parse("yard", json.dumps({"t": 4}).encode(), 9)
    assert got == [("a", SensorReading("temperature", 9, 4.0)), ("b", SensorReading("temperature", 9, 4.0))]
    assert parser.parse("else", b"1", 9) == []
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            parser.parse("yard", b"broken", 9)
    assert len(caplog.records) <= 1, "one warning a topic"
    assert metrics.registry.get_sample_value("edge_drops_total", {"source": "b", "place": "sensor"}) == 3


def count(n_blocks: int, lose: dict[int, int], ppm: float = 0.0, jitter_ms: int = 30, seed: int = 1) -> tuple[int, int]:
    """Blocks of 40 ms; before block k ``lose[k]`` samples vanish. Lost as counted, and the error of pts at the end."""
    dice, counter, block = random.Random(seed), SampleCounter(RATE), RATE // 25
    taken = total = pts = 0
    arrival = 0
    for k in range(n_blocks):
        taken += lose.get(k, 0) + block
        on_time = round(taken * NS_PER_S / RATE / (1 + ppm * 1e-6))
        arrival = max(arrival, on_time + dice.randrange(jitter_ms * NS_PER_MS))
        lost, pts = counter.add(block, 0, arrival)
        total += lost
    return total, round((taken - block) * NS_PER_S / RATE) - pts


@pytest.mark.parametrize("ppm", [-300.0, 0.0, 300.0])
@pytest.mark.parametrize("lose", [{}, {100: 4000}, {100: 4000, 300: 8000, 301: 3200}, {60: 160_000}])
def test_lost_samples_are_noticed_and_nothing_else(lose: dict[int, int], ppm: float) -> None:
    total, error_ns = count(1000, lose, ppm)
    assert total == pytest.approx(sum(lose.values()), abs=RATE * 0.06)
    assert abs(error_ns) < 70 * NS_PER_MS


def test_a_late_burst_is_no_loss() -> None:
    counter, block = SampleCounter(RATE), RATE // 25
    for k in range(400):
        on_time = (k + 1) * 40 * NS_PER_MS
        arrival = max(on_time, 10 * NS_PER_S) if k >= 225 else on_time
        lost, pts = counter.add(block, 0, arrival)
        assert lost == 0
        assert pts == k * 40 * NS_PER_MS


@settings(deadline=None)
@given(st.lists(st.integers(0, 700), max_size=40), st.integers(1, 3))
def test_tape_gives_back_what_was_written(sizes: list[int], channels: int) -> None:
    tape, position, read = CallbackRing(1600, VirtualClock()), 0, 0
    for n in sizes:
        values = np.arange(position, position + n, dtype=np.float32)
        tape.write(np.repeat(values[:, None], channels, axis=1))
        position += n
        if n % 2:
            samples, lost, _ = tape.read()
            read += lost
            assert samples == pytest.approx(np.arange(read, position))
            read = position


@settings(deadline=None)
@given(
    steps=st.lists(st.integers(5, 400), min_size=2, max_size=80),
    origin=st.integers(0, 10**6),
)
def test_chooser_fills_every_step_that_has_a_picture(steps: list[int], origin: int) -> None:
    chooser, held, chosen, times = FrameDecimator(250 * NS_PER_MS), None, [], []
    chooser.restart(origin)
    pts = origin
    for step in steps:
        times.append(pts)
        take_held, take_now = chooser.choose(pts)
        if take_held:
            chosen.append(held)
        held = pts
        if take_now:
            chosen.append(pts)
        pts += step * NS_PER_MS
    if chooser.choose_last():
        chosen.append(held)
    slots = [-((origin + 5 * NS_PER_MS - t) // (250 * NS_PER_MS)) for t in times]
    of_chosen = [slots[times.index(t)] for t in chosen]
    assert of_chosen == sorted(set(slots)), "one picture a step, none missing, in order"


def test_epochs_join_the_jumps_of_two_streams() -> None:
    epochs, ms = EpochTracker(), NS_PER_MS
    for k in range(10):
        epochs.classify(Stream.VIDEO, k * 40 * ms, 40 * ms)
        epochs.classify(Stream.AUDIO, k * 40 * ms, 40 * ms)
    assert epochs.classify(Stream.VIDEO, 90_000 * ms, 40 * ms) is PtsContinuity.JUMP
    assert epochs.classify(Stream.AUDIO, 400 * ms, 40 * ms) is PtsContinuity.STALE
    assert epochs.classify(Stream.AUDIO, 90_010 * ms, 40 * ms) is PtsContinuity.FIRST
    assert epochs.classify(Stream.AUDIO, 90_050 * ms, 40 * ms) is PtsContinuity.NEXT
    assert epochs.classify(Stream.VIDEO, 90_020 * ms, 40 * ms) is PtsContinuity.NEXT
    assert epochs.classify(Stream.VIDEO, 90_010 * ms, 40 * ms) is PtsContinuity.BACKWARD


class FakeCapture:
    """``cv2.VideoCapture`` as a script of (ok, picture, position in ms)."""

    def __init__(self, script: list[tuple[bool, np.ndarray | None, float]], clock: VirtualClock) -> None:
        self._script, self._clock, self._position = script, clock, 0.0
        self.released = False

    def read(self) -> tuple[bool, np.ndarray | None]:
        self._clock.advance(40 * NS_PER_MS)
        ok, picture, self._position = self._script.pop(0) if self._script else (False, None, 0.0)
        return ok, picture

    def get(self, prop: int) -> float:
        assert prop == 0
        return self._position

    def set(self, prop: int, value: float) -> bool:
        return True

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def release(self) -> None:
        self.released = True


def local(monkeypatch: pytest.MonkeyPatch, script: list[tuple[bool, np.ndarray | None, float]], **config: object):
    import cv2

    clock, metrics = VirtualClock(), Metrics()
    capture = FakeCapture(script, clock)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: capture)
    source = open_source(
        "bench", V4l2SourceConfig(type="v4l2", **(config or {"device": 0})), GEOMETRY, clock, metrics, Path()
    )
    return source, capture, metrics


def keep(items: Iterable[MediaItem], kept: list[MediaItem]) -> None:
    """Also what comes before an error."""
    for item in items:
        kept.append(item)  # noqa: PERF402


def test_local_camera_gives_letterboxed_rgb(monkeypatch: pytest.MonkeyPatch) -> None:
    blue = np.zeros((480, 640, 3), np.uint8)
    blue[:, :, 0] = 255
    source, capture, _ = local(monkeypatch, [(True, blue, 1000.0 + 40 * k) for k in range(26)])
    items: list[MediaItem] = []
    with pytest.raises(SourceError, match="plugged in"):
        keep(source.items(), items)
    assert capture.released
    for item in items:
        if isinstance(item, Frame):
            assert item.image[32, 56].tolist() == [0, 0, 255]
            assert item.image[32, 2].tolist() == [114, 114, 114]
    assert sum(isinstance(item, LumaSample) for item in items) == 26
    assert sum(isinstance(item, Frame) for item in items) == 5
    assert items[-1].luma == pytest.approx(0.114 * 255, abs=0.5)


def test_stale_pictures_of_an_unplugged_camera_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.full((48, 64, 3), 90, np.uint8)
    script = [(True, grey, 40.0 * k) for k in range(10)] + [(True, grey, 360.0)] * 400
    source, _, metrics = local(monkeypatch, script)
    pushed: list[MediaItem] = []
    with pytest.raises(SourceError, match="same picture"):
        keep(source.items(), pushed)
    assert sum(isinstance(item, LumaSample) for item in pushed) == 10
    assert metrics.registry.get_sample_value("edge_drops_total", {"source": "bench", "place": "stale"}) > 100


def test_pipeline_needs_gstreamer_in_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    source, *_ = local(monkeypatch, [], pipeline="videotestsrc ! appsink")
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "    GStreamer:                   NO\n")
    with pytest.raises(SourceError, match="without GStreamer"):
        next(iter(source.items()))
    assert v4l2.has_gstreamer("  Video I/O:\n    GStreamer:                   YES (1.20.3)\n")


def test_camera_that_is_not_there() -> None:
    config = V4l2SourceConfig(type="v4l2", device="/dev/video-none")
    source = open_source("bench", config, GEOMETRY, VirtualClock(), Metrics(), Path())
    with pytest.raises(SourceError, match="edge devices"):
        next(iter(source.items()))


def test_cameras_are_listed_by_number_without_metadata_nodes(tmp_path: Path) -> None:
    dev, sysfs = tmp_path / "dev", tmp_path / "sys"
    dev.mkdir()
    for number, name, index in ((10, "CSI", 0), (0, "USB Camera", 0), (1, "USB Camera", 1)):
        (dev / f"video{number}").touch()
        (sysfs / f"video{number}").mkdir(parents=True)
        (sysfs / f"video{number}" / "name").write_text(name + "\n")
        (sysfs / f"video{number}" / "index").write_text(f"{index}\n")
    found = devices.list_cameras(dev, sysfs)
    assert [(Path(c.path).name, c.name) for c in found] == [("video0", "USB Camera"), ("video10", "CSI")]
