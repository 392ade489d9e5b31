"""The whole of config.yaml as frozen models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.config.keeping import EvidenceConfig, LocationConfig
from edge.config.rules import RuleConfig
from edge.config.schedule import describe_schedule, parse_schedules
from edge.config.services import BrokerConfig, DescriberConfig, JsonlConfig, MetricsConfig, MqttConfig, WebConfig
from edge.config.sources import CameraConfig, ConfigSection, MicrophoneConfig, Name, Positive
from edge.config.values import AboveZero, EventName


class NodeConfig(ConfigSection):
    """Who this box is: every topic starts with ``edge/<site>/<id>``."""

    id: Name = "edge"
    site: Name = "home"
    data_dir: Path = Path("var")


class ModelConfig(ConfigSection):
    """Which model folder runs, and on what."""

    name: str = "fused"
    runtime: Literal["auto", "onnx", "openvino", "tensorrt"] = "auto"
    precision: Literal["auto", "fp32", "fp16", "bf16", "int8"] = "auto"
    threads: Annotated[int, Field(ge=0, le=256)] = 1
    profile: Path | None = None
    gating: Literal["auto", "off"] = "auto"


class PromptConfig(ConfigSection):
    """An event described in words: what it looks or sounds like, and what it must not be taken for."""

    text: Annotated[str, Field(min_length=3, max_length=200)]
    unlike: Annotated[tuple[Annotated[str, Field(min_length=3, max_length=200)], ...], Field(max_length=8)] = ()


class AnomalyConfig(ConfigSection):
    """Learning what is normal at each camera, and how often what is not may be told."""

    learn_h: Positive = 24.0
    false_alarms_per_day: Positive = 1.0


class HealthConfig(ConfigSection):
    """When trouble with the equipment itself becomes an event."""

    no_signal_s: Positive = 10.0
    frozen_s: Positive = 30.0
    dark_s: Positive = 20.0
    dark_luma: Annotated[float, Field(ge=0, le=255)] = 12.0
    silent_s: Positive = 60.0
    silent_dbfs: Annotated[float, Field(le=0)] = -80.0
    drift_ppm: Positive = 300.0


class WindowsConfig(ConfigSection):
    """How long to wait for late media, and how little of it is still worth scoring."""

    max_lateness_s: Positive = 1.0
    min_coverage: AboveZero = 0.4


class Config(ConfigSection):
    """config.yaml."""

    node: NodeConfig = NodeConfig()
    model: ModelConfig = ModelConfig()
    cameras: Annotated[dict[Name, CameraConfig], Field(min_length=1)]
    microphones: dict[Name, MicrophoneConfig] = Field(default_factory=dict)
    events: dict[str, RuleConfig] = Field(default_factory=dict)
    prompts: dict[EventName, PromptConfig] = Field(default_factory=dict)
    anomaly: AnomalyConfig | None = None
    health: HealthConfig = HealthConfig()
    windows: WindowsConfig = WindowsConfig()
    mqtt: MqttConfig | None = MqttConfig()
    broker: BrokerConfig | None = None
    jsonl: JsonlConfig | None = None
    metrics: MetricsConfig | None = None
    location: LocationConfig = LocationConfig()
    evidence: EvidenceConfig | None = EvidenceConfig()
    web: WebConfig | None = None
    describer: DescriberConfig | None = None

    @model_validator(mode="after")
    def _microphones_exist(self) -> Config:
        for name, camera in self.cameras.items():
            if camera.microphone not in {"stream", "none", *self.microphones}:
                known_names = ", ".join(["stream", "none", *self.microphones])
                raise ValueError(
                    f"cameras.{name}.microphone: no microphone {camera.microphone!r}; there is: {known_names}"
                )
        return self

    @model_validator(mode="after")
    def _zones_and_lines_exist(self) -> Config:
        for name, rule in self.events.items():
            unknown = [camera for camera in rule.cameras or () if camera not in self.cameras]
            if unknown:
                raise ValueError(
                    f"events.{name}.cameras: no camera {unknown[0]!r}; there is: {', '.join(sorted(self.cameras))}"
                )
            rule_cameras = [self.cameras[camera] for camera in rule.cameras or self.cameras]
            for kind in ("zones", "lines"):
                drawn = {place for camera in rule_cameras for place in getattr(camera, kind)}
                missing = [place for place in getattr(rule, kind) or () if place not in drawn]
                if missing:
                    known = ", ".join(sorted(drawn)) or "none"
                    raise ValueError(
                        f"events.{name}.{kind}: none of its cameras has {missing[0]!r} under {kind}; there is: {known}"
                    )
        return self

    @model_validator(mode="after")
    def _sun_schedules_need_location(self) -> Config:
        if self.location.latitude is None or self.location.longitude is None:
            for name, rule in self.events.items():
                if any(span.needs_sun for span in parse_schedules(rule.schedule)):
                    raise ValueError(
                        f"events.{name}.schedule: {describe_schedule(rule.schedule or ())!r} goes by the sun; "
                        "give location.latitude and location.longitude"
                    )
        return self

    @property
    def topic_root(self) -> str:
        """Where all topics of this node start."""
        return f"edge/{self.node.site}/{self.node.id}"
