"""PostgreSQL where its user cannot go, after a crash, and kept from others."""

from __future__ import annotations

import os
from pathlib import Path

import asyncpg
import pytest

from deploy.local import postgres as module
from deploy.local.postgres import Postgres
from deploy.local.process import free_port
from tests.conftest import NewDatabase


@pytest.fixture
def shelters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts_folder: Path) -> Path:
    """A place for shelters of this test's own, which any user can enter."""
    folder = parts_folder / tmp_path.name
    folder.mkdir(mode=0o755)
    monkeypatch.setattr(module, "SHELTERS", folder)
    return folder


def server_in(folder: Path) -> Postgres:
    return Postgres(folder / "postgres", free_port(), "secret", folder / "postgres.log")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run it as somebody else")
async def test_a_folder_closed_to_the_servers_user_is_no_obstacle(tmp_path: Path, shelters: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = server_in(closed)
    server.start()
    try:
        connection = await asyncpg.connect(server.admin_url)
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW server_version_num") >= "180000"
        await connection.close()
        [shelter] = shelters.iterdir()
        assert server.data == shelter / "data"
    finally:
        server.stop()
    server.forget()
    assert list(shelters.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run it as somebody else")
async def test_a_shelter_that_nothing_leads_to_any_more_is_removed_by_the_next(tmp_path: Path, shelters: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir(mode=0o700)
    first, second = server_in(tmp_path / "one"), server_in(tmp_path / "two")
    first.prepare()
    first.folder.unlink()
    second.prepare()
    assert list(shelters.iterdir()) == [second.base]


async def test_what_was_committed_is_there_after_a_kill(parts_folder: Path) -> None:
    folder = parts_folder / "killed"
    folder.mkdir(mode=0o711)
    server = server_in(folder)
    server.start()
    connection = await asyncpg.connect(server.admin_url)
    await connection.execute("CREATE TABLE kept AS SELECT 1285 AS year")
    server.kill()
    server.start()
    try:
        again = await asyncpg.connect(server.admin_url)
        assert await again.fetchval("SELECT year FROM kept") == 1285
        await again.close()
    finally:
        connection.terminate()
        server.stop()


async def test_a_wrong_password_is_refused(parts_folder: Path, postgres: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url("postgres", "guessed", "postgres"))


async def test_a_services_role_reaches_its_own_database_and_no_other(new_database: NewDatabase) -> None:
    intake, router = await new_database("intake"), await new_database("router")
    foreign = intake.url.rpartition("/")[2]
    own = await asyncpg.connect(router.url)
    await own.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(router.url.replace(router.url.rpartition("/")[2], foreign))
