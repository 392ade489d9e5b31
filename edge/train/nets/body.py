"""Bodies over time: 24 plain numbers of each hop, and a small head that reads eight seconds of them for fall and fight.

The numbers are bounded, deterministic and need no training. The detector was trained on upright people and hardly finds
a person who lies (score 0.84 upright, 0.02 turned by 90 degrees). So it runs once more on the picture at half size,
turned to either side: a person who stands there lies in the picture. The last 24 of a memory token are the hop's
numbers: `token = cat(remember(...) [B,D-24], body [B,24])`; the head's past is `memory[..., -24:]`.

In the graph, with `now` f32 [B,3,256,448] and `detections = detector(now)`::

    turned = detector.detect_people(rotate_to_sides(now))
    body = body_features(detections.anchors, turned, motion, video_ok)
    acts = body_head(body, memory[..., -BODY_DIM:], memory_ok)

and to load what `edge.train.body.training` wrote (a plain state_dict, strict)::

    head = BodyHead()
    head.load_state_dict(torch.load(path, weights_only=True))
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge.train.labels import BODY_CHANNELS, BODY_DIM, GRID, HEIGHT, MEMORY, WIDTH
from edge.train.nets.detector import AnchorPredictions, gather_rows, pairwise_iou

MAX_PEOPLE: Final = 6
MEMBERS: Final = 3
"""Nets in a `BodyHead`."""
CELL: Final = 16.0
ROWS: Final = 2 * GRID[0]
COLUMNS: Final = 2 * GRID[1]
_CANDIDATES: Final = 32
_NMS_IOU: Final = 0.45
_MIN_SCORE: Final = 0.05
_DILATIONS: Final = (1, 2, 4)


class PersonBoxes(NamedTuple):
    """The best boxes of one kind, best first: `box` [B,K,4] as centre and size in canvas pixels, `score` [B,K]."""

    box: Tensor
    score: Tensor


def rotate_to_sides(now: Tensor) -> Tensor:
    """[B,3,256,448] -> [2B,3,224,128]: half size, left side up, then right side up."""
    return rotate_halved(F.avg_pool2d(now, 2))


def rotate_halved(half: Tensor) -> Tensor:
    """`rotate_to_sides` of a picture that was halved already. Whole rows are put in reverse order, after the
    transposition."""
    left = half.transpose(2, 3)
    return torch.cat([left, left.index_select(2, torch.tensor(list(range(WIDTH // 2))[::-1]))], 0)


def lying_candidates(turned: AnchorPredictions) -> tuple[Tensor, Tensor]:
    """`top_candidates` among people who lie. Turned boxes are x, y, w, h; upright y, x, h, w, from the other end where
    the right side was up."""
    b = turned.box.shape[0] // 2
    upright = turned.box.index_select(1, torch.tensor([1, 0, 3, 2])) * 2.0
    mirror = upright[b:] * torch.tensor([-1.0, 1.0, 1.0, 1.0])[:, None] + torch.tensor([WIDTH, 0.0, 0.0, 0.0])[:, None]
    score = turned.objectness * turned.classes[:, :1]
    return top_candidates(torch.cat([upright[:b], mirror], 2), torch.cat([score[:b], score[b:]], 2))


def body_features(anchors: AnchorPredictions, turned: AnchorPredictions, motion: Tensor, video_ok: Tensor) -> Tensor:
    """Detections of the picture and of those of `rotate_to_sides` [2B,...], motion [B,16,28,14] of `MotionNet`,
    video_ok [B,2] -> [B,24]. Zeros without a picture."""
    b = video_ok.shape[0]
    up = top_candidates(anchors.box, anchors.objectness * anchors.classes[:, :1])
    both = suppress_overlaps(*(torch.cat(pair, 0) for pair in zip(up, lying_candidates(turned), strict=True)))
    return body_measurements(PersonBoxes(*(x[:b] for x in both)), PersonBoxes(*(x[b:] for x in both)), motion, video_ok)


def body_measurements(up: PersonBoxes, down: PersonBoxes, motion: Tensor, video_ok: Tensor) -> Tensor:
    """`body_features` from boxes. Sizes are in picture heights, speeds in body sizes; everything within -1..1.

    Who counts as the one who stands, or lies, is the most certain one, above all of those who move.
    """
    moved = _trusted_flow(motion, video_ok)  # flow right and down, speed, unrest
    box, score = torch.cat([up.box, down.box], 1), torch.cat([up.score, down.score], 1)
    size = box[..., 2:].amax(2).clamp(min=16.0)
    inside = _weights(box) @ moved
    drift, speed, unrest = inside[..., :2], inside[..., 2], inside[..., 3]
    energy = speed / size * 4.0
    along = drift.pow(2).sum(2).add(1e-6).sqrt() / size * 4.0
    stir = ((energy - along) * 2.0 + unrest * 2.0).clamp(0, 4)
    k = up.score.shape[1]
    interest = score * (0.25 + torch.tanh(energy + stir))
    stand, lie = _most_interesting(up, interest[:, :k]), _most_interesting(down, interest[:, k:])
    main = _one_hot(interest)
    own = torch.cat([torch.stack([energy, stir, size], 2), drift / size[..., None] * 6.0], 2)
    own = (main[:, None] @ own)[:, 0]  # energy, stir, size, right, down
    fastest = moved[..., 1].clamp(min=0).topk(4, dim=1)[0].mean(1, keepdim=True) / own[:, 2:3] * 4.0
    close = _closeness(up)
    active = (stir[:, :k, None] * stir[:, None, :k]).add(1e-6).sqrt() * close
    lone, pair = (stir[:, :k] * up.score).amax(1, keepdim=True), active.flatten(1).amax(1, keepdim=True)
    values = [
        stand[:, 4:5], stand[:, 3:4] / HEIGHT, _ratio(stand[:, 3:4], stand[:, 2:3]), stand[:, 1:2] / HEIGHT,
        lie[:, 4:5], lie[:, 2:3] / HEIGHT, _ratio(lie[:, 2:3], lie[:, 3:4]), lie[:, 1:2] / HEIGHT,
        stand[:, :1] / WIDTH, lie[:, :1] / WIDTH, _wide_box_score(up),
        torch.tanh(torch.cat([own[:, :2], own[:, 4:5], own[:, 3:4].abs(), fastest], 1)),
        _motion_blob(moved[..., 2] + 4.0 * moved[..., 3]), up.score.sum(1, keepdim=True) / MAX_PEOPLE,
        close.flatten(1).amax(1, keepdim=True), torch.tanh(torch.cat([pair, lone], 1)),
    ]  # fmt: skip
    out: Tensor = torch.cat(values, 1).clamp(-1, 1) * video_ok.amax(1, keepdim=True)
    return out


class BodyHead(nn.Module):
    """Eight seconds of body features -> log-odds of a fall and of a fight: the mean of `MEMBERS` nets that were trained
    apart (a deep ensemble, Lakshminarayanan et al. 2017). No state but the memory it is given."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.members = nn.ModuleList(SequenceNet(width) for _ in range(MEMBERS))
        self.register_buffer("limit", torch.full((BODY_CHANNELS,), 30.0))

    limit: Tensor

    def forward(self, body: Tensor, past: Tensor, memory_ok: Tensor) -> Tensor:
        """body [B,24], past [B,16,24] oldest first, memory_ok [B,16] -> [B,2], at most `limit` (log-odds)."""
        logits = torch.stack([member(body, past, memory_ok) for member in self.members]).mean(0)
        return torch.minimum(logits, self.limit)


