"""The recipe's sizes: both are whole, and what is missing or unknown is told by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch")
from edge.errors import InputError
from edge.train.recipe.sizes import RECIPE, read_sizes

pytestmark = pytest.mark.learn


def test_the_recipe_has_every_size_and_the_small_one_is_smaller() -> None:
    full, small = read_sizes("full"), read_sizes("small")
    assert small.train.scenes < full.train.scenes
    assert small.dense.shots.shots < full.dense.shots.shots
    assert small.body.scenes < full.body.scenes
    assert isinstance(full.body.scenes, tuple)


@pytest.mark.parametrize(("change", "said"), [({"rate": None}, "missing rate"), ({"rates": 1}, "unknown rates")])
def test_what_is_missing_or_unknown_is_told(tmp_path: Path, change: dict[str, int | None], said: str) -> None:
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    for key, value in change.items():
        if value is None:
            del recipe["full"]["dense"][key]
        else:
            recipe["full"]["dense"][key] = value
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    with pytest.raises(InputError, match=f"recipe.yaml: full.dense: .*{said}"):
        read_sizes("full", path)


def test_sizes_that_are_not_there_are_told() -> None:
    with pytest.raises(InputError, match="no sizes 'huge'; there are full, small"):
        read_sizes("huge")
