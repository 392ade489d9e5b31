"""What is heard and seen, put where text is: the graph's output `aligned`.

The space is 192 directions of a text encoder's. A window starts from the names of what the encoders recognise in it,
weighted by how far each stands above what it is ordinarily: a convex combination of names (ConSE, Norouzi et al. 2014)
whose directions and sharpness are trained to find the right words (`align/space.py`).

    align = load_align(Path("align.pt"))
    aligned = align(sound.logits, heard, picture_tags, classes, there)   # [B,2,192]

with `heard` [B,1] and `there` [B] or [B,1] 1 where a modality is there; row 0 is the picture, row 1 the sound, zeros
where absent. `picture_tags` [B,1000] and `classes` [B,80] are probabilities, as the graph gives them out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from edge.learn.labels import COCO, TAGS
from edge.learn.nets.image import PICTURE_TAGS

SPACE: Final = 192
SEEN: Final = PICTURE_TAGS + len(COCO)
HEARD_SHARPNESS: Final = 0.5
SEEN_SHARPNESS: Final = 0.7
_FLOOR: Final = 1e-6


class Align(nn.Module):
    """Encoders' answers -> unit vectors [B,2,192], picture first. Buffers hold what is ordinary (`align/space.py`)."""

    heard_usual: Tensor
    heard_scale: Tensor
    seen_usual: Tensor
    seen_scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("heard_usual", torch.zeros(TAGS))
        self.register_buffer("heard_scale", torch.ones(TAGS))
        self.register_buffer("seen_usual", torch.zeros(SEEN))
        self.register_buffer("seen_scale", torch.ones(SEEN))
        self.heard_names = nn.Parameter(torch.zeros(TAGS, SPACE))
        self.seen_names = nn.Parameter(torch.zeros(SEEN, SPACE))
        self.heard_sharpness = nn.Parameter(torch.tensor(HEARD_SHARPNESS))
        self.seen_sharpness = nn.Parameter(torch.tensor(SEEN_SHARPNESS))

    def forward(self, tags: Tensor, heard: Tensor, picture_tags: Tensor, classes: Tensor, there: Tensor) -> Tensor:
        """Log-odds [B,527], probabilities [B,1000] and [B,80] -> [B,2,192]."""
        seen = self.of_picture(picture_tags, classes) * there.reshape(-1, 1)
        return torch.stack([seen, self.of_sound(tags) * heard.reshape(-1, 1)], 1)

    def settle(self) -> None:
        """Put what was learned of the sharpness into the scales: a graph keeps the constants that it began with."""
        with torch.no_grad():
            self.heard_scale *= self.heard_sharpness / HEARD_SHARPNESS
            self.seen_scale *= self.seen_sharpness / SEEN_SHARPNESS
            self.heard_sharpness.fill_(HEARD_SHARPNESS)
            self.seen_sharpness.fill_(SEEN_SHARPNESS)

    def of_sound(self, tags: Tensor) -> Tensor:
        """Unit vectors [B,192] of what is heard."""
        above = (tags - self.heard_usual) * self.heard_scale
        return unit(torch.softmax(above * self.heard_sharpness, 1) @ self.heard_names)

    def of_picture(self, picture_tags: Tensor, classes: Tensor) -> Tensor:
        """Unit vectors [B,192] of what is seen."""
        above = (log_odds(torch.cat([picture_tags, classes], 1)) - self.seen_usual) * self.seen_scale
        return unit(torch.softmax(above * self.seen_sharpness, 1) @ self.seen_names)


def log_odds(probability: Tensor) -> Tensor:
    """Log-odds, held within 1e-6 of the ends."""
    p = probability.clamp(_FLOOR, 1 - _FLOOR)
    return torch.log(p) - torch.log(1.0 - p)


def unit(x: Tensor) -> Tensor:
    """Rows of length 1."""
    return x / x.pow(2).sum(1, keepdim=True).add(1e-6).sqrt()


def load_align(path: Path) -> Align:
    """The module with its weights, in eval mode."""
    net = Align()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net.eval()
