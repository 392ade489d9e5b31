"""Text becomes the same word pieces as with the published tokenizer."""

from __future__ import annotations

import pytest

from edge.prompts.encoder import WordPieceTokenizer, basic_tokens

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "glass", "break", "##ing", "##s", "a", "!", "cafe", "东"]


def said(text: str, most: int = 32) -> list[str]:
    return [PIECES[n] for n in WordPieceTokenizer(PIECES).encode(text, most)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Glass breaking!", ["glass", "breaking", "!"]),
        ("naïve  Café\t", ["naive", "cafe"]),
        ("tick-tock", ["tick", "-", "tock"]),
        ("东京x", ["东", "京", "x"]),
        ("a\u200db\x00c", ["abc"]),
        ("", []),
    ],
)
def test_words_are_plain_and_punctuation_stands_alone(text: str, expected: list[str]) -> None:
    assert basic_tokens(text) == expected


def test_a_word_is_put_together_from_the_longest_pieces() -> None:
    assert said("Breaking GLASS") == ["[CLS]", "break", "##ing", "glass", "[SEP]"]


def test_a_word_that_cannot_be_put_together_is_unknown_as_a_whole() -> None:
    assert said("breaking glassy") == ["[CLS]", "break", "##ing", "[UNK]", "[SEP]"]
    assert said("a" * 101) == ["[CLS]", "[UNK]", "[SEP]"]


def test_what_is_too_long_is_cut_and_still_ends() -> None:
    assert said("a a a a a", most=4) == ["[CLS]", "a", "a", "[SEP]"]


def test_a_vocabulary_without_its_special_pieces_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[CLS\]"):
        WordPieceTokenizer(["[UNK]", "[SEP]", "a"])
