"""What a scope costs a read: `python -m tests.bench.scope [--runs 5]`.

Ours is what `GET /v1/contacts/{id}` asks of PostgreSQL: set the scope, read the contact's events and its decision, one
round trip under row-level security. The peers, in turn with it: the same two queries without any scope, as they were
before there was one (two round trips, the check left out), and the scope in a transaction of its own around them.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from random import Random

import uvloop
from uuid_utils import uuid7

from deploy.local.databases import Logins
from libs.events.log import scope, store
from libs.events.log.database import Database
from libs.events.log.keyring import Keyring, StreamKey
from libs.events.log.roles import CONSUMER, READER
from libs.events.log.scope import Access, Scope
from libs.events.log.store import Append
from tests.bench import facts
from tests.bench.parts import FORCES, postgres

CONTACTS = 100_000
READERS = 8
SECONDS = 2.0
_ONE = "SELECT told, decision_version, decided_at, fact FROM contact_in_scope($1, $2, $3)"
_DECISION = "SELECT version, decided_at, fact FROM decision WHERE contact = $1"


async def measure(logins: Logins, runs: int) -> None:
    reader = await Database.connect(logins.url, source="/intake", part=READER)
    consumer = await Database.connect(logins.url, source="/intake", part=CONSUMER)
    contacts = await fill(consumer)
    chance = Random(1285)

    async def scoped() -> None:
        force, contact = chance.choice(contacts)
        assert await reader.fetch(_ONE, [force], None, contact)

    async def bare() -> None:
        _, contact = chance.choice(contacts)
        assert await store.load(consumer, contact)
        await consumer.fetchrow(_DECISION, contact)

    async def around() -> None:
        force, contact = chance.choice(contacts)
        async with reader.transaction() as connection:
            await scope.begin(connection, Scope([force]))
            assert await store.load(connection, contact)
            await connection.fetchrow(_DECISION, contact)

    ways = {"scoped, one round trip": scoped, "unscoped, two queries": bare, "a transaction around it": around}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, read in ways.items():
            found[name].append(await rate(read))
    for name, rates in found.items():
        print(f"{name:>24}: {statistics.median(rates):8,.0f} reads/s  (median of {runs}, {READERS} readers)")
    await reader.close()
    await consumer.close()


async def fill(consumer: Database) -> list[tuple[str, str]]:
    """Contacts as intake keeps them: each presented to a force, and sealed with a key of its own."""
    keyring = Keyring("/intake", lambda: facts.MASTERS)
    contacts = [(FORCES[n % len(FORCES)], str(uuid7())) for n in range(CONTACTS)]
    for at in range(0, CONTACTS, 500):
        appends = [_presented(force, subject, keyring.new(subject)) for force, subject in contacts[at : at + 500]]
        await store.append(consumer, appends)
    return contacts


def _presented(force: str, subject: str, key: StreamKey) -> Append:
    access = (Access("brought", holder="gw"), Access("presented", force))
    return Append(subject, 0, (facts.event(subject, key=key.secret),), (), access, key.new)


async def rate(read: Callable[[], Awaitable[None]]) -> float:
    until = time.perf_counter() + SECONDS
    done = 0

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await read()
            done += 1

    await asyncio.gather(*(one() for _ in range(READERS)))
    return done / SECONDS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scope", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    with postgres() as parts:
        logins = parts.database("scope")
        uvloop.run(measure(logins, asked.runs))


if __name__ == "__main__":
    main()
