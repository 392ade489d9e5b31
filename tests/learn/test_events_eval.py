"""The protocols' own parts: what a replay's table says of a file, and a video without its sound."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from edge.errors import EdgeError
from edge.learn.events import eval as events_eval
from edge.learn.events.eval import measure_esc10, replay_maxima, without_sound

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "yard.mp4"


def packets(path: Path) -> tuple[int, int]:
    """Packets of pictures and streams of sound."""
    with av.open(str(path)) as file:
        return sum(packet.size > 0 for packet in file.demux(video=0)), len(file.streams.audio)


def test_a_muted_copy_has_every_picture_and_no_sound(tmp_path: Path) -> None:
    pictures, sounds = packets(SAMPLE)
    assert sounds == 1
    assert packets(without_sound(SAMPLE, tmp_path / "muted" / "yard.mp4")) == (pictures, 0)


def test_the_score_of_a_clip_is_the_highest_of_its_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replayed(*_arguments: str) -> int:
        rows = ["file,t_s,fight,other", "a.mp4,0.5,0.25,", "a.mp4,1.0,0.75,0.5", "b.mp4,0.5,,"]
        (tmp_path / "scores.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        return 0

    monkeypatch.setattr(events_eval, "_edge", replayed)
    assert replay_maxima([Path("a.mp4"), Path("b.mp4")], tmp_path) == [{"fight": 0.75, "other": 0.5}, {}]


def test_another_data_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("file,label,split,group\n", encoding="utf-8")
    with pytest.raises(EdgeError, match="is this the data folder"):
        measure_esc10(tmp_path, 20, tmp_path / "work")
