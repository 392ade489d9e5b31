"""The checks of the documents find what is planted."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from references import (
    Document,
    class_names,
    dead_classes,
    dead_commands,
    dead_links,
    dead_messages,
    dead_modules,
    dead_paths,
    messages,
)

PROGRAM = '''
class RingBuffer:
    """A ring."""

def say(path, why):
    raise ValueError(f"{path}: cannot be read ({why}); "
                     "give the file with -c")
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "edge" / "buffer").mkdir(parents=True)
    (tmp_path / "edge" / "buffer" / "ring.py").write_text(PROGRAM)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# Other page\n\n## Who `decodes`, and how?\n\n## Twice\n\n## Twice\n")
    (tmp_path / "docs" / "picture.png").write_bytes(b"")
    return tmp_path


def document(root: Path, text: str) -> Document:
    path = root / "docs" / "page.md"
    path.write_text(text)
    return Document(root, path)


@pytest.mark.parametrize(
    "target",
    [
        "missing.md",
        "../missing.md",
        "other.md#nothing",
        "#nothing",
        "missing.png",
        "other.md#twice-2",
        "../../etc/passwd",
    ],
)
def test_a_dead_link_is_found(root: Path, target: str) -> None:
    for text in (
        f"see [it]({target})",
        f"![a picture]({target})",
        f"[![in]({target})](other.md)",
        f"| [a]({target}) |",
    ):
        assert list(dead_links(document(root, f"# Page\n\n{text}\n"))) != []


@pytest.mark.parametrize(
    "target",
    ["other.md", "other.md#other-page", "other.md#who-decodes-and-how", "other.md#twice-1", "#page", "../edge",
     "picture.png", "https://example.org/x", "mailto:a@example.org"],
)  # fmt: skip
def test_a_living_link_is_not(root: Path, target: str) -> None:
    assert list(dead_links(document(root, f"# Page\n\nsee [`it` [1]]({target})\n"))) == []


def test_code_holds_no_links(root: Path) -> None:
    assert list(dead_links(document(root, "`[a](missing.md)`\n\n```\n[b](missing.md)\n```\n"))) == []


@pytest.mark.parametrize(
    "path",
    [
        "edge/buffer/gone.py",
        "edge/gone.py",
        "docs/gone.md",
        "edge/gone/",
        "scripts/gone",
        "tests/gone",
        "docs/gone/*.md",
    ],
)
def test_a_dead_path_is_found(root: Path, path: str) -> None:
    for text in (f"see {path}.", f"`{path}`", f"({path})", f"/opt/edge/{path}", f"{path}: it"):
        assert len(list(dead_paths(root, text, "page"))) == 1, text


@pytest.mark.parametrize(
    "path",
    ["edge/buffer/ring.py", "edge/buffer/", "edge/buffer/r*.py", "docs/other", "edge/warehouse-7/gate-01/#",
     "edge/<site>/<node>", "edge/+/+/event", "edge/site/node/status", "engines/<model>/built", "https://x.org/docs/gone",
     "/usr/share/docs/gone"],
)  # fmt: skip
def test_a_living_path_or_a_topic_is_not(root: Path, path: str) -> None:
    assert list(dead_paths(root, f"see {path}.", "page")) == []


@pytest.mark.parametrize(
    "module", ["edge.gone", "edge.buffer.gone", "edge.buffer.ring.gone", "edge.buffer.ring.Gone.put"]
)
def test_a_dead_module_is_found(root: Path, module: str) -> None:
    assert len(list(dead_modules(root, document(root, f"in `{module}`")))) == 1


@pytest.mark.parametrize("module", ["edge.buffer", "edge.buffer.ring", "edge.buffer.ring.say", "edge.service", "edge"])
def test_a_living_module_is_not(root: Path, module: str) -> None:
    assert list(dead_modules(root, document(root, f"in `{module}`"))) == []


def test_a_dead_class_is_found(root: Path) -> None:
    known = class_names(root)
    assert list(dead_classes(document(root, "`RingBuffer`, `RingBuffer.put`, `HTTP`, `Ring`"), known)) == []
    assert len(list(dead_classes(document(root, "`RoundBuffer` and `RoundBuffer(…)`"), known))) == 2


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    commands = made.add_subparsers()
    commands.add_parser("run").add_argument("-c", "--config")
    learn = commands.add_parser("learn").add_subparsers()
    learn.add_parser("events").add_argument("--only")
    learn.add_parser("normal")
    return made


@pytest.mark.parametrize(
    "text",
    ["`edge walk`", "`edge run --fast`", "`edge learn everything`", "`edge learn events --all`",
     "`edge learn events\\|all`",
     "```sh\n.venv/bin/edge walk\n```", "`/opt/edge/.venv/bin/edge run --fast x`", "```sh\nsudo edge run  --fast\n```"],
)  # fmt: skip
def test_a_dead_command_is_found(root: Path, text: str) -> None:
    assert len(list(dead_commands(document(root, text), parser()))) == 1


@pytest.mark.parametrize(
    "text",
    ["`edge run`", "`edge run -c a.yaml`", "`edge run [-c a.yaml]`", "`edge learn …`",
     "`edge learn events clips/ --only x`",
     "`edge learn events\\|normal`", "`edge COMMAND --help`", "```sh\nedge run  # edge walks\n```", "an edge walk",
     "`-p User=edge walk`", "`edge/<site>`", "`edge-monitor walk`",
     "`run --only motion edge --rounds 2`", "`runuser -u edge -- /opt/edge/.venv/bin/edge run -c a`"],
)  # fmt: skip
def test_a_living_command_is_not(root: Path, text: str) -> None:
    assert list(dead_commands(document(root, text), parser())) == []


def test_a_message_that_nobody_says_is_found(root: Path) -> None:
    known = messages(root)
    assert list(dead_messages(document(root, "`a.yaml … cannot be read (…); give the file with -c`"), known)) != []
    assert list(dead_messages(document(root, "`cannot be read (…); give the file with -c`"), known)) == []
    assert len(list(dead_messages(document(root, "`cannot be eaten (…); give the file with -c`"), known))) == 1
