"""The whole of config.yaml as frozen models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.config.keeping import Evidence, Location
from edge.config.rules import Rule
from edge.config.schedule import parse_schedules, told
from edge.config.services import Broker, Describer, Jsonl, MetricsEndpoint, Mqtt, Web
from edge.config.sources import Camera, DeviceMicrophone, Name, Positive, Section
from edge.config.values import AboveZero, EventName


class Node(Section):
    """Who this box is: every topic starts with ``edge/<site>/<id>``."""

    id: Name = "edge"
    site: Name = "home"
    data_dir: Path = Path("var")


class Model(Section):
    """Which model folder runs, and on what."""

    name: str = "fused"
    runtime: Literal["auto", "onnx", "openvino", "tensorrt"] = "auto"
    precision: Literal["auto", "fp32", "fp16", "bf16", "int8"] = "auto"
    threads: Annotated[int, Field(ge=0, le=256)] = 1
    profile: Path | None = None
    gating: Literal["auto", "off"] = "auto"


class Prompt(Section):
    """An event described in words: what it looks or sounds like, and what it must not be taken for."""

    text: Annotated[str, Field(min_length=3, max_length=200)]
    unlike: Annotated[tuple[Annotated[str, Field(min_length=3, max_length=200)], ...], Field(max_length=8)] = ()


class Anomaly(Section):
    """Learning what is normal at each camera, and how often what is not may be told."""

    learn_h: Positive = 24.0
    false_alarms_per_day: Positive = 1.0


class Health(Section):
    """When trouble with the equipment itself becomes an event."""

    no_signal_s: Positive = 10.0
    frozen_s: Positive = 30.0
    dark_s: Positive = 20.0
    dark_luma: Annotated[float, Field(ge=0, le=255)] = 12.0
    silent_s: Positive = 60.0
    silent_dbfs: Annotated[float, Field(le=0)] = -80.0
    drift_ppm: Positive = 300.0


class Windows(Section):
    """How long to wait for late media, and how little of it is still worth scoring."""

    max_lateness_s: Positive = 1.0
    min_coverage: AboveZero = 0.4


class Config(Section):
    """config.yaml."""

    node: Node = Node()
    model: Model = Model()
    cameras: Annotated[dict[Name, Camera], Field(min_length=1)]
    microphones: dict[Name, DeviceMicrophone] = Field(default_factory=dict)
    events: dict[str, Rule] = Field(default_factory=dict)
    prompts: dict[EventName, Prompt] = Field(default_factory=dict)
    anomaly: Anomaly | None = None
    health: Health = Health()
    windows: Windows = Windows()
    mqtt: Mqtt | None = Mqtt()
    broker: Broker | None = None
    jsonl: Jsonl | None = None
    metrics: MetricsEndpoint | None = None
    location: Location = Location()
    evidence: Evidence | None = Evidence()
    web: Web | None = None
    describer: Describer | None = None

    @model_validator(mode="after")
    def _microphones_exist(self) -> Config:
        for name, camera in self.cameras.items():
            if camera.microphone not in {"stream", "none", *self.microphones}:
                there = ", ".join(["stream", "none", *self.microphones])
                raise ValueError(f"cameras.{name}.microphone: no microphone {camera.microphone!r}; there is: {there}")
        return self

    @model_validator(mode="after")
    def _zones_and_lines_exist(self) -> Config:
        for name, rule in self.events.items():
            unknown = [camera for camera in rule.cameras or () if camera not in self.cameras]
            if unknown:
                raise ValueError(
                    f"events.{name}.cameras: no camera {unknown[0]!r}; there is: {', '.join(sorted(self.cameras))}"
                )
            there = [self.cameras[camera] for camera in rule.cameras or self.cameras]
            for kind in ("zones", "lines"):
                drawn = {place for camera in there for place in getattr(camera, kind)}
                missing = [place for place in getattr(rule, kind) or () if place not in drawn]
                if missing:
                    known = ", ".join(sorted(drawn)) or "none"
                    raise ValueError(
                        f"events.{name}.{kind}: none of its cameras has {missing[0]!r} under {kind}; there is: {known}"
                    )
        return self

    @model_validator(mode="after")
    def _the_sun_has_a_place(self) -> Config:
        if self.location.latitude is None or self.location.longitude is None:
            for name, rule in self.events.items():
                if any(span.needs_sun for span in parse_schedules(rule.schedule)):
                    raise ValueError(
                        f"events.{name}.schedule: {told(rule.schedule or ())!r} goes by the sun; "
                        "give location.latitude and location.longitude"
                    )
        return self

    @property
    def topic_root(self) -> str:
        """Where all topics of this node start."""
        return f"edge/{self.node.site}/{self.node.id}"
