from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import bootstrap


def test_an_old_python_is_told_what_to_do() -> None:
    with pytest.raises(bootstrap.Trouble, match=r"this is 3\.9.*PYTHON=python3\.12"):
        bootstrap.check_python((3, 9))
    bootstrap.check_python((3, 11))


def test_an_old_python_can_read_the_file_that_says_so() -> None:
    ast.parse(Path(bootstrap.__file__).read_text(), feature_version=(3, 7))


def test_it_needs_nothing_but_the_standard_library() -> None:
    code = f"import runpy; runpy.run_path({bootstrap.__file__!r}, run_name='read')"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_a_python_without_pip_and_ensurepip_gets_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "_succeeds", lambda _command: False)
    with pytest.raises(bootstrap.Trouble, match="apt install python3-venv"):
        bootstrap.pip()


def test_what_a_venv_was_made_from_changes_with_the_lock_and_the_groups(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    (tmp_path / "uv.lock").write_text("one")
    (tmp_path / "pyproject.toml").write_text("")
    first = bootstrap.fingerprint([])
    assert bootstrap.fingerprint([]) == first
    assert bootstrap.fingerprint(["bench"]) != first
    (tmp_path / "uv.lock").write_text("two")
    assert bootstrap.fingerprint([]) != first
