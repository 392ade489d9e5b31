"""A report as blocks, written as Markdown with plots beside it, or as one HTML file with the plots inside.

Plots are small SVG drawings: points with intervals by row, curves, and reliability diagrams. They need no library and
have no randomness.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from edge.train.evaluation.metrics import ReliabilityBin


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
    """A drawing: ``name`` of its file, its caption, and the SVG itself."""

    name: str
    caption: str
    svg: str


Block: TypeAlias = HeadingBlock | TextBlock | ListBlock | TableBlock | PlotBlock

_STYLE: Final = """body{font:15px/1.5 system-ui,sans-serif;max-width:66rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0;font-size:13px}td,th{border:1px solid #d0d7de;padding:.25rem .5rem;
text-align:left}th{background:#f6f8fa}td+td{font-variant-numeric:tabular-nums}code{background:#f6f8fa}
svg{max-width:100%;height:auto}figcaption{font-size:13px;color:#57606a}figure{margin:1.5rem 0}"""


def markdown(blocks: Sequence[Block], images: str) -> str:
    """Markdown; plots are linked in the folder ``images``, relative to the file."""
    return "\n\n".join(_markdown(block, images) for block in blocks) + "\n"


def html_page(blocks: Sequence[Block]) -> str:
    """One HTML file that needs no other."""
    title = next((b.text for b in blocks if isinstance(b, HeadingBlock)), "Evaluation")
    body = "\n".join(_html(block) for block in blocks)
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def write_report(blocks: Sequence[Block], out: Path, page_file: Path | None, images: Path | None = None) -> None:
    """The Markdown at ``out`` with its plots in ``images`` (default: images/<name of out> beside it), and the page."""
    out.write_text(markdown(blocks, write_plots(blocks, out, images)), encoding="utf-8")
    if page_file is not None:
        page_file.write_text(html_page(blocks), encoding="utf-8")


def write_plots(blocks: Sequence[Block], out: Path, images: Path | None = None) -> str:
    """The plots of a document at ``out`` into ``images`` (default: images/<name of out> beside it); that folder as the
    document links it."""
    folder = images or out.parent / "images" / out.stem
    folder.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        if isinstance(block, PlotBlock):
            (folder / f"{block.name}.svg").write_text(block.svg, encoding="utf-8")
    return _relative(folder, out.parent)


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


COLOURS: Final = ("#0969da", "#bf8700", "#8250df", "#1a7f37", "#cf222e")
_GREY, _LIGHT, _INK = "#8c959f", "#e6eaef", "#1b1f24"


@dataclass(frozen=True, slots=True)
class PlotPoint:
    """One value of a series with its interval (NaN: none)."""

    series: str
    value: float
    low: float = math.nan
    high: float = math.nan


def dot_plot(
    rows: Sequence[tuple[str, Sequence[PlotPoint]]], axis: str, limits: tuple[float, float] = (0.0, 1.0), ticks: int = 5
) -> str:
    """A line a row, a dot a series, a whisker an interval; series take their colours in order of appearance."""
    left, right, step, top = 190, 30, 26, 44
    width, height = 760, top + step * len(rows) + 44
    series = list(dict.fromkeys(dot.series for _, dots in rows for dot in dots))
    span = width - left - right

    def x(value: float) -> float:
        share = (min(max(value, limits[0]), limits[1]) - limits[0]) / (limits[1] - limits[0])
        return round(left + share * span, 1)

    parts = [_legend(series, left)]
    for k in range(ticks + 1):
        value = limits[0] + (limits[1] - limits[0]) * k / ticks
        parts.append(_line(x(value), top - 6, x(value), height - 34, _LIGHT))
        parts.append(_text(x(value), height - 20, f"{value:g}", "middle", _GREY))
    parts.append(_text(left + span / 2, height - 4, axis, "middle", _GREY))
    for k, (name, dots) in enumerate(rows):
        y = top + step * k + step / 2
        parts.append(_text(left - 10, y + 4, name, "end"))
        known = [dot for dot in dots if math.isfinite(dot.value)]
        for place, dot in enumerate(known):
            at = y + (place - (len(known) - 1) / 2) * min(7.0, 18 / max(1, len(known)))
            colour = COLOURS[series.index(dot.series) % len(COLOURS)]
            if math.isfinite(dot.low) and math.isfinite(dot.high):
                parts.append(_line(x(dot.low), at, x(dot.high), at, colour, 1.5))
            parts.append(f'<circle cx="{x(dot.value)}" cy="{at:g}" r="3.6" fill="{colour}"/>')
    return _svg(width, height, parts)


def line_plot(rows: Sequence[tuple[float, Sequence[PlotPoint]]], across: str, up: str, floor: float = 0.0) -> str:
    """A curve a series over numbers in ascending order, with intervals; the axis goes from ``floor``, a whole
    number of tenths, to 1. Series take their colours in order of appearance."""
    left, top, wide, high = 60, 58, 440, 240
    width, height = left + wide + 30, top + high + 48
    series = list(dict.fromkeys(point.series for _, points in rows for point in points))
    first, last = rows[0][0], rows[-1][0]

    def x(number: float) -> float:
        return round(left + 20 + (number - first) / max(last - first, 1e-9) * (wide - 40), 1)

    def y(value: float) -> float:
        return round(top + high * (1 - (value - floor) / (1 - floor)), 1)

    parts = [_legend(series, left), _text(left, top - 10, up, "start", _GREY)]
    parts.append(_text(left + wide / 2, height - 8, across, "middle", _GREY))
    for k in range(round((1 - floor) * 10) + 1):
        at = y(floor + k / 10)
        parts += [
            _line(left, at, left + wide, at, _LIGHT),
            _text(left - 8, at + 4, f"{floor + k / 10:.1f}", "end", _GREY),
        ]
    parts += [_text(x(number), top + high + 18, f"{number:g}", "middle", _GREY) for number, _ in rows]
    for k, name in enumerate(series):
        aside = 5 * (k - (len(series) - 1) / 2)  # so that intervals do not cover each other
        points = [(x(n) + aside, p) for n, some in rows for p in some if p.series == name and math.isfinite(p.value)]
        parts += _curve([(at, y(p.value), y(p.low), y(p.high)) for at, p in points], COLOURS[k % len(COLOURS)])
    return _svg(width, height, parts)


def _curve(points: Sequence[tuple[float, float, float, float]], colour: str) -> list[str]:
    """A line through points (x, y, and y of both ends of the interval, NaN: none), in pixels."""
    path = " ".join(f"{x:g},{y:g}" for x, y, _, _ in points)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>']
    for x, y, low, high in points:
        if math.isfinite(low) and math.isfinite(high):
            parts.append(_line(x, low, x, high, colour, 1.2))
        parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="3.2" fill="{colour}"/>')
    return parts


def reliability_plot(labels: Mapping[str, Sequence[ReliabilityBin]]) -> str:
    """A small square a label: mean score across, share with the event up; a dot's area follows how many scores."""
    across, cell, gap = 5, 112, 34
    width = 40 + across * (cell + gap)
    height = 10 + math.ceil(len(labels) / across) * (cell + gap + 14)
    parts = []
    for k, (name, bins) in enumerate(labels.items()):
        left, top = 34 + (k % across) * (cell + gap), 24 + (k // across) * (cell + gap + 14)
        frame = f'<rect x="{left}" y="{top}" width="{cell}" height="{cell}" fill="none" stroke="{_LIGHT}"/>'
        parts += [frame, _line(left, top + cell, left + cell, top, _GREY, 1, "3 3")]
        parts.append(_text(left + cell / 2, top - 6, name, "middle"))
        parts += [
            _text(left, top + cell + 13, "0", "middle", _GREY),
            _text(left + cell, top + cell + 13, "1", "middle", _GREY),
        ]
        total = max(1, sum(b.count for b in bins))
        for b in bins:
            radius = 2 + 9 * math.sqrt(b.count / total)
            x, y = left + cell * b.mean, top + cell * (1 - b.share)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{COLOURS[0]}" fill-opacity="0.6"/>')
    return _svg(width, height, parts)


def _legend(series: Sequence[str], left: float) -> str:
    parts, x = [], left
    for k, name in enumerate(series):
        parts.append(f'<circle cx="{x:g}" cy="16" r="4" fill="{COLOURS[k % len(COLOURS)]}"/>')
        parts.append(_text(x + 9, 20, name, "start"))
        x += 30 + 7 * len(name)
    return "".join(parts)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1.0, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = _INK) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}">{html.escape(text)}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    style = 'font-family="system-ui,sans-serif" font-size="12"'
    body = "\n".join(parts)
    background = f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{background}\n{body}\n</svg>\n'
