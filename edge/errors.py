"""Every error that this project raises on purpose, as one tree. Messages say what to do.

    EdgeError
    ├── InputError           bad input from a person: exit code 2
    │   ├── ConfigError      config.yaml: path, line and the nearest valid name
    │   ├── ModelError       a model folder that is missing, damaged or does not fit
    │   └── MediaError       a recording that cannot be read
    ├── SourceError          a camera or microphone in trouble: retried with back-off
    ├── SinkError            the broker or the disk in trouble: retried, nothing is dropped
    └── RuntimeUnavailable   an inference runtime that cannot be used on this machine

Anything else that reaches a thread's top is a bug: the daemon stops in order and systemd restarts it. A system that
gives no more threads, files or memory is neither: see `exhausted`.
"""

from __future__ import annotations

import errno

_NO_FILES = (errno.EMFILE, errno.ENFILE)
_NO_MEMORY = ("cannot allocate memory", "insufficient memory", "bad_alloc", "out of memory", "failed to map segment",
              "failed to allocate memory")  # fmt: skip


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


def exhausted(error: BaseException | None) -> str | None:
    """What the system ran out of, as a sentence that says what to do; None where ``error`` has another cause."""
    for _ in range(10):  # a chain has an end, one that was tampered with may not
        if error is None:
            return None
        text = str(error).lower()
        if isinstance(error, RuntimeError) and "can't start new thread" in text:
            return "the system gives no more threads; raise the limit (ulimit -u, TasksMax=) or stop other programs"
        if isinstance(error, OSError) and error.errno in _NO_FILES:
            return "the system gives no more open files; raise the limit (ulimit -n, LimitNOFILE=)"
        if isinstance(error, MemoryError) or any(sign in text for sign in _NO_MEMORY):
            return "the system gives no more memory; give it more (ulimit -v, MemoryMax=), or watch fewer cameras"
        error = error.__cause__ or error.__context__
    return None
