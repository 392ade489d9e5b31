"""Cameras, microphones and sensors in config.yaml. ``type`` is the module's name under `edge/capture/`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from edge.config.values import VARIABLE, Polygon, Segment

NAME = r"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]
Topic = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^#+\x00]+$")]
Positive = Annotated[float, Field(gt=0)]


class ConfigSection(BaseModel):
    """A frozen part of the configuration that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def redact_url(url: str) -> str:
    """The URL without its password, fit for logs; never raises."""
    try:
        parts = urlsplit(url)
        if parts.password is None:
            return url
    except ValueError:
        return "(unreadable URL)"
    secret_free = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}:***@{secret_free}").geturl()


def _rtsp_url(value: SecretStr) -> SecretStr:
    if VARIABLE.search(value.get_secret_value()):  # a variable that is not set and not needed
        return value
    try:
        parts = urlsplit(value.get_secret_value())
        port_is_readable = parts.port is None or parts.port > 0
    except ValueError:
        port_is_readable, parts = False, urlsplit("")
    if parts.scheme not in {"rtsp", "rtsps"} or not parts.hostname or not port_is_readable:
        raise ValueError(
            "must look like rtsp://user:password@host:554/path; write special characters of the password "
            "as %-codes (@ is %40, : is %3A, / is %2F)"
        )
    return value


def _local_path(value: object) -> object:
    if isinstance(value, str) and "://" in value:
        raise ValueError("is an address, not something on this box; a network camera is type: rtsp with url")
    return value


class DecodedSourceConfig(ConfigSection):
    """A source that libav decodes.

    ``decoding``: ``on_demand`` decodes a quiet camera's key pictures alone, ``all`` every picture, always. ``decoder``:
    the CPU, a device without fallback, or ``auto``: the first device that works, else the CPU.
    ``decoder_device``: one of several, as in ``1`` (cuda) or ``/dev/dri/renderD128`` (vaapi). ``fast_decode`` skips the
    loop filter except for key pictures: less work, slightly inexact pictures.
    """

    decoding: Literal["on_demand", "all"] = "on_demand"
    decoder: Literal["cpu", "cuda", "vaapi", "auto"] = "cpu"
    decoder_device: str | None = None
    fast_decode: bool = False

    @model_validator(mode="after")
    def _device_of_a_decoder(self) -> DecodedSourceConfig:
        if self.decoder_device is not None and self.decoder not in {"cuda", "vaapi"}:
            raise ValueError("decoder_device goes with decoder: cuda or vaapi")
        if self.fast_decode and self.decoder not in {"cpu", "auto"}:
            raise ValueError("fast_decode is for decoder: cpu; a device has no use for it")
        return self


class FileSourceConfig(DecodedSourceConfig):
    """A recording. ``pace: live`` plays it as a camera would; ``loop`` starts it again at its end."""

    type: Literal["file"]
    path: Annotated[Path, BeforeValidator(_local_path)]
    pace: Literal["live", "fast"] = "live"
    loop: bool = False


class RtspSourceConfig(DecodedSourceConfig):
    """A network camera: picture and sound through one connection."""

    type: Literal["rtsp"]
    url: Annotated[SecretStr, AfterValidator(_rtsp_url)]
    transport: Literal["tcp", "udp"] = "tcp"
    open_timeout_s: Positive = 10.0
    read_timeout_s: Positive = 5.0

    @property
    def redacted_url(self) -> str:
        """The URL without its password."""
        return redact_url(self.url.get_secret_value())


class V4l2SourceConfig(ConfigSection):
    """A USB or CSI camera: ``device`` (number, /dev/video0) or a GStreamer ``pipeline`` ending in appsink."""

    type: Literal["v4l2"]
    device: Annotated[int | str | None, BeforeValidator(_local_path)] = None
    pipeline: str | None = None
    width: Annotated[int, Field(ge=16, le=8192)] | None = None
    height: Annotated[int, Field(ge=16, le=8192)] | None = None
    fps: Positive | None = None
    fourcc: Annotated[str, Field(min_length=4, max_length=4)] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> V4l2SourceConfig:
        if (self.device is None) == (self.pipeline is None):
            raise ValueError("give either device (such as 0 or /dev/video0) or pipeline, not both and not neither")
        return self


class GstreamerSourceConfig(ConfigSection):
    """Whatever GStreamer can read: ``pipeline`` ends in ``appsink name=video``, ``appsink name=audio``, or both.

    For boxes whose video unit only GStreamer reaches, as a Jetson's. It may hold a password, so it is a secret.
    """

    type: Literal["gstreamer"]
    pipeline: SecretStr
    read_timeout_s: Positive = 10.0

    @model_validator(mode="after")
    def _has_a_sink(self) -> GstreamerSourceConfig:
        if not re.search(r"\bname\s*=\s*\"?(video|audio)\b", self.pipeline.get_secret_value()):
            raise ValueError("the pipeline needs an `appsink name=video`, an `appsink name=audio`, or both")
        return self


CameraSourceConfig = Annotated[
    FileSourceConfig | RtspSourceConfig | V4l2SourceConfig | GstreamerSourceConfig, Field(discriminator="type")
]


class MicrophoneConfig(ConfigSection):
    """A sound card input, by name (a part is enough) or number; without either the default input."""

    type: Literal["device"]
    name: str | int | None = None
    rate_hz: Annotated[int, Field(ge=8000, le=192000)] | None = None
    channels: Annotated[int, Field(ge=1, le=32)] = 1


class SensorTopic(ConfigSection):
    """The source of a sensor's numbers: an MQTT topic, and a path (``a.b.0``) when the payload is a JSON object."""

    topic: Topic
    path: str = ""
    stale_s: Positive = 600.0


class CameraConfig(ConfigSection):
    """One place with picture, sound or both. Without ``source`` it has only sound."""

    source: CameraSourceConfig | None = None
    record: RtspSourceConfig | None = None
    microphone: str = "stream"
    sensors: dict[Name, Topic | SensorTopic] = Field(default_factory=dict)
    zones: dict[Name, Polygon] = Field(default_factory=dict)
    lines: dict[Name, Segment] = Field(default_factory=dict)
    privacy_masks: tuple[Polygon, ...] = ()

    @model_validator(mode="after")
    def _has_an_input(self) -> CameraConfig:
        if self.source is None and self.microphone in {"stream", "none"}:
            raise ValueError("has neither a source nor a named microphone; give at least one")
        if self.record is not None and self.source is None:
            raise ValueError("record goes with a source: it is the same camera's main stream")
        return self

    @property
    def decodes_on_demand(self) -> bool:
        """Whether a quiet camera's key pictures alone are decoded."""
        return isinstance(self.source, DecodedSourceConfig) and self.source.decoding == "on_demand"

    def sensor_topics(self) -> dict[str, SensorTopic]:
        """Sensors by channel name, all in the long form."""
        return {
            name: spec if isinstance(spec, SensorTopic) else SensorTopic(topic=spec)
            for name, spec in self.sensors.items()
        }
