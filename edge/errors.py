"""Every error that this project raises on purpose, as one tree. Messages say what to do.

    EdgeError
    ├── InputError           bad input from a person: exit code 2
    │   ├── ConfigError      config.yaml: path, line and the nearest valid name
    │   ├── ModelError       a model folder that is missing, damaged or does not fit
    │   └── MediaError       a recording that cannot be read
    ├── SourceError          a camera or microphone in trouble: retried with back-off
    ├── SinkError            the broker or the disk in trouble: retried, nothing is dropped
    └── RuntimeUnavailable   an inference runtime that cannot be used on this machine

Anything else that reaches a thread's top is a bug: the daemon stops in order and systemd restarts it.
"""

from __future__ import annotations


class EdgeError(Exception):
    """Root of the expected errors."""


class InputError(EdgeError):
    """Something a person gave is wrong; the message says what to do."""


class ConfigError(InputError):
    """config.yaml is wrong. ``problems`` holds one line a fault."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ModelError(InputError):
    """A model folder is missing, damaged, or does not fit this program."""


class MediaError(InputError):
    """A recording cannot be read."""


class SourceError(EdgeError):
    """A camera, microphone or sensor failed in an expected way; it is tried again."""


class SinkError(EdgeError):
    """A broker or disk failed in an expected way; what was to be written is kept and tried again."""


class RuntimeUnavailable(EdgeError):  # noqa: N818 - reads as the state that it is
    """An inference runtime cannot be used here: library, driver or engine is missing."""
