"""The state machine of a camera's decoding, its picture reference, and its packet sizes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.capture.wake_policy import PacketSizes, PictureReference, WakePolicy
from edge.demand import DecodeState, DecodeStatus, PictureDemand, WakeReason
from edge.signal_change import SoundOnset
from edge.types import NS_PER_S

FPS = 15
SIZE = (96, 160)


def feed(policy: WakePolicy, seconds: float, group_s: float, begin_s: float = 0.0) -> None:
    for k in range(round(seconds * FPS)):
        policy.add_packet(round((begin_s + k / FPS) * NS_PER_S), is_key=k % round(group_s * FPS) == 0)


def test_it_may_sleep_after_one_calm_group() -> None:
    policy = WakePolicy()
    assert not policy.may_sleep(0)
    feed(policy, 2.1, 2.0)
    assert policy.may_sleep(2 * NS_PER_S)


def test_a_reason_keeps_it_awake_for_four_seconds() -> None:
    policy = WakePolicy()
    feed(policy, 30.0, 2.0)
    policy.keep_awake(WakeReason.SOUND, 20 * NS_PER_S)
    assert not policy.may_sleep(round(23.9 * NS_PER_S))
    assert policy.may_sleep(24 * NS_PER_S)
    assert policy.status.reason is WakeReason.SOUND


def test_an_earlier_reason_changes_nothing() -> None:
    policy = WakePolicy()
    policy.keep_awake(WakeReason.EVENT, 20 * NS_PER_S)
    policy.keep_awake(WakeReason.DOUBT, 10 * NS_PER_S)
    assert policy.status.reason is WakeReason.EVENT


@given(st.floats(0.4, 6.0))
def test_only_groups_of_two_seconds_sleep(group_s: float) -> None:
    policy = WakePolicy()
    feed(policy, 4 * group_s, group_s)
    length_s = round(group_s * FPS) / FPS
    assert policy.may_sleep(1000 * NS_PER_S) == (length_s <= 2.05)
    if length_s > 2.05:
        assert policy.status.reason is WakeReason.KEYS_APART


def test_an_overdue_key_picture_is_noticed() -> None:
    policy = WakePolicy()
    feed(policy, 4.1, 2.0)
    assert not policy.is_overdue(round(6.4 * NS_PER_S))
    assert policy.is_overdue(round(6.6 * NS_PER_S))


def noisy(seed: int, sigma: float = 3.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, (*SIZE, 3))
    return np.clip(90 + noise, 0, 255).astype(np.uint8)


def test_noise_is_no_change() -> None:
    reference = PictureReference(*SIZE)
    assert not any(reference.moves(noisy(k)) for k in range(30))
    assert not reference.settle(noisy(30))
    assert not any(reference.key_differs(noisy(k)) for k in range(31, 60))


def test_a_small_thing_and_a_slow_drift_are_changes() -> None:
    reference = PictureReference(*SIZE)
    reference.settle(noisy(0))
    thing = noisy(1)
    thing[40:52, 60:70] = 180
    assert reference.key_differs(thing)
    drift = [np.clip(noisy(k).astype(int) + k // 4, 0, 255).astype(np.uint8) for k in range(2, 40)]
    assert any(reference.key_differs(image) for image in drift)  # compared with the first, not with the last


def sizes_after(seconds: float, size: int, spread: int = 0) -> PacketSizes:
    found, rng = PacketSizes(), np.random.default_rng(1)
    for k in range(round(seconds * FPS)):
        found.jump(k * NS_PER_S // FPS, size + int(rng.integers(-spread, spread + 1)))
        if k % (2 * FPS) == 0:
            found.confirm()
    return found


def test_one_large_packet_stands_out() -> None:
    found = sizes_after(20, 60, 10)
    assert not found.jump(20 * NS_PER_S, 70)
    assert found.jump(20 * NS_PER_S + NS_PER_S // FPS, 400)


def test_half_a_second_of_larger_packets_stands_out() -> None:
    found = sizes_after(20, 6000, 1500)
    jumps = [found.jump((300 + k) * NS_PER_S // FPS, 9500) for k in range(15)]
    assert any(jumps)
    assert not jumps[0]


def test_noise_does_not_stand_out() -> None:
    found, rng = sizes_after(20, 6000, 3000), np.random.default_rng(2)
    jumps = 0
    for k in range(300, 900):
        jumps += found.jump(k * NS_PER_S // FPS, 6000 + int(rng.integers(-3000, 3001)))
        if k % 30 == 0:
            found.confirm()
    assert jumps == 0


def test_what_was_found_to_be_new_is_not_usual() -> None:
    found = sizes_after(20, 100)
    assert found.jump(20 * NS_PER_S, 5000)
    found.discard()
    found.confirm()
    assert found.jump(21 * NS_PER_S, 5000)


def test_an_onset_rises_over_what_is_usual() -> None:
    onset, rng = SoundOnset(16000, 8000), np.random.default_rng(3)
    quiet = [rng.normal(0, 0.001, 8000).astype(np.float32) for _ in range(60)]
    assert not any(onset.rises(chunk) for chunk in quiet)
    assert onset.rises(quiet[0] * 10)
    loud = [rng.normal(0, 0.01, 8000).astype(np.float32) for _ in range(20)]
    assert not any(onset.rises(chunk) for chunk in loud)  # it lasts: that is usual now


def test_blocks_of_any_length_are_heard() -> None:
    onset, rng = SoundOnset(16000, 8000), np.random.default_rng(4)
    for _ in range(600):
        assert not onset.rises(rng.normal(0, 0.001, 160).astype(np.float32))
    assert any(onset.rises(rng.normal(0, 0.1, 160).astype(np.float32)) for _ in range(60))


def test_the_longest_demand_counts() -> None:
    demand = PictureDemand()
    assert demand.wanted(0) is None
    demand.want(WakeReason.PAGE, 10)
    demand.want(WakeReason.EVENT, 30)
    demand.want(WakeReason.EVENT, 20)
    assert demand.wanted(25) is WakeReason.EVENT
    assert demand.wanted(30) is None
    assert demand.latest() == (WakeReason.EVENT, 30)


def test_windows_wait_for_what_is_held_back_and_for_what_lies_unread() -> None:
    demand = PictureDemand()
    assert demand.hold_ns(9 * NS_PER_S) == 0
    demand.unread_since_ns = 7 * NS_PER_S
    assert demand.hold_ns(9 * NS_PER_S) == 2 * NS_PER_S
    demand.lag_ns = NS_PER_S
    assert demand.hold_ns(9 * NS_PER_S) == 3 * NS_PER_S
    demand.status = DecodeStatus(DecodeState.QUIET, WakeReason.START)
    assert demand.hold_ns(9 * NS_PER_S) == 3 * NS_PER_S + PictureDemand.HOLD_NS
    demand.unread_since_ns, demand.lag_ns = None, 0
    assert demand.hold_ns(9 * NS_PER_S) == PictureDemand.HOLD_NS


def test_every_reason_has_a_sentence() -> None:
    assert all(reason.text for reason in WakeReason)