class SequenceNet(nn.Module):
    """One net of `BodyHead`: causal convolutions over the 16 remembered hops and this one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(BODY_DIM + 1, width, 1)
        self.steps = nn.ModuleList(nn.Conv1d(width, width, 3, dilation=d) for d in _DILATIONS)
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, BODY_CHANNELS))

    def forward(self, body: Tensor, past: Tensor, memory_ok: Tensor) -> Tensor:
        """As `BodyHead.forward`, without a limit."""
        history = torch.cat([past * memory_ok[..., None], body[:, None]], 1)
        there = torch.cat([memory_ok, torch.ones_like(memory_ok[:, :1])], 1)
        x = F.gelu(self.enter(torch.cat([history, there[..., None]], 2).transpose(1, 2)))
        for step, back in zip(self.steps, _DILATIONS, strict=True):
            x = x + F.gelu(step(F.pad(x, (2 * back, 0))))
        logits: Tensor = self.out(torch.cat([x[:, :, MEMORY], x[:, :, MEMORY - 8 :].amax(2)], 1))
        return logits


def top_candidates(boxes: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes [B,4,A] and scores [B,1,A] -> the best of them [B,K,4] and [B,K]."""
    score, order = score[:, 0].topk(_CANDIDATES, dim=1)
    return gather_rows(boxes.transpose(1, 2), order), score


def suppress_overlaps(boxes: Tensor, score: Tensor) -> PersonBoxes:
    """Fast NMS (Bolya et al. 2019) among boxes [B,K,4], best first; the best `MAX_PEOPLE` that are left."""
    centre, side = boxes[..., :2], boxes[..., 2:]
    iou = pairwise_iou(centre - side / 2, centre + side / 2, side)
    better = torch.tensor(np.triu(np.ones((_CANDIDATES, _CANDIDATES), np.float32), 1))
    score = score * ((iou * better).amax(1) <= _NMS_IOU).to(score.dtype) * (score > _MIN_SCORE).to(score.dtype)
    score, order = score.topk(MAX_PEOPLE, dim=1)
    return PersonBoxes(gather_rows(boxes, order) * (score > 0).to(score.dtype)[..., None], score)


def _most_interesting(crowd: PersonBoxes, interest: Tensor) -> Tensor:
    """x, y, width, height and score of the most interesting box [B,5]; zeros without one."""
    rows = torch.cat([crowd.box, crowd.score[..., None]], 2)
    return (_one_hot(interest)[:, None] @ rows)[:, 0]


