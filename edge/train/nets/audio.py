"""The sound encoder: log-mel and MobileNetV3-Large x 0.4, as in EfficientAT mn04_as (MIT, F. Schmid).

Own code; parameter names follow the published state_dict so that it loads after a plain rename.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

EMBEDDING: Final = 384
_NFFT: Final = 1024
_WIN: Final = 800
_HOP: Final = 320
_BINS: Final = 481  # bins above 15 kHz carry no mel weight

# kernel, expanded, out, squeeze-excite, activation, stride: MobileNetV3-Large, table 1 (Howard et al. 2019)
_V3_LARGE: Final = (
    (3, 16, 16, 0, "R", 1), (3, 64, 24, 0, "R", 2), (3, 72, 24, 0, "R", 1), (5, 72, 40, 1, "R", 2),
    (5, 120, 40, 1, "R", 1), (5, 120, 40, 1, "R", 1), (3, 240, 80, 0, "H", 2), (3, 200, 80, 0, "H", 1),
    (3, 184, 80, 0, "H", 1), (3, 184, 80, 0, "H", 1), (3, 480, 112, 1, "H", 1), (3, 672, 112, 1, "H", 1),
    (5, 672, 160, 1, "H", 2), (5, 960, 160, 1, "H", 1), (5, 960, 160, 1, "H", 1),
)  # fmt: skip


class AudioFeatures(NamedTuple):
    """`embedding` [B,384] and AudioSet `logits` [B,527]."""

    embedding: Tensor
    logits: Tensor


class LogMel(nn.Module):
    """Waveform [B,n] f32 at 32 kHz, -1..1 -> normalised log-mel [B,128,n/320] (Kaldi mel, 0-15 kHz)."""

    re: Tensor
    im: Tensor
    mel: Tensor

    def __init__(self) -> None:
        super().__init__()
        half = np.arange(_WIN // 2) + 0.5  # samples from the window's middle; power does not depend on the phase there
        window = 0.5 + 0.5 * np.cos(2 * np.pi * half / (_WIN - 1))
        angle = 2 * np.pi * half[:, None] * np.arange(_BINS)[None] / _NFFT
        for name, table in (("re", np.cos(angle)), ("im", np.sin(angle))):
            self.register_buffer(name, torch.tensor(table * window[:, None], dtype=torch.float32), persistent=False)
        self.register_buffer("mel", torch.tensor(_kaldi_mel()[:, :_BINS]), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        x = wave[:, 1:] - 0.97 * wave[:, :-1]
        half = _WIN // 2  # reflect by slices: Pad(reflect) is not everywhere in TensorRT
        x = torch.cat([x[:, 1 : half + 1].flip(-1), x, x[:, -half - 1 : -1].flip(-1)], -1)
        late, early = self._halves(x, half, False), self._halves(x, 0, True)
        even, odd = (late + early) @ self.re, (late - early) @ self.im
        power = even * even + odd * odd
        return (torch.log(self.mel @ power.transpose(1, 2) + 1e-5) + 4.5) / 5.0

    def _halves(self, x: Tensor, first: int, mirrored: bool) -> Tensor:
        """[B,n] -> [B,T,400]: of every window, a hop apart, its 400 samples from `first` on, perhaps reversed. A sum
        over a window symmetric about its middle is half as many products over what mirrored samples have in common."""
        count = (x.shape[1] - _WIN) // _HOP + 1
        blocks = x[:, first : first + (count + 1) * _HOP]
        rows = blocks.reshape(x.shape[0], -1, _HOP)
        part = torch.cat([rows[:, :count], rows[:, 1 : count + 1, : _WIN // 2 - _HOP]], 2)
        return part.flip(-1) if mirrored else part


class AudioNet(nn.Module):
    """Log-mel, trunk, classifier. Wave [B,n] -> AudioFeatures."""

    def __init__(self, width: float = 0.4, tags: int = 527) -> None:
        super().__init__()

        def wide(c: int) -> int:
            return _round8(c * width)

        self.front = LogMel()
        blocks: list[nn.Module] = [_conv(1, wide(16), 3, 2, act=nn.Hardswish)]
        inp = 16
        for k, e, o, se, act, st in _V3_LARGE:
            blocks.append(_Block(wide(inp), k, wide(e), wide(o), bool(se), nn.ReLU if act == "R" else nn.Hardswish, st))
            inp = o
        blocks.append(_conv(wide(160), 6 * wide(160), act=nn.Hardswish))
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(
            nn.Linear(6 * wide(160), wide(1280)), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(wide(1280), tags)
        )

    def forward(self, wave: Tensor) -> AudioFeatures:
        return self.from_mel(self.front(wave))

    def from_mel(self, mel: Tensor) -> AudioFeatures:
        """mel [B,128,T] -> AudioFeatures."""
        embedding = self.features(mel[:, None]).mean((2, 3))
        return AudioFeatures(embedding, self.classifier(embedding))


def load_mn04(path: Path) -> AudioNet:
    """The published AudioSet net (mn04_as_mAP_432.pt) in this module, in eval mode."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    renamed = {
        key.replace("conc_se_layers.0.", "")
        .replace("classifier.2.", "classifier.0.")
        .replace("classifier.5.", "classifier.3."): value
        for key, value in state.items()
    }
    net = AudioNet()
    net.load_state_dict(renamed, strict=True)
    return net.eval()


def _round8(v: float) -> int:
    n = max(8, int(v + 4) // 8 * 8)
    return n + 8 if n < 0.9 * v else n


def _conv(i: int, o: int, k: int = 1, st: int = 1, g: int = 1, act: type[nn.Module] | None = None) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(i, o, k, st, (k - 1) // 2, groups=g, bias=False), nn.BatchNorm2d(o, eps=1e-3)]
    return nn.Sequential(*layers, *([act()] if act else []))


class _SqueezeExcite(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(c, _round8(c // 4))
        self.fc2 = nn.Linear(_round8(c // 4), c)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3))))))[:, :, None, None]


class _Block(nn.Module):
    """MobileNetV3 inverted residual."""

    def __init__(self, i: int, k: int, e: int, o: int, se: bool, act: type[nn.Module], st: int) -> None:
        super().__init__()
        self.residual = st == 1 and i == o
        layers: list[nn.Module] = [_conv(i, e, act=act)] if e != i else []
        layers.append(_conv(e, e, k, st, e, act))
        layers += [_SqueezeExcite(e)] if se else []
        self.block = nn.Sequential(*layers, _conv(e, o))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return x + y if self.residual else y


def _kaldi_mel(n: int = 128, rate: int = 32000, lo: float = 0.0, hi: float = 15000.0) -> NDArray[np.float32]:
    """Triangular filters [128,513] on the 1127 ln(1 + f/700) scale, as Kaldi builds them."""

    def mel(f: Any) -> NDArray[np.float64]:
        return np.asarray(1127.0 * np.log(1.0 + np.asarray(f) / 700.0), dtype=np.float64)

    edges = mel(lo) + np.arange(n + 2) * (mel(hi) - mel(lo)) / (n + 1)
    bins = mel(rate / _NFFT * np.arange(_NFFT // 2))[None]
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    weights = np.maximum(0.0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))
    return np.asarray(np.pad(weights, ((0, 0), (0, 1))), dtype=np.float32)
