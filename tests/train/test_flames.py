"""Made fires and what is taken for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.train.flames.lookalikes import PAINTERS, lookalike_shot, plain_shot
from edge.train.flames.rendering import draw_smoke_layer, fire_shot, smoke_shot, with_random_bars
from edge.train.flames.simulation import (
    COLUMNS,
    FRAMES,
    ROWS,
    FireSimulation,
    linear_to_srgb,
    simulate_fire,
    srgb_to_linear,
)
from edge.train.flames.surroundings import read_panorama
from edge.train.labels import HEIGHT, PAD_VALUE, WIDTH

PLACE = np.full((2, HEIGHT, WIDTH, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def fire() -> FireSimulation:
    return simulate_fire(np.random.default_rng(3))


def test_a_fire_burns_upwards_from_its_source_and_flickers(fire: FireSimulation) -> None:
    heat = fire.heat.astype(np.float32)
    assert heat.shape == (FRAMES, ROWS, COLUMNS)
    assert np.isfinite(heat).all()
    assert heat[:, -30:].mean() > 3 * heat[:, :40].mean()
    assert heat[:, ROWS // 2 : -20].mean() > 0.005
    assert np.abs(heat[0] - heat[10]).mean() > 0.2 * heat[0].mean()


def test_the_same_seed_burns_alike(fire: FireSimulation) -> None:
    assert np.array_equal(simulate_fire(np.random.default_rng(3)).heat, fire.heat)


def test_light_and_its_encoding_are_each_others_inverse() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert np.abs(linear_to_srgb(srgb_to_linear(values)) * 255 - values)[16:].max() < 3
    assert linear_to_srgb(np.array([7.0], np.float32))[0] == 1.0


def test_cells_lie_where_the_picture_became_warm(fire: FireSimulation) -> None:
    warmth: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(12):
        shot = fire_shot(np.random.default_rng(seed), (fire,), PLACE, still=True)
        red = shot.frames[1, ..., 0].astype(float) - shot.frames[1, ..., 2]
        by_cell = red.reshape(8, 32, 14, 32).mean((1, 3))
        for there in (True, False):
            chosen = by_cell[(shot.cells[0] > 0.5) if there else (shot.cells[0] == 0)]
            warmth[there] += chosen.tolist()
    assert len(warmth[True]) > 20
    assert np.median(warmth[True]) > np.median(warmth[False]) + 20


def test_a_still_does_not_move_and_a_clip_does(fire: FireSimulation) -> None:
    still = fire_shot(np.random.default_rng(1), (fire,), PLACE, still=True)
    moving = fire_shot(np.random.default_rng(1), (fire,), PLACE, still=False)
    assert np.array_equal(still.frames[0], still.frames[1])
    assert not np.array_equal(moving.frames[0], moving.frames[1])


def test_a_burning_room_is_lit_all_over(fire: FireSimulation) -> None:
    def far_away(layout: str) -> float:
        """How warm the picture is where nothing burns, over several shots."""
        warm = []
        for seed in range(16):
            shot = fire_shot(np.random.default_rng(seed), (fire,), PLACE, still=True, layout=layout)
            red = shot.frames[1, ..., 0].astype(float) - shot.frames[1, ..., 2]
            calm = shot.cells[0] == 0
            warm += red.reshape(8, 32, 14, 32).mean((1, 3))[calm].tolist()
        return float(np.mean(warm))

    assert far_away("room") > far_away("small") + 10


def test_smoke_hangs_under_the_ceiling_or_fills_the_room() -> None:
    layers = [draw_smoke_layer(np.random.default_rng(n)) for n in range(20)]
    assert all(layer.shape == (256, 448) and layer.min() >= 0 for layer in layers)
    assert all(layer[:32].mean() >= layer[-32:].mean() * 0.5 for layer in layers)
    hanging = [layer for layer in layers if layer[-32:].mean() < 0.1 * layer[:32].mean()]
    assert 0 < len(hanging) < 20


def test_smoke_alone_is_no_fire(fire: FireSimulation) -> None:
    shots = [smoke_shot(np.random.default_rng(n), (fire,), PLACE, still=True) for n in range(6)]
    assert all(not shot.cells[0].any() for shot in shots)
    assert any((shot.cells[1] == 1).any() for shot in shots)


@pytest.mark.parametrize("kind", sorted(PAINTERS))
def test_a_lookalike_changes_the_place_and_is_no_fire(kind: str) -> None:
    plain = plain_shot(np.random.default_rng(5), PLACE, still=True)
    shot = lookalike_shot(np.random.default_rng(5), PLACE, still=True, kind=kind)
    again = lookalike_shot(np.random.default_rng(5), PLACE, still=True, kind=kind)
    assert shot.kind == kind
    assert not shot.cells[0].any()
    assert not plain.cells.any()
    assert float(shot.frames.std()) > 1.0
    assert np.array_equal(shot.frames, again.frames)


def test_bars_beside_a_picture_hold_no_event(fire: FireSimulation) -> None:
    shot = fire_shot(np.random.default_rng(2), (fire,), PLACE, still=True)
    full = type(shot)(np.full_like(shot.frames, 200), np.ones_like(shot.cells), "x")
    shots = [with_random_bars(np.random.default_rng(n), full) for n in range(12)]
    barred = [s for s in shots if (s.frames[1, 0, 0] == PAD_VALUE).all()]
    assert 0 < len(barred) < 12
    for s in barred:
        bars = (s.frames[1, 0, ::32] == PAD_VALUE).all(1)
        assert not s.cells[:, :, bars].any()
        assert s.cells[:, :, ~bars].all()


def test_a_module_without_a_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sky.exr.js"
    path.write_text("export default 'data:image/x-exr;base64,AAAA'")
    with pytest.raises(ValueError, match="sky"):
        read_panorama(path)
