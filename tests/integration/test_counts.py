"""What an append and a POST cost in SQL statements and WAL records: counts, which do not flicker as times do.

The baseline is `tests/bench/counts.json`. Who makes something cost more has to write the new figure there, and to say
why; who makes it cost less should.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio
from uuid_utils import uuid7

from deploy.local.databases import Logins, make_database, migrate
from libs.events.log import store
from libs.events.log.appender import Appender
from libs.events.log.broker import Broker
from libs.events.log.database import Database
from libs.events.log.store import Append
from tests.bench import facts
from tests.bench.parts import PASSWORD, Parts, postgres
from tests.integration.intake import CALL, a_copy, an_issuer
from tests.integration.logs import running

BASELINE = Path(__file__).parents[1] / "bench" / "counts.json"
TIMES = 200
NOWHERE = Broker("127.0.0.1:9")
"""No Kafka: what carries events afterwards is counted apart, and its rounds depend on the clock."""
SLACK = 0.15
"""Pages split and sequences are logged now and then: no more than this an append."""

_COUNTS = """
SELECT coalesce(sum(calls) FILTER (WHERE toplevel), 0) AS statements,
       coalesce(sum(calls) FILTER (WHERE NOT toplevel), 0) AS nested,
       coalesce(sum(wal_records) FILTER (WHERE toplevel), 0) AS wal_records
FROM pg_stat_statements AS s JOIN pg_roles AS r ON r.oid = s.userid
WHERE r.rolname LIKE 'intake%' AND calls >= $1  -- once for each, not now and then
"""

Count = Callable[[str, int, Callable[[], Awaitable[None]]], Awaitable[None]]


@pytest.fixture(scope="module")
def server() -> Iterator[Parts]:
    """A PostgreSQL of its own, which counts, and where nobody else writes."""
    counting = {
        "shared_preload_libraries": "pg_stat_statements",
        "pg_stat_statements.track": "all",
        "autovacuum": "off",
        "checkpoint_timeout": "1h",
    }
    with postgres(counting) as parts:
        yield parts


@pytest_asyncio.fixture
async def logins(server: Parts) -> Logins:
    connection = await asyncpg.connect(server.postgres.admin_url)
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        name = f"counts_{uuid4().hex[:8]}"
        made = await make_database(
            connection, server.postgres.admin_url, "intake", lambda _role: PASSWORD, database=name
        )
    finally:
        await connection.close()
    await migrate(made)
    return made


@pytest_asyncio.fixture
async def database(logins: Logins) -> AsyncIterator[Database]:
    database = await Database.connect(logins.url, source="/intake")
    yield database
    await database.close()


@pytest_asyncio.fixture
async def count(server: Parts) -> AsyncIterator[Count]:
    """`await count(name, appends, again)`: what `again` costs an append, on average, held against the baseline."""
    connection = await asyncpg.connect(server.postgres.admin_url)

    async def count(name: str, appends: int, again: Callable[[], Awaitable[None]]) -> None:
        await again()  # connections are made, statements prepared
        await connection.execute("SELECT pg_stat_statements_reset()")
        for _ in range(TIMES):
            await again()
        [row] = await connection.fetch(_COUNTS, TIMES // 4)
        found = {kind: round(float(total) / TIMES / appends, 2) for kind, total in row.items()}
        allowed = json.loads(BASELINE.read_text())[name]
        print(f"{name}: {found}, allowed {allowed}")
        for kind, number in found.items():
            slack = SLACK if kind == "wal_records" else 0
            assert number <= allowed[kind] + slack, f"{name}: {kind} have risen; now {json.dumps(found)}"
        assert found["wal_records"] > 1, "nothing was counted"

    yield count
    await connection.close()


def _first() -> Append:
    subject = str(uuid7())
    return Append(subject, 0, (facts.event(subject),))


async def test_an_append_to_a_new_stream_costs_no_more_than_it_did(database: Database, count: Count) -> None:
    async with running((appender := Appender(database)).run()):
        await count("append, alone", 1, lambda: appender.append(_first()))


async def test_appends_that_go_together_cost_no_more_than_they_did(database: Database, count: Count) -> None:
    async def together() -> None:
        await store.append(database, [_first() for _ in range(64)])

    await count("append, 64 together", 64, together)


async def test_an_append_to_a_known_stream_costs_no_more_than_it_did(database: Database, count: Count) -> None:
    first = _first()
    await store.append(database, [first])
    version = 1

    async def next_one() -> None:
        nonlocal version
        event = facts.event(first.subject, version=version + 1)
        await store.append(database, [Append(first.subject, version, (event,))])
        version += 1

    await count("append, known stream", 1, next_one)


@pytest_asyncio.fixture
async def intake(logins: Logins, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    with an_issuer(tmp_path) as tokens:
        async with a_copy(logins.url, NOWHERE, tokens) as client:
            yield client


async def test_a_contact_costs_no_more_than_it_did(intake: httpx.AsyncClient, count: Count) -> None:
    async def post() -> None:
        assert (await intake.post("/v1/contacts/telephone", json=CALL)).status_code == 201

    await count("POST, telephone", 1, post)


async def test_a_contact_under_a_key_costs_no_more_than_it_did(intake: httpx.AsyncClient, count: Count) -> None:
    async def post() -> None:
        key = {"Idempotency-Key": str(uuid4())}
        assert (await intake.post("/v1/contacts/telephone", json=CALL, headers=key)).status_code == 201

    await count("POST, telephone, with a key", 1, post)


async def test_a_repeated_request_costs_no_more_than_it_did(intake: httpx.AsyncClient, count: Count) -> None:
    """It appends nothing: its claims are refused, and the first answer is looked up."""
    key = {"Idempotency-Key": str(uuid4())}

    async def post() -> None:
        assert (await intake.post("/v1/contacts/telephone", json=CALL, headers=key)).status_code == 201

    await count("POST, repeated", 1, post)
