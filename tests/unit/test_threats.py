"""THREATS.md names only tests that there are."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _tests(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and path.name != "node_modules":
            yield from _tests(path)
        elif path.match("test_*.py"):
            yield path


def test_every_test_that_the_threats_name_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "THREATS.md").read_text("utf-8")))
    # Not below node_modules, which some tests install.
    below = [
        path for kind in ("unit", "integration", "faults", "conformance") for path in _tests(ROOT / "tests" / kind)
    ]
    written = "\n".join(path.read_text("utf-8") for path in below)
    there = set(re.findall(r"^\s*(?:async )?def (test_\w+)\(", written, re.MULTILINE))
    assert len(named) > 10
    assert named <= there, named - there
