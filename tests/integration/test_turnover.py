"""Master keys turn over while everything runs: nothing is refused or lost, and then the old one opens nothing."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import asyncpg
import httpx
import pytest

from libs.events.log import masters, store
from libs.events.log.broker import Broker
from libs.events.log.database import Database
from libs.events.log.key_copies import KeyCopies
from libs.events.log.keyring import Keyring, UnknownMaster, master_of, new_master, read_masters
from libs.events.log.masters import Place, Trouble
from libs.events.log.roles import CONSUMER
from libs.events.types.contacts import TOPIC
from tests.conftest import NewDatabase
from tests.integration.intake import CALL, a_copy, an_issuer, ready
from tests.integration.logs import running, until
from tests.integration.test_keys import said


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "masters" / "master.keys"
    path.parent.mkdir()
    path.write_text(new_master().line())
    path.chmod(0o600)
    monkeypatch.setenv("MASTER_KEYS_FILE", str(path))
    return path


async def test_master_keys_turn_over_while_contacts_arrive(
    database: NewDatabase, empty_topics: Broker, file: Path, tmp_path: Path
) -> None:
    [first] = read_masters(file.read_text())
    intake, router = await database("intake"), await database("router")
    places = [Place("/intake", intake.owner_url), Place("/router", router.owner_url)]
    reader = await Database.connect(router.url, source="/router", part=CONSUMER)
    copies = KeyCopies(reader.login, broker=empty_topics, keyring=Keyring("/router", file.read_text), opens=[TOPIC])
    answers: list[httpx.Response] = []
    stop = asyncio.Event()

    async def arrive(client: httpx.AsyncClient) -> None:
        while not stop.is_set():
            answers.append(await client.post("/v1/contacts/telephone", json=CALL))
            contact = answers[-1].json()["id"]
            answers.append(await client.post(f"/v1/contacts/{contact}/messages", json={"text": "under the gnome"}))

    with an_issuer(tmp_path) as tokens:
        async with (
            a_copy(intake.url, empty_topics, tokens) as one,
            a_copy(intake.url, empty_topics, tokens) as other,
            running(copies.run()),
        ):
            await until(lambda: ready(one))
            arriving = [asyncio.create_task(arrive(client)) for client in (one, other)]
            await until(lambda: len(answers) > 20)
            current = await masters.rotate(file, places, print)
            before = len(answers)
            await until(lambda: len(answers) > before + 20)
            await masters.destroy(file, places, first.id)
            before = len(answers)
            await until(lambda: len(answers) > before + 20)
            stop.set()
            await asyncio.gather(*arriving)
            assert {answer.status_code for answer in answers} == {201}
            contacts = [answer.json()["id"] for answer in answers if "reference" in answer.json()]
            await until(lambda: _are_copied(reader, len(contacts)))
    assert [master.id for master in read_masters(file.read_text())] == [current]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    keyring = Keyring("/intake", file.read_text)
    owner = await asyncpg.connect(intake.owner_url)
    consumer = await Database.connect(intake.url, source="/intake", part=CONSUMER)
    try:
        rows = {row["subject"]: row["key"] for row in await owner.fetch("SELECT subject, key FROM stream")}
        assert set(rows) == set(contacts)
        for contact in contacts:
            events = keyring.opened(await store.load(consumer, contact), rows[contact])
            assert [event.fact.personal is not None for event in events] == [True, True]
        copied = await reader.fetch("SELECT subject, key FROM key_copy")
        assert {row["subject"]: row["key"] for row in copied} == rows
        assert {master_of(key) for key in rows.values()} == {current}
    finally:
        await consumer.close()
        await owner.close()
        await reader.close()


async def _are_copied(reader: Database, count: int) -> bool:
    return bool(await reader.fetchval("SELECT count(*) = $1 FROM key_copy", count))


async def test_a_master_that_is_needed_or_current_is_not_destroyed(database: NewDatabase, file: Path) -> None:
    [first] = read_masters(file.read_text())
    logins = await database("intake")
    places = [Place("/intake", logins.owner_url)]
    db = await Database.connect(logins.url, source="/intake", part=CONSUMER)
    keyring = Keyring("/intake", file.read_text)
    try:
        await store.append(db, [said(keyring, ["x"])])
        with pytest.raises(Trouble, match="current"):
            await masters.destroy(file, places, first.id)
        with masters.changing(file) as found:
            found.append(second := new_master())
        with pytest.raises(Trouble, match="1 of /intake streams need"):
            await masters.destroy(file, places, first.id)
        with pytest.raises(Trouble, match="no master key nobody"):
            await masters.destroy(file, places, "nobody")
        assert [master.id for master in read_masters(file.read_text())] == [first.id, second.id]
        said_of = await masters.listed(read_masters(file.read_text()), places)
        assert [first.id in said_of[0], "1 of /intake streams" in said_of[0], "current" in said_of[1]] == [True] * 3
    finally:
        await db.close()


async def test_keys_are_rewrapped_as_they_were_read_and_a_destroyed_one_stays_destroyed(
    database: NewDatabase, file: Path
) -> None:
    logins = await database("intake")
    db = await Database.connect(logins.url, source="/intake", part=CONSUMER)
    owner = await asyncpg.connect(logins.owner_url)
    try:
        keyring = Keyring("/intake", file.read_text)
        appends = [said(keyring, ["x"]) for _ in range(5)]
        await store.append(db, appends)
        await db.execute("SELECT refuse_key($1)", appends[0].subject)
        with masters.changing(file) as found:
            found.append(second := new_master())
        anew = Keyring("/intake", file.read_text)
        assert await masters.rewrap(owner, anew) == 4
        assert await masters.rewrap(owner, anew) == 0
        rows = {row["subject"]: row for row in await owner.fetch("SELECT subject, key, resend FROM stream")}
        assert rows[appends[0].subject]["key"] == b""
        for append in appends[1:]:
            row = rows[append.subject]
            assert row["resend"]
            assert master_of(row["key"]) == second.id
            assert append.key is not None
            assert anew.unwrap(row["key"], subject=append.subject) == keyring.unwrap(append.key, subject=append.subject)
    finally:
        await owner.close()
        await db.close()


async def test_without_its_master_a_key_in_an_old_backup_opens_nothing(file: Path) -> None:
    keyring = Keyring("/intake", file.read_text)
    old = said(keyring, ["x"])
    with masters.changing(file) as found:
        found[:] = [new_master()]
    assert old.key is not None
    with pytest.raises(UnknownMaster):
        Keyring("/intake", file.read_text).unwrap(old.key, subject=old.subject)
