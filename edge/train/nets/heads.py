"""From one hop's features to calibrated label log-odds: what each sense says, memory token, fusion; and `aligned`.

The fusion head is cheap next to the encoders, and trains on cached features.

`TextProjection` projects sound and picture into the space of text. The space has 192 directions of a text encoder's. A
window starts from the names of what the encoders recognise in it, weighted by how far each stands above its background:
a convex combination of names (ConSE, Norouzi et al. 2014) whose directions and sharpness are trained to find the right
words (`align/space.py`).

    align = load_text_projection(Path("align.pt"))
    aligned = align(sound.logits, audio_ok, picture_tags, classes, video_ok)   # [B,2,192]

with `audio_ok` [B,1] and `video_ok` [B] or [B,1] 1 where a modality is there; row 0 is the picture, row 1 the sound,
zeros where absent. `picture_tags` [B,1000] and `classes` [B,80] are probabilities, as the graph gives them out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from edge.train.labels import (
    BODY_CHANNELS,
    BODY_DIM,
    COCO,
    DENSE_CHANNELS,
    HINT_PROBABILITY,
    LABELS,
    MODALITIES,
    SENSORS,
    TAGS,
    TOKEN_DIM,
    LabelSpec,
)
from edge.train.nets.audio import EMBEDDING
from edge.train.nets.evidence import SenseCalibration, join_senses, ratio_limit
from edge.train.nets.fusion import CELLS, FUSIONS
from edge.train.nets.image import MAP_CHANNELS, PICTURE_TAG_COUNT, TOP_CHANNELS

LABEL_COUNT: Final = len(LABELS)
SENSOR_COUNT: Final = len(SENSORS)
_MASKED_LOGIT: Final = -30.0
_WIDEST: Final = max(len(label.tags) for label in LABELS)
NO_BODY_LOGIT: Final = -8.0
"""Log-odds of a body event where no person is in view."""


class HopFeatures(NamedTuple):
    """Features of one hop from the encoders. Parts that are not there hold zeros and their mask is 0."""

    cells: Tensor  # [B,14,MAP] picture cells
    top: Tensor  # [B,1280] picture
    dense: Tensor  # [B,4] log-odds of the dense picture head
    objects: Tensor  # [B,3] log-odds of the best person, vehicle, animal box
    acts: Tensor  # [B,2] log-odds of the body head
    body: Tensor  # [B,24] what it remembers of this hop
    sound: Tensor  # [B,384]
    tags: Tensor  # [B,527] log-odds
    sensors: Tensor  # [B,8] z-scores
    video_ok: Tensor  # [B,2] 1 = frame there
    audio_ok: Tensor  # [B] fraction of the window there
    sensor_ok: Tensor  # [B,8]

    def available_modalities(self) -> Tensor:
        """[B,3] 1 where a modality has anything to say this hop."""
        video = self.video_ok.amax(1)
        audio = (self.audio_ok > 0.05).to(self.sound.dtype)
        return torch.stack([video, audio, self.sensor_ok.amax(1)], 1)


class HopTokens(NamedTuple):
    """A hop ready for fusion: tokens [B,17,D], log-likelihood ratios of each sense [B,3,C] and the memory token
    [B,D]."""

    tokens: Tensor
    ratios: Tensor
    token: Tensor


class FusionHead(nn.Module):
    """What each sense says of every label, joined (`nets/evidence.py`), and what fusion makes of the hop and its past.

    Evidence of pictures is that of the detector, the dense head and the body head; of sound the label's AudioSet tags
    and a linear reading of all tags and of the embedding; of sensors a small net. A sense that only hints at a label
    has a limit. The fusion relates all tokens and the memory for the embedding.
    """

    knows: Tensor
    tag_index: Tensor
    remembered: Tensor
    tag_mean: Tensor
    tag_scale: Tensor

    def __init__(self, fusion: str = "attention", dim: int = TOKEN_DIM) -> None:
        super().__init__()
        knows, index, bias, limits = _label_tables()
        self.register_buffer("knows", knows)
        self.register_buffer("tag_index", index)
        self.register_buffer("remembered", torch.cat([torch.ones(dim - BODY_DIM), torch.zeros(BODY_DIM)]))
        self.register_buffer("tag_mean", torch.zeros(TAGS))
        self.register_buffer("tag_scale", torch.ones(TAGS))
        self.tag_bias = nn.Parameter(bias)
        self.tag_reading = nn.Linear(TAGS, LABEL_COUNT, bias=False)
        self.adapter = nn.Linear(EMBEDDING, LABEL_COUNT)
        self.sensor_net = nn.Sequential(nn.Linear(2 * SENSOR_COUNT, 48), nn.GELU(), nn.Linear(48, LABEL_COUNT))
        self.picture = SenseCalibration(TOP_CHANNELS, limits[0])
        self.sound = SenseCalibration(EMBEDDING, limits[1])
        self.sensors = SenseCalibration(SENSOR_COUNT, limits[2])
        self.cell_in = nn.Sequential(nn.LayerNorm(MAP_CHANNELS), nn.Linear(MAP_CHANNELS, dim))
        self.top_in = nn.Sequential(
            nn.LayerNorm(TOP_CHANNELS + DENSE_CHANNELS + 3), nn.Linear(TOP_CHANNELS + DENSE_CHANNELS + 3, dim)
        )
        self.sound_in = nn.Sequential(nn.LayerNorm(EMBEDDING), nn.Linear(EMBEDDING, dim))
        self.sensor_in = nn.Linear(2 * SENSOR_COUNT, dim)
        self.heard_in, self.sensed_in = nn.Linear(LABEL_COUNT, dim, bias=False), nn.Linear(LABEL_COUNT, dim, bias=False)
        self.known_in = nn.Linear(3 * LABEL_COUNT + 6, dim)
        self.remember = nn.Sequential(
            nn.Linear(4 * dim, dim), nn.GELU(), nn.Linear(dim, dim - BODY_DIM), nn.LayerNorm(dim - BODY_DIM)
        )
        self.fusion = FUSIONS[fusion]()
        self.probe = nn.Linear(dim, LABEL_COUNT)
        self.embed = nn.Linear(dim, dim)
        for layer in (self.adapter, self.tag_reading, self.probe, self.sensor_net[2]):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.sensor_net[2].bias, -7.0)  # type: ignore[arg-type]

    def encode_hop(self, f: HopFeatures) -> HopTokens:
        """Everything that depends on this hop alone; the memory token is a part of it, so memory is a window
        of the last 16 hops and never feeds on itself. The fusion does not see its last 24 numbers, the bodies'."""
        ratios, known = self.likelihood_ratios(f), f.available_modalities()
        sensed = torch.cat([f.sensors * f.sensor_ok, f.sensor_ok], 1)
        summary = torch.tanh(_without_bodies(ratios) / 6.0) * known[..., None]
        flags = torch.cat([known, f.audio_ok[:, None], f.video_ok], 1)
        facts = self.known_in(torch.cat([summary.flatten(1), flags], 1))
        picture = self.top_in(torch.cat([f.top, f.dense.clamp(-8, 8), f.objects.clamp(-8, 8)], 1))
        sound = self.sound_in(f.sound) + self.heard_in(summary[:, 1])
        sensors = self.sensor_in(sensed) + self.sensed_in(summary[:, 2])
        single = torch.stack([picture, sound, sensors], 1)
        learned = self.remember(torch.cat([(single * known[..., None]).flatten(1), facts], 1))
        token = torch.cat([learned, f.body * known[:, :1]], 1)
        return HopTokens(torch.cat([self.cell_in(f.cells), single], 1), ratios, token)

    def logits(self, hop: HopTokens, known: Tensor) -> Tensor:
        """Label log-odds [B,C] with the modalities in known [B,3]."""
        return join_senses(hop.ratios, known[..., None] * self.knows)

    def relate(self, hop: HopTokens, known: Tensor, memory: Tensor, memory_ok: Tensor) -> Tensor:
        """What the fusion makes of the hop and its past [B,D]."""
        mask = torch.cat([known[:, :1].expand(-1, CELLS), known], 1)
        past = memory * memory_ok[..., None] * self.remembered
        vector: Tensor = self.fusion(hop.tokens * mask[..., None], mask, past, memory_ok)
        return vector

    def embedding(self, vector: Tensor) -> Tensor:
        """Unit vectors [B,D]."""
        return normalise(self.embed(vector))

    def evidence(self, f: HopFeatures) -> Tensor:
        """What each sense says by itself, log-odds [B,3,C]; where it cannot know a label the value is unused."""
        pad = torch.zeros_like(f.dense[:, :1]).expand(-1, LABEL_COUNT - 3 - DENSE_CHANNELS - BODY_CHANNELS)
        seen = torch.cat([f.objects, f.dense, pad, f.acts], 1)
        seen = seen + f.objects[:, 2:] * self.knows.new_tensor(_SEES_ANIMAL)
        sensed = self.sensor_net(torch.cat([f.sensors * f.sensor_ok, f.sensor_ok], 1))
        return torch.stack([seen, self.heard(f.tags, f.sound), sensed], 1)

    def likelihood_ratios(self, f: HopFeatures) -> Tensor:
        """`evidence`, calibrated sense by sense [B,3,C]."""
        seen, heard, sensed = self.evidence(f).unbind(1)
        return torch.stack(
            [self.picture(seen, f.top), self.sound(heard, f.sound), self.sensors(sensed, f.sensor_ok)], 1
        )

    def heard(self, tags: Tensor, sound: Tensor) -> Tensor:
        """Log-odds [B,C] from AudioSet log-odds [B,527] and the sound embedding [B,384]."""
        picked = tags.index_select(1, self.tag_index.flatten()).reshape(-1, LABEL_COUNT, _WIDEST) + self.tag_bias
        every = self.tag_reading(((tags - self.tag_mean) * self.tag_scale).clamp(-6, 6))
        out: Tensor = torch.logsumexp(picked, 2) + every + self.adapter(sound)
        return out


