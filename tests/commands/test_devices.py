"""`edge devices` prints what can be pasted into config.yaml."""

from __future__ import annotations

import io
import json

from edge.commands import devices
from edge.commands.devices import CameraDevice, MicrophoneDevice
from edge.config import parse


def test_what_is_printed_is_a_configuration() -> None:
    cameras = [CameraDevice("/dev/video0", 'Café "HD" Cam'), CameraDevice("/dev/video2", "Café 'HD' Cam")]
    microphones = [
        MicrophoneDevice(0, "USB: Audio (hw:1,0)", 1, 48000, True),
        MicrophoneDevice(3, "§", 2, 44100, False),
    ]
    config = parse(devices.as_yaml(cameras, microphones)).config
    assert list(config.cameras) == ["caf_hd_cam", "caf_hd_cam_2"]
    assert {name: m.name for name, m in config.microphones.items()} == {
        "usb_audio_hw_1_0": "USB: Audio (hw:1,0)",
        "microphone": "§",
    }


def test_nothing_found_is_said() -> None:
    text = devices.as_yaml([], [])
    assert "no cameras found" in text
    assert "no microphones found" in text


def test_as_json() -> None:
    out = io.StringIO()
    assert devices.run(as_json=True, out=out) == 0
    assert set(json.loads(out.getvalue())) == {"cameras", "microphones", "problems"}
