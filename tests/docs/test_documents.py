"""Links, paths, modules, commands and messages that the documents and the program name exist."""

from __future__ import annotations

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
    documents,
    messages,
)

from edge.cli import build_parser

ROOT = Path(__file__).resolve().parent.parent.parent
HISTORY = ("CHANGELOG.md",)  # speaks of what was
ALL = [document for document in documents(ROOT) if document.name not in HISTORY]
GUIDES = [ROOT / "docs" / "how-to", ROOT / "docs" / "reference", ROOT / "docs" / "explanation"]
OF_CODE = [d for d in ALL if d.name in {"CONTRIBUTING.md", "docs/architecture.md", "docs/glossary.md"}]
OF_CODE += [d for d in ALL if d.name.startswith("docs/adr/")]
NAMING_PATHS = [
    *sorted((ROOT / "edge").rglob("*.py")),
    *sorted((ROOT / "tests").rglob("*.py")),
    *(path for path in sorted((ROOT / "scripts").rglob("*")) if path.is_file() and path.suffix in {"", ".py", ".sh"}),
    *(path for path in sorted((ROOT / "systemd").rglob("*")) if path.is_file()),
    ROOT / "config.yaml",
    ROOT / "pyproject.toml",
    ROOT / ".ci" / "run",
]


def ids(document: Document) -> str:
    return document.name


def test_there_are_documents() -> None:
    assert len(ALL) > 30
    assert sum(len(document.links) for document in ALL) > 200


@pytest.mark.parametrize("document", documents(ROOT), ids=ids)
def test_links_lead_somewhere(document: Document) -> None:
    assert list(dead_links(document)) == []


@pytest.mark.parametrize("document", ALL, ids=ids)
def test_paths_exist(document: Document) -> None:
    assert list(dead_paths(ROOT, document.text, document.name)) == []


@pytest.mark.parametrize("document", ALL, ids=ids)
def test_modules_exist(document: Document) -> None:
    assert list(dead_modules(ROOT, document)) == []


@pytest.mark.parametrize("document", ALL, ids=ids)
def test_commands_and_their_options_exist(document: Document) -> None:
    assert list(dead_commands(document, build_parser())) == []


@pytest.mark.parametrize("document", OF_CODE, ids=ids)
def test_classes_exist(document: Document) -> None:
    assert list(dead_classes(document, class_names(ROOT))) == []


def test_the_program_says_what_troubleshooting_quotes() -> None:
    document = Document(ROOT, ROOT / "docs" / "how-to" / "troubleshooting.md")
    assert list(dead_messages(document, messages(ROOT))) == []


def test_paths_that_the_program_and_its_files_name_exist() -> None:
    """In code only documents: names of files are used there in many other ways."""
    found = []
    for path in NAMING_PATHS:
        if path.parent == Path(__file__).parent or "peers" in path.parts or not _is_text(path):
            continue
        faults = dead_paths(ROOT, path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
        found += [fault for fault in faults if ": docs/" in fault]
    assert found == []


def _is_text(path: Path) -> bool:
    return b"\0" not in path.read_bytes()[:1024]


def test_every_guide_is_in_the_index() -> None:
    index = Document(ROOT, ROOT / "docs" / "README.md")
    listed = {(index.path.parent / link.partition("#")[0]).resolve() for link in index.links}
    assert [path.name for folder in GUIDES for path in sorted(folder.glob("*.md")) if path not in listed] == []


def test_every_measurement_is_in_its_index() -> None:
    index = Document(ROOT, ROOT / "docs" / "measurements" / "README.md")
    files = {path.name for path in index.path.parent.glob("*.md")} - {"README.md"}
    assert files - {link.partition("#")[0] for link in index.links} == set()
