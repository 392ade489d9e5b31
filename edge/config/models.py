"""The whole of config.yaml as frozen models, with the sections for evidence, node, model, prompts and anomaly.

`duplicate_streams` finds cameras with the same stream, as when a line was copied and its address not changed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from edge.config.rules import RuleConfig
from edge.config.schedule import TimeZone, describe_schedule, parse_schedules
from edge.config.services import BrokerConfig, DescriberConfig, JsonlConfig, MetricsConfig, MqttConfig, WebConfig
from edge.config.sources import (
    CameraConfig,
    CameraSourceConfig,
    ConfigSection,
    GstreamerSourceConfig,
    MicrophoneConfig,
    Name,
    Positive,
    RtspSourceConfig,
    V4l2SourceConfig,
)
from edge.config.values import VARIABLE, AboveZero, Duration, EventName
from edge.config.yaml_reader import KeyPath
from edge.engine.manifest import DEFAULT_MODEL

RTSP_PORTS = {"rtsp": 554, "rtsps": 322}


class EvidenceConfig(ConfigSection):
    """Clips and snapshots of events, kept on this box alone until age or size takes them."""

    before_s: Duration = 5.0
    after_s: Duration = 10.0
    longest_s: Positive = 120.0
    ring_mb: Annotated[float, Field(gt=0, le=4096)] = 64.0
    clips: bool = True
    audio: bool = True
    speech: bool = False
    blur: tuple[EventName, ...] = ()
    encoder: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")] | None = None
    candidates: bool = True
    keep_days: Positive = 14.0
    keep_gb: Positive = 20.0
    keep_free_gb: Duration = 1.0
    digest: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = "07:00"


class LocationConfig(ConfigSection):
    """The place of the machine: for sunrise and sunset, and for the time zone of schedules."""

    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    timezone: TimeZone | None = None


class NodeConfig(ConfigSection):
    """The node's name: every topic starts with ``edge/<site>/<id>``."""

    id: Name = "edge"
    site: Name = "home"
    data_dir: Path = Path("var")
    capture_workers: Annotated[int, Field(ge=0, le=64)] | Literal["auto"] = "auto"


class ModelConfig(ConfigSection):
    """Which model folder runs, and on what."""

    name: str = DEFAULT_MODEL
    runtime: Literal["auto", "onnx", "openvino", "tensorrt"] = "auto"
    precision: Literal["auto", "fp32", "fp16", "int8"] = "auto"
    threads: Annotated[int, Field(ge=0, le=256)] = 1
    profile: Path | None = None
    gating: Literal["auto", "off"] = "auto"

    @field_validator("precision", mode="before")
    @classmethod
    def _no_bf16(cls, value: object) -> object:
        if value == "bf16":
            raise ValueError("bf16 is no longer there: it gained nothing on CPUs. Set precision: auto")
        return value


class PromptConfig(ConfigSection):
    """An event described in words: what it looks or sounds like, and what it must not be taken for."""

    text: Annotated[str, Field(min_length=3, max_length=200)]
    unlike: Annotated[tuple[Annotated[str, Field(min_length=3, max_length=200)], ...], Field(max_length=8)] = ()


class AnomalyConfig(ConfigSection):
    """Learning what is normal at each camera, and how often an anomaly may be reported."""

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
        """The common prefix of this node's topics."""
        return f"edge/{self.node.site}/{self.node.id}"


def duplicate_streams(config: Config) -> Iterator[tuple[KeyPath, str]]:
    """The keys at which a stream is repeated, and what to do about it. Recordings may be played twice."""
    first_uses: dict[Hashable, tuple[str, str]] = {}
    for name, camera in config.cameras.items():
        for kind, source in (("source", camera.source), ("record", camera.record)):
            stream = None if source is None else _stream(source)
            if source is None or stream is None:
                continue
            first, its_kind = first_uses.setdefault(stream[1], (name, kind))
            if (first, its_kind) == (name, kind):
                continue
            key = ("cameras", name, kind, stream[0])
            if first == name:
                yield key, "is the stream of source: leave record out, or give the address of the main stream"
            else:
                yield key, f"is the stream of cameras.{first}.{its_kind}; is it this camera's address?"


def _stream(source: CameraSourceConfig) -> tuple[str, Hashable] | None:
    """The key that identifies the stream, and its value; None when a repetition is no mistake, or it is unknown."""
    match source:
        case RtspSourceConfig():
            url = source.url.get_secret_value()
            if VARIABLE.search(url):
                return None
            parts = urlsplit(url)
            port = parts.port or RTSP_PORTS[parts.scheme]
            return "url", (parts.scheme, parts.hostname, port, parts.path.rstrip("/"), parts.query)
        case V4l2SourceConfig(device=device) if device is not None:
            text = str(device)
            return "device", f"/dev/video{text}" if text.isdecimal() else text
        case V4l2SourceConfig(pipeline=pipeline):
            return "pipeline", pipeline
        case GstreamerSourceConfig():
            return "pipeline", source.pipeline.get_secret_value()
    return None
