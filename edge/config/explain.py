"""Describes faults of a configuration: line, key, what is wrong and what to do; without credentials. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from edge.config.yaml_reader import KeyPath

MOST_PROBLEMS = 50
_NAMED = re.compile(r"([A-Za-z0-9_.-]+): (.*)", re.DOTALL)
_LONGEST_NAME = 64
_TYPED_TOO_MUCH = 3  # letters
_KINDS = frozenset({"file", "rtsp", "v4l2", "gstreamer", "device", "SensorTopic"})  # pydantic's tags of a union
LONGEST_MESSAGE = 400
HIDDEN = "…"
_LONGEST_KEY = 64
_SHORTEST_SECRET = 4  # shorter ones are parts of ordinary words
_SECRET_KEY = re.compile(r"(pass|pwd|secret|token|api.?key|credential|pipeline|\burl)(?!.*_file$)", re.IGNORECASE)
_LOGIN = re.compile(r"://(.*)@", re.DOTALL)
_PLAIN_KEY = re.compile(r"[\w .-]+")


def name_hint(name: str, valid: Sequence[str]) -> str:
    """A hint that names the closest valid name, or all when none is close."""
    close = closest_name(name, valid)
    return f"did you mean {close!r}?" if close else f"valid: {', '.join(sorted(valid))}"


def closest_name(name: str, valid: Sequence[str]) -> str | None:
    """The valid name that ``name`` is nearly."""
    matches = difflib.get_close_matches(name, valid, n=1) if len(name) <= _LONGEST_NAME else []
    return matches[0] if matches else None


@dataclass(frozen=True)
class ConfigSourceMap:
    """The lines of a configuration's keys, and the secrets that must not be shown."""

    path: Path
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    def fault(self, key: KeyPath, message: str, *, shown: KeyPath | None = None) -> str:
        """One problem as a line: file, line, key (as ``shown``) and message."""
        where = key
        while where and where not in self.lines:
            where = where[:-1]
        line = f":{self.lines[where]}" if where else ""
        dotted = ".".join(display_key(part, self.secrets) for part in shown or key)
        return f"{self.path}{line}: {dotted + ': ' if dotted else ''}{redact(message, self.secrets)}"

    def format_problems(
        self,
        root: type[BaseModel],
        faults: Sequence[tuple[KeyPath, str]],
        errors: Sequence[Mapping[str, Any]] = (),
        known: Mapping[KeyPath, str] | None = None,
    ) -> list[str]:
        """``faults`` and pydantic's errors for a ``root``, as lines; of very many only the first.

        ``known``: reasons by key, instead of pydantic's.
        """
        lines = [self.fault(key, message) for key, message in faults[:MOST_PROBLEMS]]
        lines += [self._explain(root, error, known or {}) for error in errors[: MOST_PROBLEMS - len(lines)]]
        left = len(faults) + len(errors) - len(lines)
        return [*lines, *([f"{self.path}: {left} more problems like these"] if left else [])]

    def _explain(self, root: type[BaseModel], error: Mapping[str, Any], known: Mapping[KeyPath, str]) -> str:
        loc: KeyPath = tuple(error["loc"])
        message = str(error["msg"]).removeprefix("Value error, ")
        if not loc and (named := _NAMED.match(message)):  # from comparing sections with each other
            loc, message = tuple(named[1].split(".")), named[2]
        kind = error["type"]
        if kind == "extra_forbidden":
            return self._unknown_key(root, loc, error.get("input"))
        if kind == "missing":
            message = "is missing"
        elif kind == "string_type" and isinstance(error.get("input"), bool | int | float):
            message = "must be text; put it in quotes (YAML reads off, on, yes, no and 1:30 as something else)"
        elif kind == "union_tag_invalid":
            message = _no_such_type(error)
        elif kind == "string_pattern_mismatch" and loc and loc[-1] == "[key]":
            message = "names are letters, digits, - and _, at most 64"
            if loc[0] == "prompts":
                message = "event names are lower-case letters, digits and _, and start with a letter"
        key = self._as_written(loc)
        return self.fault(key, known.get(key, message))

    def _unknown_key(self, root: type[BaseModel], loc: KeyPath, value: Any) -> str:
        key, name, valid = self._as_written(loc), str(loc[-1]), _keys_at(root, loc[:-1])
        if (glued := key_without_space(name)) is not None:
            return self.fault(key, f"a space is missing after the colon: write `{glued}: …`")
        close = closest_name(name, valid)
        if value is None or (is_secret_key(name) and len(name) > len(close or "") + _TYPED_TOO_MUCH):
            # a value with a comma in it, or glued to its key: perhaps a password
            message = (
                f"unknown key; {f'did you mean {close!r}?' if close else 'a value with , or { in it needs quotes'}"
            )
            return self.fault(key, message, shown=(*key[:-1], HIDDEN))
        return self.fault(key, f"unknown key; {name_hint(name, valid)}")

    def _as_written(self, key: KeyPath) -> KeyPath:
        """The path as written in the file: pydantic's union tags and markers left out."""
        written: KeyPath = ()
        for i, part in enumerate(key):
            is_last = i == len(key) - 1
            if part != "[key]" and ((*written, part) in self.lines or (is_last and not _is_tag(part))):
                written = (*written, part)
        return written


