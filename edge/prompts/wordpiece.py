"""Text -> word pieces, as BERT's uncased vocabulary wants them (Devlin et al. 2019; the published `BasicTokenizer` and
`WordpieceTokenizer`). Pure text; a hundred lines that spare an edge box a compiled tokenizer and what that pulls in."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence

LONGEST_WORD = 100  # characters; a longer word is unknown, as in the published tokenizer
UNKNOWN, FIRST, LAST = "[UNK]", "[CLS]", "[SEP]"


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
