"""The rules of config.yaml: when, where and at which times scores become an event, and how labels are combined."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.config.schedule import Schedule
from edge.config.sources import ConfigSection, Name, Positive
from edge.config.values import AboveZero, Duration, EventName, Probability, Severity

EventNames = Annotated[tuple[EventName, ...], Field(min_length=2, max_length=8)]


class RuleConfig(ConfigSection):
    """When scores become an event. Missing values come from the defaults, then from the model's advice.

    ``when``, ``sequence`` and ``all_of`` make a new event from the labels that they name; without them the rule
    belongs to the label of its name.
    """

    when: EventName | tuple[EventName, ...] | None = None
    sequence: EventNames | None = None
    all_of: EventNames | None = None
    within_s: Positive | None = None
    cameras: tuple[Name, ...] | None = None
    zones: tuple[Name, ...] | None = None
    lines: tuple[Name, ...] | None = None
    direction: Literal["any", "to_left", "to_right"] | None = None
    after_s: Duration | None = None
    agree: bool | None = None
    schedule: Schedule | None = None
    even_disarmed: bool | None = None
    enter: AboveZero | None = None
    leave: Probability | None = None
    min_s: Duration | None = None
    merge_s: Duration | None = None
    cooldown_s: Duration | None = None
    most_per_hour: Annotated[int, Field(ge=1, le=3600)] | None = None
    severity: Severity | None = None
    enabled: bool | None = None
    false_alarms_per_day: Positive | None = None

    @model_validator(mode="after")
    def _enter_or_false_alarms(self) -> RuleConfig:
        if self.enter is not None and self.false_alarms_per_day is not None:
            raise ValueError("give enter or false_alarms_per_day, not both: the second is learned at the site")
        return self

    @model_validator(mode="after")
    def _leave_below_enter(self) -> RuleConfig:
        if self.enter is not None and self.leave is not None and self.leave > self.enter:
            raise ValueError(
                f"leave ({self.leave}) is above enter ({self.enter}): an event would end as it begins; lower leave"
            )
        return self

    @model_validator(mode="after")
    def _one_composition(self) -> RuleConfig:
        compositions = [name for name in ("when", "sequence", "all_of") if getattr(self, name) is not None]
        if len(compositions) > 1:
            raise ValueError(f"give one of {' and '.join(compositions)}: each makes an event of its own")
        if self.within_s is not None and self.sequence is None and self.all_of is None:
            raise ValueError("within_s goes with sequence or all_of")
        if self.direction is not None and not self.lines:
            raise ValueError("direction goes with lines")
        if self.all_of is not None and len(set(self.all_of)) < len(self.all_of):
            raise ValueError("all_of names a label twice; what must come again goes into a sequence")
        if self.sequence is not None and len(set(self.sequence)) < len(self.sequence) and not self.lines:
            raise ValueError("sequence names a label twice: that goes with lines alone, where each crossing counts")
        return self

    @model_validator(mode="after")
    def _no_duration_with_lines(self) -> RuleConfig:
        if self.lines and self.min_s:
            raise ValueError("min_s goes without lines: a crossing is a moment and does not last")
        return self

    @property
    def is_composed(self) -> bool:
        """Whether it makes a new event from labels."""
        return bool(self.parts)

    @property
    def has_place(self) -> bool:
        """Whether it depends on where objects are, or for how long."""
        return bool(self.zones or self.lines or self.after_s)

    @property
    def parts(self) -> tuple[str, ...]:
        """The labels that a new event is made of; empty for a rule that belongs to a label."""
        if self.when is not None:
            return (self.when,) if isinstance(self.when, str) else self.when
        return self.sequence or self.all_of or ()
