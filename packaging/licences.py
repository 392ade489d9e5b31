"""Print the copyright file of a package that bundles a virtual environment: our licence, then everybody else's.

Usage: licences.py SITE_PACKAGES. What each bundled package declares and the texts it brings are read from its metadata;
one that declares nothing is an error (exit 1).
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
OURS = "edge-monitor"
TEXTS = re.compile(r"(licen[cs]e|copying|notice|third.?party|copyright)", re.IGNORECASE)
RULE = "=" * 100


def declared(package: Distribution) -> str:
    """The licence that ``package`` names, as short as it names it; empty where it names none."""
    fields = package.metadata
    expression = fields.get("License-Expression")
    if expression:
        return str(expression)
    classified = [str(c).rpartition(" :: ")[2] for c in fields.get_all("Classifier") or [] if "License ::" in c]
    named = [line for line in str(fields.get("License") or "").splitlines() if line.strip()]
    if classified:
        return ", ".join(classified)
    return named[0].strip() if named else ""


def texts(package: Distribution) -> list[Path]:
    """The licence files that ``package`` installs."""
    found = {Path(str(package.locate_file(file))) for file in package.files or [] if _is_text(Path(str(file)))}
    return sorted(path for path in found if path.is_file())


def _is_text(file: Path) -> bool:
    return file.suffix in {"", ".txt", ".md", ".rst", ".LGPL", ".BSD", ".APACHE"} and bool(
        TEXTS.search(file.name) or "licenses" in file.parts
    )


def main(site_packages: str) -> int:
    """Write everything to standard output; an exit code."""
    packages = sorted(distributions(path=[site_packages]), key=lambda package: package.name.lower())
    others = [package for package in packages if package.name != OURS]
    silent = [package.name for package in others if not declared(package) and not texts(package)]
    if silent:
        print(f"licences: no licence is declared by {', '.join(silent)}", file=sys.stderr)
        return 1
    print((TOP / "NOTICE").read_text(encoding="utf-8"))
    print((TOP / "packaging" / "bundled.txt").read_text(encoding="utf-8"))
    for package in others:
        print(f"- {package.name} {package.version}: {declared(package) or 'see its text below'}")
    print(f"\n{RULE}\nedge\n{RULE}\n")
    print((TOP / "LICENSE").read_text(encoding="utf-8"))
    _print_texts(others)
    return 0


def _print_texts(packages: list[Distribution]) -> None:
    first: dict[str, str] = {}
    for package in packages:
        for path in texts(package):
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            print(f"\n{RULE}\n{package.name} {package.version}: {path.name}\n{RULE}\n")
            print(f"The same as that of {first[text]}." if text in first else text)
            first.setdefault(text, f"{package.name}, {path.name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
