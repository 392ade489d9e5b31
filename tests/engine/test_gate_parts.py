from __future__ import annotations

import numpy as np
import pytest
import toy_model
from toy_parts import Toy

from edge.engine.gating.gated_runtime import uncertainty_bounds
from edge.engine.manifest import ModelFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return toy_model.toy_folder(tmp_path_factory.mktemp("parts"))


def test_a_still_camera_keeps_its_answer_while_others_move_and_rows_change(folder: ModelFolder) -> None:
    toy, plain = Toy(folder), Toy(folder, limits=None)
    for hop in range(10):
        levels = {"still": 100, "moving": 20 * hop, "dark": 0}
        gated, full = toy.show(hop, **levels), plain.show(hop, **levels)
        for camera in levels:
            assert gated[camera].values == pytest.approx(full[camera].values, abs=1e-6), (hop, camera)
            assert gated[camera].embedding == pytest.approx(full[camera].embedding)
    assert (toy.count("encoded", "still", "vision"), toy.count("reused", "still", "vision")) == (1, 9)
    assert toy.count("encoded", "moving", "vision") == 10
    assert sum(toy.see.rows) == 12
    assert sum(plain.see.rows) == 30


def test_a_reset_camera_is_encoded_anew(folder: ModelFolder) -> None:
    toy = Toy(folder)
    for hop in range(3):
        toy.show(hop, yard=100)
    toy.model.reset("yard")
    toy.show(3, yard=100)
    assert toy.count("encoded", "yard", "vision") == 2


def test_nothing_is_kept_for_a_window_that_was_broken(folder: ModelFolder) -> None:
    toy = Toy(folder)
    toy.show(0, yard=100)
    toy.model.batch.audio[1] = np.nan
    assert toy.show(1, yard=100) == {}
    toy.model.batch.audio[:] = 0
    toy.show(2, yard=100)
    assert toy.count("encoded", "yard", "vision") == 2


def test_a_camera_in_doubt_is_encoded_although_nothing_changes(folder: ModelFolder) -> None:
    toy = Toy(folder)
    for hop in range(2):
        toy.show(hop, yard=255, other=100)
    assert (toy.count("encoded", "yard", "vision"), toy.count("encoded", "other", "vision")) == (2, 1)


def test_the_very_pictures_that_were_encoded_are_not_encoded_again_even_in_doubt(folder: ModelFolder) -> None:
    toy, plain = Toy(folder), Toy(folder, limits=None)
    for hop, numbers in enumerate([(1, 1), (1, 1), (1, 2), (1, 2), (2, 2), (2, 2)]):
        gated, full = toy.show(hop, numbers, yard=255), plain.show(hop, numbers, yard=255)
        assert gated["yard"].values == pytest.approx(full["yard"].values, abs=1e-6)
    assert toy.count("encoded", "yard", "vision") == 3
    toy.model.reset("yard")
    toy.show(6, (2, 2), yard=255)
    assert toy.count("encoded", "yard", "vision") == 4


def test_doubt_reaches_halfway_from_the_thresholds_to_certainty(folder: ModelFolder) -> None:
    low, high = uncertainty_bounds(folder.manifest, 0.5)["video"]
    assert 1 / (1 + np.exp(-low)) == pytest.approx([0.2] * 3)
    assert 1 / (1 + np.exp(-high)) == pytest.approx([0.8] * 3)
