"""The microphone through the real PortAudio, ALSA and PulseAudio; the microphone itself is a FIFO."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from pulse_parts import Server, missing, serving
from test_file import GEOMETRY

from edge.capture.registry import open_microphone
from edge.clock import SystemClock
from edge.commands import devices
from edge.config.sources import MicrophoneConfig
from edge.errors import SourceError
from edge.metrics import Metrics
from edge.types import NS_PER_S, AudioChunk, Gap, MediaItem, seconds

pytestmark = [pytest.mark.portaudio, pytest.mark.timeout(120)]
CLOCK = SystemClock()

if missing():
    pytest.skip(f"needs apt: {missing()}", allow_module_level=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("pulse")) as one:
        yield one


def listen(s: float, metrics: Metrics | None = None, **config: object) -> list[MediaItem]:
    """All items of ``s`` seconds."""
    source = open_microphone("hall", MicrophoneConfig(type="device", **config), GEOMETRY, CLOCK, metrics or Metrics())
    items: list[MediaItem] = []
    for item in source.items():
        items.append(item)
        if item.arrival_ns - items[0].arrival_ns > s * NS_PER_S:
            source.close()
    return items


@pytest.mark.parametrize("rate_hz", [None, 16000, 44100])
def test_tone_and_count_of_samples(server: Server, rate_hz: int | None) -> None:
    metrics = Metrics()
    items = listen(5.0, metrics, rate_hz=rate_hz)
    assert not [item for item in items if isinstance(item, Gap)]
    chunks = [item for item in items if isinstance(item, AudioChunk)]
    n, took_s = sum(len(c.samples) for c in chunks[1:]), seconds(chunks[-1].arrival_ns - chunks[0].arrival_ns)
    assert n / 32000 == pytest.approx(took_s, abs=0.25)
    assert metrics.registry.get_sample_value("edge_drops_total", {"source": "hall", "place": "samples"}) == 0
    for a, b in pairwise(chunks):
        assert b.pts_ns - a.pts_ns == pytest.approx(len(a.samples) * NS_PER_S / 32000, abs=1_000_000)
    heard = np.concatenate([c.samples for c in chunks])[32000 : 3 * 32000]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert spectrum.argmax() * 32000 / len(heard) == pytest.approx(1000, abs=1)
    assert np.abs(heard).max() == pytest.approx(0.5, abs=0.05)


def test_microphones_are_listed(server: Server) -> None:
    listen(0.2)
    assert any(found.name in {"pulse", "default"} for found in devices.list_microphones())


def test_no_such_input_names_those_there_are(server: Server) -> None:
    with pytest.raises(SourceError, match=r"no input 'Nonesuch'; there is: .*(pulse|default)"):
        listen(1.0, name="Nonesuch")


def test_killed_server_is_an_error_and_a_new_one_is_heard(server: Server) -> None:
    source = open_microphone("hall", MicrophoneConfig(type="device"), GEOMETRY, CLOCK, Metrics())
    items = source.items()
    for _ in range(10):
        next(items)
    server.kill()
    began_ns = CLOCK.mono_ns()
    with pytest.raises(SourceError, match="sound server"):
        for _ in items:
            pass
    assert seconds(CLOCK.mono_ns() - began_ns) < 10
    with pytest.raises(SourceError, match="microphone hall"):
        next(iter(source.items()))
    server.start()
    items = source.items()
    for _ in range(10):
        assert isinstance(next(items), AudioChunk)
    source.close()
    assert len(list(items)) < 10


def test_stalled_server_is_given_up_in_bounded_time(server: Server) -> None:
    source = open_microphone("hall", MicrophoneConfig(type="device"), GEOMETRY, CLOCK, Metrics())
    items = source.items()
    for _ in range(10):
        next(items)
    server.freeze()
    began_ns = CLOCK.mono_ns()
    try:
        with pytest.raises(SourceError, match="hangs"):
            for _ in items:
                pass
        assert seconds(CLOCK.mono_ns() - began_ns) < 10, "neither read nor close may hang with the server"
    finally:
        server.thaw()
    heard: list[MediaItem] = []
    for _ in range(20):
        try:
            heard = listen(0.5)
            break
        except SourceError:
            time.sleep(0.5)
    assert heard
