"""`edge engine choose`: measure once per box, remember, and say what came of it."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict

from edge.engine.choice import chosen
from edge.engine.choice.chosen import Choice, MeasurementTable
from edge.engine.manifest import ModelFolder, find_folder, load_folder

_log = logging.getLogger(__name__)


def measure_and_save(folder: ModelFolder, threads: int) -> tuple[MeasurementTable, Choice]:
    """Measure every way to run the model here and keep what was found; `select` goes by it from now on."""
    from edge.engine.choice import trial

    folder.verify()
    table = trial.measure_modes(folder, threads, lambda text: _log.info("measuring %s", text))
    chosen.save_measurements(folder, threads, table)
    choice = chosen.choose_modes(table, chosen.graph_parts(folder), "auto", chosen.spare_mb())
    assert choice is not None, "32 bits on ONNX Runtime were measured"
    return table, choice


def handle(args: argparse.Namespace) -> int:
    """The command; 0."""
    folder = load_folder(find_folder(args.model))
    table, choice = measure_and_save(folder, args.threads)
    if args.json:
        print(json.dumps(as_json(table, choice)))
    else:
        print("\n".join(table_lines(table, choice)))
    return 0


def as_json(table: MeasurementTable, choice: Choice) -> dict[str, object]:
    """For programs: every measurement, and the choice with its reason."""
    rows = [{**asdict(m), "how": str(m.how), "chosen": choice[m.part] == m.how} for m in table.rows]
    return {"rows": rows, "library_mb": dict(table.library_mb), "why": chosen.explain_choice(table, choice)}


def table_lines(table: MeasurementTable, choice: Choice) -> list[str]:
    """A table for people; what is chosen has an arrow."""
    rows = [f"  {'part':6}{'way':15}{'CPU ms':>8}{'wall ms':>9}{'MB':>6}"]
    for m in table.rows:
        arrow = ">" if choice[m.part] == m.how else " "
        figures = f"{m.cpu_ms:8.1f}{m.wall_ms:9.1f}{m.memory_mb:6.0f}"
        rows.append(f"{arrow} {m.part:6}{m.how!s:15}" + (f"  no: {m.fault}" if m.fault else figures))
    libraries = ", ".join(f"{name} {mb:.0f} MB" for name, mb in table.library_mb.items())
    return [*rows, f"libraries: {libraries}", chosen.explain_choice(table, choice)]


def saved_choice_line(name: str) -> str:
    """One line for `edge engine list`: what was chosen on this box with one thread."""
    folder = load_folder(find_folder(name))
    table = chosen.read_measurements(folder, 1)
    choice = None
    if table is not None:
        choice = chosen.choose_modes(table, chosen.graph_parts(folder), "auto", chosen.spare_mb())
    if table is None or choice is None:
        return "CPU: not measured on this box; ONNX Runtime in 32 bits runs. Measure: edge engine choose"
    return (
        f"CPU: {', '.join(f'{part} on {how}' for part, how in choice.items())}: {chosen.explain_choice(table, choice)}"
    )
