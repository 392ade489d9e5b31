"""What the documents refer to, and which of it does not exist. Each check gives sentences, one a fault."""

from __future__ import annotations

import argparse
import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

_FENCE = re.compile(r"^ *(```|~~~)[^\n]*\n(.*?)^ *\1", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\]\(\s*<?([^()\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_PATH = re.compile(
    r"(?<![\w./<>-])(?:/opt/edge/)?((?:\.ci|docs|edge|engines|packaging|samples|scripts|systemd|tests)"
    r"/[a-z0-9_*][\w*./-]*)(?![\w<>{+#…$*=])"
)
_MODULE = re.compile(r"^(?:python -m )?(edge(?:\.[a-z_0-9]+)+(?:\.[A-Z]\w*)?(?:\.\w+)?)(?:\(\))?$")
_UNITS = {"service", "conf", "sysusers", "tmpfiles", "yaml", "example"}
_SHELL = ("$", "apt ", "journalctl ", "pip ", "python", "systemctl ")
_MADE_HERE = ("engines/fused/built", "scripts/peers/.venv", "docs/x", "edge/x", "scripts/x", "tests/x")
_CAMEL = re.compile(r"^[A-Z][a-z]+(?:[A-Z][a-z0-9]*)+(?=$|\.|\()")
_COMMAND = re.compile(  # after a path, or where a command may begin
    r"(?:/bin/|(?:^|[$;&|(]|\bsudo|\bnice|-- |\b[A-Z_]+=\S+) *)edge((?: +(?:[^\s#|;&()\\]|\\\|)+)+)"
)


@dataclass(frozen=True)
class Document:
    """One Markdown file below ``root``."""

    root: Path
    path: Path

    @property
    def name(self) -> str:
        """The path as seen from the root."""
        return str(self.path.relative_to(self.root))

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """Without blocks of code."""
        return _FENCE.sub("", self.text)

    @cached_property
    def blocks(self) -> list[str]:
        """The blocks of code."""
        return [textwrap.dedent(body) for _, body in _FENCE.findall(self.text)]

    @cached_property
    def spans(self) -> list[str]:
        """The pieces of code within sentences, line breaks as blanks."""
        return [" ".join(body.split()) for _, body in _SPAN.findall(self.prose)]

    @cached_property
    def links(self) -> list[str]:
        """The targets of links and pictures."""
        return _LINK.findall(_SPAN.sub(lambda m: "x" * len(m[0]), self.prose))

    @cached_property
    def anchors(self) -> set[str]:
        """The names of its headings, as GitHub makes them."""
        found: dict[str, int] = {}
        for line in self.prose.splitlines():
            if heading := re.match(r"#{1,6} +(.*?)#* *$", line):
                title = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
                slug = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
                found[slug] = found.get(slug, -1) + 1
        return {slug if n == 0 else f"{slug}-{n}" for slug, last in found.items() for n in range(last + 1)}


def documents(root: Path) -> list[Document]:
    """Every Markdown file of the repository, but those of folders that are made."""
    hidden = {"node_modules", "var", "tune", "build", "dist"}
    paths = sorted(root.rglob("*.md"))
    return [
        Document(root, p) for p in paths if not any(part.startswith(".") or part in hidden for part in parts(root, p))
    ]


def parts(root: Path, path: Path) -> tuple[str, ...]:
    """The folders between both."""
    return path.relative_to(root).parts[:-1]


def dead_links(document: Document) -> Iterator[str]:
    """Relative links whose file or heading is not there."""
    for target in document.links:
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (document.path.parent / unquote(file)).resolve() if file else document.path
        if not path.exists() or not path.is_relative_to(document.root):
            yield f"{document.name}: the link {target} leads nowhere"
        elif anchor and (path.suffix != ".md" or anchor not in Document(document.root, path).anchors):
            yield f"{document.name}: there is no heading for {target}"


def dead_paths(root: Path, text: str, name: str) -> Iterator[str]:
    """Paths of the repository, such as edge/clock.py, that do not exist; the end of a name may be left out."""
    for found in _PATH.findall(text):
        path = found.rstrip(".-/")
        if path.startswith(_MADE_HERE) or _is_topic(root, found.rstrip(".-")):
            continue
        if not any(any(root.glob(f"{path}{ending}")) for ending in ("", ".*", "-*")):
            yield f"{name}: {path} does not exist"


def _is_topic(root: Path, path: str) -> bool:
    """Whether ``edge/a/b`` is an MQTT topic: topics name no file, and their second part is no folder of the program."""
    room = path.split("/")[1]
    is_ours = (root / "edge" / room).exists() or path.endswith((".py", "/"))
    return path.startswith("edge/") and not is_ours


def dead_modules(root: Path, document: Document) -> Iterator[str]:
    """Modules, and names in them, that do not exist, in code within sentences."""
    for span in document.spans:
        match = _MODULE.match(span)
        if match is None or match[1].split(".")[1] in _UNITS:
            continue
        names = match[1].split(".")
        while names and not _is_module(root, names):
            names.pop()
        rest = match[1].split(".")[len(names) :]
        if not names or len(rest) > 2 or (rest and not _defines(root, names, rest[0])):
            yield f"{document.name}: there is no {match[1]}"


def _is_module(root: Path, names: list[str]) -> bool:
    path = root.joinpath(*names)
    return path.is_dir() or path.with_suffix(".py").is_file()


def _defines(root: Path, names: list[str], name: str) -> bool:
    path = root.joinpath(*names)
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return path.is_file() and re.search(rf"\b{re.escape(name)}\b", path.read_text(encoding="utf-8")) is not None


def class_names(root: Path) -> set[str]:
    """The names of all classes and type aliases of the program."""
    found = set()
    for path in (root / "edge").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"^ *class (\w+)", text, re.MULTILINE))
        found |= set(re.findall(r"^([A-Z]\w+)(?:: TypeAlias)? =", text, re.MULTILINE))
    return found


def dead_classes(document: Document, known: set[str]) -> Iterator[str]:
    """Names written like classes, in code within sentences, that the program does not have."""
    for span in document.spans:
        name = _CAMEL.match(span)
        if name is not None and name[0] not in known:
            yield f"{document.name}: there is no class {name[0]}"


def dead_commands(document: Document, parser: argparse.ArgumentParser) -> Iterator[str]:
    """`edge` commands, sub-commands and options that the parser does not know."""
    lines = (line.partition(" #")[0] for block in document.blocks for line in block.splitlines())
    for piece in (*document.spans, *lines):
        for said in _COMMAND.findall(piece):
            fault = _unknown(parser, said.split())
            if fault:
                yield f"{document.name}: edge{said}: {fault}"


def _unknown(parser: argparse.ArgumentParser, words: list[str]) -> str:
    for word in words:
        commands = next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
        name = word.strip("[]`,.:…")
        if word == "--":
            return ""
        if word.startswith(("-", "[-")):
            if name.partition("=")[0] not in parser._option_string_actions:
                return f"there is no option {name}"
        elif commands is not None:
            if not re.fullmatch(r"[a-z]+(?:\\?\|[a-z]+)*", name):
                return ""
            names = re.split(r"\\?\|", name)
            if missing := [n for n in names if n not in commands]:
                return f"there is no command {missing[0]}"
            parser = commands[names[0]]
    return ""


def messages(root: Path) -> str:
    """All strings of the program, one a line; what is put into them stands as …"""
    found = []
    for path in sorted((root / "edge").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%(?:\.\d+)?[sdrgf]", "…", node.value))
    return "\n".join(" ".join(text.split()) for text in found)


def dead_messages(document: Document, known: str) -> Iterator[str]:
    """Messages quoted in code within sentences (three words or more) of which some part is nowhere in the program."""
    for span in document.spans:
        if len(span.split()) < 3 or _COMMAND.match(span) or span.startswith(_SHELL):
            continue
        missing = [piece for piece in map(str.strip, span.split("…")) if len(piece) > 3 and piece not in known]
        if missing:
            yield f"{document.name}: no message of the program says {missing[0]!r}"
