"""`edge check`: the model, the prompts, and each threshold with where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from edge.assemble import assemble, learned
from edge.checks.finding import ERROR, OK, WARNING, CheckFinding
from edge.config import Loaded
from edge.detect.rules import DEFAULTS
from edge.detect.thresholds import Effective, Origin, Thresholds, check
from edge.engine.manifest import Label, ModelFolder
from edge.engine.model import Model
from edge.errors import ConfigError, InputError
from edge.metrics import Metrics
from edge.prompts.ask import Interpreter, wordings
from edge.publish.saved import saved_thresholds


def check_model(loaded: Loaded, folder: ModelFolder) -> CheckFinding:
    """The model opens and passes its self-test; EdgeError when it does not."""
    model = Model.open(folder, loaded.config.model, 1, Metrics())
    text = f"{model.name}: digests and self-test are right; {model.info}"
    model.close()
    return CheckFinding("model", OK, text)


def check_prompts(loaded: Loaded, folder: ModelFolder) -> Iterator[CheckFinding]:
    """What each prompt rests on, or why it is refused."""
    if not loaded.config.prompts:
        return
    try:
        heeded = Interpreter(folder).understand(wordings(loaded.config))
    except InputError as error:
        yield CheckFinding("prompts", ERROR, str(error))
        return
    for one in heeded:
        area = f"prompts.{one.wording.name}"
        if one.refusal:
            yield CheckFinding(area, ERROR, one.refusal)
            continue
        yield CheckFinding(area, OK, one.asked.wanted.described())
        if one.wording.name in folder.manifest.label_names:
            yield CheckFinding(area, WARNING, "takes the place of the model's own label of this name")
        yield from (CheckFinding(area, WARNING, warning) for warning in one.warnings)


def check_events(loaded: Loaded, folder: ModelFolder) -> Iterator[CheckFinding]:
    """Whether the rules fit the model; what holds for each camera and label; what is below the model's advice."""
    try:
        derivers = assemble(loaded, folder, learned(loaded, folder))
    except InputError as error:
        if not isinstance(error, ConfigError):  # a prompt's fault is told by now
            yield CheckFinding("learned", ERROR, str(error))
        return
    manifest = folder.manifest.plus(derivers.labels)
    faults = check(loaded.config, manifest)
    yield from (CheckFinding("events", ERROR, loaded.fault(key, message)) for key, message in faults)
    if faults:
        return
    thresholds = Thresholds(loaded.config, manifest)
    for camera, label, value in saved_thresholds(loaded.resolve(loaded.config.node.data_dir) / "outbox.db"):
        with suppress(InputError):  # a camera or label that is no more
            thresholds.set(camera, label, value)
    for one in thresholds.listing():
        yield CheckFinding(f"{one.camera}/{one.label}", OK, _told(one, thresholds.advice(one.label)))
    yield from _below_advice(loaded, thresholds)
    yield from _brief(loaded, thresholds)


def _told(one: Effective, advice: Label) -> str:
    origin = one.origins["enter"]
    enter = f"enter {one.enter:g} ({'model' if origin is Origin.DEFAULT else origin.value})"
    advised = "" if one.enter == advice.enter else f", advised {advice.enter:g}"
    return f"{enter}, leave {one.leave:g}, {one.severity}{advised}{'' if one.enabled else ', off'}"


def _below_advice(loaded: Loaded, thresholds: Thresholds) -> Iterator[CheckFinding]:
    """What begins more easily than the model advises, and what a default does not do."""
    default = loaded.config.events.get(DEFAULTS)
    unmoved = []
    for label in thresholds.labels:
        advice = thresholds.advice(label.name)
        here = [one for one in thresholds.listing() if one.label == label.name and one.enabled]
        lower = [one for one in here if one.enter < advice.enter]
        yield from _lower(loaded, label.name, advice, lower)
        if default is not None and default.enter is not None and default.enter < advice.enter:
            unmoved += [f"{label.name} ({advice.enter:g})"] * bool(here and not lower)
    if unmoved:
        said = f"does not lower the model's advice for {', '.join(unmoved)}; to go below it, give enter with the label"
        yield CheckFinding("events", OK, loaded.fault(("events", DEFAULTS, "enter"), said))


def _lower(loaded: Loaded, label: str, advice: Label, lower: list[Effective]) -> Iterator[CheckFinding]:
    by_hand = [one for one in lower if one.origins["enter"] is Origin.COMMAND]
    for one in by_hand:
        said = f"enter {one.enter:g}, set by command, is below the model's advice {advice.enter:g}: expect false alarms"
        yield CheckFinding(f"{one.camera}/{label}", WARNING, f"{said}; `default` takes it back")
    written = [one for one in lower if one.origins["enter"] is Origin.CONFIG]
    if written:
        said = f"{label} enter {written[0].enter:g} is below the model's advice {advice.enter:g}: expect false alarms"
        hint = f"{said}; leave it out, or see with `edge tune` what it does here"
        yield CheckFinding("events", WARNING, loaded.fault(("events", label, "enter"), hint))


def _brief(loaded: Loaded, thresholds: Thresholds) -> Iterator[CheckFinding]:
    """A default min_s holds for all; what the model advises to wait longer for is told."""
    default = loaded.config.events.get(DEFAULTS)
    if default is None or default.min_s is None:
        return
    effective = {
        one.label: one for one in thresholds.listing() if one.enabled and one.origins["min_s"] is Origin.CONFIG
    }
    shorter = [
        f"{name} ({thresholds.advice(name).min_s:g} s)"
        for name, one in effective.items()
        if loaded.config.events.get(name, default).min_s in {None, default.min_s}
        and one.min_s < thresholds.advice(name).min_s
    ]
    if shorter:
        said = (
            f"min_s {default.min_s:g} is shorter than the model's advice for {', '.join(shorter)}: expect false alarms"
        )
        yield CheckFinding("events", WARNING, loaded.fault(("events", DEFAULTS, "min_s"), said))
