"""The running node as the page sees it, with the engine and the main thread played by the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from media_times import at
from web_parts import event

from edge.buffer.camera import CameraBuffer
from edge.clock import VirtualClock
from edge.config import load
from edge.config.models import HealthConfig, WindowsConfig
from edge.detect.detector import Detector
from edge.engine.manifest import Manifest
from edge.errors import ConfigError, InputError, SinkError
from edge.media_time import MediaTime
from edge.metrics import Metrics
from edge.node import page_backend as subject
from edge.node.command_handler import CommandHandler
from edge.node.context import NodeContext
from edge.node.page_backend import PageBackend
from edge.pipeline import StepResult
from edge.publish.commands import SetArmed, SetThreshold
from edge.types import NS_PER_S, AudioChunk, Box, Event, Frame, Phase, RuleValues, Scores

MANIFEST = Manifest.model_validate(
    {
        "schema": 1,
        "name": "toy",
        "version": "1",
        "file": "toy.onnx",
        "sha256": "0" * 64,
        "licence": "Apache-2.0",
        "golden": {"file": "golden.npz", "sha256": "0" * 64, "atol": 1e-3, "rtol": 1e-3},
        "geometry": {
            "hop_s": 0.5,
            "video": {"fps": 4, "frames": 2, "width": 64, "height": 64},
            "audio": {"rate_hz": 8000, "window_s": 1.0},
            "memory": {"tokens": 4, "dim": 8},
        },
        "labels": [{"name": "person", "modalities": ["video"]}, {"name": "shout", "modalities": ["audio"]}],
        "classes": ["person"],
    }
)
CONTENT = (0.0, 0.25, 1.0, 0.75)  # a wide picture on a square canvas


class Played:
    """A window whose engine and main thread do what they are asked when they are asked."""

    def __init__(self, folder: Path, more: str = "") -> None:
        path = folder / "config.yaml"
        path.write_text(
            f"node: {{data_dir: '{folder / 'var'}'}}\nmqtt: null\n"
            f"cameras: {{gate: {{source: {{type: file, path: a.mp4}}}}}}\n{more}",
            encoding="utf-8",
        )
        self.clock = VirtualClock(10**18)
        self.loaded = load(path)
        self.config = self.loaded.config
        self.detector = Detector(self.config, MANIFEST, self.clock)
        self.buffer = CameraBuffer(
            "gate", MANIFEST.geometry, self.clock, WindowsConfig(), HealthConfig(), Metrics(), live=True
        )
        self.kept: list[object] = []
        self.told: list[StepResult] = []
        self.reloads = 0
        self.is_stuck = False
        self.taken: MediaTime | None = None
        pipeline = SimpleNamespace(
            thresholds=self.detector.thresholds,
            set_threshold=self.detector.set_threshold,
            set_armed=self.detector.set_armed,
        )
        publisher = SimpleNamespace(accept=self.kept.append, is_armed=self.detector.is_armed)
        node = SimpleNamespace(
            loaded=self.loaded,
            folder=None,  # the model's folder is opened by a search alone
            manifest=MANIFEST,
            clock=self.clock,
            buffers={"gate": self.buffer},
            engine=SimpleNamespace(submit=lambda request: None if self.is_stuck else request(pipeline)),
            outputs=SimpleNamespace(publisher=publisher, deliver=self.told.append),
            evidence=None,
            files=SimpleNamespace(submit=self._submit),
        )
        self.waiting: list[Callable[[], None]] = []
        self.window = PageBackend(cast("NodeContext", node), cast("CommandHandler", self))

    def frame(self, pts_s: float, luma: int) -> None:
        image = np.full((64, 64, 3), luma, np.uint8)
        image[:, ::2] //= 2  # stripes that a blur levels
        self.taken = at(round(pts_s * NS_PER_S))
        self.buffer.push(Frame(self.taken.pts_ns, self.clock.mono_ns(), image, CONTENT))

    def scored(self, media_s: float, boxes: tuple[Box, ...] = (), events: tuple[Event, ...] = ()) -> None:
        end_ns = round(media_s * NS_PER_S)
        values: Any = {"person": 0.5}
        zero = np.zeros(8, np.float32)
        scores = Scores(
            *("gate", 0, end_ns, at(end_ns), values, {}, zero, boxes, {}, 1.0, True, True, "toy"),
            picture=self.taken,
        )
        self.window.observe(StepResult((scores,), (RuleValues("gate", end_ns, at(end_ns), values),), events))

    def publish_thresholds(self, _thresholds: object) -> None:
        """As `CommandHandler` does."""

    def reload(self) -> str:
        self.reloads += 1
        self.config = load(self.loaded.path).config
        return "reloaded"

    def _submit(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)
        if not self.is_stuck:
            self.turn()

    def turn(self) -> None:
        """What the thread for files does."""
        while self.waiting:
            self.waiting.pop(0)()


@pytest.fixture
def played(tmp_path: Path) -> Played:
    return Played(tmp_path)


def test_the_picture_is_without_the_canvas_bars(played: Played) -> None:
    assert played.window.live_frame("gate") is None
    played.frame(0.25, 200)
    glimpse = played.window.live_frame("gate")
    assert glimpse is not None
    assert glimpse.image.shape == (32, 64, 3)
    played.frame(0.5, 100)
    newer = played.window.live_frame("gate")
    assert newer is not None
    assert newer.number > glimpse.number
    assert newer.image[0, 1, 0] == 100


def test_with_blur_no_picture_is_shown_before_it_was_looked_at(tmp_path: Path) -> None:
    played = Played(tmp_path, "evidence: {blur: [person]}\n")
    played.frame(0.25, 200)
    assert played.window.live_frame("gate") is None, "nobody knows yet who is in it"
    played.scored(0.5, (Box("person", 0.9, 0.25, 0.2, 0.5, 0.9),))
    played.frame(0.75, 100)
    glimpse = played.window.live_frame("gate")
    assert glimpse is not None
    assert glimpse.image[0, 63, 0] == 200, "the picture that was scored, not the newer one"
    assert abs(int(glimpse.image[18, 24, 0]) - int(glimpse.image[18, 25, 0])) < 12, "stripes are gone where she is"
    assert abs(int(glimpse.image[18, 62, 0]) - int(glimpse.image[18, 63, 0])) == 100
    played.scored(1.0)
    later = played.window.live_frame("gate")
    assert later is not None
    assert abs(int(later.image[18, 24, 0]) - int(later.image[18, 25, 0])) < 12, "a moment longer, where she was"


def test_sound_is_the_newest(played: Played) -> None:
    out = np.ones(100, np.float32)
    assert played.window.sound("gate", out) == 0
    assert not out.any()
    played.buffer.push(AudioChunk(0, 0, np.linspace(0, 0.4, 400, dtype=np.float32)))
    assert played.window.sound("gate", out) == 400
    assert out[-1] == pytest.approx(0.4)


def test_open_events_and_recent_values_follow_what_happens(played: Played) -> None:
    begun = event(1, camera="gate", phase=Phase.BEGIN, end_ns=None)
    played.scored(0.5, events=(begun,))
    assert played.window.open_events() == (begun,)
    played.scored(1.0, events=(event(1, camera="gate"),))
    assert played.window.open_events() == ()
    moments = played.window.recent_scores("gate")
    assert [moment.values for moment in moments] == [{"person": 0.5}, {"person": 0.5}]
    assert moments[1].wall_ns - moments[0].wall_ns == NS_PER_S // 2
    for i in range(1000):
        played.scored(1.5 + i / 2)
    assert len(played.window.recent_scores("gate")) == 360, "three minutes"


def test_a_threshold_is_set_and_kept_as_a_command_is(played: Played) -> None:
    played.window.set_threshold("gate", "person", 0.45)
    (kept,) = played.kept
    assert isinstance(kept, SetThreshold)
    assert (kept.camera, kept.label, kept.value) == ("gate", "person", 0.45)
    now = {t.label: t.enter for t in played.window.thresholds()}
    assert now["person"] == 0.45
    with pytest.raises(InputError, match="ghost"):
        played.window.set_threshold("gate", "ghost", 0.5)
    assert len(played.kept) == 1


def test_disarming_is_kept_and_what_it_ended_is_told(played: Played) -> None:
    played.window.set_armed("gate", False)
    assert played.window.armed() == {"gate": False}
    assert isinstance(played.kept[0], SetArmed)
    assert len(played.told) == 1


def test_what_is_drawn_is_kept_and_reloaded_or_refused_and_not_kept(played: Played) -> None:
    zone = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]
    wanted: dict[str, Any] = {"cameras": {"gate": {"zones": {"yard": zone}}}}
    wanted["events"] = {"intrusion": {"when": "person", "zones": ["yard"]}}
    assert played.window.draw(wanted) == "reloaded"
    assert played.window.drawn() == wanted
    assert "yard" in played.window.loaded.config.cameras["gate"].zones
    assert "intrusion" in played.window.labels()
    for events in (
        {"intrusion": {"when": "ghost", "zones": ["yard"]}},
        {"intrusion": {"when": "person", "zones": ["x"]}},
    ):
        with pytest.raises(ConfigError):
            played.window.draw({**wanted, "events": events})
    assert (played.window.drawn(), played.reloads) == (wanted, 1)


def test_a_node_that_does_not_answer_is_not_waited_for_endlessly(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "RESULT_TIMEOUT_S", 0.02)
    before = played.window.thresholds()
    played.is_stuck = True
    tries: list[Callable[[], object]] = [
        lambda: played.window.set_threshold("gate", "person", 0.3),
        lambda: played.window.draw({}),
    ]
    for attempt in tries:
        with pytest.raises(SinkError, match="busy"):
            attempt()
    played.clock.advance(10 * NS_PER_S)
    assert played.window.thresholds() == before, "what was known last"
    played.is_stuck = False
    played.turn()
    assert played.reloads == 0, "what nobody waits for any more is not done later"


def test_a_bug_in_what_a_page_asked_for_is_the_askers(played: Played) -> None:
    def broken() -> str:
        raise ZeroDivisionError

    played.reload = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        played.window.draw({})
    played.window.set_threshold("gate", "person", 0.7)  # the node goes on
