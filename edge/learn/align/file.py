"""From encoders to what prompts need: `align.pt` for the graph, and `text.npz` for the model folder.

    fit(engine, data, packages, photos).save(folder)   # align.pt and align_text.npz, with an exported graph's encoders
    ...                                                # load_align(folder / "align.pt") into the network; export
    write_text(engine, folder)                         # text.npz beside the graph: it names the graph's digest

Both belong to one sound and picture encoder: what is ordinary was measured with it. Fit again after training either;
the first graph may be one without `align`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from edge.engine.contract import dtype_of
from edge.engine.manifest import ModelFolder, load_folder
from edge.learn.align.fit import fit_calibration
from edge.learn.align.net import Align, load_align
from edge.learn.align.sounds import load_ordinary
from edge.learn.align.space import Heard, Listen, TextSpace, hear, start, train
from edge.learn.align.text import KINDS, Phrase, phrases_of
from edge.learn.nets.image import PICTURE_TAGS
from edge.learn.scenes.backgrounds import load_backgrounds
from edge.profile import Part, load_part, save_part
from edge.prompts.encoder import TextEncoder, find_text_model
from edge.prompts.ground import plain
from edge.prompts.knowledge import FILE, SCHEMA, Calibration, Knowledge, names_in
from edge.types import F32, U8

Look = Callable[[U8], tuple[F32, F32]]
"""Pictures u8 [n,256,448,3] -> log-odds of the picture tags [n,1000] and of the classes' best boxes [n,80]."""
KEPT: Final = 600  # ordinary windows that text.npz keeps
SAME: Final = 0.995  # cosine between the graph's answer and this module's, 16-bit weights and all
TEXT_PART: Final = "align_text.npz"
_EDGE: Final = 1e-7
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The module for the graph and everything for text.npz but the graph's digest."""

    align: Align
    text: Part

    def save(self, folder: Path) -> None:
        """Write align.pt and align_text.npz."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.align.state_dict(), folder / "align.pt")
        save_part(folder / TEXT_PART, self.text)


def fit(
    engine: Path, data: Path, packages: Path, photos: Path | None, *, windows: int = 3000, pictures: int = 450,
    seed: int = 5,
) -> Fitted:  # fmt: skip
    """Measure what is ordinary, train the space, calibrate. Only open material; about ten minutes on one core."""
    folder = load_folder(engine)
    senses = Senses(folder.graph)
    heard = hear(senses.listen, load_ordinary(data, packages), windows, seed)
    seen = see(senses.look, data, photos, pictures, seed)
    manifest = folder.manifest
    phrases = phrases_of(folder.tag_names, manifest.classes, folder.picture_tag_names, manifest.label_names)
    encoder = TextEncoder(find_text_model())
    embeddings = encoder.encode([plain(phrase.text) for phrase in phrases])
    return assemble(folder, heard, seen, phrases, embeddings, encoder, senses.listen, data)


def assemble(
    folder: ModelFolder, heard: Heard, seen: F32, phrases: list[Phrase], embeddings: F32, encoder: TextEncoder,
    listen: Listen, data: Path,
) -> Fitted:  # fmt: skip
    """From what was heard and seen to the fitted parts."""
    net, space = start(heard, seen, phrases, embeddings)
    space = train(net, space, heard, phrases, embeddings)
    knowledge = know(folder, net.eval(), space, heard, seen, phrases, embeddings)
    calibration = fit_calibration(knowledge, encoder, net, listen, data)
    net.settle()
    return Fitted(net, part_of(replace(knowledge, calibration=calibration)))


def know(
    folder: ModelFolder, net: Align, space: TextSpace, heard: Heard, seen: F32, phrases: list[Phrase], embeddings: F32
) -> Knowledge:
    """What the service will read from text.npz, not yet calibrated."""
    usual, scale = net.heard_usual.numpy().copy(), net.heard_scale.numpy().copy()
    alike = np.corrcoef((heard.tags - usual).T)
    with torch.no_grad():
        probable = torch.sigmoid(torch.from_numpy(seen))
        looks = net.of_picture(probable[:, :PICTURE_TAGS], probable[:, PICTURE_TAGS:]).numpy()
        sounds = net.of_sound(torch.from_numpy(heard.tags[:KEPT])).numpy()
    spread = _spread(sounds, space.of(embeddings[[p.kind == "tags" for p in phrases]]))
    spread_seen = _spread(looks, space.of(embeddings[[p.kind != "tags" for p in phrases]]))
    return Knowledge(
        names_in(folder),
        embeddings,
        np.array([KINDS.index(p.kind) for p in phrases], np.uint8),
        np.array([p.index for p in phrases], np.int64),
        usual, scale, np.asarray(alike, np.float32), space.mean, space.basis, sounds, looks,
        Calibration(1.0, 0.0, 1.0, spread, spread_seen),
    )  # fmt: skip


def _spread(windows: F32, words: F32) -> float:
    """How far a word's cosine reaches above its median over these windows: the 0.9 quantile, of the median word."""
    cosines = windows @ words.T
    return float(np.median(np.quantile(cosines, 0.9, axis=0) - np.median(cosines, axis=0)))


