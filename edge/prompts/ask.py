"""From the configuration's prompts to something that can be asked of each window; and the reasons why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.engine.manifest import Label, Modality, ModelFolder
from edge.prompts.encoder import TextEncoder, find_text_model
from edge.prompts.ground import Grounding, ground
from edge.prompts.knowledge import Knowledge, load_knowledge
from edge.prompts.panel import Asked, Panel, Verdict
from edge.prompts.steady import Steady
from edge.types import Scores


@dataclass(frozen=True, slots=True)
class Wording:
    """A prompt as it is written: its name, its sentence, and what it must not be taken for."""

    name: str
    text: str
    unlike: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heeded:
    """A prompt as it was understood. ``refusal`` says why it cannot be asked, "" when it can; ``warnings`` what it
    cannot do."""

    wording: Wording
    asked: Asked
    refusal: str
    warnings: tuple[str, ...]

    @property
    def label(self) -> Label:
        """As a label of the catalogue."""
        wanted = self.asked.wanted
        found: list[Modality] = [*(["video"] if wanted.seen else []), *(["audio"] if wanted.heard else [])]  # type: ignore[list-item]
        return Label(name=self.wording.name, modalities=tuple(found), enter=0.6, leave=0.4, min_s=0.5)


class Interpreter:
    """The text encoder and what the model knows, for a few sentences; drop it when they are understood.

    InputError when the text model is not installed or the model has no words.
    """

    def __init__(self, folder: ModelFolder) -> None:
        self.knowledge: Knowledge = load_knowledge(folder)
        self._encoder = TextEncoder(find_text_model())

    def understand(self, wordings: Sequence[Wording]) -> list[Heeded]:
        """What each prompt rests on, or why it is refused."""
        return [self._understand(wording) for wording in wordings]

    def _understand(self, wording: Wording) -> Heeded:
        wanted, *others = ground(self.knowledge, self._encoder, [wording.text, *wording.unlike])
        warnings = [warning for other in others if (warning := _against(wanted, other))]
        refusal = "" if wanted.grounded else f"{wording.text!r} {wanted.described()}; say it with such words"
        known = tuple(other for other in others if other.grounded)
        return Heeded(wording, Asked(wording.name, wanted, known), refusal, tuple(warnings))


class Stream:
    """One camera's windows asked in order; a break in its media starts anew."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._steady = Steady()
        self._epoch: int | None = None

    def ask(self, scores: Scores) -> Mapping[str, Verdict]:
        """What each prompt comes to in this window and those just before."""
        if scores.epoch != self._epoch:
            self._steady, self._epoch = Steady(), scores.epoch
        return self._panel.decide(self._steady.add(self._panel.evidence(scores)), scores)


def _against(wanted: Grounding, other: Grounding) -> str:
    """Why an `unlike` cannot help, "" when it can."""
    if not other.grounded:
        return f"unlike {other.text!r} cannot be grounded and is not used"
    tops = [(found[0].kind, found[0].index) for found in (wanted.heard, wanted.seen) if found]
    theirs = [(found[0].kind, found[0].index) for found in (other.heard, other.seen) if found]
    if tops and tops == theirs:
        return (
            f"cannot be told from {other.text!r}: the model knows both only as {(wanted.heard or wanted.seen)[0].name}"
        )
    return ""
