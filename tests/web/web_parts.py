"""What the page's tests share: a scripted box with a real store, real traces and a real clip, and no threads."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from media_times import at

from edge.clock import VirtualClock
from edge.config import LoadedConfig, load, parse, save_drawn
from edge.detect.thresholds import EffectiveThreshold, ValueOrigin
from edge.errors import InputError
from edge.evidence.archive.records import EvidenceFile
from edge.evidence.archive.store import EventStore
from edge.evidence.archive.traces import TraceStore
from edge.status import CameraStatus, HeldBack, SensorStatus, SourceState, StreamStatus
from edge.types import (
    F32,
    NS_PER_S,
    Box,
    Contribution,
    Event,
    EventKind,
    Phase,
    RuleValues,
)
from edge.web.backend import LiveFrame, LiveSamples, LiveScores, NodeFacts
from edge.web.hub import Hub

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "samples" / "yard.mp4"
NOON_NS = 1_768_564_800 * NS_PER_S  # 2026-01-16 12:00 UTC
LABELS = ("person", "vehicle", "glass_break", "shout", "fire", "anomaly")
RATE_HZ = 32000


def config_text(folder: Path, web: str = "") -> str:
    return (
        f"node: {{id: gate-01, site: warehouse, data_dir: '{folder / 'var'}'}}\n"
        "mqtt: null\n"
        "cameras:\n"
        f"  yard:\n    source: {{type: file, path: '{SAMPLE}', pace: live}}\n"
        "    zones: {drive: [[0.05, 0.55], [0.5, 0.5], [0.55, 0.98], [0.02, 0.98]]}\n"
        "    privacy_masks: [[[0.85, 0], [1, 0], [1, 0.2], [0.85, 0.2]]]\n"
        f"  hall:\n    source: {{type: file, path: '{SAMPLE}', pace: live}}\n    microphone: none\n"
        "evidence: {keep_days: 14, keep_gb: 20}\n"
        "events:\n  night_watch: {when: person, zones: [drive], schedule: '22:00-06:00'}\n"
        f"web: {{listen: '127.0.0.1:0'{', ' + web if web else ''}}}\n"
    )


class ScriptedBackend:
    """A `Box` whose facts are written down here; what is drawn, marked and set is really kept."""

    def __init__(self, folder: Path, web: str = "", clock: VirtualClock | None = None) -> None:
        path = folder / "config.yaml"
        path.write_text(config_text(folder, web), encoding="utf-8")
        self.loaded: LoadedConfig = load(path)
        self.clock = clock or VirtualClock(NOON_NS)
        self.evidence = folder / "var" / "evidence"
        self.store: EventStore | None = EventStore(self.evidence, self.clock)
        self.traces: TraceStore | None = TraceStore(self.evidence, self.clock)
        self.hub = Hub()
        self.sound_rate_hz = RATE_HZ
        self.open: list[Event] = []
        self.moments: dict[str, list[LiveScores]] = {"yard": [], "hall": []}
        self.pictures: dict[str, LiveFrame] = {}
        self.heard: dict[str, F32] = {}
        self.commands: dict[tuple[str, str], float] = {}
        self.arming = {"yard": True, "hall": True}
        self.asked: list[str] = []
        self.held: list[HeldBack] = []
        self.most_per_hour = 60
        self.readings: tuple[SensorStatus, ...] = ()
        self.yard = SourceState.UP

    def labels(self) -> Sequence[str]:
        return (*LABELS, *(name for name in self.loaded.config.events if name not in {*LABELS, "defaults"}))

    def node(self) -> NodeFacts:
        return NodeFacts("0.1.0", "fused 0.2.0", "onnx fp32 on 2 cores", 3700.0, 41_000_000_000, 0, "no broker", {})

    def facts(self) -> Sequence[CameraStatus]:
        sound = StreamStatus(0.1, 32000.0, -31.5, 0.0, 0.0, None)
        picture = StreamStatus(0.2, 12.5, 96.0, 0.0, 0.0, -3.0)
        drops = {"engine": 0, "torn": 0}
        return [
            CameraStatus("yard", 0, self.yard, "", picture, sound, 0.012, drops, sensors=self.readings),
            CameraStatus("hall", 0, SourceState.LOST, "no route to host", replace(picture, age_s=70.0), None, None, {}),
        ]

    def open_events(self) -> Sequence[Event]:
        return self.open

    def recent_scores(self, camera: str) -> Sequence[LiveScores]:
        self.asked.append("recent")
        return self.moments[camera]

    def live_frame(self, camera: str) -> LiveFrame | None:
        self.asked.append("glimpse")
        return self.pictures.get(camera)

    def sound(self, camera: str, out: F32) -> int:
        self.asked.append("sound")
        heard = self.heard.get(camera, np.zeros(0, np.float32))
        out[:] = 0.0
        n = min(len(heard), len(out))
        out[len(out) - n :] = heard[len(heard) - n :]
        return len(heard)

    def live_audio(self, camera: str, after: int) -> LiveSamples:
        evidence = self.loaded.config.evidence
        if evidence is not None and not evidence.audio:
            raise InputError("evidence.audio is false: the sound is let out nowhere")
        heard = self.heard.get(camera, np.zeros(0, np.float32))
        begin = after if 0 <= after <= len(heard) else max(0, len(heard) - RATE_HZ // 2)
        return LiveSamples(min(len(heard), begin + 2 * RATE_HZ), heard[begin : begin + 2 * RATE_HZ])

    def held_back(self) -> Sequence[HeldBack]:
        return self.held

    def thresholds(self) -> Sequence[EffectiveThreshold]:
        return [self._effective(camera, label) for camera in self.loaded.config.cameras for label in self.labels()]

    def armed(self) -> Mapping[str, bool]:
        return dict(self.arming)

    def set_threshold(self, camera: str, label: str, enter: float | None) -> None:
        if label == "anomaly":
            raise InputError("the threshold of anomaly is learned here and is not set by hand")
        if enter is None:
            self.commands.pop((camera, label), None)
        else:
            self.commands[camera, label] = enter

    def set_armed(self, camera: str, armed: bool) -> None:
        self.arming[camera] = armed

    def drawn(self) -> Mapping[str, Any]:
        from edge.config.load import drawn_path, read_drawn

        return read_drawn(drawn_path({"node": {"data_dir": str(self.evidence.parent)}}, self.evidence))

    def draw(self, drawn: Mapping[str, Any]) -> str:
        save_drawn(self.loaded, drawn)
        text = self.loaded.path.read_text(encoding="utf-8")
        self.loaded = parse(text, self.loaded.path, drawn=True)
        return "in force"

    def sentence_embedder(self) -> None:
        return None

    def _effective(self, camera: str, label: str) -> EffectiveThreshold:
        command = self.commands.get((camera, label))
        enter = 0.6 if command is None else command
        leave = 0.4 if command is None else round(enter * 2 / 3, 4)
        origin = ValueOrigin.DEFAULT if command is None else ValueOrigin.COMMAND
        names = ("min_s", "merge_s", "cooldown_s", "most_per_hour", "severity", "enabled", "even_disarmed")
        origins = {"enter": origin, "leave": origin, **dict.fromkeys(names, ValueOrigin.DEFAULT)}
        if self.most_per_hour != 60:
            origins["most_per_hour"] = ValueOrigin.CONFIG
        return EffectiveThreshold(
            camera, label, enter, leave, 1.0, 0.0, 10.0, self.most_per_hour, "alert", True, False, origins
        )


def event(number: int, label: str = "person", camera: str = "yard", **given: Any) -> Event:
    """An ended event, ``number`` minutes before noon."""
    begin_ns = number * 60 * NS_PER_S
    wall_ns = NOON_NS - begin_ns
    values: dict[str, Any] = {
        "id": f"{number:016x}",
        "camera": camera,
        "kind": EventKind.EVENT,
        "label": label,
        "phase": Phase.END,
        "begin_ns": 0,
        "end_ns": 7 * NS_PER_S,
        "media_begin": at(0),
        "wall_begin_ns": wall_ns,
        "score": 0.3,
        "peak": 0.91,
        "threshold": 0.6,
        "severity": "alert",
        "why": f"{label} 0.91 (enter 0.60): mostly picture (+3.1), sees person 0.88",
        "contribution": Contribution(3.1, 0.4, -0.2),
        "boxes": (Box("person", 0.88, 0.3, 0.25, 0.42, 0.8),),
        "tags": (("Speech", 0.31), ("Footsteps", 0.22)),
        "zones": ("drive",),
    }
    return Event(**{**values, **given})


def keep(box: ScriptedBackend, kept: Event, files: Mapping[str, bytes] | None = None) -> None:
    """Put an event into the box's store, with files by their kind."""
    assert box.store is not None
    box.store.put(kept, "fused 0.2.0")
    names = {"clip": "clip.mp4", "snapshot": "snapshot.jpg", "thumbnail": "thumbnail.jpg", "spectrogram": "sound.png"}
    for kind, data in (files or {}).items():
        path = box.store.folder_of(kept) / names[kind]
        path.write_bytes(data)
        box.store.attach(kept.id, kind, EvidenceFile(path.relative_to(box.evidence).as_posix(), len(data)))  # type: ignore[arg-type]


