"""What a saved file changes in a running node."""

from __future__ import annotations

import os
from pathlib import Path

from edge.config import parse
from edge.node.command_handler import FileWatch, merge_live

BASE = "cameras: {yard: {source: {type: file, path: a.mp4}}}\n"


def test_thresholds_change_live_and_the_rest_is_refused_by_name() -> None:
    running = parse(BASE).config
    wanted = parse(BASE + "events: {fire: {enter: 0.9}}\nmqtt: {url: 'mqtt://other'}\nnode: {id: other}").config
    merged, refused = merge_live(running, wanted)
    assert merged.events["fire"].enter == 0.9
    assert merged.mqtt == running.mqtt
    assert refused == ["node", "mqtt"]


def test_the_same_file_changes_nothing() -> None:
    running = parse(BASE).config
    assert merge_live(running, parse(BASE).config) == (running, [])


def test_every_save_is_noticed_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(BASE)
    watch = FileWatch(path)
    assert not watch.changed()
    replacement = tmp_path / "new"
    replacement.write_text(BASE + "model: {}\n")
    path.unlink()
    assert not watch.changed()
    replacement.rename(path)
    assert watch.changed()
    assert not watch.changed()
    os.utime(path, ns=(1, 1))
    assert watch.changed()


def test_zones_and_lines_change_live_and_the_rest_of_a_camera_does_not() -> None:
    running = parse(BASE).config
    name = next(iter(running.cameras))
    drawn = running.cameras[name].model_copy(update={"zones": {"yard": ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))}})
    wanted = running.model_copy(update={"cameras": {**running.cameras, name: drawn}})
    assert merge_live(running, wanted) == (wanted, [])
    masked = drawn.model_copy(update={"privacy_masks": (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)),)})
    merged, refused = merge_live(running, wanted.model_copy(update={"cameras": {**running.cameras, name: masked}}))
    assert refused == ["cameras"]
    assert merged.cameras[name].zones == drawn.zones
    assert merged.cameras[name].privacy_masks == ()
