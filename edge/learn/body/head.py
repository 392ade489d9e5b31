"""Bodies over time: 24 plain numbers of each hop, and a small head that reads eight seconds of them for fall and fight.

The numbers are bounded, deterministic and need no training. The detector, which was taught on upright people, hardly
finds one who lies (score 0.84 upright, 0.02 turned by 90 degrees), so it looks at half the picture's size once more,
turned to either side: who stands there lies in the picture. The last 24 of a memory token are the hop's numbers:
`token = cat(remember(...) [B,D-24], body [B,24])`; the head's past is `memory[..., -24:]`.

In the graph, with `now` f32 [B,3,256,448] and `found = detector(now)`::

    turned = detector(turn(now)).raw
    body = body_features(found.raw, turned, motion, video_ok)
    acts = body_head(body, memory[..., -BODY:], memory_ok, tags)

and to load what `edge.learn.body.train` wrote (a plain state_dict, strict)::

    head = BodyHead()
    head.load_state_dict(torch.load(path, weights_only=True))
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge.learn.labels import BODY, BODY_CHANNELS, GRID, HEIGHT, MEMORY, WIDTH
from edge.learn.nets.detector import picked

PEOPLE: Final = 6
HEARD: Final = (0.5, 1.0)
"""The most that sound adds to the log-odds of fall and fight."""
CELL: Final = 16.0
ROWS: Final = 2 * GRID[0]
COLUMNS: Final = 2 * GRID[1]
_CANDIDATES: Final = 32
_SAME: Final = 0.45
_FAINT: Final = 0.05
_REACH: Final = (1, 2, 4)
FIGHT_TAGS: Final = (8, 11, 14, 467, 468)
"""AudioSet: shout, yell, scream, slap, whack."""
FALL_TAGS: Final = (460, 461)
"""AudioSet: thump, thunk."""


class Crowd(NamedTuple):
    """The best boxes of one kind, best first: `box` [B,K,4] as centre and size in canvas pixels, `score` [B,K]."""

    box: Tensor
    score: Tensor


def turn(now: Tensor) -> Tensor:
    """[B,3,256,448] -> [2B,3,224,128]: half size, left side up, then right side up."""
    return turn_half(F.avg_pool2d(now, 2))


def turn_half(half: Tensor) -> Tensor:
    """`turn` of a picture that was halved already."""
    return torch.cat([half.transpose(2, 3), half.flip(3).transpose(2, 3)], 0)


def people(raw: Tensor) -> Crowd:
    """raw [B,A,85] -> the best `PEOPLE` person boxes after suppression; rows that are not used score 0."""
    return suppressed(raw[..., :4], raw[..., 4] * raw[..., 5])


def lying(turned: Tensor) -> Crowd:
    """raw detections [2B,A,85] in the pictures of `turn` -> people who lie, in the upright canvas."""
    b = turned.shape[0] // 2
    x, y, w, h = (2.0 * turned[..., n] for n in (1, 0, 3, 2))
    boxes = torch.stack([torch.cat([x[:b], WIDTH - x[b:]], 1), _both(y, b), _both(w, b), _both(h, b)], 2)
    return suppressed(boxes, _both(turned[..., 4] * turned[..., 5], b))


def body_features(raw: Tensor, turned: Tensor, motion: Tensor, video_ok: Tensor) -> Tensor:
    """Detections [B,A,85] and [2B,A',85], motion [B,16,28,14] of `MotionNet`, video_ok [B,2] -> [B,24].

    Zeros where nothing is seen.
    """
    return measure(people(raw), lying(turned), motion, video_ok)


def measure(up: Crowd, down: Crowd, motion: Tensor, video_ok: Tensor) -> Tensor:
    """`body_features` from boxes. Sizes are in picture heights, speeds in body sizes; everything within -1..1.

    Who counts as the one who stands, or lies, is the most certain one, above all of those who move.
    """
    flow, speed, unrest = _moved(motion, video_ok)
    where = _weights(torch.cat([up.box, down.box], 1))
    size = torch.cat([up.box[..., 2:], down.box[..., 2:]], 1).amax(2).clamp(min=16.0)
    score = torch.cat([up.score, down.score], 1)
    drift = where @ flow
    energy = (where @ speed[..., None])[..., 0] / size * 4.0
    along = drift.pow(2).sum(2).add(1e-6).sqrt() / size * 4.0
    stir = ((energy - along) * 2.0 + (where @ unrest[..., None])[..., 0] * 2.0).clamp(0, 4)
    k = up.score.shape[1]
    interest = score * (0.25 + torch.tanh(energy + stir))
    stand, lie = _picked(up, interest[:, :k]), _picked(down, interest[:, k:])
    main = _one_hot(interest)
    own = [(value * main).sum(1) for value in (energy, stir, *(drift / size[..., None] * 6.0).unbind(2))]
    fastest = flow[..., 1].clamp(min=0).topk(4, dim=1)[0].mean(1) / (size * main).sum(1) * 4.0
    blob = _blob(speed + 4.0 * unrest)
    close = _closeness(up)
    active = (stir[:, :k, None] * stir[:, None, :k]).add(1e-6).sqrt() * close
    values = [
        stand[4], stand[3] / HEIGHT, _ratio(stand[3], stand[2]), stand[1] / HEIGHT,
        lie[4], lie[2] / HEIGHT, _ratio(lie[2], lie[3]), lie[1] / HEIGHT,
        stand[0] / WIDTH, lie[0] / WIDTH, _wide(up),
        torch.tanh(own[0]), torch.tanh(own[1]), torch.tanh(own[3]), torch.tanh(own[2].abs()), torch.tanh(fastest),
        *blob, up.score.sum(1) / PEOPLE,
        close.flatten(1).amax(1), torch.tanh(active.flatten(1).amax(1)),
        torch.tanh((stir[:, :k] * up.score).amax(1)),
    ]  # fmt: skip
    out: Tensor = torch.stack(values, 1).clamp(-1, 1) * video_ok.amax(1)[:, None]
    return out


class BodyHead(nn.Module):
    """Eight seconds of body features -> log-odds of a fall and of a fight. No state but the memory it is given.

    Causal convolutions over the 16 remembered hops and this one. Sound adds at most `HEARD` to the log-odds and
    never takes away: nobody taught it, so it only leans.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.enter = nn.Conv1d(BODY + 1, width, 1)
        self.steps = nn.ModuleList(nn.Conv1d(width, width, 3, dilation=d) for d in _REACH)
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, BODY_CHANNELS))
        self.register_buffer("limit", torch.full((BODY_CHANNELS,), 30.0))

    limit: Tensor

    def forward(self, body: Tensor, past: Tensor, memory_ok: Tensor, tags: Tensor | None = None) -> Tensor:
        """body [B,24], past [B,16,24] oldest first, memory_ok [B,16], AudioSet log-odds [B,527] where heard
        (very negative where not) -> [B,2], at most `limit` (log-odds)."""
        seen = torch.cat([past * memory_ok[..., None], body[:, None]], 1)
        there = torch.cat([memory_ok, torch.ones_like(memory_ok[:, :1])], 1)
        x = F.gelu(self.enter(torch.cat([seen, there[..., None]], 2).transpose(1, 2)))
        for step, back in zip(self.steps, _REACH, strict=True):
            x = x + F.gelu(step(F.pad(x, (2 * back, 0))))
        logits: Tensor = self.out(torch.cat([x[:, :, MEMORY], x[:, :, MEMORY - 8 :].amax(2)], 1))
        if tags is not None:
            logits = logits + lean(tags)
        return torch.minimum(logits, self.limit)


