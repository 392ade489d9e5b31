"""A report as blocks, written as Markdown with plots beside it, or as one HTML file with the plots inside."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class HeadingBlock:
    """A heading; level 1 is the document's own."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A paragraph; `**strong**`, `` `code` `` and `[links](to)` are understood."""

    text: str


@dataclass(frozen=True, slots=True)
class ListBlock:
    """A list of short texts."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class TableBlock:
    """Cells of text under a head."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class PlotBlock:
    """A drawing: ``name`` of its file, a sentence that says what it shows, and the SVG itself."""

    name: str
    caption: str
    svg: str


Block: TypeAlias = HeadingBlock | TextBlock | ListBlock | TableBlock | PlotBlock

_STYLE: Final = """body{font:15px/1.5 system-ui,sans-serif;max-width:66rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0;font-size:13px}td,th{border:1px solid #d0d7de;padding:.25rem .5rem;
text-align:left}th{background:#f6f8fa}td+td{font-variant-numeric:tabular-nums}code{background:#f6f8fa}
svg{max-width:100%;height:auto}figcaption{font-size:13px;color:#57606a}figure{margin:1.5rem 0}"""


def markdown(blocks: Sequence[Block], images: str) -> str:
    """Markdown; plots are taken from the folder ``images``, as seen from the file."""
    return "\n\n".join(_markdown(block, images) for block in blocks) + "\n"


def html_page(blocks: Sequence[Block]) -> str:
    """One HTML file that needs no other."""
    title = next((b.text for b in blocks if isinstance(b, HeadingBlock)), "Evaluation")
    body = "\n".join(_html(block) for block in blocks)
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def write_report(blocks: Sequence[Block], out: Path, page_file: Path | None, images: Path | None = None) -> None:
    """The Markdown at ``out`` with its plots in ``images`` (default: images/<name of out> beside it), and the page."""
    folder = images or out.parent / "images" / out.stem
    folder.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        if isinstance(block, PlotBlock):
            (folder / f"{block.name}.svg").write_text(block.svg, encoding="utf-8")
    out.write_text(markdown(blocks, _relative(folder, out.parent)), encoding="utf-8")
    if page_file is not None:
        page_file.write_text(html_page(blocks), encoding="utf-8")


def _relative(folder: Path, base: Path) -> str:
    try:
        return folder.resolve().relative_to(base.resolve()).as_posix()
    except ValueError:
        return folder.resolve().as_posix()


def _markdown(block: Block, images: str) -> str:
    if isinstance(block, HeadingBlock):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, TextBlock):
        return block.text
    if isinstance(block, ListBlock):
        return "\n".join(f"- {item}" for item in block.items)
    if isinstance(block, PlotBlock):
        return f"![{block.caption}]({images}/{block.name}.svg)"
    lines = [block.head, ["---"] * len(block.head), *block.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _html(block: Block) -> str:
    if isinstance(block, HeadingBlock):
        return f"<h{block.level}>{_inline(block.text)}</h{block.level}>"
    if isinstance(block, TextBlock):
        return f"<p>{_inline(block.text)}</p>"
    if isinstance(block, ListBlock):
        return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in block.items) + "</ul>"
    if isinstance(block, PlotBlock):
        return f"<figure>{block.svg}<figcaption>{_inline(block.caption)}</figcaption></figure>"
    head = "".join(f"<th>{_inline(cell)}</th>" for cell in block.head)
    rows = "".join("<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>\n" for row in block.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _inline(text: str) -> str:
    text = html.escape(text)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", r'<a href="\2">\1</a>', text)
