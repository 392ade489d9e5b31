"""Plays one seed: days of a box with faults, and what must hold at the end of them."""

from __future__ import annotations

import logging
import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from delivery_oracle import BrokenPromiseError
from fault_disk import DiskFault, memory_folder
from fault_plan import DAY_S, Episode, PlannedFault, plan_episodes
from sim import SMALL
from simulated_box import BEGAN_WALL_NS, YEAR_NS, SimulatedBox

from edge.engine.manifest import ModelFolder
from edge.publish.commands import IncomingMessage
from edge.types import NS_PER_S, nanoseconds, seconds

TICK_NS = NS_PER_S // 4
GAP_TURNS = 12
HEALING_TURNS = 400
LEAST_WINDOWS_S = 4.0
NOTED_NS = 1300 * NS_PER_S
"""So long after a step of the clock, with a disk that writes, the step is on the disk."""
ROOT = "edge/simulated/box"
COMMANDS = (
    ("gate/fire/threshold/set", b"0.5"),
    ("gate/fire/threshold/set", b"nan"),
    ("yard/armed/set", b"OFF"),
    ("yard/armed/set", b"ON"),
    ("command", b'{"command": "snapshot", "camera": "gate"}'),
)
_DISK = {
    "write_error": DiskFault.BAD_WRITE,
    "sync_error": DiskFault.BAD_SYNC,
    "read_error": DiskFault.BAD_READ,
    "disk_full": DiskFault.FULL,
    "disk_read_only": DiskFault.READ_ONLY,
}


@dataclass
class SimulationReport:
    """What one seed did."""

    seed: int
    days: float = 0.0
    alerts: int = 0
    may_be_lost: int = 0
    windows: int = 0
    starts: int = 0
    faults: Counter[str] = field(default_factory=Counter)