_SEES_ANIMAL: Final = [float(label.name == "dog_bark") for label in LABELS]


def _without_bodies(ratios: Tensor) -> Tensor:
    """Ratios [B,3,C] without what bodies did over time, which rests on memory: a token must not."""
    keep = torch.cat([torch.ones(LABEL_COUNT - BODY_CHANNELS), torch.zeros(BODY_CHANNELS)])
    return torch.cat([ratios[:, :1] * keep, ratios[:, 1:]], 1)


def _label_tables() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Which sense knows which label [3,C], tags and their offsets [C,T], and limits of log-likelihood ratios [3,C]."""
    knows, limits = np.zeros((3, LABEL_COUNT), np.float32), np.full((3, LABEL_COUNT), 15.0, np.float32)
    index, bias = np.zeros((LABEL_COUNT, _WIDEST), np.int64), np.full((LABEL_COUNT, _WIDEST), _MASKED_LOGIT, np.float32)
    for c, label in enumerate(LABELS):
        for m, name in enumerate(MODALITIES):
            knows[m, c] = name in (*label.modalities, *label.hints)
            if name in label.hints:
                limits[m, c] = ratio_limit(HINT_PROBABILITY)
        for n, (tag, offset) in enumerate(label.tags):
            index[c, n], bias[c, n] = tag, offset
    ordered = [x.dense for x in LABELS[3:7]] == [0, 1, 2, 3] and [x.body for x in LABELS[-2:]] == [0, 1]
    if not ordered or any(not label.classes for label in LABELS[:3]):
        raise ValueError("labels: objects first, then the dense channels in order, the body's last")
    return torch.tensor(knows), torch.tensor(index), torch.tensor(bias), torch.tensor(limits)


def tag_offsets() -> Tensor:
    """What is added to the log-odds of each label's tags before anything is learned [C,T]."""
    return _label_tables()[2]


def is_decided_elsewhere(label: LabelSpec) -> bool:
    """Whether another head (detector, body) decides this label."""
    return bool(label.classes) or label.body is not None


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
        """Unit vectors [B,192] of sound."""
        above = (tags - self.heard_usual) * self.heard_scale
        return normalise(torch.softmax(above * self.heard_sharpness, 1) @ self.heard_names)

    def project_picture(self, picture_tags: Tensor, classes: Tensor) -> Tensor:
        """Unit vectors [B,192] of pictures."""
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
