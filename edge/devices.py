"""`edge devices`: what this machine has, as a piece of config.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TextIO

from edge.capture.devices import CameraDevice, MicrophoneDevice, list_cameras, list_microphones
from edge.errors import SourceError


def run(*, as_json: bool, out: TextIO) -> int:
    """Print cameras and microphones; what cannot be listed is said in a comment (or under ``problems``)."""
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
