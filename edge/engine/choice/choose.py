"""`edge engine choose`: measure once per box, remember, and say what came of it."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict

from edge.engine.choice import chosen
from edge.engine.choice.chosen import Choice, Table
from edge.engine.manifest import ModelFolder, find_folder, load_folder

_log = logging.getLogger(__name__)


def choose(folder: ModelFolder, threads: int) -> tuple[Table, Choice]:
    """Measure every way to run the model here and keep what was found; `select` goes by it from now on."""
    from edge.engine.choice import trial

    folder.verify()
    table = trial.measure(folder, threads, lambda text: _log.info("measuring %s", text))
    chosen.save(folder, threads, table)
    choice = chosen.decide(table, chosen.parts_of(folder), "auto", chosen.spare_mb())
    assert choice is not None, "32 bits on ONNX Runtime were measured"
    return table, choice


def handle(args: argparse.Namespace) -> int:
    """The command; 0."""
    folder = load_folder(find_folder(args.model))
    table, choice = choose(folder, args.threads)
    if args.json:
        print(json.dumps(as_json(table, choice)))
    else:
        print("\n".join(lines(table, choice)))
    return 0


def as_json(table: Table, choice: Choice) -> dict[str, object]:
    """For programs: every measurement, and the choice with its reason."""
    rows = [{**asdict(m), "how": str(m.how), "chosen": choice[m.part] == m.how} for m in table.rows]
    return {"rows": rows, "library_mb": dict(table.library_mb), "why": chosen.why(table, choice)}


def lines(table: Table, choice: Choice) -> list[str]:
    """A table for people; what is chosen has an arrow."""
    told = [f"  {'part':6}{'way':15}{'CPU ms':>8}{'wall ms':>9}{'MB':>6}"]
    for m in table.rows:
        arrow = ">" if choice[m.part] == m.how else " "
        figures = f"{m.cpu_ms:8.1f}{m.wall_ms:9.1f}{m.memory_mb:6.0f}"
        told.append(f"{arrow} {m.part:6}{m.how!s:15}" + (f"  no: {m.fault}" if m.fault else figures))
    libraries = ", ".join(f"{name} {mb:.0f} MB" for name, mb in table.library_mb.items())
    return [*told, f"libraries: {libraries}", chosen.why(table, choice)]


def remembered(name: str) -> str:
    """One line for `edge engine list`: what was chosen on this box with one thread."""
    folder = load_folder(find_folder(name))
    table = chosen.read(folder, 1)
    choice = None
    if table is not None:
        choice = chosen.decide(table, chosen.parts_of(folder), "auto", chosen.spare_mb())
    if table is None or choice is None:
        return "CPU: not measured on this box; ONNX Runtime in 32 bits runs. Measure: edge engine choose"
    return f"CPU: {', '.join(f'{part} on {how}' for part, how in choice.items())}: {chosen.why(table, choice)}"