def lean(tags: Tensor) -> Tensor:
    """AudioSet log-odds [B,527] -> what sound adds to the log-odds of fall and fight [B,2]."""
    return torch.stack([_lean(tags, FALL_TAGS, HEARD[0]), _lean(tags, FIGHT_TAGS, HEARD[1])], 1)


def _lean(tags: Tensor, which: tuple[int, ...], most: float) -> Tensor:
    """0 where the tags are unlikely (2 %), `most` where one is as likely as not."""
    best = tags.index_select(1, torch.tensor(which)).amax(1)
    out: Tensor = most * ((best + 4.0) / 4.0).clamp(0, 1)
    return out


def _both(x: Tensor, b: int) -> Tensor:
    return torch.cat([x[:b], x[b:]], 1)


def suppressed(boxes: Tensor, score: Tensor) -> Crowd:
    """Fast NMS (Bolya et al. 2019) among the best candidates; the best `PEOPLE` that are left."""
    score, order = score.topk(_CANDIDATES, dim=1)
    boxes = picked(boxes, order)
    low, high = boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2
    side = (torch.minimum(high[:, :, None], high[:, None]) - torch.maximum(low[:, :, None], low[:, None])).clamp(min=0)
    inter, area = side[..., 0] * side[..., 1], boxes[..., 2] * boxes[..., 3]
    iou = inter / (area[:, :, None] + area[:, None] - inter + 1e-6)
    better = torch.tensor(np.triu(np.ones((_CANDIDATES, _CANDIDATES), np.float32), 1))
    score = score * ((iou * better).amax(1) <= _SAME).to(score.dtype) * (score > _FAINT).to(score.dtype)
    score, order = score.topk(PEOPLE, dim=1)
    return Crowd(picked(boxes, order) * (score > 0).to(score.dtype)[..., None], score)


