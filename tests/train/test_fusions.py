"""Every fusion: what is masked changes nothing, everything that is there matters, and it becomes ONNX of any batch."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
# ruff: noqa: E402
from edge.train.labels import MEMORY, TOKEN_DIM
from edge.train.nets.fusion import CELLS, FUSIONS, LowRankBilinear
from edge.train.recipe.graphs import open_session

pytestmark = pytest.mark.learn
NAMES = ("tokens", "mask", "memory", "memory_mask")


def inputs(batch: int, seed: int) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    mask, memory_mask = (torch.rand(batch, n, generator=g).gt(0.4).float() for n in (CELLS + 3, MEMORY))
    tokens, memory = (torch.randn(batch, n, TOKEN_DIM, generator=g) for n in (CELLS + 3, MEMORY))
    return [tokens, mask, memory, memory_mask]


def fusion(name: str) -> torch.nn.Module:
    torch.manual_seed(3)
    return FUSIONS[name]().eval()


@pytest.mark.parametrize("name", FUSIONS)
def test_what_is_masked_changes_nothing(name: str) -> None:
    net, (tokens, mask, memory, memory_mask) = fusion(name), inputs(5, seed=1)
    mask[0], memory_mask[1] = 0, 0
    other = torch.where(mask[..., None] > 0, tokens, torch.full_like(tokens, 9.0))
    past = torch.where(memory_mask[..., None] > 0, memory, torch.full_like(memory, -7.0))
    with torch.no_grad():
        torch.testing.assert_close(net(tokens, mask, memory, memory_mask), net(other, mask, past, memory_mask))


@pytest.mark.parametrize("name", FUSIONS)
@pytest.mark.parametrize("part", ["picture", "sound", "sensors", "memory", "cells"])
def test_everything_that_is_there_matters(name: str, part: str) -> None:
    net, (tokens, mask, memory, memory_mask) = fusion(name), inputs(1, seed=2)
    mask[:], memory_mask[:] = 1, 1
    changed, past, moved = (
        tokens.clone(),
        memory.clone(),
        torch.randn(TOKEN_DIM, generator=torch.Generator().manual_seed(9)),
    )
    if part == "memory":
        past[:, -1] += moved
    elif part == "cells":
        changed[:, 3] += moved
    else:
        changed[:, CELLS + ("picture", "sound", "sensors").index(part)] += moved
    with torch.no_grad():
        gap = (net(tokens, mask, memory, memory_mask) - net(changed, mask, past, memory_mask)).abs().max()
    assert float(gap) > 1e-4


def test_a_pair_of_which_one_part_is_missing_adds_nothing() -> None:
    pairs, (tokens, _, _, _) = LowRankBilinear().eval(), inputs(1, seed=4)
    there = torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0]])
    with torch.no_grad():
        torch.testing.assert_close(pairs(tokens[:, :5], there)[0], pairs.out.bias)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", FUSIONS)
def test_it_becomes_onnx_of_any_batch(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    for noisy in ("onnxscript", "onnx_ir", "torch.onnx"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    net, path = fusion(name), tmp_path / "fusion.onnx"
    shapes = {key: {0: torch.export.Dim("batch", min=1, max=64)} for key in NAMES}
    torch.onnx.export(
        net, tuple(inputs(2, seed=5)), str(path), input_names=list(NAMES), output_names=["vector"],
        dynamic_shapes=shapes, opset_version=18, dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip
    session = open_session(path)
    for batch in (1, 3):
        x = inputs(batch, seed=6)
        got = session.run(None, {key: value.numpy() for key, value in zip(NAMES, x, strict=True)})[0]
        with torch.no_grad():
            np.testing.assert_allclose(got, net(*x).numpy(), atol=1e-4)
