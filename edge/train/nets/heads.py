"""From one hop's features to calibrated label log-odds: unimodal evidence, memory token, fusion, gates; and `aligned`.

The fusion head is cheap next to the encoders: it runs once more without each modality (`contribution`) and trains on
cached features.

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
    LABELS,
    MODALITIES,
    SENSORS,
    TAGS,
    TOKEN_DIM,
    LabelSpec,
)
from edge.train.nets.audio import EMBEDDING
from edge.train.nets.body import sound_bias
from edge.train.nets.fusion import CELLS, FUSIONS
from edge.train.nets.image import MAP_CHANNELS, PICTURE_TAG_COUNT, TOP_CHANNELS

LABEL_COUNT: Final = len(LABELS)
SENSOR_COUNT: Final = len(SENSORS)
_MASKED_LOGIT: Final = -30.0
_MAX_CORRECTION: Final = 3.0
_WIDEST: Final = max(len(label.tags) for label in LABELS)
_RIVALS: Final = max(len(label.rivals) for label in LABELS)
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
    """A hop ready for fusion: tokens [B,17,D], unimodal log-odds [B,3,C], memory token [B,D], and what sound adds to
    what bodies show [B,C]."""

    tokens: Tensor
    evidence: Tensor
    token: Tensor
    sound_bias: Tensor


class FusionHead(nn.Module):
    """Evidence per modality, their soft-or with a prior, and a bounded correction by the fusion.

    logit_c = log(e^prior_c + sum_m there_m knows_mc e^u_mc) + correction_c, |correction| <= 3, so the fused
    answer stays near its best part when the correction is wrong; then the calibration's scale and offset.
    Labels with a `tag_offset` had no real recordings: their audio evidence stays the tags' own, and what is corrected
    is a third of that; what the detector or the body head decides is not corrected. `picture_limit` caps what is seen,
    in evidence log-odds.
    """

    knows: Tensor
    tag_index: Tensor
    rival_index: Tensor
    rival_bias: Tensor
    remembered: Tensor
    corrects: Tensor
    by_tags: Tensor
    tag_start: Tensor
    picture_limit: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(self, fusion: str = "attention", dim: int = TOKEN_DIM) -> None:
        super().__init__()
        knows, index, bias, corrects = _label_tables()
        self.register_buffer("by_tags", torch.tensor([float(label.tag_offset is not None) for label in LABELS]))
        self.register_buffer("tag_start", bias.clone())
        self.register_buffer("picture_limit", torch.full((LABEL_COUNT,), -_MASKED_LOGIT))
        self.register_buffer("knows", knows)
        self.register_buffer("tag_index", index)
        for name, table in zip(("rival_index", "rival_bias"), _rival_tables(), strict=True):
            self.register_buffer(name, table)
        self.register_buffer("remembered", torch.cat([torch.ones(dim - BODY_DIM), torch.zeros(BODY_DIM)]))
        self.register_buffer("corrects", corrects)
        self.tag_bias = nn.Parameter(bias)
        self.prior = nn.Parameter(torch.full((LABEL_COUNT,), -6.0))
        self.video_gain, self.video_bias = nn.Parameter(torch.ones(LABEL_COUNT)), nn.Parameter(torch.zeros(LABEL_COUNT))
        self.audio_gain, self.audio_bias = nn.Parameter(torch.ones(LABEL_COUNT)), nn.Parameter(torch.zeros(LABEL_COUNT))
        self.adapter = nn.Linear(EMBEDDING, LABEL_COUNT)
        self.sensor_net = nn.Sequential(nn.Linear(2 * SENSOR_COUNT, 48), nn.GELU(), nn.Linear(48, LABEL_COUNT))
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
        self.correct = nn.Linear(dim, LABEL_COUNT)
        self.embed = nn.Linear(dim, dim)
        self.register_buffer("scale", torch.ones(LABEL_COUNT))
        self.register_buffer("offset", torch.zeros(LABEL_COUNT))
        for layer in (self.adapter, self.correct, self.sensor_net[2]):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.sensor_net[2].bias, -7.0)  # type: ignore[arg-type]

    def encode_hop(self, f: HopFeatures) -> HopTokens:
        """Everything that depends on this hop alone; the memory token is a part of it, so memory is a window
        of the last 16 hops and never feeds on itself. The fusion does not see its last 24 numbers, the bodies'."""
        evidence, known = self._evidence(f), f.available_modalities()
        sensed = torch.cat([f.sensors * f.sensor_ok, f.sensor_ok], 1)
        summary = torch.tanh(self._evidence_without_memory(evidence) / 6.0) * known[..., None]
        flags = torch.cat([known, f.audio_ok[:, None], f.video_ok], 1)
        facts = self.known_in(torch.cat([summary.flatten(1), flags], 1))
        picture = self.top_in(torch.cat([f.top, f.dense.clamp(-8, 8), f.objects.clamp(-8, 8)], 1))
        sound = self.sound_in(f.sound) + self.heard_in(summary[:, 1])
        sensors = self.sensor_in(sensed) + self.sensed_in(summary[:, 2])
        single = torch.stack([picture, sound, sensors], 1)
        learned = self.remember(torch.cat([(single * known[..., None]).flatten(1), facts], 1))
        token = torch.cat([learned, f.body * known[:, :1]], 1)
        pad = torch.zeros_like(evidence[:, 0, :-BODY_CHANNELS])
        return HopTokens(
            torch.cat([self.cell_in(f.cells), single], 1), evidence, token, torch.cat([pad, sound_bias(f.tags)], 1)
        )

    def logits(self, hop: HopTokens, known: Tensor, memory: Tensor, memory_ok: Tensor) -> tuple[Tensor, Tensor]:
        """Calibrated label log-odds [B,C] and embedding [B,D] (unit length) with the modalities in known [B,3]."""
        mask = torch.cat([known[:, :1].expand(-1, CELLS), known], 1)
        past = memory * memory_ok[..., None] * self.remembered
        vector = self.fusion(hop.tokens * mask[..., None], mask, past, memory_ok)
        gate = known[..., None] * self.knows
        seen = torch.minimum(hop.evidence[:, 0], self.picture_limit) + hop.sound_bias * known[:, 1:2]
        parts = torch.cat([seen[:, None], hop.evidence[:, 1:]], 1) * gate + _MASKED_LOGIT * (1.0 - gate)
        alone = torch.logsumexp(torch.cat([self.prior.expand(parts.shape[0], 1, -1), parts], 1), 1)
        correction = _MAX_CORRECTION * torch.tanh(self.correct(vector) / _MAX_CORRECTION) * self.corrects * gate.amax(1)
        embedding = self.embed(vector)
        embedding = embedding / embedding.pow(2).sum(1, keepdim=True).add(1e-6).sqrt()
        return (alone + correction) * self.scale + self.offset, embedding

    def audio_evidence(self, tags: Tensor, sound: Tensor) -> Tensor:
        """Log-odds [B,C] from AudioSet log-odds [B,527] and the sound embedding [B,384]: those of the label's tags,
        plus the log-probability that it is they rather than the strongest of its rivals."""
        fixed, free = self.by_tags, 1.0 - self.by_tags
        bias = self.tag_start * fixed[:, None] + self.tag_bias * free[:, None]
        picked = tags.index_select(1, self.tag_index.flatten()).reshape(-1, LABEL_COUNT, _WIDEST) + bias
        own = torch.logsumexp(picked, 2)
        rivals = (
            tags.index_select(1, self.rival_index.flatten()).reshape(-1, LABEL_COUNT, _RIVALS) + self.rival_bias
        ).amax(2)
        own = own + (-nn.functional.softplus(rivals - own))
        known = own * (self.audio_gain * free + fixed) + self.audio_bias * free
        out: Tensor = known + self.adapter(sound) * free
        return out

    def _evidence_without_memory(self, evidence: Tensor) -> Tensor:
        """Evidence [B,3,C] without what bodies did over time, which rests on memory: a token must not."""
        still = (NO_BODY_LOGIT * self.video_gain + self.video_bias)[-BODY_CHANNELS:].expand(evidence.shape[0], 1, -1)
        seen = torch.cat([evidence[:, :1, :-BODY_CHANNELS], still], 2)
        return torch.cat([seen, evidence[:, 1:]], 1)

    def _evidence(self, f: HopFeatures) -> Tensor:
        """Unimodal log-odds [B,3,C]; where a modality cannot know a label the value is unused."""
        pad = torch.zeros_like(f.dense[:, :1]).expand(-1, LABEL_COUNT - 3 - DENSE_CHANNELS - BODY_CHANNELS)
        video = torch.cat([f.objects, f.dense, pad, f.acts], 1) * self.video_gain + self.video_bias
        audio = self.audio_evidence(f.tags, f.sound)
        sensors = self.sensor_net(torch.cat([f.sensors * f.sensor_ok, f.sensor_ok], 1))
        return torch.stack([video, audio, sensors], 1).clamp(-15, 15)


