"""The dense head: what it is told, and that it learns it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from edge.train.flames.shots import ShotPlan  # noqa: E402
from edge.train.nets.image import MAP_CHANNELS, TOP_CHANNELS, DenseHead  # noqa: E402
from edge.train.recipe.pictures import (  # noqa: E402
    DenseTrainingConfig,
    FeatureMaps,
    WeightedMaps,
    dense_loss,
    fit_cells,
    fit_whole,
    held_out_loss,
    logistic,
    picture_truth,
    shot_weights,
)

pytestmark = pytest.mark.learn


def maps(n: int, seed: int) -> FeatureMaps:
    """Pictures of which half hold a fire: one channel of the map, one of the pooled features."""
    generator = torch.Generator().manual_seed(seed)
    grid, top = torch.randn(n, MAP_CHANNELS, 8, 14, generator=generator), torch.zeros(n, TOP_CHANNELS)
    top[:, 3] = torch.randn(n, generator=generator)
    cells = torch.zeros(n, 4, 8, 14)
    cells[::2, 0, 2:4, 5:8] = 1.0
    grid[:, 7] += 4 * cells[:, 0]
    top[::2, 3] += 3.0
    return FeatureMaps(grid, top, cells)


def test_what_is_there_and_what_nobody_knows() -> None:
    cells = torch.zeros(3, 4, 8, 14)
    cells[0, 0, 0, :2] = 1.0
    cells[1, 0, 0, :2] = 0.3
    cells[2, 1] = -1.0
    shown, sure = picture_truth(cells)
    assert shown[:, 0].tolist() == [1, 1, 0]
    assert sure[:, 0].tolist() == [1, 1, 1]
    assert sure[2].tolist() == [1, 0, 1, 1]


def test_unknown_cells_do_not_teach() -> None:
    torch.manual_seed(0)
    head = DenseHead().eval()
    torch.nn.init.normal_(head.out.weight)
    some = maps(4, 1)
    hidden = some.cells.clone()
    hidden[:] = -1
    assert float(dense_loss(head, some.grid, some.top, hidden).detach()) == 0.0
    assert float(dense_loss(head, *some).detach()) > 0.1


def test_the_picture_listens_to_its_cells_and_to_the_whole() -> None:
    head = DenseHead().eval()
    grid, top = torch.zeros(1, MAP_CHANNELS, 8, 14), torch.zeros(1, TOP_CHANNELS)
    cells, picture = head(grid, top)
    assert torch.allclose(picture, cells.flatten(2).topk(4, dim=2)[0].mean(2), atol=1e-5)
    with torch.no_grad():
        head.whole.weight[0, 9] = 1.0
    louder = head(grid, top.index_fill(1, torch.tensor([9]), 2.0))[1]
    assert float((louder - picture)[0, 0].detach()) == pytest.approx(2.0)


def test_the_map_learns_fires_and_the_whole_joins_in() -> None:
    torch.manual_seed(0)
    head, held = DenseHead(hidden=16), maps(24, 9)
    run = DenseTrainingConfig(ShotPlan(), ShotPlan(), steps=40, batch=12, rate=5e-3)
    shots = maps(48, 2)
    untrained = held_out_loss(head, held)
    best = fit_cells(head, shots, maps(12, 3), held, run)
    silent = float(head.whole.weight.detach().abs().max())
    a, _, _ = fit_whole(head, 0, shots, WeightedMaps(held, torch.ones(24)), ridge=0.3)
    with torch.no_grad():
        picture = head(held.grid, held.top)[1][:, 0]
    assert best < 0.8 * untrained
    assert silent == 0.0
    assert a > 0
    assert int(head.whole.weight.detach()[0].argmax()) == 3
    assert float((picture[::2] > picture[1::2]).float().mean()) > 0.9


def test_a_heavier_ridge_trusts_less() -> None:
    some = maps(64, 4)
    x = torch.cat([some.top[:, :6], torch.ones(64, 1)], 1)
    light, heavy = (logistic(x, some.cells[:, 0].amax((1, 2)), ridge) for ridge in (0.01, 1.0))
    assert float(light[3]) > 2 * float(heavy[3]) > 0


def test_lookalikes_count_half_and_a_row_of_no_worth_not_at_all() -> None:
    assert shot_weights(["plain", "candles", "fire:house"]).tolist() == [1.0, 0.5, 1.0]
    x = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]])
    y = torch.tensor([1.0, 0.0, 1.0])
    told = logistic(x, y, 0.1, torch.tensor([1.0, 1.0, 0.0]))
    assert torch.allclose(told, logistic(x[:2], y[:2], 0.1), atol=1e-4)
