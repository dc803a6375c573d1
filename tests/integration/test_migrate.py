"""Migrations against the real PostgreSQL: once, whole, by the owner, and with what the service's role then may do."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from deploy.local.databases import Logins
from libs.events.log.roles import WRITER
from libs.service import migrate as module
from libs.service import rights
from libs.service.migrate import Trouble, main, migrate, services

NewDatabase = Callable[[str], Awaitable[Logins]]
SERVICES = ("directory", "intake", "recording", "router")


async def test_every_service_has_migrations() -> None:
    assert tuple(services()) == SERVICES


@pytest.mark.parametrize("service", SERVICES)
async def test_two_at_once_migrate_once(new_database: NewDatabase, service: str) -> None:
    logins = await new_database(service)
    done = await asyncio.gather(*(migrate(service, logins.owner_url) for _ in range(3)))
    assert sorted(map(len, done)) == [0, 0, 1]
    assert await migrate(service, logins.owner_url) == []


async def test_nobody_else_may_do_anything(database: NewDatabase) -> None:
    logins = await database("intake")
    connection = await asyncpg.connect(logins.owner_url)
    try:
        grants = await connection.fetch(
            "SELECT table_name FROM information_schema.table_privileges WHERE grantee NOT LIKE 'intake%'"
            " AND table_schema = 'public'"
        )
        open_functions = await connection.fetch(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " AND has_function_privilege('directory', oid, 'EXECUTE')"
        )
    finally:
        await connection.close()
    assert grants == []
    assert open_functions == []


async def test_what_is_granted_is_mended_by_the_next_run(new_database: NewDatabase) -> None:
    logins = await new_database("intake")
    await migrate("intake", logins.owner_url)
    owner = await asyncpg.connect(logins.owner_url)
    try:
        await owner.execute("GRANT DELETE ON event TO intake")
        await owner.execute("REVOKE SELECT ON claim FROM intake")
        await migrate("intake", logins.owner_url)
        may = "SELECT has_table_privilege('intake', $1, $2)"
        assert await owner.fetchval(may, "event", "DELETE") is False
        assert await owner.fetchval(may, "claim", "SELECT") is True
    finally:
        await owner.close()


async def test_a_migration_that_fails_leaves_nothing(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins = await new_database("intake")
    monkeypatch.setitem(rights.TABLES, "event", {WRITER: "SELECT, NONSENSE"})  # type: ignore[arg-type]
    with pytest.raises(Trouble, match="was not migrated and is as it was"):
        await migrate("intake", logins.owner_url)
    monkeypatch.undo()
    owner = await asyncpg.connect(logins.owner_url)
    try:
        assert await owner.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    finally:
        await owner.close()
    assert await migrate("intake", logins.owner_url) == ["0001"]


async def test_a_lock_that_others_hold_is_not_queued_for(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins = await new_database("intake")
    await migrate("intake", logins.owner_url)
    monkeypatch.setattr(module, "LOCK_TIMEOUT", "100ms")
    holder = await asyncpg.connect(logins.owner_url)
    try:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        migrating = asyncio.create_task(migrate("intake", logins.owner_url))
        await asyncio.sleep(0.5)
        await transaction.rollback()
        assert await asyncio.wait_for(migrating, 20) == []
    finally:
        await holder.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda url: re.sub(r":\d+/", ":1/", url), "cannot be reached"),
        (lambda url: url.replace("intake_owner:", "intake_owner:x"), "password authentication failed"),
        (lambda url: url.rpartition("/")[0] + "/no_such", "does not exist"),
        (lambda url: re.sub(r":\d+/", ":99999/", url), "is not an address"),
        (lambda url: re.sub(r":\d+/", ":port/", url), "is not an address"),
        (lambda url: url.replace("postgresql", "mysql"), "is not an address"),
    ],
)
async def test_a_database_that_cannot_be_used_is_one_sentence_without_the_address(
    new_database: NewDatabase, change: Callable[[str], str], says: str
) -> None:
    logins = await new_database("intake")
    url = change(logins.owner_url)
    with pytest.raises(Trouble) as raised:
        await migrate("intake", url)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert url.split("@")[0] not in str(raised.value)


async def test_a_role_that_is_not_there_is_named(new_database: NewDatabase) -> None:
    logins = await new_database("intake")
    with pytest.raises(Trouble, match="no role nobody_s_service"):
        await migrate("intake", logins.owner_url, role="nobody_s_service")


def test_without_an_address_the_command_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MIGRATION_DATABASE_URL", raising=False)
    assert main(["intake"]) == 1
    assert capsys.readouterr().err.startswith("MIGRATION_DATABASE_URL is not set")
