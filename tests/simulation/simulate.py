"""`scripts/simulate`: plays seeds, several processes side by side; a seed that fails prints how to play it again."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from fault_disk import build_library, is_preloaded, preloaded_environment
from mutations import MUTATIONS, mutated
from simulated_cameras import small_folder
from simulation import Simulation, SimulationReport, log_to

from edge.engine.manifest import DEFAULT_MODEL, find_folder, load_folder

CHUNK = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, report; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="how many (default 100)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them (default 0)")
    parser.add_argument("--days", type=float, default=1.0, metavar="D", help="simulated by each (default 1)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--without", choices=MUTATIONS, metavar="GUARD", help="take a guard away, to see it missed")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write what the node says here (one worker)")
    args = parser.parse_args(arguments)
    if not is_preloaded():
        return _run_preloaded(sys.argv[1:] if arguments is None else list(arguments))
    began_s = time.monotonic()
    reports, failures = _play_all(args)
    print(summary(reports, time.monotonic() - began_s))
    for seed, text in sorted(failures):
        print(f"\nseed {seed}: {text}\nplay it again: scripts/simulate --first {seed} --seeds 1 --days {args.days:g}")
    return 1 if failures else 0


def summary(reports: Iterable[SimulationReport], took_s: float) -> str:
    """What was played, for people."""
    reports = list(reports)
    faults = sum((report.faults for report in reports), Counter[str]())
    lines = [
        f"{len(reports)} seeds, {sum(r.days for r in reports) / 365:.2f} simulated years, in {took_s:.0f} s",
        f"alerts published: {sum(r.alerts for r in reports)}, windows scored: {sum(r.windows for r in reports)}",
        f"starts of the daemon: {sum(r.starts for r in reports)}",
        f"{sum(r.may_be_lost for r in reports)} alerts that neither disk nor broker had when the process ended",
        "faults: " + ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items())),
    ]
    return "\n".join(lines)


def _run_preloaded(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        library = build_library(Path(folder))
        command = [sys.executable, __file__, *arguments]
        return subprocess.run(command, env=preloaded_environment(library), check=False).returncode


def _play_all(args: argparse.Namespace) -> tuple[list[SimulationReport], list[tuple[int, str]]]:
    seeds = range(args.first, args.first + args.seeds)
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    reports: list[SimulationReport] = []
    failures: list[tuple[int, str]] = []
    if args.log is not None or len(seeds) == 1:
        chunks, args.workers = [seeds], 1
        done = [play_seeds(seeds, args.days, args.log, args.without)]
    else:
        with ProcessPoolExecutor(args.workers, get_context("spawn"), max_tasks_per_child=20) as pool:
            running = [pool.submit(play_seeds, chunk, args.days, None, args.without) for chunk in chunks]
            done = [future.result() for future in as_completed(running)]
    for some_reports, some_failures in done:
        reports += some_reports
        failures += some_failures
    return reports, failures


def play_seeds(
    seeds: Sequence[int], days: float, log: Path | None, without: str | None = None
) -> tuple[list[SimulationReport], list[tuple[int, str]]]:
    """Reports of those that went well, and what went wrong with the others."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    if log is None:
        logging.getLogger().addHandler(logging.NullHandler())
    else:
        log_to(log)
    model = small_folder(load_folder(find_folder(DEFAULT_MODEL)))
    reports, failures = [], []
    with contextlib.nullcontext() if without is None else mutated(without):
        for seed in seeds:
            try:
                reports.append(Simulation(seed, days, model).run())
            except Exception:  # noqa: BLE001 - a seed that fails is what is looked for
                failures.append((seed, traceback.format_exc()))
                if without is not None:
                    break  # it was missed
    return reports, failures


if __name__ == "__main__":
    sys.exit(main())
