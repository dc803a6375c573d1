"""The file of master keys changes whole, and the commands say in a sentence what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.events.log import masters
from libs.events.log.keyring import Master, UnusableMasters, new_master, read_masters
from libs.events.log.masters import Place, Trouble, changing, is_due, main, places_from


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "master.keys"
    for name in ("MIGRATION_DATABASE_URL", "MIGRATION_DATABASE_URL_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MASTER_KEYS_FILE", str(path))
    return path


def test_the_first_master_is_current_and_those_made_after_it_wait(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        assert main(["new"]) == 0
    first, second, third = capsys.readouterr().out.split()
    assert [master.id for master in read_masters(file.read_text())] == [second, third, first]
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_was_in_the_file_before_is_overwritten(file: Path) -> None:
    old = new_master()
    file.write_text(old.line())
    held = file.open("rb")
    with changing(file) as found:
        found[:] = [new_master()]
    assert old.line().split()[1].encode() not in held.read()
    held.close()
    assert old.id not in file.read_text()


def test_a_change_that_fails_changes_nothing(file: Path) -> None:
    file.write_text(text := new_master().line())

    def fail() -> None:
        with changing(file) as found:
            found.clear()
            raise Trouble("no")

    with pytest.raises(Trouble):
        fail()
    assert file.read_text() == text


def test_a_file_that_is_no_file_of_masters_is_left_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("half a li")
    with pytest.raises(UnusableMasters), changing(file):
        pass
    assert main(["new"]) == 1
    assert "line 1" in capsys.readouterr().err
    assert file.read_text() == "half a li"


@pytest.mark.parametrize(("days", "due"), [(0, False), (29, False), (30, True), (400, True)])
def test_a_master_of_thirty_days_is_due(file: Path, days: int, due: bool) -> None:
    made = datetime.now(UTC) - timedelta(days=days)
    file.write_text(Master(f"{made:%Y%m%dT%H%M%SZ}-abcdef", bytes(32)).line())
    assert is_due(file) is due
    assert main(["due"]) == int(due)


def test_a_master_whose_age_nobody_knows_is_due(file: Path) -> None:
    file.write_text(Master("ours", bytes(32)).line())
    assert is_due(file)


@pytest.mark.parametrize("command", [["rotate"], ["destroy", "x"]])
def test_without_databases_nothing_is_turned_over(
    file: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    file.write_text(text := new_master().line())
    assert main(command) == 1
    assert "MIGRATION_DATABASE_URL is not set" in capsys.readouterr().err
    assert file.read_text() == text


def test_without_a_file_it_says_so(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list"]) == 1
    assert "cannot be used: No such file" in capsys.readouterr().err
    monkeypatch.delenv("MASTER_KEYS_FILE")
    assert main(["list"]) == 1
    assert "MASTER_KEYS_FILE is not set" in capsys.readouterr().err


def test_a_database_s_source_follows_from_its_owner_or_is_said() -> None:
    text = "postgresql://intake_owner:x@db/intake\n\n/intake-north postgresql://intake_owner:x@north/intake\n"
    assert places_from(text) == [
        Place("/intake", "postgresql://intake_owner:x@db/intake"),
        Place("/intake-north", "postgresql://intake_owner:x@north/intake"),
    ]
    assert "x@" not in repr(places_from(text))
    for wrong in ("intake", "postgresql://db/intake", "intake postgresql://intake_owner@db/intake"):
        with pytest.raises(Trouble):
            places_from(wrong)


def test_a_database_that_is_away_is_told_by_its_source_alone(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text := new_master().line())
    monkeypatch.setenv("MIGRATION_DATABASE_URL", "postgresql://intake_owner:secret@127.0.0.1:1/intake")
    assert main(["rotate"]) == 1
    assert capsys.readouterr().err == "The database of /intake cannot be reached at the address given.\n"
    assert file.read_text() == text, "no master is made that nothing is wrapped by"
    assert masters.TURNOVER_DAYS == 30
