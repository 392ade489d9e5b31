"""Evidence of a window becomes comparable probabilities, by modality, with what speaks for them."""

from __future__ import annotations

import numpy as np
import pytest
from prompts_parts import Dictionary, knowledge, meaning, sigmoid, window

from edge.prompts.grounding import ground
from edge.prompts.interpreter import PromptStream
from edge.prompts.scorer import NO_EVIDENCE, EvidenceSmoother, GroundedPrompt, PromptResult, PromptScorer
from edge.types import F32, Scores


def panel(*wanted: F32, unlike: tuple[F32, ...] = (), closeness: float = 0.0) -> PromptScorer:
    known = knowledge(closeness)
    vectors = {f"s{n}": vector for n, vector in enumerate((*wanted, *unlike))}
    found = ground(known, Dictionary(**vectors), list(vectors))  # type: ignore[arg-type]
    asked = [
        GroundedPrompt(f"p{n}", found[n], tuple(found[len(wanted) :]) if n == 0 else ()) for n in range(len(wanted))
    ]
    return PromptScorer(known, asked)


def verdicts(asked: PromptScorer, scores: Scores) -> dict[str, PromptResult]:
    return asked.score(asked.evidence(scores), scores)


GLASS, DOG, PERSON, FIRE, SPEECH = (meaning(**{name: 1}) for name in ("glass", "dog", "person", "fire", "speech"))


def test_a_tag_above_its_usual_becomes_the_calibrated_probability() -> None:
    found = verdicts(panel(GLASS), window({"Glass": 6.0}))["p0"]
    assert found.value == pytest.approx(sigmoid(2.0), abs=0.01)
    assert found.why == "heard glass"
    assert (found.contribution.video, found.contribution.sensors) == (0.0, 0.0)
    assert found.contribution.audio == pytest.approx(9.0, abs=0.1)  # from the log-odds of ordinary windows, -7, to 2


def test_what_is_ordinary_is_no_evidence() -> None:
    assert verdicts(panel(GLASS), window())["p0"].value < 0.05


def test_prompts_are_comparable_the_one_that_is_heard_wins() -> None:
    found = verdicts(panel(GLASS, DOG, SPEECH), window({"Dog": 7.0, "Glass": 3.0}))
    assert max(found, key=lambda name: found[name].value) == "p1"


def test_the_cosine_counts_beside_the_tags() -> None:
    near, far = (verdicts(panel(GLASS, closeness=1.0), window(like=like))["p0"].value for like in (GLASS, SPEECH))
    assert near == pytest.approx(sigmoid(0.0), abs=0.01)  # 1 / 0.25 above what is ordinary: 4, as the offset
    assert far < 0.05


def test_a_box_score_of_0_4_is_even_odds() -> None:
    found = verdicts(panel(PERSON), window(seen={"person": 0.4}))["p0"]
    assert found.value == pytest.approx(0.5, abs=0.01)
    assert found.why == "seen person"
    assert found.contribution.audio == 0.0


def test_a_picture_that_is_merely_like_the_sentence_counts_a_little_and_never_begins_anything() -> None:
    like, unlike = (verdicts(panel(PERSON), window(looks=looks))["p0"].value for looks in (PERSON, GLASS))
    assert unlike < 0.02
    assert 0.2 < like <= 0.31


def test_heard_or_seen_is_enough_and_each_says_what_it_added() -> None:
    asked = panel(DOG)
    both = verdicts(asked, window({"Dog": 6.0}, {"dog": 0.6}))["p0"]
    alone = verdicts(asked, window({"Dog": 6.0}, {"dog": 0.6}, video=False))["p0"]
    assert both.value > alone.value > 0.8
    assert both.contribution.audio > 0.5
    assert both.contribution.video > 0.5


def test_a_missing_modality_says_nothing() -> None:
    asked = panel(GLASS, PERSON)
    assert set(verdicts(asked, window({"Glass": 8.0}, audio=False))) == {"p1"}
    assert set(verdicts(asked, window(video=False))) == {"p0"}
    assert verdicts(asked, window(audio=False, video=False)) == {}


def test_a_label_is_taken_without_what_sound_added_to_it() -> None:
    asked = panel(FIRE)
    seen = verdicts(asked, window(values={"fire": 0.8}))["p0"].value
    heard = verdicts(asked, window(values={"fire": 0.8}, by_sound=5.0))["p0"].value
    assert seen == pytest.approx(0.8, abs=0.01)
    assert heard < 0.1


def test_words_that_are_further_from_the_sentence_count_less() -> None:
    exact, near = (
        verdicts(panel(vector), window({"Glass": 7.0}))["p0"].value for vector in (GLASS, meaning(glass=0.7, bark=0.7))
    )
    assert exact > near + 0.05


def test_what_it_must_not_be_taken_for_silences_it() -> None:
    scores = window({"Dog": 6.5, "Glass": 7.0})
    assert verdicts(panel(GLASS), scores)["p0"].value > 0.7
    assert verdicts(panel(GLASS, unlike=(DOG,)), scores)["p0"].value < 0.6
    assert verdicts(panel(GLASS, unlike=(DOG,)), window({"Glass": 7.0}))["p0"].value > 0.9


def test_evidence_is_steadied_over_four_windows() -> None:
    steady = EvidenceSmoother()
    rows = [np.array([[value, NO_EVIDENCE]]) for value in (0.0, 0.0, 0.0, 8.0, 8.0)]
    found = [steady.add(row) for row in rows]
    assert [row[0, 0] for row in found] == [0.0, 0.0, 0.0, 5.0, 6.0]
    assert all(row[0, 1] == NO_EVIDENCE for row in found)


def test_windows_without_a_modality_are_left_out_of_the_mean() -> None:
    steady = EvidenceSmoother()
    steady.add(np.array([[4.0, NO_EVIDENCE]]))
    assert steady.add(np.array([[NO_EVIDENCE, 2.0]])).tolist() == [[NO_EVIDENCE, 2.0]]
    assert steady.add(np.array([[8.0, 2.0]])).tolist() == [[7.0, 2.0]]


def test_a_break_in_the_media_starts_anew() -> None:
    stream = PromptStream(panel(GLASS))
    stream.evaluate(window({"Glass": 8.0}))
    after = stream.evaluate(window({"Glass": 2.0}, epoch=1))["p0"].value
    fresh = stream.evaluate(window({"Glass": 2.0}, epoch=2))["p0"].value
    assert after > fresh + 0.1
    assert fresh == pytest.approx(sigmoid(-2.0), abs=0.02)