def _one_hot(score: Tensor) -> Tensor:
    """1 where a row is largest; shared by those that are alike."""
    most = (score >= score.amax(1, keepdim=True)).to(score.dtype)
    return most / most.sum(1, keepdim=True)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """Which side is longer, -1..1."""
    return torch.tanh(torch.log((a + 4.0) / (b + 4.0)))


def _wide_box_score(up: PersonBoxes) -> Tensor:
    """The best score of a person box that is wider than high [B,1]."""
    return (up.score * torch.sigmoid(8.0 * (up.box[..., 2] / (up.box[..., 3] + 1.0) - 1.1))).amax(1, keepdim=True)


def _trusted_flow(motion: Tensor, video_ok: Tensor) -> Tensor:
    """[B,448,4]: trusted flow right and down in pixels, its speed, and change that no shift explains, 0..1; zeros where
    the whole picture changed."""
    cells = motion.flatten(1, 2) * video_ok.amin(1)[:, None, None]
    near, further = cells[..., :4], cells[..., 4:8]
    far = torch.sigmoid(2.0 * (further[..., 2:3] - near[..., 2:3] - 0.5))
    best = near + (further - near) * far
    fit = best[..., 3:]
    flow = best[..., :2] * (((best[..., 2:3] - 0.75) / 1.5).clamp(0, 1) * (fit / 0.4).clamp(max=1))
    change = cells[..., 8:12].mean(2, keepdim=True)
    unrest = ((change - 1.5 * change.mean(1, keepdim=True) - 2.0) / 20.0 * (1.0 - fit)).clamp(0, 1)
    moved = torch.cat([flow, flow.pow(2).sum(2, keepdim=True).add(1e-6).sqrt(), unrest], 2)
    return moved * (1.0 - whole_picture_change(change * (1.0 - fit)))


def whole_picture_change(unexplained: Tensor) -> Tensor:
    """0..1 [B,1,1], 1 at a cut or a flash, from the grey levels by which each cell [B,448,1] changed and which no shift
    explains. It is 1 at 80 % of real cuts, and above 0 in 0.2 % of the hops of open clips and 1.4 % of those of made
    fights that fill the picture."""
    share = ((unexplained - 6.0) / 4.0).clamp(0, 1).mean(1, keepdim=True)
    return ((share - 0.6) / 0.1).clamp(0, 1)


def _weights(box: Tensor) -> Tensor:
    """How each box [B,K,4] spreads over the cells [B,K,448]; rows sum to 1 (0 for an empty box)."""
    rows = _covered(box[..., 1], box[..., 3], ROWS)
    columns = _covered(box[..., 0], box[..., 2], COLUMNS)
    cover = (rows[..., None] * columns[..., None, :]).flatten(2)
    return cover / (cover.sum(2, keepdim=True) + 1e-3)


def _covered(centre: Tensor, side: Tensor, count: int) -> Tensor:
    """Share of each of `count` cells in a row that lies between centre - side/2 and centre + side/2."""
    at = torch.arange(count, dtype=torch.float32) * CELL
    low, high = (centre - side / 2)[..., None], (centre + side / 2)[..., None]
    return ((torch.minimum(high, at + CELL) - torch.maximum(low, at)) / CELL).clamp(0, 1)


def _motion_blob(mass: Tensor) -> Tensor:
    """Height, width, centre height and amount [B,4] of what moves, from cells' mass [B,448]."""
    mass = (mass - 1.0).clamp(min=0, max=8)
    total = mass.sum(1, keepdim=True)
    at = torch.arange(ROWS * COLUMNS)
    place = torch.stack([at // COLUMNS, at % COLUMNS]).to(mass.dtype) + 0.5  # [2,448] y, x
    p = (mass / (total + 1e-3))[:, None]
    middle = (p * place).sum(2, keepdim=True)
    spread = (p * (place - middle).pow(2)).sum(2).add(1e-6).sqrt()
    return torch.cat([torch.tanh(spread / 4.0), middle[:, 0] / ROWS, torch.tanh(total.add(1e-6).sqrt() / 16.0)], 1)


def _closeness(up: PersonBoxes) -> Tensor:
    """[B,K,K]: for each pair of people how close they stand, 1 touching, 0 two body heights apart; 0 for oneself."""
    x, y, w, h = up.box.unbind(2)
    size = (h[:, :, None] + h[:, None]) / 2 + 1.0
    gap = ((x[:, :, None] - x[:, None]).abs() - (w[:, :, None] + w[:, None]) / 2).clamp(min=0)
    drop = ((y + h / 2)[:, :, None] - (y + h / 2)[:, None]).abs()
    alike = torch.minimum(h[:, :, None], h[:, None]) / (torch.maximum(h[:, :, None], h[:, None]) + 1.0)
    near = (1.0 - (gap + drop) / size).clamp(0, 1) * (alike * 2.0).clamp(0, 1)
    both = (up.score[:, :, None] * up.score[:, None]).add(1e-9).sqrt()
    return near * both * torch.tensor(1.0 - np.eye(up.score.shape[1], dtype=np.float32))
