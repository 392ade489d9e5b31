"""Interprets the configuration's prompts: grounded prompts that can be scored, or the reasons for a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edge.config import Config
from edge.engine.manifest import Label, Modality, ModelFolder
from edge.prompts.encoder import TextEncoder, find_text_model
from edge.prompts.grounding import ConceptMatch, Grounding, ModelVocabulary, ground, load_vocabulary
from edge.prompts.scorer import EvidenceSmoother, GroundedPrompt, PromptResult, PromptScorer
from edge.types import Scores

ENTER, LEAVE, MIN_S = 0.6, 0.4, 0.5


@dataclass(frozen=True, slots=True)
class PromptText:
    """A prompt as written: its name, its sentence, and what it must not be confused with."""

    name: str
    text: str
    unlike: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InterpretedPrompt:
    """An interpreted prompt. ``refusal`` says why it cannot be used, "" when it can; ``warnings`` are its
    limitations."""

    wording: PromptText
    prompt: GroundedPrompt
    refusal: str
    warnings: tuple[str, ...]

    @property
    def label(self) -> Label:
        """As a label of the catalogue."""
        wanted = self.prompt.wanted
        ways: tuple[tuple[Modality, bool], ...] = (("video", bool(wanted.seen)), ("audio", bool(wanted.heard)))
        modalities = tuple(modality for modality, there in ways if there)
        return Label(name=self.wording.name, modalities=modalities, enter=ENTER, leave=LEAVE, min_s=MIN_S)


class PromptInterpreter:
    """The text encoder and the model's vocabulary, for a few sentences; drop it after interpreting them.

    InputError when the text model is not installed or the model has no words.
    """

    def __init__(self, folder: ModelFolder) -> None:
        self.knowledge: ModelVocabulary = load_vocabulary(folder)
        self._encoder = TextEncoder(find_text_model())

    def interpret(self, wordings: Sequence[PromptText]) -> list[InterpretedPrompt]:
        """The interpretation of each prompt, or why it is refused."""
        return [self._understand(wording) for wording in wordings]

    def _understand(self, wording: PromptText) -> InterpretedPrompt:
        wanted, *others = ground(self.knowledge, self._encoder, [wording.text, *wording.unlike])
        refusal = "" if wanted.grounded else f"{wording.text!r} {wanted.summary()}; say it with such words"
        others_left = [without_shared(wanted, other) for other in others]
        prompt = GroundedPrompt(wording.name, wanted, tuple(other for other, _ in others_left if other.grounded))
        return InterpretedPrompt(wording, prompt, refusal, tuple(warning for _, warning in others_left if warning))


def without_shared(wanted: Grounding, other: Grounding) -> tuple[Grounding, str]:
    """``other`` without the modalities in which it rests on the same concept as ``wanted``, and a warning in words.

    In these the model cannot distinguish the two, and weighing one against the other would suppress both.
    """
    if not other.grounded:
        return other, f"unlike {other.text!r} cannot be grounded and is not used"
    same_heard, same_seen = _same(wanted.heard, other.heard), _same(wanted.seen, other.seen)
    if not (same_heard or same_seen):
        return other, ""
    left = replace(other, heard=() if same_heard else other.heard, seen=() if same_seen else other.seen)
    by = " or ".join(word for word, same in (("sound", same_heard), ("picture", same_seen)) if same)
    name = (wanted.heard if same_heard else wanted.seen)[0].name
    return left, f"cannot be told from {other.text!r} by {by}: the model knows both as {name}"


def _same(wanted: tuple[ConceptMatch, ...], other: tuple[ConceptMatch, ...]) -> bool:
    return bool(wanted and other) and (wanted[0].kind, wanted[0].index) == (other[0].kind, other[0].index)


def prompt_texts(config: Config) -> list[PromptText]:
    """The prompts of a configuration."""
    return [PromptText(name, prompt.text, prompt.unlike) for name, prompt in config.prompts.items()]


class PromptStream:
    """Scores prompts on one camera's windows, in order; a break in its media resets it."""

    def __init__(self, panel: PromptScorer) -> None:
        self._panel = panel
        self._steady = EvidenceSmoother()
        self._epoch: int | None = None

    def evaluate(self, scores: Scores) -> Mapping[str, PromptResult]:
        """The score of each prompt in this window and those just before."""
        if scores.media_end.epoch != self._epoch:
            self._steady, self._epoch = EvidenceSmoother(), scores.media_end.epoch
        return self._panel.score(self._steady.add(self._panel.evidence(scores)), scores)
