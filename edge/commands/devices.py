"""`edge devices`: lists the cameras and microphones of this machine, as a part of config.yaml."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from edge.errors import SourceError

_SYSFS = Path("/sys/class/video4linux")
_DEV = Path("/dev")


@dataclass(frozen=True, slots=True)
class CameraDevice:
    """A video device: ``path`` is the value for `device:`."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class MicrophoneDevice:
    """A sound input: ``name`` is the value for `name:`."""

    index: int
    name: str
    channels: int
    rate_hz: int
    is_default: bool


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``devices`` to the command line."""
    parser = subparsers.add_parser(
        "devices", help="cameras and microphones found here, ready to paste into config.yaml"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of YAML")
    parser.set_defaults(handler=lambda args: run(as_json=args.json, out=sys.stdout))


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


def run(*, as_json: bool, out: TextIO) -> int:
    """Print cameras and microphones; failures to list them are printed as comments (or under ``problems``)."""
    problems = []
    found_cameras, found_microphones = list_cameras(), []
    try:
        found_microphones = list_microphones()
    except SourceError as error:
        problems.append(str(error))
    if as_json:
        found = {
            "cameras": [asdict(camera) for camera in found_cameras],
            "microphones": [asdict(microphone) for microphone in found_microphones],
            "problems": problems,
        }
        print(json.dumps(found, indent=2, ensure_ascii=False), file=out)
    else:
        print(
            "\n".join([*(f"# {problem}" for problem in problems), as_yaml(found_cameras, found_microphones)]), file=out
        )
    return 0


def as_yaml(found_cameras: Sequence[CameraDevice], found_microphones: Sequence[MicrophoneDevice]) -> str:
    """Entries for `cameras:` and `microphones:`; a camera gets the first microphone, as most have one to themselves."""
    microphone_names = _names([microphone.name for microphone in found_microphones], "microphone")
    lines = ["cameras:"] if found_cameras else ["# no cameras found (/dev/video*)"]
    for name, camera in zip(_names([c.name for c in found_cameras], "camera"), found_cameras, strict=True):
        microphone = microphone_names[0] if microphone_names else "none"
        source = f"{{type: v4l2, device: {camera.path}}}"
        lines += [f"  {name}:  # {camera.name}", f"    source: {source}", f"    microphone: {microphone}"]
    lines.append("microphones:" if found_microphones else "# no microphones found")
    for name, microphone_device in zip(microphone_names, found_microphones, strict=True):
        note = (
            f"{microphone_device.channels} channels, {microphone_device.rate_hz} "
            f"Hz{', the default' if microphone_device.is_default else ''}"
        )
        lines.append(
            f"  {name}: {{type: device, name: {json.dumps(microphone_device.name, ensure_ascii=False)}}}  # {note}"
        )
    return "\n".join(lines)


def _names(texts: Sequence[str], otherwise: str) -> list[str]:
    """Short names fit for config.yaml, each different."""
    names: list[str] = []
    for text in texts:
        base = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:24].rstrip("_") or otherwise
        name, number = base, 2
        while name in names:
            name, number = f"{base}_{number}", number + 1
        names.append(name)
    return names
