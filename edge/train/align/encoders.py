"""A model's encoders with the names of what they recognise: of an exported graph, or of a network in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from edge.engine.contract import dtype_of
from edge.engine.manifest import ModelFolder
from edge.prompts.grounding import ConceptKind, concept_names
from edge.train.labels import COCO, LABEL_NAMES
from edge.train.nets.network import FusedNet
from edge.types import F32, U8

ConceptNames = Mapping[ConceptKind, Sequence[str]]
_EPSILON: Final = 1e-7


class NamedEncoders(Protocol):
    """What prompts rest on: the names of the outputs, and the encoders of sound and picture."""

    names: ConceptNames

    def encode_sound(self, waves: F32) -> F32:
        """Windows [n,64000] -> log-odds of the tags [n,527]."""

    def encode_pictures(self, pictures: U8) -> tuple[F32, F32]:
        """Pictures u8 [n,256,448,3] -> log-odds of picture tags [n,1000] and of the classes' best boxes [n,80]."""


class NetworkEncoders:
    """The encoders of a network in torch, as the exported graph would answer."""

    def __init__(self, net: FusedNet, tags: Sequence[str], picture_tags: Sequence[str]) -> None:
        self.names: ConceptNames = {
            "tags": tuple(tags), "classes": tuple(COCO), "picture_tags": tuple(picture_tags), "labels": LABEL_NAMES,
        }  # fmt: skip
        self._net = net.eval()

    def encode_sound(self, waves: F32) -> F32:
        """Windows [n,64000] -> log-odds of the tags [n,527]."""
        with torch.no_grad():
            tags = torch.sigmoid(self._net.audio(torch.from_numpy(np.asarray(waves, np.float32))).logits)
        return clipped_log_odds(tags.numpy())

    def encode_pictures(self, pictures: U8) -> tuple[F32, F32]:
        """Pictures u8 [n,256,448,3] -> log-odds of picture tags [n,1000] and classes [n,80]."""
        frames = torch.from_numpy(np.stack([pictures, pictures], 1))
        with torch.no_grad():
            seen = self._net.encode_vision(frames, torch.ones(frames.shape[:2]))
            tags = self._net.lite.class_probabilities(seen.top)
        return clipped_log_odds(tags.numpy()), clipped_log_odds(seen.classes.numpy())


class GraphEncoders:
    """The encoders of an exported model, the two of them apart."""

    def __init__(self, folder: ModelFolder) -> None:
        self.names: ConceptNames = concept_names(folder)
        self._sound = _Subgraph(folder.graph, ("tags",))
        self._picture = _Subgraph(folder.graph, ("picture_tags", "classes"))

    def encode_sound(self, waves: F32) -> F32:
        """Windows [n,64000] -> log-odds of the tags [n,527]."""
        (tags,) = self._sound.run(audio=waves, audio_ok=np.ones(len(waves), np.float32))
        return clipped_log_odds(tags)

    def encode_pictures(self, pictures: U8) -> tuple[F32, F32]:
        """Pictures u8 [n,256,448,3] -> log-odds of picture tags [n,1000] and classes [n,80]."""
        frames = np.stack([pictures, pictures], 1)
        tags, classes = self._picture.run(frames=frames, video_ok=np.ones(frames.shape[:2], np.float32))
        return clipped_log_odds(tags), clipped_log_odds(classes)


class _Subgraph:
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

    def run(self, **inputs: NDArray[Any]) -> list[F32]:
        rows = len(next(iter(inputs.values())))
        feed = {
            tensor.name: inputs.get(tensor.name, np.zeros((rows, *tensor.shape[1:]), dtype_of(tensor.type)))
            for tensor in self._session.get_inputs()
        }
        return [np.asarray(value, np.float32) for value in self._session.run(None, feed)]


def clipped_log_odds(p: F32) -> F32:
    """Log-odds of probabilities, finite at 0 and 1."""
    held = np.clip(p.astype(np.float64), _EPSILON, 1 - _EPSILON)
    return np.asarray(np.log(held) - np.log1p(-held), np.float32)
