"""Row-level security by the catalogue: every table that holds what is a force's, asked without any filter, shows those
who answer and decide for callers what is in the caller's scope, and without a scope nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from deploy.local.databases import Logins
from libs.events.log import scope, store
from libs.events.log.database import Database
from libs.events.log.roles import CONSUMER, PARTS, READER, WRITER, Login, role_of
from libs.events.log.scope import ALLIANCE, Access, Scope
from libs.events.log.store import Append
from tests.conftest import NewDatabase
from tests.integration.logs import an_append

SCOPED = ("intake", "recording", "router")
OPEN = {
    "claim": "keys and references by which their own holders find a contact; which forces they are says nothing",
    "alembic_version": "the schema's own",
}
"""Tables that callers' parts may read, and that hold nothing of a force's."""
BEDS, CAMBS, HERTS = "bedfordshire", "cambridgeshire", "hertfordshire"

LOAD = "SELECT * FROM event WHERE subject = $1 ORDER BY version"
SHOW = """
SELECT e, d.fact FROM event AS e LEFT JOIN decision AS d ON e.version = 1 AND d.contact = $1
WHERE e.subject = $1 ORDER BY e.version
"""
_TABLES = """
SELECT c.oid::regclass::text AS name, c.relname, c.relrowsecurity AND c.relforcerowsecurity AS forced,
       (SELECT array_agg(polname::text ORDER BY polname) FROM pg_policy WHERE polrelid = c.oid) AS policies,
       has_table_privilege($1, c.oid, 'SELECT') AS writer, has_table_privilege($2, c.oid, 'SELECT') AS reader
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY 1
"""


@pytest_asyncio.fixture(scope="module")
async def logins(database: NewDatabase) -> dict[str, Logins]:
    return {service: await database(service) for service in (*SCOPED, "directory")}


async def tables(logins: Logins) -> list[asyncpg.Record]:
    owner = await asyncpg.connect(logins.owner_url)
    try:
        found = await owner.fetch(_TABLES, logins.service, role_of(logins.service, READER))
    finally:
        await owner.close()
    return [table for table in found if (table["writer"] or table["reader"]) and table["relname"] not in OPEN]


@pytest_asyncio.fixture
async def filled(logins: dict[str, Logins], service: str) -> AsyncIterator[tuple[Logins, dict[str, str]]]:
    """A contact that each of three forces owns, in every table where there may be something of it."""
    consumer = await Database.connect(logins[service].url, source=f"/{service}", part=CONSUMER)
    contacts = {}
    for force in (BEDS, CAMBS, HERTS):
        append = an_append()
        contacts[force] = append.subject
        await store.append(
            consumer,
            [Append(append.subject, 0, append.events, access=(Access("owning", force),))],
        )
        for table in await tables(logins[service]):
            if table["relname"] not in ("event", "contact_access"):
                await _fill(consumer, table["name"], append.subject, force)
    yield logins[service], contacts
    await consumer.close()


async def _fill(consumer: Database, table: str, contact: str, force: str) -> None:
    """A row of this contact's and force's: the columns that name them say so, the others hold anything."""
    columns = await consumer.fetch(
        "SELECT attname AS name, format_type(atttypid, -1) AS type FROM pg_attribute"
        " WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped"
        " AND (attnotnull OR attname = ANY ($2))",
        table,
        ["force", "owning_force", "incident"],
    )
    of = {"contact", "id", "subject", "incident"}
    anything = {
        "bytea": "''",
        "boolean": "false",
        "timestamp with time zone": "now()",
        "text": "'x'",
        "text[]": "'{}'",
        "uuid": f"'{uuid4()}'",
    }
    values = [
        f"'{contact}'" if c["name"] in of else f"'{force}'" if "force" in c["name"] else anything.get(c["type"], "1")
        for c in columns
    ]
    names = ", ".join(c["name"] for c in columns)
    await consumer.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join(values)})")


@pytest.mark.parametrize("service", [*SCOPED, "directory"])
async def test_every_table_that_callers_parts_may_read_is_secured(logins: dict[str, Logins], service: str) -> None:
    found = await tables(logins[service])
    assert "event" in {table["relname"] for table in found}
    for table in found:
        assert table["forced"], f"{table['name']} holds what is a force's and has no row-level security"
        assert {"scoped", "whole"} <= set(table["policies"]), table["name"]


@pytest.mark.parametrize("service", SCOPED)
async def test_a_query_without_a_filter_shows_the_asker_s_forces_alone(
    filled: tuple[Logins, dict[str, str]], service: str
) -> None:
    logins, contacts = filled
    for part in (READER, WRITER):
        connection = await Login(logins.url).connect(part, server_settings={})
        try:
            for table in await tables(logins):
                if not table[part]:
                    continue
                for seen, expected in (
                    ((BEDS,), {BEDS}),
                    ((CAMBS, HERTS), {CAMBS, HERTS}),
                    (("essex",), set()),
                    ((ALLIANCE,), set()),
                    ((), set()),
                ):
                    async with connection.transaction():
                        await scope.begin(connection, Scope(seen))
                        rows = await connection.fetch(f"SELECT * FROM {table['name']}")
                    text = "\n".join(map(str, rows))
                    shown = {force for force, contact in contacts.items() if contact in text}
                    assert shown == expected, (part, table["name"], seen)
                # Without a scope: none was set yet, or the last one's transaction is over.
                assert await connection.fetch(f"SELECT * FROM {table['name']}") == [], table["name"]
        finally:
            await connection.close()


@pytest.mark.parametrize("service", ["intake"])
async def test_without_a_scope_a_new_connection_sees_nothing(
    filled: tuple[Logins, dict[str, str]], service: str
) -> None:
    for part in (READER, WRITER):
        connection = await Login(filled[0].url).connect(part, server_settings={})
        try:
            assert await connection.fetchval("SELECT count(*) FROM event") == 0
        finally:
            await connection.close()


@pytest.mark.parametrize("service", ["intake"])
async def test_who_owns_a_contact_next_sees_all_of_it_and_who_owned_it_nothing_more(
    filled: tuple[Logins, dict[str, str]], service: str
) -> None:
    """As a transfer will: rows are added and ended, and none is removed."""
    logins, contacts = filled
    reader = await Database.connect(logins.url, source="/intake", part=READER)
    consumer = await Database.connect(logins.url, source="/intake", part=CONSUMER)
    contact = contacts[BEDS]
    try:
        first = await store.load(reader, contact, Scope([BEDS]))
        assert len(first) == 1
        assert await store.load(reader, contact, Scope([CAMBS])) == []
        async with consumer.transaction() as connection:
            await scope.keep(connection, {contact: [Access("owning", CAMBS)]}, ("owning",))
        assert await store.load(reader, contact, Scope([CAMBS])) == first
        assert await store.load(reader, contact, Scope([BEDS])) == []
        async with consumer.transaction() as connection:
            await scope.give(connection, {contact: [Access("involved", BEDS), Access("in-hands", holder="ann")]})
        for seen in (Scope([BEDS]), Scope([CAMBS]), Scope([], "ann")):
            assert await store.load(reader, contact, seen) == first
        assert await store.load(reader, contact, Scope([], BEDS)) == []
        history = await consumer.fetch(
            "SELECT why, force, ended_at IS NULL AS now FROM contact_access WHERE contact = $1 AND force IS NOT NULL",
            contact,
        )
        assert {tuple(row) for row in history} == {
            ("owning", BEDS, False),
            ("owning", CAMBS, True),
            ("involved", BEDS, True),
        }
    finally:
        await reader.close()
        await consumer.close()


@pytest.mark.parametrize("service", SCOPED)
async def test_nobody_gives_himself_access(logins: dict[str, Logins], service: str) -> None:
    for part in PARTS:
        connection = await Login(logins[service].url).connect(part, server_settings={})
        try:
            for statement in (
                "INSERT INTO contact_access (contact, force, why) VALUES ('x', 'essex', 'owning')",
                "UPDATE contact_access SET ended_at = NULL",
                "DELETE FROM contact_access",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
        finally:
            await connection.close()


async def test_a_scoped_read_finds_its_contact_among_a_hundred_thousand_by_indexes(database: NewDatabase) -> None:
    logins = await database("intake")
    superuser = await Database.connect(logins.url, source="/intake", part=CONSUMER)
    try:
        append = an_append()
        await store.append(superuser, [Append(append.subject, 0, append.events, access=(Access("owning", BEDS),))])
    finally:
        await superuser.close()
    owner = await asyncpg.connect(logins.owner_url)
    try:
        await owner.execute(
            "INSERT INTO contact_access (contact, force, why) SELECT 'c' || n, 'cambridgeshire', 'owning'"
            " FROM generate_series(1, 100000) AS n"
        )
        await owner.execute(
            "INSERT INTO event (position, version, time, id, subject, type, data)"
            " SELECT 1000 + n, 1, now(), gen_random_uuid(), 'c' || n, 't', '' FROM generate_series(1, 100000) AS n"
        )
        await owner.execute("ANALYZE event, contact_access")
    finally:
        await owner.close()
    connection = await Login(logins.url).connect(READER, server_settings={})
    try:
        for force, rows in ((BEDS, 1), (CAMBS, 0)):
            async with connection.transaction():
                await scope.begin(connection, Scope([force]))
                for query in (LOAD, SHOW):
                    plan = "\n".join(
                        r[0] for r in await connection.fetch(f"EXPLAIN (COSTS OFF) {query}", append.subject)
                    )
                    assert "Seq Scan on event" not in plan, plan
                    assert "Seq Scan on contact_access" not in plan, plan
                    assert "contact_access_now" in plan, plan
                    assert len(await connection.fetch(query, append.subject)) == rows
    finally:
        await connection.close()
