"""What cameras and microphones this box has, for `edge devices`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_SYSFS = Path("/sys/class/video4linux")
_DEV = Path("/dev")


@dataclass(frozen=True, slots=True)
class CameraDevice:
    """A video device: ``path`` is what `device:` takes."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class MicrophoneDevice:
    """A sound input: ``name`` is what `name:` takes."""

    index: int
    name: str
    channels: int
    rate_hz: int
    is_default: bool


def list_cameras(dev: Path = _DEV, sysfs: Path = _SYSFS) -> list[CameraDevice]:
    """V4L2 devices that can capture (a camera's metadata nodes are left out), in the order of their numbers."""
    found: list[tuple[int, CameraDevice]] = []
    for path in dev.glob("video*"):
        number = path.name.removeprefix("video")
        if number.isdecimal() and _is_first_node(sysfs / path.name):
            found.append((int(number), CameraDevice(str(path), _read(sysfs / path.name / "name") or path.name)))
    return [camera for _, camera in sorted(found, key=lambda pair: pair[0])]


def list_microphones() -> list[MicrophoneDevice]:
    """Sound inputs; SourceError when the sound library is missing."""
    from edge.capture.portaudio import sounddevice

    sd = sounddevice()
    default = sd.default.device[0]
    return [
        MicrophoneDevice(
            index=int(device["index"]),
            name=str(device["name"]),
            channels=int(device["max_input_channels"]),
            rate_hz=round(device["default_samplerate"]),
            is_default=device["index"] == default,
        )
        for device in sd.query_devices()
        if device["max_input_channels"] > 0
    ]


def _is_first_node(node: Path) -> bool:
    """UVC cameras have a second node for metadata; its index is not 0."""
    return (_read(node / "index") or "0") == "0"


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
