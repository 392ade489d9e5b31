"""What people give: folders and tables, and what they are told when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.adapt.examples import NO_EVENT, check_counts, read_examples
from edge.errors import InputError


def files(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def test_a_sub_folder_is_a_label(tmp_path: Path) -> None:
    files(tmp_path, "door_slam/1.wav", "normal/a.wav", "door_slam/night/2.wav", ".git/x", "door_slam/.hidden")
    found = {(e.path.name, e.label, e.group) for e in read_examples(tmp_path)}
    assert found == {("1.wav", "door_slam", ""), ("2.wav", "door_slam", "night"), ("a.wav", NO_EVENT, "")}


@pytest.mark.parametrize("name", ["normal", "none", "background", "negative", "Normal"])
def test_names_for_no_event(tmp_path: Path, name: str) -> None:
    assert [e.label for e in read_examples(files(tmp_path, f"{name}/1.wav"))] == [NO_EVENT]


@pytest.mark.parametrize("header", ["file,label,group", "path,class,group", "File,Event,Group"])
def test_tables_have_several_headings(tmp_path: Path, header: str) -> None:
    files(tmp_path, "clips/1.wav")
    table = tmp_path / "marks.csv"
    table.write_text(f"{header},camera\nclips/1.wav,slam,monday,front\n", encoding="utf-8")
    (example,) = read_examples(table)
    assert (example.path, example.label, example.group) == (tmp_path / "clips/1.wav", "slam", "monday")


def test_a_file_may_lie_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "here/1.wav")
    monkeypatch.chdir(tmp_path / "here")
    table = tmp_path / "marks.csv"
    table.write_text("file,label\n1.wav,slam\n", encoding="utf-8")
    assert read_examples(table)[0].path == Path("1.wav")


def test_a_part_of_a_recording(tmp_path: Path) -> None:
    files(tmp_path, "1.wav")
    table = tmp_path / "marks.csv"
    table.write_text("file,label,start_s,end_s\n1.wav,slam,1.5,3\n1.wav,slam,,\n", encoding="utf-8")
    assert [(e.start_s, e.end_s) for e in read_examples(table)] == [(1.5, 3.0), (None, None)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,label\n1.wav,a\n", "no column file or path; it has name, label"),
        ("file,mark\n1.wav,a\n", "no column label or class or event"),
        ("file,label\n", "no rows"),
        ("file,label\n2.wav,a\n", "line 2: 2.wav: no such file"),
        ("file,label\n1.wav,\n", "line 2: label is empty"),
        ("file,label,start_s,end_s\n1.wav,a,3,1\n", "end_s 1 is not after start_s 3"),
        ("file,label,start_s\n1.wav,a,soon\n", "start_s 'soon' is not a number"),
        ("file,label\n1.wav,Door Slam\n", "for example 'door_slam'"),
        ("file,label\n1.wav,7th\n", "for example 'event_7th'"),
        ("file,label\n1.wav,anomaly\n", "edge learn normal"),
    ],
)
def test_faults_say_what_to_do(tmp_path: Path, text: str, told: str) -> None:
    files(tmp_path, "1.wav")
    table = tmp_path / "marks.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        read_examples(table)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder or file"):
        read_examples(tmp_path / "nowhere")
    with pytest.raises(InputError, match="has no sub-folder with clips"):
        read_examples(tmp_path)


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"slam": 5}, "only one label, 'slam'"),
        ({NO_EVENT: 9}, "no clips of any event"),
        ({"slam": 4, NO_EVENT: 9}, "too few clips: slam has 4; give at least 5"),
        ({"slam": 5, NO_EVENT: 2}, "too few clips: normal has 2"),
    ],
)
def test_too_little_to_learn_from(counts: dict[str, int], told: str) -> None:
    with pytest.raises(InputError, match=told):
        check_counts(counts)


def test_enough_to_learn_from() -> None:
    check_counts({"slam": 5, NO_EVENT: 5})
    check_counts({"slam": 5, "knock": 5})