def all_keys(root: type[BaseModel]) -> frozenset[str]:
    """The names of all keys of a model and of the models inside it."""
    inside = [model for field in root.model_fields.values() for model in _models(field.annotation)]
    return frozenset(root.model_fields).union(*map(all_keys, inside))


def _no_such_type(error: Mapping[str, Any]) -> str:
    written_type = error["input"].get("type") if isinstance(error["input"], Mapping) else None
    return (
        f"there is no such type; "
        f"{name_hint(str(written_type), re.findall(r'[a-z0-9]+', error['ctx']['expected_tags']))}"
    )


def _is_tag(part: str | int) -> bool:
    return isinstance(part, str) and ("[" in part or part in _KINDS)


def _keys_at(root: type[BaseModel], key: KeyPath) -> list[str]:
    """The keys that the model at ``key`` below ``root`` knows."""
    kinds: list[Any] = [root]
    for part in key:
        kinds = [inner for kind in kinds for inner in _step(kind, part)]
    models = [model for kind in kinds for model in _models(kind)]
    return [name for model in models for name in model.model_fields]


def _step(kind: Any, part: str | int) -> list[Any]:
    below: list[Any] = []
    for model in _models(kind):
        if part in model.model_fields:
            below.append(model.model_fields[str(part)].annotation)
        elif "type" in model.model_fields and part in get_args(model.model_fields["type"].annotation):
            below.append(model)
    return below or [a for a in _flat(kind) if not isinstance(a, type) or a is not kind]


def _models(kind: Any) -> list[type[BaseModel]]:
    return [k for k in _flat(kind) if isinstance(k, type) and issubclass(k, BaseModel)]


def _flat(kind: Any) -> list[Any]:
    """A type and everything inside its unions, dicts and annotations."""
    return [kind, *(inner for arg in get_args(kind) for inner in _flat(arg))]


def find_credentials(value: Any, key: str = "") -> frozenset[str]:
    """Every text in ``value`` that is a credential by its key or its look: logins in URLs, words after a colon."""
    return frozenset(found for found in _walk(value, key) if len(found) >= _SHORTEST_SECRET)


def redact(message: str, secrets: Iterable[str]) -> str:
    """``message`` on one line, with ``***`` for ``secrets``, cut when it is too long."""
    for secret in sorted(secrets, key=len, reverse=True):
        for form in {secret, repr(secret)[1:-1]}:
            message = re.sub(re.escape(form), "***", message, flags=re.IGNORECASE)
    line = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in message[: 2 * LONGEST_MESSAGE])
    return line if len(message) <= LONGEST_MESSAGE else f"{line[:LONGEST_MESSAGE]}…"


def display_key(part: str | int, secrets: Iterable[str] = ()) -> str:
    """A part of a key path that is safe to show: for a key with a value glued to it, the text before the colon."""
    text = str(part)
    plain = text if _PLAIN_KEY.fullmatch(text) else _before_colon(text) + HIDDEN
    plain = plain if len(plain) <= _LONGEST_KEY else f"{plain[:_LONGEST_KEY]}…"
    return HIDDEN if any(secret.lower() in plain.lower() for secret in secrets) else plain


def is_secret_key(name: str) -> bool:
    """Whether the value of this key is a credential."""
    return _SECRET_KEY.search(name) is not None


def key_without_space(part: str | int) -> str | None:
    """The intended key when the space after its colon is missing: ``url:rtsp://h``."""
    text = str(part)
    return _before_colon(text)[:-1] if ":" in text and _before_colon(text) else None


def _before_colon(text: str) -> str:
    head, colon, _ = text.partition(":")
    return head + colon if colon and _PLAIN_KEY.fullmatch(head) else ""


def _walk(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _walk(below, str(name))
            if isinstance(name, str):
                yield from _url_logins(name)
                _, colon, rest = name.partition(":")
                if colon:
                    yield rest.strip()
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _walk(below, key)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        if is_secret_key(key):
            yield str(value)
        yield from _url_logins(str(value))


def _url_logins(text: str) -> Iterator[str]:
    """The login of a URL, whole, and the password in it as the two usual mistakes cut it."""
    if login := _LOGIN.search(text):
        yield login[1]
        _, colon, password = login[1].partition(":")
        if colon:
            yield password
            yield from password.split("@")