def _picked(crowd: Crowd, interest: Tensor) -> tuple[Tensor, ...]:
    """x, y, width, height and score of the most interesting box, each [B]; zeros without one."""
    one = _one_hot(interest)
    return (*(crowd.box * one[..., None]).sum(1).unbind(1), (crowd.score * one).sum(1))


def _one_hot(score: Tensor) -> Tensor:
    """1 where a row is largest; shared by those that are alike."""
    most = (score >= score.amax(1, keepdim=True)).to(score.dtype)
    return most / most.sum(1, keepdim=True)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """Which side is longer, -1..1."""
    return torch.tanh(torch.log((a + 4.0) / (b + 4.0)))


def _wide(up: Crowd) -> Tensor:
    """The best score of a person box that is wider than high."""
    return (up.score * torch.sigmoid(8.0 * (up.box[..., 2] / (up.box[..., 3] + 1.0) - 1.1))).amax(1)


def _moved(motion: Tensor, video_ok: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Trusted flow [B,448,2] in pixels, its speed [B,448], and change that no shift explains [B,448], 0..1."""
    cells = motion.flatten(1, 2) * video_ok.amin(1)[:, None, None]
    far = torch.sigmoid(2.0 * (cells[..., 6:7] - cells[..., 2:3] - 0.5))
    best = cells[..., :4] * (1.0 - far) + cells[..., 4:8] * far
    sure = ((best[..., 2:3] - 0.75) / 1.5).clamp(0, 1) * (best[..., 3:4] / 0.4).clamp(max=1)
    flow = best[..., :2] * sure
    change = cells[..., 8:12].mean(2)
    change = change - 1.5 * change.mean(1, keepdim=True) - 2.0
    return flow, flow.pow(2).sum(2).add(1e-6).sqrt(), (change / 20.0 * (1.0 - best[..., 3])).clamp(0, 1)


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


def _blob(mass: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Height, width, centre height and amount of what moves, from cells' mass [B,448]."""
    mass = (mass - 1.0).clamp(min=0, max=8)
    total = mass.sum(1)
    y = (torch.arange(ROWS * COLUMNS) // COLUMNS).to(mass.dtype)[None] + 0.5
    x = (torch.arange(ROWS * COLUMNS) % COLUMNS).to(mass.dtype)[None] + 0.5
    p = mass / (total[:, None] + 1e-3)
    my, mx = (p * y).sum(1), (p * x).sum(1)
    sy = (p * (y - my[:, None]).pow(2)).sum(1).add(1e-6).sqrt()
    sx = (p * (x - mx[:, None]).pow(2)).sum(1).add(1e-6).sqrt()
    return torch.tanh(sy / 4.0), torch.tanh(sx / 4.0), my / ROWS, torch.tanh(total.add(1e-6).sqrt() / 16.0)


def _closeness(up: Crowd) -> Tensor:
    """[B,K,K]: for each pair of people how close they stand, 1 touching, 0 two body heights apart; 0 for oneself."""
    x, y, w, h = up.box.unbind(2)
    size = (h[:, :, None] + h[:, None]) / 2 + 1.0
    gap = ((x[:, :, None] - x[:, None]).abs() - (w[:, :, None] + w[:, None]) / 2).clamp(min=0)
    drop = ((y + h / 2)[:, :, None] - (y + h / 2)[:, None]).abs()
    alike = torch.minimum(h[:, :, None], h[:, None]) / (torch.maximum(h[:, :, None], h[:, None]) + 1.0)
    near = (1.0 - (gap + drop) / size).clamp(0, 1) * (alike * 2.0).clamp(0, 1)
    both = (up.score[:, :, None] * up.score[:, None]).add(1e-9).sqrt()
    return near * both * torch.tensor(1.0 - np.eye(up.score.shape[1], dtype=np.float32))
