"""What each role of a service may do in its database, and in others': as little as its part needs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from deploy.local.databases import Logins
from libs.events.log import store
from libs.events.log.database import Database
from libs.events.log.roles import CONSUMER, PARTS, READER, RELAY, WRITER, Login, Part, role_of
from libs.service import rights
from tests.conftest import NewDatabase
from tests.integration.logs import an_append

SERVICES = ("directory", "intake", "recording", "router")
NEVER = (
    "UPDATE event SET type = 'x'",
    "DELETE FROM event",
    "TRUNCATE event",
    "INSERT INTO event SELECT * FROM event",
    "UPDATE stream SET version = 0",
    "UPDATE stream SET key = NULL",
    "DELETE FROM erased",
    "DELETE FROM claim",
    "SELECT nextval('event_position')",
    "DROP TABLE event",
    "ALTER TABLE event ADD COLUMN mine int",
    "ALTER TABLE event DISABLE TRIGGER ALL",
    "ALTER TABLE event DISABLE ROW LEVEL SECURITY",
    "ALTER FUNCTION append RESET ALL",
    "CREATE POLICY all_of_it ON event USING (true)",
    "CREATE TABLE public.mine (a int)",
    "CREATE TEMPORARY TABLE event (a int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "UPDATE alembic_version SET version_num = 'x'",
)


@pytest_asyncio.fixture(scope="module")
async def logins(database: NewDatabase) -> dict[str, Logins]:
    return {service: await database(service) for service in SERVICES}


@pytest_asyncio.fixture
async def played(logins: dict[str, Logins], service: str, part: Part) -> AsyncIterator[asyncpg.Connection]:
    connection = await Login(logins[service].url).connect(part, server_settings={})
    yield connection
    await connection.close()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("service", SERVICES)
async def test_no_part_changes_what_was_said_or_what_it_is_kept_in(
    played: asyncpg.Connection, service: str, part: Part
) -> None:
    assert await played.fetchval("SELECT current_user") == role_of(service, part)
    for statement in (*NEVER, f"SET ROLE {service}_owner"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await played.execute(statement)


@pytest.mark.parametrize("service", SERVICES)
async def test_each_part_may_do_what_the_table_says_and_nothing_else(logins: dict[str, Logins], service: str) -> None:
    owner = await asyncpg.connect(logins[service].owner_url)
    try:
        tables = await owner.fetch(
            "SELECT relname, oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')"
        )
        assert {"event", "stream", "claim"} <= {table["relname"] for table in tables} <= set(rights.TABLES)
        for table in tables:
            for part in PARTS:
                given = await owner.fetch(
                    "SELECT p FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER,MAINTAIN}'::text[])"
                    " AS p WHERE has_table_privilege($1, $2::oid, p)",
                    role_of(service, part),
                    table["oid"],
                )
                listed = rights.TABLES[table["relname"]].get(part, "")
                whole = re.sub(r"\w+ \([^)]*\)", "", listed).replace(" ", "").split(",")
                assert sorted(row["p"] for row in given) == sorted(filter(None, whole)), (table, part)
                of_columns = await owner.fetch(
                    "SELECT p, attname FROM unnest('{SELECT,INSERT,UPDATE}'::text[]) AS p, pg_attribute"
                    " WHERE attrelid = $2::oid AND attnum > 0 AND has_column_privilege($1, $2::oid, attnum, p)"
                    " AND NOT has_table_privilege($1, $2::oid, p)",
                    role_of(service, part),
                    table["oid"],
                )
                wanted = {
                    (privilege, column.strip())
                    for privilege, columns in re.findall(r"(\w+) \(([^)]*)\)", listed)
                    for column in columns.split(",")
                }
                assert {(row["p"], row["attname"]) for row in of_columns} == wanted, (table, part)
        for name, owned in await owner.fetch(
            "SELECT rolname, (SELECT count(*) FROM pg_class WHERE relowner = r.oid) FROM pg_roles AS r"
            " WHERE rolname = ANY ($1)",
            [role_of(service, part) for part in PARTS],
        ):
            assert owned == 0, name
    finally:
        await owner.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_enters_no_other_service_s_database(logins: dict[str, Logins], service: str) -> None:
    for other in set(SERVICES) - {service}:
        database = logins[other].url.rpartition("/")[2]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(logins[service].url.rpartition("/")[0] + f"/{database}")


async def test_only_who_decides_or_applies_appends(logins: dict[str, Logins]) -> None:
    for part in PARTS:
        database = await Database.connect(logins["intake"].url, source="/intake", part=part)
        try:
            if part in (WRITER, CONSUMER):
                await store.append(database, [an_append()])
            else:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await store.append(database, [an_append()])
        finally:
            await database.close()


async def test_a_part_is_played_only_by_a_connection_made_for_it(logins: dict[str, Logins]) -> None:
    """The login has none of the rights of its other parts by being their member; nobody else may play them."""
    connection = await asyncpg.connect(logins["intake"].url)
    try:
        for part in (READER, RELAY, CONSUMER):
            assert await connection.fetchval("SELECT pg_has_role($1, 'SET')", role_of("intake", part))
            assert not await connection.fetchval("SELECT pg_has_role($1, 'USAGE')", role_of("intake", part))
            assert not await connection.fetchval("SELECT pg_has_role($1, 'MEMBER')", role_of("router", part))
            assert not await connection.fetchval(
                "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", role_of("intake", part)
            )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE relay SET position = 0")
    finally:
        await connection.close()
