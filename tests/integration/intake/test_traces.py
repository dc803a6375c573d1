"""Reads leave a trace before they are answered; and another force's contact is opened by a tie, or by break-glass."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from deploy.local.databases import Logins
from deploy.local.process import Child, free_port, wait_until
from libs.events.envelope import Event
from libs.events.log.appender import Appender
from libs.events.log.database import Database
from libs.events.log.errors import Unavailable
from libs.events.log.keyring import Keyring
from libs.events.log.roles import CONSUMER, WRITER
from libs.events.log.store import read_after
from libs.events.types.access import Access, DataAccessed
from libs.service.trace import BREAK_GLASS, IN_HAND, PURPOSE, Trace, Tracer
from tests import nursery
from tests.conftest import MASTERS, NewDatabase
from tests.integration.intake import CALL, Router, Tokens, bearer, opened
from tests.integration.logs import running, until

BEDS, CAMBS, HERTS = "bedfordshire", "cambridgeshire", "hertfordshire"
GLASS = {BREAK_GLASS: "life-at-risk; a planted child is in the house"}


async def traces(store: Database, reader: str) -> list[tuple[Event, Access]]:
    """All that this reader has left, in order."""
    events = [event for _, event in await read_after(store, 0, 100_000) if event.type == DataAccessed.TYPE]
    return [(event, access) for event in events for access in event.fact.accesses if access.reader == reader]


async def words_of(event: Event, store: Database) -> str:
    """What the reader wrote, opened with the key of its stream."""
    wrapped = await store.fetchval("SELECT key FROM stream WHERE subject = $1", event.subject)
    [opened_] = Keyring("/intake", lambda: MASTERS).opened([event], wrapped)
    words: str = opened_.fact.personal.words
    return words


@asynccontextmanager
async def order_held(url: str) -> AsyncIterator[None]:
    """Nobody can append while the block runs: somebody holds the database's order."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT pg_advisory_lock(1285)")
        yield
    finally:
        await connection.close()


async def test_a_read_is_written_down_before_it_is_answered_and_says_nothing_of_the_caller(
    intake: httpx.AsyncClient, tokens: Tokens, store: Database
) -> None:
    contact = await opened(intake)
    headers = tokens.handler(BEDS, subject="reads-once")
    shown = await intake.get(f"/v1/contacts/{contact}", headers=headers)
    assert shown.json()["person"]["callingNumber"] == "+447700900123"
    [(event, access)] = await traces(store, "reads-once")
    assert (event.force, event.fact.personal) == (BEDS, None)
    assert (access.act, access.kind, access.ids, access.operation) == ("read", "contact", (contact,), "show_contact")
    assert (access.home_force, access.roles, access.purpose, access.in_hand) == (BEDS, ("handler",), "quality", None)
    assert b"7700" not in event.data
    assert b"planted" not in event.data


async def test_what_its_owner_is_found_for_is_traced_for_the_owner(
    intake: httpx.AsyncClient, tokens: Tokens, store: Database, router: Router
) -> None:
    contact = await opened(intake)
    await router.publish(contact, owner=CAMBS)
    headers = tokens.handler(CAMBS, subject="reads-the-owner-s")

    async def is_shown() -> bool:
        return (await intake.get(f"/v1/contacts/{contact}", headers=headers)).status_code == 200

    await until(is_shown)
    assert {event.force for event, _ in await traces(store, "reads-the-owner-s")} == {CAMBS}


async def test_what_shows_no_person_leaves_no_trace(intake: httpx.AsyncClient, tokens: Tokens, store: Database) -> None:
    contact = await opened(intake)
    assert (await intake.get(f"/v1/contacts/{contact}")).status_code == 200  # a gateway
    stranger = tokens.handler(HERTS, subject="sees-nothing")
    assert (await intake.get(f"/v1/contacts/{contact}", headers=stranger)).status_code == 404
    assert await traces(store, "gw-1") == await traces(store, "sees-nothing") == []