def scores_of_a_day(box: ScriptedBackend, camera: str = "yard") -> None:
    """An hour of scores before noon: five hills of 0.5, 0.55, 0.7, 0.8 and 0.9, half a minute each."""
    assert box.traces is not None
    peaks = {300: 0.5, 900: 0.55, 1500: 0.7, 2100: 0.8, 2700: 0.9}
    for i in range(3600):
        t = i / 1.0
        hill = next((peak for at, peak in peaks.items() if 0 <= t - at < 30), 0.0)
        value = max(0.04 + 0.02 * (i % 5), hill)
        wall_ns = NOON_NS - 3600 * NS_PER_S + i * NS_PER_S
        values = {"person": value, "vehicle": 0.1, "glass_break": None}
        box.traces.append(RuleValues(camera, wall_ns, at(wall_ns), values), wall_ns)


def clip_of(begin_s: float = 0.0, seconds: float = 6.0) -> bytes:
    """A part of the sample with its sound, remuxed."""
    out = io.BytesIO()
    with av.open(str(SAMPLE)) as source, av.open(out, "w", format="mp4") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams if s.type in {"video", "audio"}}
        source.seek(int(begin_s * 1e6))
        first: dict[int, int] = {}
        for packet in source.demux():
            if packet.dts is None or packet.stream.index not in streams:
                continue
            start = first.setdefault(packet.stream.index, packet.dts)
            if (packet.dts - start) * packet.time_base > seconds:
                break
            packet.pts -= start
            packet.dts -= start
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    return out.getvalue()


def frame_of(at_s: float) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """One picture of the sample, u8[360,640,3] RGB."""
    with av.open(str(SAMPLE)) as source:
        for frame in source.decode(video=0):
            if frame.time is not None and frame.time >= at_s:
                return frame.to_ndarray(format="rgb24")
    raise AssertionError("the sample is shorter")


def jpeg_of(image: np.ndarray[Any, Any]) -> bytes:
    import cv2

    return bytes(cv2.imencode(".jpg", image[..., ::-1])[1])
