"""The version: in one place, and the changelog's newest."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import edge

TOP = Path(__file__).parents[2]


def releases() -> list[tuple[str, str]]:
    return re.findall(r"^## (\S+), (\S+)$", (TOP / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_changelogs_newest_release_is_this_version() -> None:
    assert releases()[0][0] == edge.__version__


def test_every_heading_of_the_changelog_is_a_release_with_its_date() -> None:
    headings = re.findall(r"^## (.*)$", (TOP / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings == [f"{version}, {day}" for version, day in releases()]
    days = [date.fromisoformat(day) for _, day in releases()]
    assert days == sorted(days, reverse=True)
    assert len({version for version, _ in releases()}) == len(days)


def test_no_other_file_says_which_version_this_is() -> None:
    assert not re.search(r"^version\s*=", (TOP / "pyproject.toml").read_text(), re.MULTILINE)
