"""The unit files as text: the template is the plain unit with its own paths."""

from __future__ import annotations

from pathlib import Path

UNITS = Path(__file__).parents[2] / "systemd"
DOCS = Path(__file__).parents[2] / "docs"


def settings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_template_differs_only_where_a_shard_must() -> None:
    plain = settings((UNITS / "edge.service").read_text())
    template = settings((UNITS / "edge@.service").read_text())
    assert len(plain) == len(template)
    differ = {a.partition("=")[0] for a, b in zip(plain, template, strict=True) if a != b}
    assert differ == {"Description", "ExecStart", "StateDirectory", "CacheDirectory", "WorkingDirectory", "Environment"}


def test_every_drop_in_is_documented() -> None:
    text = (DOCS / "how-to" / "systemd.md").read_text()
    assert [p.name for p in (UNITS / "drop-ins").iterdir() if p.name not in text] == []
