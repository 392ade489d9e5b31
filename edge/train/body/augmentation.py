"""What the body head is trained on: windows of eight seconds out of sequences, joined at cuts and disturbed."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from edge.train.body.open_clips import BodySequences
from edge.train.body.projection import HOPS
from edge.train.labels import BODY_DIM, MEMORY

LYING_COLUMNS: Final = [4, 5, 6, 7, 9]
POSITION_COLUMNS: Final = [8, 9]
STRENGTH_COLUMNS: Final = [11, 12, 13, 14, 15, 22, 23]
MOTION_COLUMNS: Final = [11, 12, 13, 14, 15, 16, 17, 18, 19, 22, 23]
"""Those that are 0 where nothing moves."""
_LENGTH: Final = MEMORY + 1
_CUT_SHARE: Final = 0.3
_STRIDE_SHARES: Final = (0.7, 0.2, 0.1)
"""How often every hop is there, every second, every fourth."""
_LATE_SHARE: Final = 0.4


class Windows(NamedTuple):
    """`MEMORY` hops and the one now: features [P,17,24] oldest first, which there are [P,17], truth [P,17,2] (-1 where
    nobody judges), and the first hop of what the camera sees now [P]."""

    body: Tensor
    ok: Tensor
    truth: Tensor
    first: Tensor


def history_windows(rows: BodySequences, scene: Tensor, hop: Tensor, stride: Tensor | int = 1) -> Windows:
    """The drawn hops and the 16 before each, every ``stride`` [P,1] hops; zeros where there are none."""
    at = hop[:, None] - torch.arange(MEMORY, -1, -1) * stride
    ok = (at >= 0).float()
    scene, at = scene[:, None], at.clamp(min=0)
    truth = rows.truth[scene, at].masked_fill(ok[..., None] == 0, -1.0)
    return Windows(rows.body[scene, at] * ok[..., None], ok, truth, torch.zeros_like(hop))


def draw_windows(rows: BodySequences, count: int, generator: torch.Generator) -> Windows:
    """Windows of drawn scenes and hops; in some the camera is looked at every second or fourth hop."""
    scene, hop = (torch.randint(most, (count,), generator=generator) for most in (len(rows.body), HOPS))
    drawn = torch.multinomial(torch.tensor(_STRIDE_SHARES), count, replacement=True, generator=generator)
    return history_windows(rows, scene, hop, 2 ** drawn[:, None])


def splice(after: Windows, before: Windows, share: float, generator: torch.Generator) -> Windows:
    """A share of windows with a cut: up to a drawn hop they are the end of `before`, from it on `after`. In half of
    them the cut lies between the two pictures of its hop, where `body_measurements` sees no motion."""
    n, place = len(after.first), torch.arange(_LENGTH)[None]
    since = torch.randint(1, MEMORY + 1, (n, 1), generator=generator)
    cut = torch.rand(n, 1, generator=generator) < share
    first = (_LENGTH - since) * cut
    earlier = (place < first)[..., None]
    source = (place + since).clamp(max=MEMORY)
    rows = torch.arange(n)[:, None]
    body = torch.where(earlier, before.body[rows, source], after.body)
    moved = torch.ones_like(body)
    unseen = (place == first) & cut & (torch.rand(n, 1, generator=generator) < 0.5)
    moved[..., MOTION_COLUMNS] -= unseen[..., None].float()
    return Windows(
        body * moved,
        torch.where(earlier[..., 0], before.ok[rows, source], after.ok),
        torch.where(earlier, before.truth[rows, source], after.truth),
        first[:, 0],
    )


def forget(windows: Windows, share: float, generator: torch.Generator) -> Windows:
    """A share of windows whose memory began later."""
    n = len(windows.first)
    begin = torch.randint(0, _LENGTH, (n,), generator=generator) * (torch.rand(n, generator=generator) < share)
    return windows._replace(
        ok=windows.ok * (torch.arange(_LENGTH) >= begin[:, None]).float(), first=torch.maximum(windows.first, begin)
    )


def judged_truth(windows: Windows) -> Tensor:
    """The truth now [P,2]. Not judged: a fall of which only the lying is seen, a fight in the hop of a cut, and what
    comes after an event that a cut ended."""
    rows, first = torch.arange(len(windows.first)), windows.first
    now, there, before = windows.truth[:, MEMORY], windows.truth[rows, first], windows.truth[rows, (first - 1).clamp(0)]
    began = first > 0
    unseen_fall = began & (now[:, 0] == 1) & (there[:, 0] == 1)
    new_fight = (first == MEMORY) & (now[:, 1] == 1)
    over = began[:, None] & (now == 0) & (before > 0)
    return now.masked_fill(torch.stack([unseen_fall, new_fight], 1) | over, -1.0)


def augment(windows: Windows, generator: torch.Generator) -> Tensor:
    """The features mirrored, with noise, other strengths of movement, and a detector that misses who lies or a hop."""
    both = windows.body.clone()
    n = len(both)
    gain = torch.ones(n, 1, BODY_DIM)
    gain[..., STRENGTH_COLUMNS] = 0.7 + 0.6 * torch.rand(n, 1, 1, generator=generator)
    gain[..., LYING_COLUMNS] *= (torch.rand(n, 1, 1, generator=generator) > 0.1).float()
    at = both[..., POSITION_COLUMNS]
    mirrored = (torch.rand(n, 1, 1, generator=generator) < 0.5) & (at > 0)
    both[..., POSITION_COLUMNS] = torch.where(mirrored, 1 - at, at)
    missed = (torch.rand(n, _LENGTH, 1, generator=generator) > 0.03).float()
    return (both * gain * missed + 0.02 * torch.randn(both.shape, generator=generator)).clamp(-1, 1)


def training_batch(rows: BodySequences, count: int, generator: torch.Generator) -> tuple[Windows, Tensor]:
    """Disturbed windows, and the truth now [P,2]."""
    after, before = draw_windows(rows, count, generator), draw_windows(rows, count, generator)
    windows = forget(splice(after, before, _CUT_SHARE, generator), _LATE_SHARE, generator)
    return windows._replace(body=augment(windows, generator)), judged_truth(windows)