def part_of(knowledge: Knowledge) -> Part:
    """The arrays as they are stored: phrases and correlations in 8 bits, vectors in 16."""
    largest = np.abs(knowledge.phrases).max(1, keepdims=True)
    arrays: dict[str, NDArray[np.generic]] = {
        "phrases": np.round(knowledge.phrases / largest * 127).astype(np.int8),
        "kind": knowledge.kind,
        "index": knowledge.index.astype(np.uint16),
        "usual": knowledge.usual,
        "scale": knowledge.scale,
        "alike": np.round(knowledge.alike * 127).astype(np.int8),
        "mean": knowledge.mean,
        "basis": knowledge.basis.astype(np.float16),
        "ordinary_heard": knowledge.ordinary_heard.astype(np.float16),
        "ordinary_seen": knowledge.ordinary_seen.astype(np.float16),
    }
    labels = [name for n, name in enumerate(knowledge.names["labels"]) if n in _spoken(knowledge)]
    facts = {"schema": SCHEMA, "calibration": asdict(knowledge.calibration), "labels": labels}
    return Part(arrays, facts)


def write_text(engine: Path, fitted: Path) -> Path:
    """Put text.npz into a model folder whose graph was exported with this align.pt; the path."""
    folder = load_folder(engine)
    part = load_part(fitted / TEXT_PART)
    _check_labels(folder, part)
    _check_align(folder, load_align(fitted / "align.pt"))
    path = engine / FILE
    save_part(path, Part(part.arrays, {**part.facts, "graph_sha256": folder.manifest.sha256}))
    return path


def see(look: Look, data: Path, photos: Path | None, count: int, seed: int) -> F32:
    """Log-odds [n,1080] of ordinary open pictures: picture tags, then classes."""
    found = []
    for held_out, share in ((False, 2 / 3), (True, 1 / 3)):
        places = load_backgrounds(data, photos, held_out)
        rng = np.random.default_rng(seed + held_out)
        found += [np.concatenate(look(places.draw(rng, 1, rooms=0.1)), 1) for _ in range(round(count * share))]
    return np.concatenate(found)


class Senses:
    """The encoders of an exported graph, the two of them apart."""

    def __init__(self, graph: Path) -> None:
        self._sound = _Piece(graph, ("tags",))
        self._picture = _Piece(graph, ("picture_tags", "classes"))

    def listen(self, waves: F32) -> F32:
        """Windows [n,64000] -> log-odds of the tags [n,527]."""
        (tags,) = self._sound.run(audio=waves, audio_ok=np.ones(len(waves), np.float32))
        return _log_odds(tags)

    def look(self, pictures: U8) -> tuple[F32, F32]:
        """Pictures u8 [n,256,448,3] -> log-odds of picture tags [n,1000] and classes [n,80]."""
        frames = np.stack([pictures, pictures], 1)
        tags, classes = self._picture.run(frames=frames, video_ok=np.ones(frames.shape[:2], np.float32))
        return _log_odds(tags), _log_odds(classes)


class _Piece:
    """What leads to these outputs of a graph, on one thread. Inputs that are not given are zero."""

    def __init__(self, graph: Path, outputs: tuple[str, ...]) -> None:
        import onnx
        import onnxruntime as ort

        model = onnx.load(str(graph))
        inputs = [tensor.name for tensor in model.graph.input]
        piece = onnx.utils.Extractor(model).extract_model(inputs, list(outputs))
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(piece.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(self, **given: NDArray[Any]) -> list[F32]:
        rows = len(next(iter(given.values())))
        feed = {
            tensor.name: given.get(tensor.name, np.zeros((rows, *tensor.shape[1:]), dtype_of(tensor.type)))
            for tensor in self._session.get_inputs()
        }
        return [np.asarray(value, np.float32) for value in self._session.run(None, feed)]


def _log_odds(p: F32) -> F32:
    held = np.clip(p.astype(np.float64), _EDGE, 1 - _EDGE)
    return np.asarray(np.log(held) - np.log1p(-held), np.float32)


def _spoken(knowledge: Knowledge) -> set[int]:
    return {int(n) for n in knowledge.index[knowledge.kind == KINDS.index("labels")]}


def _check_labels(folder: ModelFolder, part: Part) -> None:
    """Indices of labels were taken before the export: its labels must be the same."""
    kinds, index = part.arrays["kind"], part.arrays["index"]
    there = sorted({int(n) for n in index[kinds == KINDS.index("labels")]})
    names = folder.manifest.label_names
    if [names[n] if n < len(names) else "" for n in there] != list(part.facts["labels"]):
        raise ValueError(f"the graph's labels {names} are not those that align was fitted with; fit again")


def _check_align(folder: ModelFolder, align: Align) -> None:
    """The graph's golden answers must be this module's: another align.pt would mean other directions."""
    with np.load(folder.golden) as golden:
        tags, aligned = golden["out_tags"], golden["out_aligned"][:, 1]
    there = np.linalg.norm(aligned, axis=1) > 0.5
    with torch.no_grad():
        expected = align.of_sound(torch.from_numpy(_log_odds(tags))).numpy()
    closeness = (expected * aligned).sum(1)[there]
    if not there.any() or closeness.min() < SAME:
        raise ValueError(
            f"{folder.graph}: was exported without this align.pt; load it into the network and export again"
        )
