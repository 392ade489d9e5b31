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
from edge.learn.nets.image import PICTURE_TAG_COUNT

SPACE_DIM: Final = 192
PICTURE_CONCEPTS: Final = PICTURE_TAG_COUNT + len(COCO)
SOUND_SHARPNESS: Final = 0.5
PICTURE_SHARPNESS: Final = 0.7
_FLOOR: Final = 1e-6


class TextProjection(nn.Module):
    """Encoders' answers -> unit vectors [B,2,192], picture first. Buffers hold what is ordinary (`align/space.py`)."""

    heard_usual: Tensor
    heard_scale: Tensor
    seen_usual: Tensor
    seen_scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("heard_usual", torch.zeros(TAGS))
        self.register_buffer("heard_scale", torch.ones(TAGS))
        self.register_buffer("seen_usual", torch.zeros(PICTURE_CONCEPTS))
        self.register_buffer("seen_scale", torch.ones(PICTURE_CONCEPTS))
        self.heard_names = nn.Parameter(torch.zeros(TAGS, SPACE_DIM))
        self.seen_names = nn.Parameter(torch.zeros(PICTURE_CONCEPTS, SPACE_DIM))
        self.heard_sharpness = nn.Parameter(torch.tensor(SOUND_SHARPNESS))
        self.seen_sharpness = nn.Parameter(torch.tensor(PICTURE_SHARPNESS))

    def forward(
        self, tags: Tensor, audio_ok: Tensor, picture_tags: Tensor, classes: Tensor, video_ok: Tensor
    ) -> Tensor:
        """Log-odds [B,527], probabilities [B,1000] and [B,80] -> [B,2,192]."""
        seen = self.project_picture(picture_tags, classes) * video_ok.reshape(-1, 1)
        return torch.stack([seen, self.project_sound(tags) * audio_ok.reshape(-1, 1)], 1)

    def fold_sharpness(self) -> None:
        """Put what was learned of the sharpness into the scales: a graph keeps the constants that it began with."""
        with torch.no_grad():
            self.heard_scale *= self.heard_sharpness / SOUND_SHARPNESS
            self.seen_scale *= self.seen_sharpness / PICTURE_SHARPNESS
            self.heard_sharpness.fill_(SOUND_SHARPNESS)
            self.seen_sharpness.fill_(PICTURE_SHARPNESS)

    def project_sound(self, tags: Tensor) -> Tensor:
        """Unit vectors [B,192] of what is heard."""
        above = (tags - self.heard_usual) * self.heard_scale
        return normalise(torch.softmax(above * self.heard_sharpness, 1) @ self.heard_names)

    def project_picture(self, picture_tags: Tensor, classes: Tensor) -> Tensor:
        """Unit vectors [B,192] of what is seen."""
        above = (log_odds(torch.cat([picture_tags, classes], 1)) - self.seen_usual) * self.seen_scale
        return normalise(torch.softmax(above * self.seen_sharpness, 1) @ self.seen_names)


def log_odds(probability: Tensor) -> Tensor:
    """Log-odds, held within 1e-6 of the ends."""
    p = probability.clamp(_FLOOR, 1 - _FLOOR)
    return torch.log(p) - torch.log(1.0 - p)


def normalise(x: Tensor) -> Tensor:
    """Rows of length 1."""
    return x / x.pow(2).sum(1, keepdim=True).add(1e-6).sqrt()


def load_text_projection(path: Path) -> TextProjection:
    """The module with its weights, in eval mode."""
    net = TextProjection()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net.eval()
