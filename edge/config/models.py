"""The whole of config.yaml as frozen models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from edge.config.sources import Camera, DeviceMicrophone, Name, Positive, Section

Probability = Annotated[float, Field(ge=0, le=1)]
Duration = Annotated[float, Field(ge=0)]
EventName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Severity = Literal["info", "warning", "alert"]


def split_listen(value: str) -> tuple[str, int]:
    """``host:port`` apart; ValueError says how to write it."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("must be host:port, as in 127.0.0.1:9108")
    return host.strip("[]"), int(port)


def _listen(value: str) -> str:
    split_listen(value)
    return value


Listen = Annotated[str, AfterValidator(_listen)]


class Node(Section):
    """Who this box is: every topic starts with ``edge/<site>/<id>``."""

    id: Name = "edge"
    site: Name = "home"
    data_dir: Path = Path("var")


class Model(Section):
    """Which model folder runs, and on what."""

    name: str = "fused"
    runtime: Literal["auto", "onnx", "tensorrt"] = "auto"
    precision: Literal["auto", "fp32", "fp16", "int8"] = "auto"
    threads: Annotated[int, Field(ge=0, le=256)] = 1
    profile: Path | None = None


class Prompt(Section):
    """An event described in words: what it looks or sounds like, and what it must not be taken for."""

    text: Annotated[str, Field(min_length=3, max_length=200)]
    unlike: Annotated[tuple[Annotated[str, Field(min_length=3, max_length=200)], ...], Field(max_length=8)] = ()


class Anomaly(Section):
    """Learning what is normal at each camera, and how often what is not may be told."""

    learn_h: Positive = 24.0
    false_alarms_per_day: Positive = 1.0


class Rule(Section):
    """When scores become an event. What is not given falls back to the defaults, then to the model's advice."""

    enter: Annotated[float, Field(gt=0, le=1)] | None = None
    leave: Probability | None = None
    min_s: Duration | None = None
    cooldown_s: Duration | None = None
    severity: Severity | None = None
    enabled: bool | None = None
    false_alarms_per_day: Positive | None = None

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Rule:
        if self.enter is not None and self.false_alarms_per_day is not None:
            raise ValueError("give enter or false_alarms_per_day, not both: the second is learned at the site")
        return self

    @model_validator(mode="after")
    def _leave_below_enter(self) -> Rule:
        if self.enter is not None and self.leave is not None and self.leave > self.enter:
            raise ValueError(
                f"leave ({self.leave}) is above enter ({self.enter}): an event would end as it begins; lower leave"
            )
        return self


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
    min_coverage: Annotated[float, Field(gt=0, le=1)] = 0.4


class Mqtt(Section):
    """The broker that alerts go to and commands come from."""

    url: str = "mqtt://127.0.0.1:1883"
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30
    session_expiry_s: Annotated[int, Field(ge=0)] = 7 * 86400
    home_assistant: bool = False
    home_assistant_prefix: str = "homeassistant"

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            readable = parts.port is None or parts.port > 0
        except ValueError:
            readable, parts = False, urlsplit("")
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or not readable:
            raise ValueError("must be mqtt://host:1883 or mqtts://host:8883")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not hold a login; use username and password_file")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Mqtt:
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        if not self.tls and (self.ca_file or self.cert_file):
            raise ValueError("ca_file and cert_file need an mqtts:// url")
        return self

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.url.startswith("mqtts:")

    @property
    def host(self) -> str:
        """The broker's host."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The broker's port, 1883 or 8883 unless given."""
        return urlsplit(self.url).port or (8883 if self.tls else 1883)


class Broker(Section):
    """An MQTT broker inside the daemon, for boxes that have none (extra `broker`)."""

    listen: Listen = "127.0.0.1:1883"


class Jsonl(Section):
    """Events also as JSON lines, to a file or (``-``) to standard output."""

    path: str


class MetricsEndpoint(Section):
    """Prometheus metrics over HTTP at ``/metrics``."""

    listen: Listen = "127.0.0.1:9108"


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

    @model_validator(mode="after")
    def _microphones_exist(self) -> Config:
        for name, camera in self.cameras.items():
            if camera.microphone not in {"stream", "none", *self.microphones}:
                there = ", ".join(["stream", "none", *self.microphones])
                raise ValueError(f"cameras.{name}.microphone: no microphone {camera.microphone!r}; there is: {there}")
        return self

    @property
    def topic_root(self) -> str:
        """Where all topics of this node start."""
        return f"edge/{self.node.site}/{self.node.id}"
