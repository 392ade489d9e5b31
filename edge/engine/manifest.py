"""`model.yaml`: what a model folder holds, its geometry, labels and digests.

Pure data and checks; no runtime is imported here. Geometry is part of the interface: the same values serve capture,
windows, benchmarks and replay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.errors import ModelError
from edge.types import nanoseconds

DEFAULT_MODEL: Final = "fused"
"""The model that runs where none is named."""
Modality = Literal["video", "audio", "sensors"]
MODALITIES: tuple[Modality, ...] = ("video", "audio", "sensors")
SHOWN_CLASSES = frozenset(
    {
        *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "bird", "cat", "dog"),
        *("horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "handbag", "suitcase", "knife"),
    }
)
"""Of the object classes (COCO), those that people are shown: the rest is furniture, and seldom right from above."""
CLASSES_BY_LABEL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "person": ("person",),
        "vehicle": ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
        "animal": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    }
)
"""Labels whose evidence is boxes, and the object classes that count for each (as in the model's training)."""
Part = Literal["whole", "vision", "audio", "fusion"]
"""A graph of the model: all of it in one, or one of its three parts."""
GRAPH_PARTS: tuple[Part, ...] = ("vision", "audio", "fusion")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReducedTolerance(_Frozen):
    """What fewer bits must reproduce: ``|out - golden| <= atol + rtol * max |golden|``, logits as probabilities.

    Enough to tell rounding from a broken kernel; what rounding costs is measured on recordings, not on golden rows.
    """

    atol: Positive = 0.05
    rtol: Positive = 0.15


class GoldenSpec(_Frozen):
    """Inputs and outputs that every runtime must reproduce: ``|out - golden| <= atol + rtol * |golden|`` in 32 bits."""

    file: str
    sha256: Sha256
    atol: Positive
    rtol: Positive
    reduced: ReducedTolerance = ReducedTolerance()


class ModelFile(_Frozen):
    """A file of the model folder and its digest."""

    file: str
    sha256: Sha256


class ModelParts(_Frozen):
    """The graph in three: `vision` gives what pictures say, `audio` what sound says, `fusion` the whole graph's answers
    from these, masks, sensors and memory. Together they compute what the whole does; a part need not run where its
    input did not change."""

    vision: ModelFile = Field(validation_alias=AliasChoices("vision", "see"))  # the second is of folders before 0.3.0
    audio: ModelFile = Field(validation_alias=AliasChoices("audio", "hear"))
    fusion: ModelFile = Field(validation_alias=AliasChoices("fusion", "fuse"))


class VideoGeometry(_Frozen):
    """``frames`` pictures of ``height`` x ``width`` at ``fps``, letterboxed with the grey value ``pad``."""

    fps: Positive
    frames: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=16, le=4096)]
    height: Annotated[int, Field(ge=16, le=4096)]
    pad: Annotated[int, Field(ge=0, le=255)] = 114


class AudioGeometry(_Frozen):
    """The newest ``window_s`` of mono sound at ``rate_hz``."""

    rate_hz: Annotated[int, Field(ge=8000, le=96000)]
    window_s: Positive

    @property
    def samples(self) -> int:
        """Samples in one window."""
        return round(self.rate_hz * self.window_s)


class SensorChannel(_Frozen):
    """One sensor input; readings enter the graph as ``(value - mean) / std``."""

    name: str
    unit: str
    mean: float
    std: Positive


class MemoryGeometry(_Frozen):
    """The fused tokens of a camera's last hops that come back as an input."""

    tokens: Annotated[int, Field(ge=1)]
    dim: Annotated[int, Field(ge=1)]


class Geometry(_Frozen):
    """What one call of the model looks at, for every row (one camera, one hop)."""

    hop_s: Positive
    video: VideoGeometry
    audio: AudioGeometry
    sensors: tuple[SensorChannel, ...] = ()
    memory: MemoryGeometry

    @property
    def hop_ns(self) -> int:
        """Nanoseconds between two windows."""
        return nanoseconds(self.hop_s)

    @property
    def frame_ns(self) -> int:
        """Nanoseconds between two pictures at the model's rate."""
        return nanoseconds(1 / self.video.fps)

    @property
    def slack_ns(self) -> int:
        """How far a picture may lie past its grid point and still belong to it: containers round times."""
        return self.frame_ns // 50


