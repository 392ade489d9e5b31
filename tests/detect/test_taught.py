"""Events taught by examples at work: what is there decides, each modality's part is by ablation, silence is silence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from media_times import at

from edge.detect.taught import SILENT_PROBABILITY, LinearProbe, SourceReliability, TaughtEvents, TaughtHead, save_head
from edge.detect.taught_features import (
    VERSION,
    MotionHistory,
    log_odds,
    motion_statistics,
    people_statistics,
    sound_groups,
)
from edge.errors import InputError
from edge.profile import ProfilePart
from edge.types import Box, Contribution, Features, Scores

SOUND, TAGS, PICTURE, CLASSES, MOVED, PEOPLE = 4, 7, 5, 2, 3 * 2, 4
SILENCE = np.full(SOUND, 2.0, np.float32)


def features(sound: float = 0.0, picture: float = 0.0) -> Features:
    return Features(
        tags=np.full(TAGS, 0.5, np.float32),
        classes=np.full(CLASSES, 0.5, np.float32),
        picture_tags=np.zeros(3, np.float32),
        sound=np.full(SOUND, sound, np.float32),
        picture=np.full(PICTURE, picture, np.float32),
        motion=np.zeros((2, 3, 2), np.float32),
        aligned=np.zeros((2, 6), np.float32),
    )


def scores(sound: float | None = None, picture: float | None = None, seq: int = 0, epoch: int = 0) -> Scores:
    return Scores(
        camera="gate",
        seq=seq,
        t_end_ns=seq,
        media_end=at(seq, epoch),
        values={"bark": 0.7},
        contribution={"bark": Contribution(0.5, 1.5, 0.0)},
        embedding=np.zeros(2, np.float32),
        boxes=(),
        tags={},
        coverage=1.0,
        video_ok=picture is not None,
        audio_ok=sound is not None,
        model="toy",
        features=features(sound or 0.0, picture or 0.0),
    )


def source(length: int, first: int, gain: float) -> LinearProbe:
    """Evidence for the one label: the sum of the first entries times a gain."""
    weights = np.zeros((length, 2), np.float32)
    weights[:first, 1] = gain / first
    return LinearProbe(np.zeros(length, np.float32), np.ones(length, np.float32), weights, np.zeros(2, np.float32))


def part(**changes: object) -> ProfilePart:
    head = TaughtHead(
        ("slam",),
        {"sound": source(SOUND + TAGS, SOUND, 1.0), "picture": source(PICTURE + CLASSES, PICTURE, 1.0)},
        SourceReliability(
            {"both": {"sound": 1.0, "picture": 1.0}, "audio": {"sound": 1.0}, "video": {"picture": 1.0}}, -1.0
        ),
        SILENCE,
    )
    advice = {"slam": {"modalities": ["video", "audio"], "enter": 0.5, "leave": 0.3, "min_s": 0.0}}
    return save_head(head, {"features": VERSION, "advice": advice, **changes})


def value(taught: TaughtEvents, given: Scores) -> float:
    return taught.derive(given)["slam"].value


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def test_evidence_of_both_modalities_adds_up() -> None:
    assert value(TaughtEvents(part()), scores(sound=3.0, picture=1.5)) == pytest.approx(sigmoid(3.0 + 1.5 - 1.0))


@pytest.mark.parametrize(("given", "logit"), [(scores(sound=3.0), 2.0), (scores(picture=1.5), 0.5)])
def test_a_missing_modality_is_left_out(given: Scores, logit: float) -> None:
    assert value(TaughtEvents(part()), given) == pytest.approx(sigmoid(logit))


def test_contribution_is_what_a_modality_adds() -> None:
    added = TaughtEvents(part()).derive(scores(sound=3.0, picture=1.5))["slam"].contribution
    assert (added.video, added.audio, added.sensors) == (pytest.approx(1.5), pytest.approx(3.0), 0.0)


def test_contribution_of_the_only_modality_is_against_nothing() -> None:
    added = TaughtEvents(part()).derive(scores(sound=3.0))["slam"].contribution
    assert (added.video, added.audio) == (0.0, pytest.approx(3.0))


def test_a_silent_track_says_nothing_about_what_is_seen() -> None:
    taught = TaughtEvents(part())
    assert value(taught, scores(sound=2.0, picture=1.5)) == value(taught, scores(picture=1.5))


def test_where_only_a_silent_track_is_there_nothing_happens() -> None:
    assert value(TaughtEvents(part()), scores(sound=2.0)) == SILENT_PROBABILITY


def test_without_evidence_the_label_is_left_out() -> None:
    assert TaughtEvents(part()).derive(scores()) == {}


def test_labels_have_the_learned_advice() -> None:
    (label,) = TaughtEvents(part()).labels
    assert (label.name, label.enter, label.leave, label.modalities) == ("slam", 0.5, 0.3, ("video", "audio"))


def test_the_part_survives_the_disk_format() -> None:
    once = part()
    again = ProfilePart(dict(once.arrays), dict(once.facts))
    given = scores(sound=1.0, picture=2.0)
    assert value(TaughtEvents(again), given) == value(TaughtEvents(once), given)


def test_a_part_of_another_release_is_refused() -> None:
    with pytest.raises(InputError, match="learn them again"):
        TaughtEvents(part(features=VERSION + 1))


def test_a_damaged_part_is_refused() -> None:
    whole = part()
    arrays = {name: a for name, a in whole.arrays.items() if name != "sound.bias"}
    with pytest.raises(InputError, match="damaged"):
        TaughtEvents(ProfilePart(arrays, whole.facts))


def test_a_damaged_advice_is_refused() -> None:
    with pytest.raises(InputError, match="damaged"):
        TaughtEvents(part(advice={"slam": {"enter": "often"}}))


def test_movement_is_summed_up_over_recent_windows_and_forgotten() -> None:
    recent = MotionHistory()
    moving = replace(scores(picture=1.0), features=replace(features(), motion=np.ones((2, 3, 2), np.float32)))
    still = scores(picture=1.0, seq=1)
    first = recent.extract(moving).movement
    second = recent.extract(still).movement
    anew = recent.extract(replace(still, media_end=at(2, 1))).movement
    assert first is not None
    assert second is not None
    assert anew is not None
    moving_now, largest = slice(0, MOVED), slice(MOVED + PEOPLE, 2 * MOVED + PEOPLE)
    assert 0 < second[moving_now].sum() < first[moving_now].sum()
    assert second[largest].sum() == first[largest].sum()
    assert anew[largest].sum() == 0


def test_what_is_seen_knows_nothing_of_what_is_heard() -> None:
    quiet, loud = scores(sound=0.0, picture=1.0), scores(sound=9.0, picture=1.0)
    louder = replace(
        loud, values={"bark": sigmoid(np.log(7 / 3) + 2.0)}, contribution={"bark": Contribution(0.5, 3.5, 0.0)}
    )
    for name in ("picture", "movement"):
        one, other = MotionHistory().extract(quiet).source(name), MotionHistory().extract(louder).source(name)
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_log_odds_are_bounded() -> None:
    np.testing.assert_allclose(log_odds(np.array([0.0, 0.5, 1.0], np.float32)), [-12.0, 0.0, 4.0], atol=1e-6)


def test_kinds_are_the_clearest_of_each_family() -> None:
    heard = np.full(527, -10.0, np.float32)
    heard[14] = 2.0  # Screaming
    kinds = sound_groups(heard)
    assert kinds[1] == 2.0
    assert (np.delete(kinds, 1) == -10.0).all()


def test_people_near_each_other_overlap() -> None:
    apart = (Box("person", 0.9, 0.0, 0.0, 0.2, 0.5), Box("person", 0.9, 0.5, 0.0, 0.7, 0.5))
    close = (Box("person", 0.9, 0.0, 0.0, 0.2, 0.5), Box("person", 0.9, 0.1, 0.0, 0.3, 0.5))
    assert people_statistics(apart)[3] == 0.0
    assert people_statistics(close)[3] == pytest.approx(0.5)
    assert people_statistics((Box("car", 0.9, 0.0, 0.0, 1.0, 1.0),)).sum() == 0


def test_moved_knows_size_not_direction() -> None:
    motion = np.zeros((4, 5, 1), np.float32)
    motion[0, 0] = 3.0
    np.testing.assert_allclose(motion_statistics(motion)[:2], motion_statistics(-motion)[:2])
    assert motion_statistics(motion)[1] > 0
