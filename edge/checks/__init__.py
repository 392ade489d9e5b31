"""`edge check`: prints findings, one line each, with what is wrong and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from edge.checks.environment import (
    ERROR,
    OK,
    WARNING,
    CheckFinding,
    check_broker,
    check_disk,
    check_evidence,
    check_page,
    check_sensors,
    check_sources,
)
from edge.checks.model import check_events, check_model, check_prompts
from edge.config import OFFLINE, LoadedConfig, load
from edge.engine.manifest import find_folder, load_folder
from edge.errors import ConfigError, EdgeError
from edge.logs import other_loggers_muted

DONE, FAILED = 0, 2
_OF_SYSTEMD = "CREDENTIALS_DIRECTORY"


def run(path: Path, *, as_json: bool, out: TextIO) -> int:
    """Check everything that the configuration names; 0, or 2 when anything is an error."""
    findings = []
    with other_loggers_muted("edge.checks"):
        for finding in check_all(path):
            findings.append(finding)
            if not as_json:
                print(f"{finding.level:<8} {finding.area:<22} {finding.text}", file=out, flush=True)
    failed = any(finding.level == ERROR for finding in findings)
    if as_json:
        print(json.dumps({"ok": not failed, "findings": [asdict(f) for f in findings]}, indent=2), file=out)
    return FAILED if failed else DONE


def check_all(path: Path) -> Iterator[CheckFinding]:
    """Every finding, in the order in which the daemon would meet them."""
    try:
        loaded = load(path, needs=OFFLINE)
    except ConfigError as error:
        yield from (CheckFinding("config", ERROR, problem) for problem in error.problems)
        return
    count = len(loaded.config.cameras)
    cameras = f"{count} camera{'' if count == 1 else 's'}"
    yield CheckFinding("config", OK, f"{path}: {cameras}, topics below {loaded.config.topic_root}")
    yield from _check_variables(loaded)
    folder = None
    try:
        folder = load_folder(find_folder(loaded.config.model.name))
        yield check_model(loaded, folder)
    except EdgeError as error:
        yield CheckFinding("model", ERROR, str(error))
    if folder is not None:
        yield from check_prompts(loaded, folder)
        yield from check_events(loaded, folder)
        yield from check_sources(loaded, folder.manifest)
        yield from check_sensors(loaded, folder.manifest)
    yield check_disk(loaded)
    yield check_evidence(loaded)
    yield from check_page(loaded)
    yield check_broker(loaded)


def _check_variables(loaded: LoadedConfig) -> Iterator[CheckFinding]:
    """Variables that are not set here. Those that systemd sets are no error; they just cannot be tried."""
    for key, message in loaded.unset.items():
        level = WARNING if _OF_SYSTEMD in message else ERROR
        yield CheckFinding(
            "config", level, loaded.fault(key, f"{message.replace('edge watch', 'edge check')}; not tried")
        )
