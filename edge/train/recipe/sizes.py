"""How much of everything a training takes, read from `edge/train/recipe.yaml`: sizes and seeds of the stages."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edge.errors import InputError
from edge.train.align.build import AlignmentPlan
from edge.train.body.training import BodyTrainingConfig
from edge.train.recipe.audio import AudioTrainingConfig
from edge.train.recipe.features import ScenePlan
from edge.train.recipe.fusion import FusionTrainingConfig, SensorTrainingConfig
from edge.train.recipe.pictures import DenseTrainingConfig, PictureTrainingConfig
from edge.train.recipe.sounds import SoundPlan
from edge.train.recipe.starting_files import RECIPE, SECTION, read_recipe

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TrainingSizes:
    """The stages' sizes. `audio` and `whole` are for a GPU."""

    sounds: SoundPlan
    train: ScenePlan
    held: ScenePlan
    dense: DenseTrainingConfig
    body: BodyTrainingConfig
    space: AlignmentPlan
    sensors: SensorTrainingConfig
    fusion: FusionTrainingConfig
    audio: AudioTrainingConfig
    whole: PictureTrainingConfig


def read_sizes(name: str, path: Path = RECIPE) -> TrainingSizes:
    """The sizes of that name (`full`, `small`). InputError where there are none, or a value is missing or unknown."""
    recipe = read_recipe(path)
    names = [key for key in recipe if key != SECTION]
    if name not in names:
        raise InputError(f"{path}: no sizes {name!r}; there are {', '.join(names)}")
    return _build(TrainingSizes, recipe[name], f"{path.name}: {name}")


def _build(kind: type[T], values: Any, where: str) -> T:
    """A dataclass from a mapping that has each of its fields and no other."""
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    given = set(values) if isinstance(values, dict) else set()
    missing, unknown = [n for n in names if n not in given], sorted(given - set(names))
    if missing or unknown:
        raise InputError(
            f"{where}: missing {', '.join(missing) or 'nothing'}; unknown {', '.join(unknown) or 'nothing'}"
        )
    made = {}
    for name in names:
        value, hint = values[name], hints[name]
        nested = dataclasses.is_dataclass(hint)
        made[name] = (
            _build(hint, value, f"{where}.{name}") if nested else tuple(value) if isinstance(value, list) else value
        )
    return kind(**made)
