"""`edge check` of the model, the prompts, and each threshold with its origin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from edge.assemble import build_derivers, load_profile
from edge.checks.environment import ERROR, OK, WARNING, CheckFinding
from edge.config import LoadedConfig
from edge.detect.rules import DEFAULTS
from edge.detect.thresholds import EffectiveThreshold, Thresholds, ValueOrigin, validate
from edge.engine.manifest import Label, ModelFolder
from edge.engine.model import Model
from edge.errors import ConfigError, InputError
from edge.metrics import Metrics
from edge.prompts.interpreter import PromptInterpreter, prompt_texts
from edge.publish.outbox_schema import saved_thresholds


def check_model(loaded: LoadedConfig, folder: ModelFolder) -> CheckFinding:
    """The model opens and passes its self-test; EdgeError when it does not."""
    model = Model.open(folder, loaded.config.model, 1, Metrics())
    text = f"{model.name}: digests and self-test are right; {model.info}"
    model.close()
    return CheckFinding("model", OK, text)


def check_prompts(loaded: LoadedConfig, folder: ModelFolder) -> Iterator[CheckFinding]:
    """Report what each prompt rests on, or why it is refused."""
    if not loaded.config.prompts:
        return
    try:
        parsed_prompts = PromptInterpreter(folder).interpret(prompt_texts(loaded.config))
    except InputError as error:
        yield CheckFinding("prompts", ERROR, str(error))
        return
    for prompt in parsed_prompts:
        area = f"prompts.{prompt.wording.name}"
        if prompt.refusal:
            yield CheckFinding(area, ERROR, prompt.refusal)
            continue
        yield CheckFinding(area, OK, prompt.prompt.wanted.summary())
        if prompt.wording.name in folder.manifest.label_names:
            yield CheckFinding(area, WARNING, "takes the place of the model's own label of this name")
        yield from (CheckFinding(area, WARNING, warning) for warning in prompt.warnings)


def check_events(loaded: LoadedConfig, folder: ModelFolder) -> Iterator[CheckFinding]:
    """Check that the rules fit the model; report the thresholds of each camera and label, and those below advice."""
    try:
        derivers = build_derivers(loaded, folder, load_profile(loaded, folder))
    except InputError as error:
        if not isinstance(error, ConfigError):  # a prompt's fault is reported already
            yield CheckFinding("learned", ERROR, str(error))
        return
    manifest = folder.manifest.with_labels(derivers.labels)
    faults = validate(loaded.config, manifest)
    yield from (CheckFinding("events", ERROR, loaded.fault(key, message)) for key, message in faults)
    if faults:
        return
    thresholds = Thresholds(loaded.config, manifest)
    for camera, label, value in saved_thresholds(loaded.resolve(loaded.config.node.data_dir) / "outbox.db"):
        with suppress(InputError):  # a camera or label that no longer exists
            thresholds.set(camera, label, value)
    for threshold in thresholds.all_effective():
        yield CheckFinding(
            f"{threshold.camera}/{threshold.label}", OK, _threshold_text(threshold, thresholds.advice(threshold.label))
        )
    yield from _below_advice(loaded, thresholds)
    yield from _short_min_s(loaded, thresholds)


def _threshold_text(threshold: EffectiveThreshold, advice: Label) -> str:
    origin = threshold.origins["enter"]
    enter = f"enter {threshold.enter:g} ({'model' if origin is ValueOrigin.DEFAULT else origin.value})"
    advised = "" if threshold.enter == advice.enter else f", advised {advice.enter:g}"
    return f"{enter}, leave {threshold.leave:g}, {threshold.severity}{advised}{'' if threshold.enabled else ', off'}"


def _below_advice(loaded: LoadedConfig, thresholds: Thresholds) -> Iterator[CheckFinding]:
    """Thresholds below the model's advice, and defaults without effect."""
    default = loaded.config.events.get(DEFAULTS)
    unmoved = []
    for label in thresholds.labels:
        advice = thresholds.advice(label.name)
        effective = [one for one in thresholds.all_effective() if one.label == label.name and one.enabled]
        lower = [one for one in effective if one.enter < advice.enter]
        yield from _lower(loaded, label.name, advice, lower)
        if default is not None and default.enter is not None and default.enter < advice.enter:
            unmoved += [f"{label.name} ({advice.enter:g})"] * bool(effective and not lower)
    if unmoved:
        message = (
            f"does not lower the model's advice for {', '.join(unmoved)}; to go below it, give enter with the label"
        )
        yield CheckFinding("events", OK, loaded.fault(("events", DEFAULTS, "enter"), message))


def _lower(loaded: LoadedConfig, label: str, advice: Label, lower: list[EffectiveThreshold]) -> Iterator[CheckFinding]:
    by_hand = [threshold for threshold in lower if threshold.origins["enter"] is ValueOrigin.COMMAND]
    for one in by_hand:
        message = (
            f"enter {one.enter:g}, set by command, is below the model's advice {advice.enter:g}: expect false alarms"
        )
        yield CheckFinding(f"{one.camera}/{label}", WARNING, f"{message}; `default` takes it back")
    written = [one for one in lower if one.origins["enter"] is ValueOrigin.CONFIG]
    if written:
        message = (
            f"{label} enter {written[0].enter:g} is below the model's advice {advice.enter:g}: expect false alarms"
        )
        hint = f"{message}; leave it out, or see with `edge tune` what it does here"
        yield CheckFinding("events", WARNING, loaded.fault(("events", label, "enter"), hint))


def _short_min_s(loaded: LoadedConfig, thresholds: Thresholds) -> Iterator[CheckFinding]:
    """A default min_s applies to all labels; report those with longer advice."""
    default = loaded.config.events.get(DEFAULTS)
    if default is None or default.min_s is None:
        return
    effective = {
        one.label: one
        for one in thresholds.all_effective()
        if one.enabled and one.origins["min_s"] is ValueOrigin.CONFIG
    }
    shorter = [
        f"{name} ({thresholds.advice(name).min_s:g} s)"
        for name, one in effective.items()
        if loaded.config.events.get(name, default).min_s in {None, default.min_s}
        and one.min_s < thresholds.advice(name).min_s
    ]
    if shorter:
        message = (
            f"min_s {default.min_s:g} is shorter than the model's advice for {', '.join(shorter)}: expect false alarms"
        )
        yield CheckFinding("events", WARNING, loaded.fault(("events", DEFAULTS, "min_s"), message))
