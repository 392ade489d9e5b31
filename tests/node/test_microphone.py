"""The whole daemon on a microphone alone, through the real PortAudio: a dog is heard."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from daemon_parts import SAMPLE, Daemon, config_text, events_in, wait_for
from numpy.typing import NDArray
from pulse_parts import RATE, missing, serving

pytestmark = pytest.mark.portaudio
BARKS_S = (9.0, 13.0)


def barks() -> NDArray[np.int16]:
    """The part of the sample in which a dog barks, as the microphone would record it."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(SAMPLE)) as clip:
        blocks = [block.to_ndarray()[0] for frame in clip.decode(audio=0) for block in resampler.resample(frame)]
    begin, end = (round(t * RATE) for t in BARKS_S)
    return np.concatenate(blocks)[begin:end].astype("<i2")


def test_a_dog_is_heard(tmp_path: Path) -> None:
    if missing():
        pytest.skip(f"needs apt: {missing()}")
    folder = tmp_path / "pulse"
    folder.mkdir()
    text = config_text(tmp_path / "data")
    begin = text.index("cameras:")
    end = text.index("\n", begin)
    cameras = "cameras: {hall: {microphone: hall}}\nmicrophones: {hall: {type: device}}"
    config = tmp_path / "config.yaml"
    config.write_text(text[:begin] + cameras + text[end:], encoding="utf-8")
    told = tmp_path / "data" / "events.jsonl"
    with serving(folder, barks()):
        daemon = Daemon(config)
        try:
            heard = wait_for(
                lambda: [e for e in events_in(told) if e["label"] == "dog_bark"], "a dog_bark event", timeout_s=90
            )
        finally:
            assert daemon.stop() == 0, daemon.text()
    assert heard[0]["camera"] == "hall"
    assert heard[0]["contribution"]["audio"] > 0
    assert heard[0]["contribution"]["video"] == 0
    assert heard[0]["boxes"] == []