async def test_outside_a_contact_in_hand_a_purpose_is_asked_and_inside_none(
    intake: httpx.AsyncClient, tokens: Tokens, store: Database, router: Router
) -> None:
    held, other = await opened(intake), await opened(intake)
    headers = bearer(tokens.of("handler", subject="has-one-in-hand", forces=(BEDS,)))
    refused = await intake.get(f"/v1/contacts/{held}", headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (422, PURPOSE)
    assert "7700" not in refused.text
    await router.publish(held, owner=BEDS)
    await router.answered(held, "has-one-in-hand", version=2)

    async def in_hand() -> bool:
        return (await intake.get(f"/v1/contacts/{held}", headers=headers)).status_code == 200

    await until(in_hand)
    for_it = await intake.get(f"/v1/contacts/{other}", headers=headers | {IN_HAND: held})
    assert for_it.status_code == 200
    made_up = await intake.get(f"/v1/contacts/{other}", headers=headers | {IN_HAND: str(uuid4())})
    assert made_up.status_code == 422
    assert [(access.ids, access.in_hand) for _, access in await traces(store, "has-one-in-hand")] == [
        ((held,), held),
        ((other,), held),
    ]


async def test_words_of_the_reader_stand_apart_in_a_stream_of_their_own(
    intake: httpx.AsyncClient, tokens: Tokens, store: Database
) -> None:
    contact = await opened(intake)
    headers = tokens.handler(BEDS, subject="writes-why") | {PURPOSE: "complaint; of Ada Planted"}
    assert (await intake.get(f"/v1/contacts/{contact}", headers=headers)).status_code == 200
    [(event, access)] = await traces(store, "writes-why")
    assert b"Planted" not in event.data
    assert await words_of(event, store) == "of Ada Planted"
    assert (event.subject, event.version) == (f"read/{access.id}/{BEDS}", 1)


async def test_a_pooled_handler_opens_another_force_s_contact_while_it_is_in_his_hands_and_not_otherwise(
    intake: httpx.AsyncClient, tokens: Tokens, router: Router
) -> None:
    contact = await opened(intake)
    pooled = tokens.handler(BEDS, CAMBS, HERTS, home=HERTS, subject="pooled-1")
    path = f"/v1/contacts/{contact}"
    assert (await intake.get(path, headers=pooled)).status_code == 404
    place = {"of": "caller", "source": "handler", "shape": {"kind": "point", "lat": 52.1, "lon": 0.1}}
    assert (await intake.post(f"{path}/locations", json=place, headers=pooled)).status_code == 201  # his token's reach
    await router.publish(contact, owner=BEDS)

    async def claimed() -> None:
        await asyncio.sleep(0.2)
        await router.answered(contact, "pooled-1", version=2)

    # He is quicker than Kafka: the answer waits for the word that it is in his hands.
    shown, _ = await asyncio.gather(intake.get(path, headers=pooled), claimed())
    assert shown.status_code == 200
    assert shown.json()["person"]["callingNumber"] == "+447700900123"
    await router.released(contact, "pooled-1", version=3)

    async def closed() -> bool:
        return (await intake.get(path, headers=pooled)).status_code == 404

    await until(closed)


async def test_break_glass_opens_it_once_and_is_written_down_with_its_reason(
    intake: httpx.AsyncClient, tokens: Tokens, store: Database
) -> None:
    contact = await opened(intake)
    pooled = tokens.handler(BEDS, HERTS, home=HERTS, subject="breaks-glass")
    assert (await intake.get(f"/v1/contacts/{contact}", headers=pooled | GLASS)).status_code == 200
    assert (await intake.get(f"/v1/contacts/{contact}", headers=pooled)).status_code == 404
    [(event, access)] = await traces(store, "breaks-glass")
    assert (event.force, access.break_glass, access.ids) == (BEDS, "life-at-risk", (contact,))
    assert b"planted" not in event.data
    assert await words_of(event, store) == "a planted child is in the house"


async def test_break_glass_reaches_no_further_than_the_token_and_is_not_needed_at_home(
    intake: httpx.AsyncClient, tokens: Tokens, store: Database
) -> None:
    contact = await opened(intake)
    beyond = tokens.handler(CAMBS, HERTS, home=HERTS, subject="reaches-no-further")
    assert (await intake.get(f"/v1/contacts/{contact}", headers=beyond | GLASS)).status_code == 404
    assert await traces(store, "reaches-no-further") == []
    at_home = tokens.handler(BEDS, HERTS, home=BEDS, subject="at-home")
    assert (await intake.get(f"/v1/contacts/{contact}", headers=at_home | GLASS)).status_code == 200
    [(_, access)] = await traces(store, "at-home")
    assert access.break_glass is None


async def test_where_the_trace_cannot_be_written_nothing_is_shown(
    intake: httpx.AsyncClient, tokens: Tokens, url: str, store: Database
) -> None:
    contact = await opened(intake)
    headers = tokens.handler(BEDS, subject="cannot-be-written")
    async with order_held(url):
        refused = await intake.get(f"/v1/contacts/{contact}", headers=headers)
    assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
    assert "7700" not in refused.text
    assert (await intake.get(f"/v1/contacts/{contact}", headers=headers)).status_code == 200
    assert {access.ids for _, access in await traces(store, "cannot-be-written")} == {(contact,)}


async def test_every_one_of_many_reads_at_once_is_there_and_they_share_few_events(
    copies: tuple[httpx.AsyncClient, httpx.AsyncClient], tokens: Tokens, store: Database
) -> None:
    contacts = [await opened(copies[0]) for _ in range(8)]
    headers = tokens.handler(BEDS, subject="reads-much")
    wanted = [contacts[n % 8] for n in range(160)]

    async def read(copy: httpx.AsyncClient, contact: str) -> None:
        while (answer := await copy.get(f"/v1/contacts/{contact}", headers=headers)).status_code == 503:
            await asyncio.sleep(0.5)  # a busy machine: nothing was shown
        assert answer.status_code == 200, answer.text

    await asyncio.gather(*(read(copies[n % 2], contact) for n, contact in enumerate(wanted)))
    left = await traces(store, "reads-much")
    # A trace whose commit took too long stands, though what it tells of was not shown.
    assert Counter(access.ids for _, access in left) >= Counter((contact,) for contact in wanted)
    assert len({access.id for _, access in left}) == len(left)
    assert len({event.id for event, _ in left}) < len(wanted) / 2


# Killed --------------------------------------------------------------------------------------------------------------


class Killable:
    """Intake as a process of its own, without Kafka, which it does not need for this."""

    def __init__(self, logins: Logins, tokens: Tokens, folder: Path) -> None:
        self._log, port = folder / "intake.log", free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {
            "DATABASE_URL": logins.url,
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
            "OIDC_ISSUER": tokens.issuer_url,
            "MASTER_KEYS": MASTERS,
            "PORT": str(port),
        }

    async def start(self) -> Child:
        child = nursery.start("intake", "services.intake", log=self._log, env={**os.environ, **self._environment})
        await asyncio.to_thread(wait_until, self._is_ready, child, 60)
        return child

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


async def test_a_service_that_is_killed_between_trace_and_answer_has_answered_nothing_that_is_not_traced(
    database: NewDatabase, tokens: Tokens, tmp_path: Path
) -> None:
    logins = await database("intake")
    service = Killable(logins, tokens, tmp_path)
    store = await Database.connect(logins.url, source="/intake", part=CONSUMER)
    child = await service.start()
    try:
        async with httpx.AsyncClient(base_url=service.url, timeout=20) as client:
            taken = await client.post("/v1/contacts/telephone", json=CALL, headers=bearer(tokens.of("gateway")))
            path = f"/v1/contacts/{taken.json()['id']}"
            answered: Counter[str] = Counter()

            async def read(reader: str) -> None:
                headers = tokens.handler(BEDS, subject=reader)
                with contextlib.suppress(httpx.TransportError):
                    while True:
                        answer = await client.get(path, headers=headers)
                        answered[reader] += answer.status_code == 200

            for life in range(3):
                readers = [asyncio.create_task(read(f"reader-{life}-{n}")) for n in range(16)]
                before = answered.total()
                await until(lambda before=before: answered.total() > before + 100)  # type: ignore[misc]
                child.kill()
                await asyncio.gather(*readers)
                child = await service.start()
            left = Counter({reader: len(await traces(store, reader)) for reader in answered})
            for reader, count in answered.items():
                # One more: it was written down, and its reader was killed on before he saw anything.
                assert count <= left[reader] <= count + 1, reader

            # In the very gap: asked, and nobody can write it down.
            headers = tokens.handler(BEDS, subject="in-the-gap")
            async with order_held(logins.url):
                asked = asyncio.create_task(client.get(path, headers=headers))
                await until(lambda: _somebody_waits(store))
                assert not asked.done()
                child.kill()
                with pytest.raises(httpx.TransportError):
                    await asked
            assert len(await traces(store, "in-the-gap")) <= 1
    finally:
        child.kill()
        await store.close()


async def _somebody_waits(store: Database) -> bool:
    """For this database's order."""
    waits = """
    SELECT EXISTS (
        SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
        WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objid = 1285 AND NOT l.granted
    )
    """
    return bool(await store.fetchval(waits))


# The tracer by itself ------------------------------------------------------------------------------------------------


def a_trace(id_: str) -> Trace:
    access = Access(id=id_, at=datetime.now(UTC), reader="r", act="read", operation="o", kind="contact", ids=("c",))
    return Trace(BEDS, access, None)


async def test_after_an_append_whose_outcome_is_unknown_traces_go_on_in_another_stream(
    database: NewDatabase,
) -> None:
    logins = await database("intake")
    writer = await Database.connect(logins.url, source="/intake", part=WRITER)
    seen = await Database.connect(logins.url, source="/intake", part=CONSUMER)
    appender = Appender(writer)
    tracer = Tracer(appender, Keyring("/intake", lambda: MASTERS))
    try:
        async with running(appender.run()):
            await tracer.write([a_trace("1")])
            async with order_held(logins.url):
                with pytest.raises(Unavailable):
                    await tracer.write([a_trace("2")])
            await tracer.write([a_trace("3")])
            left = await traces(seen, "r")
            assert {"1", "3"} <= {access.id for _, access in left}
            by_id = {access.id: event for event, access in left}
            assert by_id["1"].subject != by_id["3"].subject
            assert by_id["3"].version == 1
    finally:
        await writer.close()
        await seen.close()
