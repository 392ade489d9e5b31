"""Commands and configuration reloads of the running node.

Commands are polled on the main thread. They run on the engine thread, or on the file worker's thread when they touch
files, and are answered when done. `merge_live` separates what can change live from what needs a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from edge.config import Config, load
from edge.config.sources import CameraConfig
from edge.detect.thresholds import EffectiveThreshold, validate
from edge.errors import ConfigError, EdgeError
from edge.node.context import NodeContext
from edge.pipeline import Pipeline, StepResult
from edge.publish.commands import Command, MarkEvent, Reload, SetArmed, SetThreshold, TakeSnapshot

log = logging.getLogger(__name__)

LIVE_SECTIONS = ("events", "health", "location")  # and the zones and lines of cameras


class CommandHandler:
    """Carries out commands and reloads the configuration."""

    def __init__(self, node: NodeContext) -> None:
        self._path = node.loaded.path
        self._running: Config = node.loaded.config
        self._manifest = node.manifest
        self._engine, self._outputs, self._evidence = node.engine, node.outputs, node.evidence
        self._submit = node.files.submit

    def poll(self) -> None:
        """Carry out the commands that arrived since the last call."""
        for command in self._outputs.publisher.poll_commands():
            match command:
                case Reload():
                    self._submit(partial(self._execute_reload, command))
                case MarkEvent() | TakeSnapshot():
                    self._submit(partial(self._execute_evidence, command))
                case SetArmed() | SetThreshold():
                    self._engine.submit(partial(self._execute, command))

    def reload(self) -> str:
        """Read the configuration again and apply what can change live. Reads files.

        Returns a sentence on what was done. ConfigError when the file is wrong: the running configuration stays.
        """
        loaded = load(self._path)
        faults = validate(loaded.config, self._manifest)
        if faults:
            raise ConfigError([loaded.fault(key, message) for key, message in faults])
        merged, refused = merge_live(self._running, loaded.config)
        self._running = merged
        self._engine.submit(lambda pipeline: self._reconfigure(pipeline, merged))
        if refused:
            return f"events, zones and health are reloaded; needs a restart: {', '.join(refused)}"
        return "reloaded"

    def _execute_reload(self, command: Reload) -> None:
        try:
            done = self.reload()
        except EdgeError as error:
            log.warning("not reloaded, the running configuration stays: %s", error)
            why = error.problems[0] if isinstance(error, ConfigError) else str(error)
            self._outputs.publisher.refuse(command, f"the configuration is wrong: {why}")
        else:
            log.info("%s", done)
            self._outputs.publisher.accept(command, done)

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._running

    def publish_thresholds(self, thresholds: Sequence[EffectiveThreshold]) -> None:
        """Publish the thresholds in force, and set them for near misses. Called on the engine thread."""
        self._outputs.publish_thresholds(thresholds)
        if self._evidence is not None:
            self._evidence.set_thresholds(thresholds)

    def _reconfigure(self, pipeline: Pipeline, config: Config) -> None:
        self._outputs.deliver(StepResult(events=pipeline.reconfigure(config)))
        self._outputs.publish_labels(pipeline.labels)
        if self._evidence is not None:
            self._evidence.reconfigure(config)
        self.publish_thresholds(pipeline.thresholds())

    def _execute(self, command: SetArmed | SetThreshold, pipeline: Pipeline) -> None:
        try:
            if isinstance(command, SetArmed):
                self._outputs.deliver(StepResult(events=pipeline.set_armed(command.camera, command.on)))
            else:
                pipeline.set_threshold(command.camera, command.label, command.value)
        except EdgeError as error:
            self._outputs.publisher.refuse(command, str(error))
            return
        self._outputs.publisher.accept(command)
        self.publish_thresholds(pipeline.thresholds())

    def _execute_evidence(self, command: MarkEvent | TakeSnapshot) -> None:
        publisher = self._outputs.publisher
        if self._evidence is None:
            publisher.refuse(command, "nothing is kept here: evidence is switched off in the configuration")
        elif isinstance(command, TakeSnapshot):
            self._evidence.snapshot(command, partial(self._acknowledge, command))
        else:
            try:
                publisher.accept(command, self._evidence.mark(command, by="mqtt"))
            except EdgeError as error:
                publisher.refuse(command, str(error))

    def _acknowledge(self, command: Command, refusal: str | None) -> None:
        if refusal is None:
            self._outputs.publisher.accept(command)
        else:
            self._outputs.publisher.refuse(command, refusal)


class FileWatch:
    """Notices when a file was saved. Reads only the file's state, never its content."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last_state = self._state()

    def changed(self) -> bool:
        """Whether the file was saved since the last call; False while it is missing (being replaced)."""
        state = self._state()
        if state is None or state == self._last_state:
            return False
        self._last_state = state
        return True

    def _state(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


def merge_live(running: Config, requested: Config) -> tuple[Config, list[str]]:
    """The running configuration with the live changes applied, and the sections that need a restart."""
    cameras = {
        name: _with_drawn(camera, requested.cameras.get(name, camera)) for name, camera in running.cameras.items()
    }
    update = {"cameras": cameras} | {name: getattr(requested, name) for name in LIVE_SECTIONS}
    merged = running.model_copy(update=update)
    refused = [name for name in Config.model_fields if getattr(merged, name) != getattr(requested, name)]
    return merged, refused


def _with_drawn(camera: CameraConfig, requested: CameraConfig) -> CameraConfig:
    return camera.model_copy(update={"zones": requested.zones, "lines": requested.lines})
