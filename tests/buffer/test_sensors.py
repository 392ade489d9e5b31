"""What the sensors of a camera say, for the model and for people."""

from __future__ import annotations

from edge.buffer.sensors import SensorBoard
from edge.engine.manifest import SensorChannel
from edge.types import NS_PER_S, SensorFacts, SensorReading

CHANNELS = [SensorChannel(name=name, unit=unit, mean=0, std=1) for name, unit in (("heat", "K"), ("gas", "ppm"))]


def test_facts_tell_value_unit_and_age_of_what_is_configured() -> None:
    board = SensorBoard(CHANNELS, {"heat": 60.0})
    assert board.facts(0) == (SensorFacts("heat", "K", None, None, is_stale=True),)
    board.push(SensorReading("heat", 5 * NS_PER_S, 290.0))
    board.push(SensorReading("gas", 5 * NS_PER_S, 3.0))
    board.push(SensorReading("heat", 10 * NS_PER_S, 291.5))
    assert board.facts(12 * NS_PER_S) == (SensorFacts("heat", "K", 291.5, 2.0, is_stale=False),)
    assert board.facts(71 * NS_PER_S) == (SensorFacts("heat", "K", 291.5, 61.0, is_stale=True),)
    assert SensorBoard(CHANNELS, {}).facts(0) == ()
