"""Cameras, an engine that takes time, and the whole pipeline between: what is looked at under load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scripted_model import ScriptedModel
from sim import SMALL, Play, SourceSim, empty_batch

from edge.buffer.camera import CameraBuffer
from edge.clock import VirtualClock
from edge.config import parse
from edge.demand import DecodeState, DecodeStatus, PictureDemand, WakeReason
from edge.detect.detector import Detector
from edge.engine.manifest import Label, Manifest, find_folder, load_folder
from edge.engine.model import ModelOutput
from edge.metrics import Metrics
from edge.pipeline import Pipeline
from edge.status import HeldBack, HoldReason
from edge.types import NS_PER_S, Batch, Contribution, Event, Scores, Window, nanoseconds

LABELS = (Label(name="siren", modalities=("audio",), enter=0.5, leave=0.3, min_s=1.0),)


class SlowModel(ScriptedModel):
    """Takes so long for a row, and hears a siren wherever a camera is in ``loud``."""

    max_batch = 8

    def __init__(self, clock: VirtualClock) -> None:
        self.manifest: Manifest = load_folder(find_folder("fused")).manifest.model_copy(
            update={"geometry": SMALL, "labels": LABELS}
        )
        self.batch: Batch = empty_batch(SMALL, self.max_batch)
        self.row_s = 0.01
        self.loud: set[str] = set()
        self._clock = clock

    def score(self, windows: Sequence[Window]) -> ModelOutput:
        infer_ns = nanoseconds(self.row_s * len(windows))
        self._clock.advance(infer_ns)
        return ModelOutput([self._scores(window) for window in windows], infer_ns)

    def _scores(self, w: Window) -> Scores:
        value = 0.9 if w.camera in self.loud else 0.0
        given: dict[str, Any] = {"values": {"siren": value}, "contribution": {"siren": Contribution(0, 1, 0)}}
        empty = np.zeros(4, np.float32)
        return Scores(
            w.camera, w.seq, w.t_end_ns, w.media_end, **given, embedding=empty, boxes=(), tags={},
            coverage=w.coverage, video_ok=True, audio_ok=True, model="slow 1",
        )  # fmt: skip


class QuietDemand(PictureDemand):
    """Of a camera of which key pictures alone are decoded; remembers how many of them were to be looked at."""

    def __init__(self) -> None:
        self.key_strides: list[int] = []
        super().__init__()
        self.status = DecodeStatus(DecodeState.QUIET, WakeReason.START)

    def hold_ns(self, now_ns: int) -> int:
        return 0  # nothing is held back here

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "key_stride" and isinstance(value, int):
            self.key_strides.append(value)


class Site:
    """Some live cameras on one clock."""

    def __init__(self, cameras: int, quiet: int = 0) -> None:
        self.clock, self.metrics = VirtualClock(), Metrics()
        self.model = SlowModel(self.clock)
        names = [f"cam{k}" for k in range(cameras)]
        given = "\n".join(f"  {name}: {{source: {{type: rtsp, url: 'rtsp://192.0.2.1/{name}'}}}}" for name in names)
        config = parse(f"cameras:\n{given}\nmqtt: null\n").config
        self.buffers = {
            name: CameraBuffer(
                *(name, SMALL, self.clock, config.windows, config.health, self.metrics),
                live=True,
                demand=QuietDemand() if k < quiet else None,
            )
            for k, name in enumerate(names)
        }
        self.detector = Detector(config, self.model.manifest, self.clock)
        model: Any = self.model
        live = dict.fromkeys(names, True)
        self.pipeline = Pipeline(model, self.detector, self.buffers, self.clock, self.metrics, live, max_rows=1)
        script = SourceSim([Play(120.0)], chunk_s=0.1, fps=8).items()
        self._items = [(item, name) for item in script for name in names]
        self.events: list[Event] = []
        self.waits_s: list[float] = []
        self.order: list[str] = []
        self.held: Sequence[HeldBack] = ()

    def run(self, until_s: float) -> None:
        while self._items and self.clock.mono_ns() < until_s * NS_PER_S:
            if not self.pipeline.has_due():
                self.clock.advance_to(self._items[0][0].arrival_ns)
            while self._items and self._items[0][0].arrival_ns <= self.clock.mono_ns():
                item, name = self._items.pop(0)
                self.buffers[name].push(item)
            step = self.pipeline.step()
            self.events += step.events
            self.held = step.held_back if step.statuses else self.held
            self.order += [scores.camera for scores in step.scores]
            if step.ready_ns is not None:
                self.waits_s.append((self.clock.mono_ns() - step.ready_ns) / NS_PER_S)

    def count(self, name: str) -> float:
        return sum(self.metrics.registry.get_sample_value(name, {"camera": camera}) or 0 for camera in self.buffers)

    def skipped(self) -> int:
        return sum(buffer.skipped for buffer in self.buffers.values())

    def health(self) -> list[tuple[str, str, str]]:
        return [(e.camera, e.label, e.phase.value) for e in self.events if e.label == "overload"]


def test_at_twice_the_capacity_cameras_are_looked_at_less_often_and_that_is_told() -> None:
    site = Site(4)
    site.model.row_s = 0.25
    site.run(20.0)
    skipped = site.skipped()
    assert skipped > 0, "until it was noticed"
    site.run(50.0)
    assert site.skipped() - skipped <= 2, "afterwards every look is in time"
    assert {site.buffers[name].status(0).hop_s for name in site.buffers} <= {1.0, 2.0}
    assert {name for name, _, phase in site.health() if phase == "begin"} == set(site.buffers)
    assert site.count("edge_windows_left_out_total") > 0
    assert max(site.waits_s[-50:]) <= 1.0
    site.model.row_s = 0.01
    site.run(110.0)
    assert {site.buffers[name].status(0).hop_s for name in site.buffers} == {0.5}
    assert len([1 for _, _, phase in site.health() if phase == "end"]) == 4


def test_an_event_that_must_last_is_found_at_a_longer_hop_too() -> None:
    site = Site(2)
    site.model.row_s = 0.4
    site.run(25.0)
    assert site.buffers["cam0"].status(0).hop_s > 0.5
    site.model.loud = {"cam0"}
    site.run(35.0)
    assert [(e.camera, e.phase.value) for e in site.events if e.label == "siren"][:1] == [("cam0", "begin")]


def test_what_was_found_of_a_camera_is_told_before_the_next_one_is_begun() -> None:
    site = Site(4)
    site.run(4.0)
    assert len(site.waits_s) == len(site.order) >= 24
    assert sorted(site.waits_s[-4:]) == pytest.approx([0.01, 0.02, 0.03, 0.04], abs=1e-6)
    assert site.skipped() == 0
    assert len(set(site.order[-4:])) == 4, "each in its turn"


def test_what_is_held_back_is_in_the_step_and_counted_once() -> None:
    site = Site(1)
    site.pipeline.set_armed("cam0", False)
    site.model.loud = {"cam0"}
    site.run(5.0)
    assert [(one.label, one.reason) for one in site.held] == [("siren", HoldReason.DISARMED)]
    site.model.loud = set()
    site.run(20.0)
    assert [(one.reason, one.this_hour) for one in site.held] == [(None, {HoldReason.DISARMED: 1})]
    counted = {"camera": "cam0", "label": "siren", "reason": "disarmed"}
    assert site.metrics.registry.get_sample_value("edge_held_back_total", counted) == 1


@pytest.mark.parametrize("load", [1.0, 2.0, 4.0])
def test_more_cameras_than_the_box_holds_take_nothing_from_what_it_does(load: float) -> None:
    site = Site(8)
    site.model.row_s = load * SMALL.hop_s / 8
    site.run(30.0)
    before, waits = site.count("edge_windows_total"), len(site.waits_s)
    site.run(60.0)
    scored = site.count("edge_windows_total") - before
    assert scored * site.model.row_s >= 0.9 * 30.0
    assert sorted(site.waits_s[waits:])[round(0.99 * (len(site.waits_s) - waits)) - 1] <= 2.0
    site.model.row_s = 0.5 * SMALL.hop_s / 8
    site.run(90.0)
    assert {site.buffers[name].status(0).hop_s for name in site.buffers} == {0.5}


def test_a_quiet_camera_is_told_how_many_key_pictures_to_pass_over() -> None:
    site = Site(2, quiet=1)
    quiet = site.buffers["cam0"].demand
    assert isinstance(quiet, QuietDemand)
    quiet.key_strides.clear()
    site.model.row_s = 0.6
    site.run(20.0)
    assert quiet.key_strides[:1] == [2]
    site.model.row_s = 0.01
    site.run(60.0)
    assert quiet.key_strides[-1] == 1


def test_the_engine_rests_between_turns_while_no_camera_is_awake_or_some_lag() -> None:
    site = Site(3, quiet=3)
    demand = site.buffers["cam1"].demand
    assert site.pipeline.may_rest
    demand.status = DecodeStatus(DecodeState.AWAKE, WakeReason.PICTURE)
    assert not site.pipeline.may_rest
    site.buffers["cam2"].demand.lags = True
    assert site.pipeline.may_rest
