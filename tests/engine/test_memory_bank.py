"""The memory of a camera whose answer stands still, with and without windows that were left out."""

from __future__ import annotations

import numpy as np
import pytest

from edge.engine.memory_bank import MemoryBank
from edge.media_time import MediaTime
from edge.types import F32, Window

TOKENS, DIM = 4, 2


def window(seq: int, epoch: int = 0) -> Window:
    return Window("yard", seq, seq, MediaTime(epoch, seq), 0, (), 1.0, (), (0.0, 0.0, 1.0, 1.0))


def score(bank: MemoryBank, seq: int, value: float, *, stands: bool = False, epoch: int = 0) -> tuple[F32, F32]:
    """What the bank gave for the window; its token has ``value``."""
    tokens, ok = np.empty((TOKENS, DIM), np.float32), np.empty(TOKENS, np.float32)
    bank.read(window(seq, epoch), tokens, ok)
    bank.append(window(seq, epoch), tokens, ok, np.full(DIM, value, np.float32), stands=stands)
    return tokens.copy(), ok.copy()


def filled() -> MemoryBank:
    bank = MemoryBank(TOKENS, DIM)
    for seq in range(TOKENS):
        score(bank, seq, 0.5)
    return bank


def test_moving_on_changes_nothing_while_the_answer_stands() -> None:
    """Bit for bit: whoever does not know that it stands gets the same memory."""
    knows, not_told = filled(), filled()
    for seq in range(TOKENS, 4 * TOKENS):
        got, expected = score(knows, seq, 0.5, stands=True), score(not_told, seq, 0.5)
        assert got[0].tobytes() == expected[0].tobytes()
        assert got[1].tobytes() == expected[1].tobytes()


@pytest.mark.parametrize("missed", [1, 2, 3])
def test_windows_left_out_leave_no_hole_while_the_answer_stands(missed: int) -> None:
    bank = filled()
    score(bank, TOKENS, 0.5, stands=True)
    tokens, ok = score(bank, TOKENS + 1 + missed, 0.9)
    assert tokens.tolist() == [[0.5, 0.5]] * TOKENS
    assert ok.tolist() == [1] * TOKENS
    _, ok = score(bank, TOKENS + 3 + missed, 0.9)
    assert ok.tolist() == [1, 1, 1, 0], "since the answer moved, what is left out is a hole again"


def test_a_long_silence_and_a_new_epoch_begin_anew_although_it_stood() -> None:
    for seq, epoch in ((TOKENS + 1 + TOKENS, 0), (TOKENS + 1, 1), (TOKENS, 0)):
        bank = filled()
        score(bank, TOKENS, 0.5, stands=True)
        assert score(bank, seq, 0.5, epoch=epoch)[1].tolist() == [0] * TOKENS
