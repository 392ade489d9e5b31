"""The simulation holds its promises seed after seed, and notices when a guard of the program is taken away."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from delivery_oracle import BrokenPromiseError, DeliveryOracle, PublishedAlert
from fault_plan import FAULTS, plan_episodes
from mutations import MUTATIONS

from edge.publish.payloads import to_json
from edge.types import Message

ROOT = Path(__file__).parents[2]
FORMERLY_BROKEN = (13, 36, 37, 64, 82, 96, 198, 276, 299, 306, 345, 440, 557)
"""Seeds that found bugs: a file system that was read-only, clocks that step, unreadable disks, flipped bits."""


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/simulation")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(ROOT / "tests/simulation/simulate.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_what_is_promised_holds_seed_after_seed() -> None:
    done = simulate("--seeds", "100", "--first", "1000")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100 seeds" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("seed", FORMERLY_BROKEN)
def test_a_seed_that_found_a_bug_finds_none_now(seed: int) -> None:
    done = simulate("--seeds", "1", "--first", str(seed))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("guard", MUTATIONS)
def test_a_guard_that_is_taken_away_is_missed(guard: str) -> None:
    done = simulate("--seeds", "40", "--without", guard)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BrokenPromiseError" in done.stdout
    assert "play it again: scripts/simulate --first" in done.stdout


def test_a_seed_always_plans_the_same_and_all_faults_come() -> None:
    assert plan_episodes(5, 2.0) == plan_episodes(5, 2.0)
    assert plan_episodes(5, 2.0) != plan_episodes(6, 2.0)
    kinds = {fault.kind for seed in range(200) for episode in plan_episodes(seed, 1.0) for fault in episode.faults}
    assert kinds == set(FAULTS)


def message(event_id: str, seq: int, phase: str, why: str = "") -> Message:
    payload = {"camera": "gate", "id": event_id, "seq": seq, "phase": phase, "why": why}
    return Message("edge/simulated/box/gate/event", to_json(payload))


BEGIN, END = message("e1", 0, "begin"), message("e1", 1, "end")
LATER = message("e2", 0, "begin")


def oracle(*published: Message, on_disk: bool = True) -> DeliveryOracle:
    made = DeliveryOracle()
    made.note_appended(published)
    if on_disk:
        made.note_on_disk()
    return made


def test_the_oracle_is_content_with_what_arrives_once_or_twice_in_order() -> None:
    oracle(BEGIN, END).check_messages([BEGIN, BEGIN, END], {"edge/simulated/box/gate/fire/state": b"OFF"})


@pytest.mark.parametrize(
    ("received", "says"),
    [
        ([BEGIN], "lost"),
        ([END, BEGIN], "after a later one"),
        ([BEGIN, replace(END, payload=message("e1", 1, "end", "other").payload), END], "two different messages"),
        ([BEGIN, END, LATER], "never published"),
    ],
)
def test_the_oracle_notices(received: list[Message], says: str) -> None:
    with pytest.raises(BrokenPromiseError, match=says):
        oracle(BEGIN, END).check_messages(received, {})


def test_the_oracle_notices_what_never_ends_and_states_that_stay_on() -> None:
    with pytest.raises(BrokenPromiseError, match="never end"):
        oracle(BEGIN).check_messages([BEGIN], {})
    with pytest.raises(BrokenPromiseError, match="stay on"):
        oracle(BEGIN, END).check_messages([BEGIN, END], {"edge/simulated/box/gate/fire/state": b"ON"})


def test_only_what_neither_disk_nor_broker_had_may_be_lost() -> None:
    made = oracle(BEGIN, END, on_disk=False)
    made.note_end_of_process([BEGIN])
    made.check_messages([BEGIN], {})
    safe = oracle(BEGIN, END)
    safe.note_end_of_process([BEGIN])
    with pytest.raises(BrokenPromiseError, match="lost"):
        safe.check_messages([BEGIN], {})


def test_rows_belong_to_alerts_and_end() -> None:
    made = oracle(BEGIN, END)
    made.check_rows({"e1": True}, [BEGIN, END])
    with pytest.raises(BrokenPromiseError, match="without a row"):
        made.check_rows({}, [BEGIN, END])
    with pytest.raises(BrokenPromiseError, match="without an end"):
        made.check_rows({"e1": False}, [BEGIN, END])


def test_an_alert_is_named_by_its_event_and_number() -> None:
    assert PublishedAlert("gate", "e1", 3, "update", b"").key == ("e1", 3)
