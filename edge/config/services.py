"""The output sections of config.yaml: broker, page, metrics, JSON lines, and describer."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from edge.config.sources import ConfigSection, Positive
from edge.config.values import VARIABLE, Listen, split_listen


class MqttConfig(ConfigSection):
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
    frigate: bool = False
    frigate_prefix: str = "frigate"

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        if VARIABLE.search(value) and "@" not in value:  # a variable that is not set and not needed
            return value
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
    def _consistent(self) -> MqttConfig:
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


class BrokerConfig(ConfigSection):
    """An MQTT broker inside the daemon, for boxes that have none (extra `broker`)."""

    listen: Listen = "127.0.0.1:1883"


class JsonlConfig(ConfigSection):
    """Events also as JSON lines, to a file or (``-``) to standard output."""

    path: str


class MetricsConfig(ConfigSection):
    """Prometheus metrics over HTTP at ``/metrics``."""

    listen: Listen = "127.0.0.1:9108"


class WebConfig(ConfigSection):
    """The local page and its API (extra `web`). Off the loopback only with a password or a token."""

    listen: Listen = "127.0.0.1:8088"
    username: str = "admin"
    password: SecretStr | None = None
    password_file: Path | None = None
    token: SecretStr | None = None
    token_file: Path | None = None
    base_url: str | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str | None) -> str | None:
        if value is None or (VARIABLE.search(value) and "@" not in value):
            return value
        if urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname:
            raise ValueError("must be where browsers find the page, as in https://gate-01.example:8088")
        if "@" in urlsplit(value).netloc:
            raise ValueError("must not hold a login: links in alerts begin with it")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _consistent(self) -> WebConfig:
        for name in ("password", "token"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"give {name} or {name}_file, not both")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        if not self.is_local and not self.is_guarded:
            raise ValueError(f"listen {self.listen} is reachable from the network: give password_file or token_file")
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        host, _ = split_listen(self.listen)
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def is_guarded(self) -> bool:
        """Whether a login or a token is required."""
        return any((self.password, self.password_file, self.token, self.token_file))


class DescriberConfig(ConfigSection):
    """An OpenAI-compatible endpoint that captions alerts after they were sent; never in their way."""

    url: str
    model: str
    api_key: SecretStr | None = None
    api_key_file: Path | None = None
    prompt: str = "Describe in one plain sentence what happens in this picture from a security camera."
    timeout_s: Positive = 60.0
    most_per_hour: Annotated[int, Field(ge=1)] = 60

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        if VARIABLE.search(value):
            return value
        if urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname:
            raise ValueError("must be the endpoint's base, as in http://127.0.0.1:11434/v1")
        return value.rstrip("/")
