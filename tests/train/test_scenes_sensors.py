"""Made sensor readings say what happened, and the model's answers move with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")
from edge.train import labels as L  # noqa: N812
from edge.train.recipe.export import sample_inputs
from edge.train.recipe.graphs import OUTPUTS, open_session
from edge.train.scenes.compose import (
    HOPS,
    LEAD_S,
    LENGTH_S,
    AmbientChanges,
    PlacedEvent,
    _ambient_light,
    draw_ambient_changes,
    sensor_readings,
)

pytestmark = pytest.mark.learn
FOLDER = Path(__file__).parents[2] / "engines" / "fused"
NAMES = [s.name for s in L.SENSORS]
QUIET = AmbientChanges(None, None, None, None)
T = LEAD_S + np.arange(HOPS) * L.HOP_S


def trace(placed: tuple[PlacedEvent, ...], ordinary: AmbientChanges = QUIET, seed: int = 3) -> dict[str, np.ndarray]:
    z, _ = sensor_readings(np.random.default_rng(seed), T, placed, ordinary)
    return {s.name: z[:, n] * s.std + s.mean for n, s in enumerate(L.SENSORS)}


@pytest.mark.parametrize("seed", range(5))
def test_a_fire_heats_and_smokes_within_seconds_and_only_where_it_is_sensed(seed: int) -> None:
    fire = PlacedEvent("fire", 6.0, 16.0, True, False, True)
    with_it, without = trace((fire,), seed=seed), trace((replace(fire, sensed=False),), seed=seed)
    late, early = T > 12.5, T < 6.0
    assert np.all((with_it["temperature"] - without["temperature"])[late] >= 5.9)
    assert np.all((with_it["smoke"] - without["smoke"])[late] >= 0.9)
    np.testing.assert_allclose(with_it["temperature"][early], without["temperature"][early], atol=1e-4)


def test_a_light_switched_on_at_night_moves_light_and_nothing_of_a_fire() -> None:
    lit, dark = trace((), replace(QUIET, switch_s=8.0)), trace(())
    assert lit["light"][T < 8].max() < 6
    assert lit["light"][T >= 8].min() > 75
    assert lit["motion"][T >= 8].min() == pytest.approx(1)
    for name in ("temperature", "humidity", "co2", "smoke"):
        np.testing.assert_allclose(lit[name], dark[name], atol=1e-4)


def test_the_picture_is_dark_until_the_light_is_on() -> None:
    from edge.train.scenes.pictures import draw_camera_model

    camera = draw_camera_model(np.random.default_rng(0))
    night = replace(QUIET, switch_s=8.0)
    gains = [_ambient_light(camera, night, t).gain for t in (7.9, 8.1, 8.3)]
    assert gains == sorted(gains)
    assert gains[0] < 0.25 * camera.gain
    assert gains[2] == camera.gain
    assert _ambient_light(camera, QUIET, 1.0) == camera


def test_glass_and_knocks_shake_and_people_breathe() -> None:
    broken = trace((PlacedEvent("glass_break", 5.0, 7.5, False, True, True),))
    assert broken["vibration"][(T >= 5) & (T < 6)].min() >= 1.0
    crowd = trace((), replace(QUIET, crowd_s=4.0))["co2"] - trace(())["co2"]
    assert crowd[T < 4].max() == pytest.approx(0, abs=1e-2)
    assert crowd[-1] >= 99


def test_ordinary_things_happen_in_a_part_of_the_scenes_and_by_their_seed() -> None:
    drawn = [draw_ambient_changes(np.random.default_rng(n), LENGTH_S) for n in range(400)]
    assert drawn[7] == draw_ambient_changes(np.random.default_rng(7), LENGTH_S)
    assert 60 < sum(x.switch_s is not None for x in drawn) < 140
    assert 30 < sum(x.crowd_s is not None for x in drawn) < 95


@pytest.fixture(scope="module")
def session() -> Any:
    if not (FOLDER / "fused.onnx").exists():
        pytest.skip("no weights here: run `edge train`")
    return open_session(FOLDER / "fused.onnx", 1)


def sensed(session: Any, seen: bool, **values: float) -> dict[str, np.ndarray]:
    """The graph's answer to these readings, in their units, with every sensor there and others as usual."""
    x = sample_inputs(1, seed=11)
    x["audio_ok"][:], x["memory_ok"][:], x["sensor_ok"][:] = 0, 0, 1
    x["video_ok"][:] = float(seen)
    usual = {"temperature": 20, "humidity": 50, "light": 200, "co2": 600, "smoke": 0.2, "vibration": 0.1} | values
    x["sensors"][:] = [(usual.get(s.name, 0) - s.mean) / s.std for s in L.SENSORS]
    return dict(zip(OUTPUTS, session.run(list(OUTPUTS), x), strict=True))


@pytest.mark.parametrize("seen", [False, True])
def test_heat_and_smoke_in_the_air_raise_smoke_and_fire_and_are_said_to(session: Any, seen: bool) -> None:
    quiet = sensed(session, seen)
    alarmed = sensed(session, seen, temperature=48, smoke=5, co2=1200, humidity=40)
    for name in ("smoke", "fire"):
        c = L.LABEL_NAMES.index(name)
        assert alarmed["logits"][0, c] > quiet["logits"][0, c] + 0.5, name
        assert alarmed["contribution"][0, c, 2] > 0, name


def test_a_light_switched_on_at_night_is_no_fire(session: Any) -> None:
    lit = sensed(session, True, light=500, motion=1, door=1)
    for name in ("fire", "smoke", "explosion", "gunshot"):
        assert lit["logits"][0, L.LABEL_NAMES.index(name)] < 0, name