class Simulation:
    """One seed, played once."""

    def __init__(self, seed: int, days: float, model: ModelFolder) -> None:
        self._episodes = plan_episodes(seed, days)
        self._rng = random.Random(seed + 1)
        self._folder = memory_folder()
        self._box = SimulatedBox(self._folder, model, seed)
        self._until_ns: dict[str, int] = {}  # lasting faults, and when they end
        self._chance: dict[str, float] = {}
        self._down_until_ns: int | None = None
        self._keeps_unsynced: float | None = None  # after a power cut: the share that survives
        self._is_damaged = False
        self._stepped_ns: int | None = None  # the clock was set ahead, which may not be on the disk yet
        self._steps_in_hang = 0
        self._up_since: dict[str, tuple[int, int]] = {}  # camera: quarters delivered without a break, windows before
        self.report = SimulationReport(seed)

    def run(self) -> SimulationReport:
        """Play it; BrokenPromiseError when something does not hold, any other error when the node has a bug."""
        box = self._box
        began_ns = box.clock.true_ns
        try:
            with box.installed():
                self._start()
                for episode in self._episodes:
                    self._pass_gap(episode.gap_s)
                    self._play(episode)
                self._heal()
                self._check()
        finally:
            self._close()
        self.report.days = seconds(box.clock.true_ns - began_ns) / DAY_S
        self.report.starts = box.starts
        self.report.windows = sum(box.scored.values())
        return self.report

    # ---- time ----

    def _pass_gap(self, gap_s: float) -> None:
        """Nothing is seen for a while: cameras stand still, a few turns."""
        self._up_since.clear()
        if self._rng.random() < 0.5:
            self._lose_cameras()
        for _ in range(GAP_TURNS):
            self._pass(nanoseconds(gap_s) // GAP_TURNS)
            self._turn()

    def _pass(self, passed_ns: int) -> None:
        self._box.clock.true_ns += passed_ns
        now_ns = self._box.clock.true_ns
        self._until_ns = {kind: until_ns for kind, until_ns in self._until_ns.items() if until_ns > now_ns}
        self._apply_lasting()
        if self._stepped_ns is not None and not self._box.disk_is_bad:
            if self._box.clock.true_ns - self._stepped_ns > NOTED_NS:
                self._stepped_ns = None
        elif self._stepped_ns is not None:
            self._stepped_ns = self._box.clock.true_ns

    def _play(self, episode: Episode) -> None:
        waiting = list(episode.faults)
        for tick in range(round(episode.length_s * NS_PER_S) // TICK_NS):
            at_s = seconds(tick * TICK_NS)
            self._pass(TICK_NS)
            while waiting and waiting[0].at_s <= at_s:
                self._strike(waiting.pop(0))
            if self._box.is_running:
                self._deliver(episode, at_s)
            self._turn()

    def _deliver(self, episode: Episode, at_s: float) -> None:
        for name, camera in self._box.cameras.items():
            if camera.state.value != "up" and "camera_lost" not in self._until_ns:
                camera.connect(nanoseconds(self._rng.uniform(0, 90_000)))
                self._up_since[name] = (0, self._box.scored[name])
            seen = [s for s in episode.sights if s.camera == name and s.from_s <= at_s < s.to_s]
            camera.deliver({sight.label: sight.level for sight in seen})
            if name in self._up_since:
                quarters, before = self._up_since[name]
                self._up_since[name] = (quarters + 1, before)

    def _turn(self) -> None:
        """A turn of the node, or of the one who starts it again."""
        box = self._box
        if not box.is_running:
            if self._down_until_ns is not None and box.clock.true_ns >= self._down_until_ns:
                self._start()
            return
        box.turn()
        self._forgive_unreadable()
        if box.disk.is_dead:
            self._end_process(self._rng.choice((1.0, 5.0, 3600.0)))
        else:
            self._check_windows()

    def _check_windows(self) -> None:
        """Every window of media that came without a break is scored, whatever disk and broker do."""
        for name, (quarters, before) in list(self._up_since.items()):
            if self._box.hop_s(name) != SMALL.hop_s:
                del self._up_since[name]  # the box took the long gap between two turns for overload
            elif quarters / 4 >= LEAST_WINDOWS_S and self._box.scored[name] - before < quarters / 4 / SMALL.hop_s - 4:
                raise BrokenPromiseError(f"{name}: too few windows scored, of {quarters / 4} s")

    # ---- processes ----

    def _start(self) -> None:
        box = self._box
        if self._keeps_unsynced is not None:
            box.disk.cut_power(self._keeps_unsynced)
            self._keeps_unsynced = None
            box.clock.boot_ns = box.clock.true_ns - NS_PER_S
        else:
            box.disk.revive()
        if self._is_damaged:
            self._is_damaged = False
            box.oracle.note_end_of_process(box.broker.received, disk_is_damaged=True)
            self._flip_bit()
        self._down_until_ns = None
        self._apply_lasting()
        is_alive = box.start()
        self._forgive_unreadable()
        if not is_alive:
            self._end_process(5.0)

    def _forgive_unreadable(self) -> None:
        """A page that cannot be read counts as damaged, even where it can be read later: the file is put aside."""
        if "read_error" in self._until_ns:
            self._box.oracle.note_end_of_process(self._box.broker.received, disk_is_damaged=True)

    def _end_process(self, down_s: float) -> None:
        box = self._box
        self._forget_dates()
        box.abandon(disk_is_damaged=self._is_damaged)
        self._up_since.clear()
        self._down_until_ns = box.clock.true_ns + nanoseconds(down_s)

    def _forget_dates(self) -> None:
        """A clock that was set ahead, and nobody noted it: the next process takes the box for one that was off."""
        if self._stepped_ns is not None:
            self._box.oracle.note_rows_may_go()

    def _note_step(self) -> None:
        """The clock was set. Twice while the thread that notes it hangs is once for the box."""
        if self._steps_in_hang:
            self._box.oracle.note_rows_may_go()
        self._steps_in_hang += self._box.disk_hangs

    def _flip_bit(self) -> None:
        """One bit of a database is another one."""
        self._box.disk.set_faults(DiskFault(0))
        files = sorted(self._box.data.rglob("*.db"))
        if files:
            path = self._rng.choice(files)
            content = bytearray(path.read_bytes())
            if content:
                place = self._rng.randrange(len(content))
                content[place] ^= 1 << self._rng.randrange(8)
                with path.open("r+b") as file:
                    file.write(content)
                self._box.disk.forget_changes()

    # ---- faults ----

    def _strike(self, fault: PlannedFault) -> None:
        self.report.faults[fault.kind] += 1
        if fault.lasts_s:
            self._until_ns[fault.kind] = self._box.clock.true_ns + nanoseconds(fault.lasts_s)
            self._chance[fault.kind] = 1.0 if fault.amount < 0.5 else fault.amount - 0.4
            self._apply_lasting()
        getattr(self, f"_on_{fault.kind}", lambda _fault: None)(fault)

    def _apply_lasting(self) -> None:
        box, on = self._box, self._until_ns
        faults = [_DISK[kind] for kind in on if kind in _DISK]
        chance = min((self._chance[kind] for kind in on if kind in _DISK), default=1.0)
        box.disk.set_faults(DiskFault(sum(faults)), chance)
        box.disk_hangs, box.disk_is_bad = "disk_hangs" in on, "disk_hangs" in on or bool(faults)
        self._steps_in_hang *= box.disk_hangs
        box.broker.is_up = "broker_away" not in on
        box.broker.answers = "broker_silent" not in on
        box.broker.takes = 1 if "broker_slow" in on else 1000

    def _on_kill(self, _fault: PlannedFault) -> None:
        self._box.disk.die()

    def _on_kill_in_write(self, fault: PlannedFault) -> None:
        self._box.disk.die_after(round(60 * fault.amount))

    def _on_power_cut(self, fault: PlannedFault) -> None:
        self._keeps_unsynced = fault.amount
        self._box.disk.die()

    def _on_power_cut_in_write(self, fault: PlannedFault) -> None:
        self._keeps_unsynced = fault.amount
        self._box.disk.die_after(round(60 * fault.amount))

    def _on_bit_flip(self, _fault: PlannedFault) -> None:
        self._is_damaged = True
        self._box.disk.die()

    def _on_clock_at_1970(self, _fault: PlannedFault) -> None:
        """It has no battery: it is 1970, for the rest of the run or until the clock is set."""
        self._box.clock.wall_offset_ns = 20 * 3600 * NS_PER_S
        self._note_step()

    def _on_clock_steps(self, fault: PlannedFault) -> None:
        self._stepped_ns = self._box.clock.true_ns
        if not self._box.is_running:
            self._forget_dates()
        self._note_step()
        ahead = round((fault.amount - 0.5) * 2 * YEAR_NS)
        self._box.clock.wall_offset_ns = BEGAN_WALL_NS + ahead

    def _on_clock_steps_an_hour(self, fault: PlannedFault) -> None:
        self._box.clock.wall_offset_ns += 3600 * NS_PER_S * (1 if fault.amount < 0.5 else -1)

    def _on_suspended(self, fault: PlannedFault) -> None:
        """Nothing runs for a minute or for eight hours."""
        self._box.clock.true_ns += nanoseconds(60.0 if fault.amount < 0.5 else 8 * 3600.0)
        self._up_since.clear()

    def _on_broker_away(self, _fault: PlannedFault) -> None:
        self._box.broker.drop_connection()

    def _on_connection_resets(self, _fault: PlannedFault) -> None:
        self._box.broker.drop_connection()

    def _on_broker_forgets(self, _fault: PlannedFault) -> None:
        self._box.broker.restart(forgets=True)

    def _on_camera_lost(self, _fault: PlannedFault) -> None:
        self._lose_cameras()

    def _lose_cameras(self) -> None:
        self._up_since.clear()
        for camera in self._box.cameras.values():
            camera.lose()

    def _on_camera_clock_jumps(self, fault: PlannedFault) -> None:
        self._up_since.clear()
        for camera in self._box.cameras.values():
            camera.jump(round((fault.amount - 0.5) * 100_000 * NS_PER_S))

    def _on_reload(self, fault: PlannedFault) -> None:
        self._box.write_config(f"{0.4 + 0.4 * fault.amount:.2f}")

    def _on_reload_broken(self, _fault: PlannedFault) -> None:
        self._box.write_config("[not, a, number]")
        self._command("command", b"reload")
        self._turn()
        self._box.write_config("0.6")

    def _on_command(self, fault: PlannedFault) -> None:
        self._command(*COMMANDS[int(len(COMMANDS) * fault.amount)])

    def _command(self, topic: str, payload: bytes) -> None:
        self._box.broker.commands.append(IncomingMessage(f"{ROOT}/{topic}", payload))

    def _on_clean_restart(self, _fault: PlannedFault) -> None:
        if self._box.is_running and not self._box.disk.is_dead:
            self._forget_dates()
            self._box.stop()
            self._up_since.clear()
            self._down_until_ns = self._box.clock.true_ns

    # ---- the end ----

    def _heal(self) -> None:
        """Everything is well again, for as long as it takes until nothing is left to do."""
        box = self._box
        self._until_ns.clear()
        box.write_config("0.6")
        box.disk.let_live()
        for turn in range(HEALING_TURNS):
            if self._down_until_ns is not None:
                self._down_until_ns = box.clock.true_ns
            self._pass(NS_PER_S)
            for camera in box.cameras.values():
                if camera.state.value == "up":
                    for _ in range(4):
                        camera.deliver({})
            self._turn()
            if turn > 60 and box.is_running and not box.node.context.outputs.publisher.depth:
                return
        raise BrokenPromiseError(f"not well again: {self._trouble()}")

    def _trouble(self) -> str:
        if not self._box.is_running:
            return "no process runs"
        publisher = self._box.node.context.outputs.publisher
        return f"{publisher.depth} messages wait; {publisher.trouble}"

    def _check(self) -> None:
        box, oracle = self._box, self._box.oracle
        box.node.context.engine.finish()
        for _ in range(40):
            box.clock.true_ns += NS_PER_S
            box.flush_and_publish()
        oracle.check_messages(box.broker.received, box.broker.retained)
        oracle.check_rows(box.rows(), box.broker.received)
        self.report.alerts = len(oracle.published)
        self.report.may_be_lost = sum(alert.may_be_lost for alert in oracle.published)

    def _close(self) -> None:
        if self._box.is_running:
            self._box.abandon()
        self._box.disk.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.rmtree(Path(f"{self._box.data}.aside"), ignore_errors=True)


def log_to(path: Path) -> None:
    """Write what the node says to ``path``."""
    logging.basicConfig(filename=path, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
