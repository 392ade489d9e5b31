"""Every error that this project raises on purpose, as one tree. Messages say what to do.

    EdgeError
    ├── InputError           bad input from a person: exit code 2
    │   ├── ConfigError      config.yaml: path, line and the nearest valid name
    │   ├── ModelError       a model folder that is missing, damaged or does not fit
    │   └── MediaError       a recording that cannot be read
    ├── SourceError          a camera or microphone in trouble: retried with back-off
    ├── SinkError            the broker or the disk in trouble: retried, nothing is dropped
    └── RuntimeUnavailable   an inference runtime that cannot be used on this machine

Any other error that reaches a thread's top is a bug: the daemon stops in order and systemd restarts it. A system out of
threads, files or memory (`exhausted_resource`) and a failing disk (`is_disk_error`) are no bugs. `install_command` has
the command that installs an extra.
"""

from __future__ import annotations

import errno
import shlex
import sys
from collections.abc import Iterator

_DISK = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.ESTALE, errno.ENXIO, errno.ENODEV, errno.ETIMEDOUT)
_NO_FILES = (errno.EMFILE, errno.ENFILE)
_NO_MEMORY = ("cannot allocate memory", "insufficient memory", "bad_alloc", "out of memory", "failed to map segment",
              "failed to allocate memory")  # fmt: skip
PACKAGE = "edge-monitor"


class EdgeError(Exception):
    """Root of the expected errors."""


class InputError(EdgeError):
    """Wrong input from a user; the message says what to do."""


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
    """A broker or disk failed in an expected way; the data is kept and written later."""


class RuntimeUnavailable(EdgeError):  # noqa: N818 - reads as the state that it is
    """An inference runtime cannot be used here: library, driver or engine is missing."""


def exhausted_resource(error: BaseException) -> str | None:
    """A sentence on what the system ran out of and what to do; None when ``error`` has another cause."""
    for cause in _causes(error):
        text = str(cause).lower()
        if isinstance(cause, RuntimeError) and "can't start new thread" in text:
            return "the system gives no more threads; raise the limit (ulimit -u, TasksMax=) or stop other programs"
        if isinstance(cause, OSError) and cause.errno in _NO_FILES:
            return "the system gives no more open files; raise the limit (ulimit -n, LimitNOFILE=)"
        if isinstance(cause, MemoryError) or any(sign in text for sign in _NO_MEMORY):
            return "the system gives no more memory; give it more (ulimit -v, MemoryMax=), or watch fewer cameras"
    return None


def is_disk_error(error: BaseException) -> bool:
    """Whether a failing disk, and not a wrong request, caused ``error``."""
    return any(isinstance(cause, OSError) and cause.errno in _DISK for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error with its causes and contexts."""
    at: BaseException | None = error
    for _ in range(10):  # a chain has an end, one that was tampered with may not
        if at is None:
            return
        yield at
        at = at.__cause__ or at.__context__


def install_command(extra: str) -> str:
    """A command that installs the packages of ``extra`` for the Python that runs, from a checkout or a wheel alike."""
    from importlib import metadata

    try:
        declared = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        declared = []
    marked = [requirement.partition(";") for requirement in declared]
    packages = [name.strip() for name, _, marker in marked if f"extra == '{extra}'" in marker.replace('"', "'")]
    if not packages:
        return f".venv/bin/pip install -e '.[{extra}]' in the checkout"
    return shlex.join([sys.executable, "-m", "pip", "install", *packages])