class Label(_Frozen):
    """One event the model knows, what can evidence it, and thresholds that suit it."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    modalities: tuple[Modality, ...]
    enter: Probability = 0.6
    leave: Probability = 0.4
    min_s: Annotated[float, Field(ge=0)] = 1.0


class Manifest(_Frozen):
    """A model folder's `model.yaml`."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    name: str
    version: str
    file: str
    sha256: Sha256
    licence: str
    golden: GoldenSpec
    parts: ModelParts | None = None
    geometry: Geometry
    labels: tuple[Label, ...]
    classes: tuple[str, ...] = ()
    tags: str = ""
    picture_tags: str = ""

    @model_validator(mode="after")
    def _unique_labels(self) -> Manifest:
        names = [label.name for label in self.labels]
        if len(set(names)) != len(names):
            raise ValueError("labels must have different names")
        return self

    @property
    def label_names(self) -> tuple[str, ...]:
        """Label names in the order of the graph's outputs."""
        return tuple(label.name for label in self.labels)

    def with_labels(self, labels: Iterable[Label]) -> Manifest:
        """This manifest with further labels; one of a name that is there takes its place. For what looks at scores,
        never for the graph."""
        known = {label.name: label for label in self.labels} | {label.name: label for label in labels}
        return self.model_copy(update={"labels": tuple(known.values())})


def object_classes_of(names: Iterable[str]) -> frozenset[str]:
    """The object classes that people mean: those of a label (``vehicle``), or one by its name (``cell_phone``)."""
    return frozenset(one for name in names for one in CLASSES_BY_LABEL.get(name, (name.replace("_", " "),)))


class ModelFolder:
    """A folder with `model.yaml`, the graph and its golden file; digests are checked before anything is used."""

    def __init__(
        self, path: Path, manifest: Manifest, tag_names: tuple[str, ...], picture_tag_names: tuple[str, ...] = ()
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.tag_names = tag_names
        self.picture_tag_names = picture_tag_names

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.path / self.manifest.file

    @property
    def parts(self) -> tuple[Part, ...]:
        """The graphs that make up the model on a CPU: its three parts, or the whole where it has none."""
        return ("whole",) if self.manifest.parts is None else GRAPH_PARTS

    def graph_of(self, part: Part) -> Path:
        """The ONNX file of ``part``; ModelError where the model has no parts."""
        if part == "whole":
            return self.graph
        parts = self.manifest.parts
        if parts is None:
            raise ModelError(f"{self.path}: the model has no graph for {part!r} alone; use the whole graph")
        return self.path / {"vision": parts.vision, "audio": parts.audio, "fusion": parts.fusion}[part].file

    @property
    def golden(self) -> Path:
        """The golden inputs and outputs."""
        return self.path / self.manifest.golden.file

    def verify(self) -> None:
        """Compare the graph, its parts and the golden file with their digests; ModelError names what differs."""
        parts = () if (p := self.manifest.parts) is None else (p.vision, p.audio, p.fusion)
        files = [(self.path / part.file, part.sha256) for part in parts]
        for path, expected in ((self.graph, self.manifest.sha256), (self.golden, self.manifest.golden.sha256), *files):
            found = sha256_of(path)
            if found != expected:
                raise ModelError(
                    f"{path}: sha256 is {found[:12]}…, model.yaml says {expected[:12]}…; "
                    "the file is damaged or was exchanged: restore the model folder (git checkout, or install again)"
                )


def sha256_of(path: Path) -> str:
    """Hex digest of a file; ModelError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); restore the model folder") from error
    return digest.hexdigest()


def load_folder(path: Path) -> ModelFolder:
    """Read and check `model.yaml` in ``path``; ModelError says what is wrong. Digests: `ModelFolder.verify`."""
    source = path / "model.yaml"
    try:
        raw = yaml.safe_load(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{source}: cannot be read ({error.strerror}); is this a model folder?") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelError(f"{source}: not readable as YAML: {error}") from error
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ModelError(f"{source}: {faults}") from error
    return ModelFolder(path, manifest, _read_names(path, manifest.tags), _read_names(path, manifest.picture_tags))


def find_folder(name: str, search: list[Path] | None = None) -> Path:
    """The folder of model ``name`` (or ``name`` itself when it is a path); ModelError lists where was looked."""
    if "/" in name:
        return Path(name)
    package = Path(__file__).resolve().parent.parent
    places = search or [package.parent / "engines", package / "_engines"]
    for place in places:
        if (place / name / "model.yaml").is_file():
            return place / name
    known = sorted({child.name for place in places if place.is_dir() for child in place.iterdir() if child.is_dir()})
    searched, known_text = ", ".join(map(str, places)), ", ".join(known) or "none"
    raise ModelError(f"no model named {name!r} in {searched}; there is: {known_text}")


def _read_names(path: Path, file: str) -> tuple[str, ...]:
    """The lines of a list of names; none where the manifest has no such file."""
    if not file:
        return ()
    source = path / file
    try:
        return tuple(line for line in source.read_text(encoding="utf-8").splitlines() if line)
    except OSError as error:
        raise ModelError(f"{source}: cannot be read ({error.strerror}); restore the model folder") from error
