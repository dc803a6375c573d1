"""The files of the page: those that are named, and what npm brings whenever it brings it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from libs.service.problem import Unavailable
from services.directory.map_api import FILES, FOLDER, PAGE, PageFile, _file


def test_what_npm_has_not_brought_is_said_and_is_there_once_it_has(tmp_path: Path) -> None:
    library = PageFile(tmp_path / "library.js", "text/javascript")
    with pytest.raises(Unavailable, match="npm ci"):
        _file(library)
    library.path.write_text("export const there = true;")
    assert _file(library).forms["identity"] == b"export const there = true;"


def test_every_file_of_ours_is_there_and_the_page_names_none_from_elsewhere() -> None:
    ours = [file.path for file in (PAGE, *FILES.values()) if "node_modules" not in file.path.parts]
    assert all(path.is_file() for path in ours)
    named = " ".join(path.read_text() for path in ours if path.suffix in (".html", ".js", ".css"))
    assert "http://" not in named
    assert "https://" not in named


def test_the_lock_pins_what_it_names_and_names_no_registry() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert set(packages) == {"node_modules/leaflet"}
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert all("resolved" not in package for package in packages.values())