def _label_tables() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    knows = np.zeros((3, LABEL_COUNT), np.float32)
    index, bias = np.zeros((LABEL_COUNT, _WIDEST), np.int64), np.full((LABEL_COUNT, _WIDEST), _MASKED_LOGIT, np.float32)
    for c, label in enumerate(LABELS):
        for m, name in enumerate(MODALITIES):
            knows[m, c] = name in label.modalities
        for n, (tag, offset) in enumerate(label.tags):
            index[c, n], bias[c, n] = tag, offset
    third = [label.tag_offset is not None or label.picture_limit is not None for label in LABELS]
    corrects = np.array(
        [0.0 if is_decided_elsewhere(x) else 1 / 3 if t else 1.0 for x, t in zip(LABELS, third, strict=True)]
    )
    ordered = [x.dense for x in LABELS[3:7]] == [0, 1, 2, 3] and [x.body for x in LABELS[-2:]] == [0, 1]
    if not ordered or any(not label.classes for label in LABELS[:3]):
        raise ValueError("labels: objects first, then the dense channels in order, the body's last")
    return torch.tensor(knows), torch.tensor(index), torch.tensor(bias), torch.tensor(corrects, dtype=torch.float32)


def is_decided_elsewhere(label: LabelSpec) -> bool:
    """Whether another head (detector, body) decides this label and the fusion leaves it alone."""
    return bool(label.classes) or label.body is not None


def _rival_tables() -> tuple[Tensor, Tensor]:
    """Tag indices [C,R] and what is added to their log-odds: nothing, or much less than any where there is none."""
    index, bias = (
        np.zeros((LABEL_COUNT, _RIVALS), np.int64),
        np.full((LABEL_COUNT, _RIVALS), 2 * _MASKED_LOGIT, np.float32),
    )
    for c, label in enumerate(LABELS):
        index[c, : len(label.rivals)] = label.rivals
        bias[c, : len(label.rivals)] = 0.0
    return torch.tensor(index), torch.tensor(bias)


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
