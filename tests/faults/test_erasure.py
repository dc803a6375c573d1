"""Erasure, whole: what was erased can be read nowhere and never again, whatever is killed or paused on the way.

The real system, its real files. The bytes that are looked for are those of the person, of the contact's key, and of the
master that wrapped it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import psutil
import pytest
from aiokafka import TopicPartition

from deploy.local import parts
from deploy.local.layout import ROOT
from deploy.local.process import Child, spawn
from deploy.local.topics import KEEPING
from libs.events.cipher import Unopened
from libs.events.envelope import Event, to_headers
from libs.events.log import kafka
from libs.events.log.key_copies import read_key
from libs.events.log.keyring import Keyring, UnknownMaster, master_of, read_masters
from libs.events.types import contacts, keys
from libs.events.types.contacts import ContactLocated
from services.recording.projections import PROJECTIONS
from services.recording.rebuild import rebuild
from tests.integration.logs import until
from tests.system import System

pytestmark = pytest.mark.timeout(600)

CAMBRIDGE = {"lat": 52.204837, "lon": 0.138264}
NUMBER, NAME, STREET = "+447700900987", "Peregrine Quillfeather", "Wobblethwaite Lane"
WORDS, NOTE = "He keeps the spare key under the gnome", "Spoke to the sister in Wobblethwaite"
CALL: dict[str, Any] = {  # presented to nobody: while nothing is published it is the alliance's, and may be erased
    "line": "101",
    "callingNumber": NUMBER,
    "name": NAME,
    "words": WORDS,
    "locations": [
        {"of": "caller", "source": "aml", "shape": {"kind": "circle", "radiusM": 20, **CAMBRIDGE}},
        {"of": "other", "source": "caller", "shape": {"kind": "civic", "street": STREET}},
    ],
}
PERSON = (NUMBER, NUMBER[3:], NAME, "Quillfeather", STREET, "under the gnome", NOTE, str(CAMBRIDGE["lat"]))
NEIGHBOUR: dict[str, Any] = {**CALL, "name": "Ada Wren", "callingNumber": "+447700900111", "words": "A bicycle is gone"}
ASKED = {"authority": "DPO/1", "reason": "request"}
HOME = "cambridgeshire"
"""Which owns the place they come from."""


# What the tests do and look at ----------------------------------------------------------------------------------------


async def take(running: System, body: dict[str, Any], *, routed: bool = True) -> str:
    """A contact on disk; where its relay is at work, routed."""
    async with running.client("intake", "gateway") as client:
        headers = {"Idempotency-Key": str(uuid4())} | ({"Prefer": "wait=10"} if routed else {})
        answer = await client.post("/v1/contacts/telephone", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    contact = str(answer.json()["id"])
    if routed:  # by then, mostly; a service that was killed a moment ago takes longer

        async def decided() -> bool:
            return bool((await shown(running, contact))["routing"]["state"] == "routed")

        await until(decided, patience_s=60)
        assert (await shown(running, contact))["routing"]["owningForce"] == HOME
    return contact


async def shown(running: System, contact: str, role: str = "handler", path: str = "") -> dict[str, Any]:
    async with running.client("intake", role) as client:
        answer = await client.get(f"/v1/contacts/{contact}{path}", headers=running.headers(role, home=HOME))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def erase(running: System, contact: str) -> None:
    async with running.client("intake", "data-protection") as client:
        answer = await client.post(f"/v1/contacts/{contact}/erasure", json=ASKED)
    assert answer.status_code in (200, 202), answer.text


async def confirmed(running: System, contact: str) -> None:
    """Every service says that it has obeyed."""

    async def all_have() -> bool:
        return bool((await shown(running, contact, "data-protection", "/erasure"))["state"] == "confirmed")

    await until(all_have, patience_s=60)


@asynccontextmanager
async def database(running: System, service: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A service's database, as the superuser: past every policy."""
    admin = parts.postgres_server(running.layout).admin_url
    connection = await asyncpg.connect(f"{admin.rpartition('/')[0]}/{service}")
    try:
        yield connection
    finally:
        await connection.close()


async def key_of(running: System, contact: str) -> bytes | None:
    async with database(running, "intake") as connection:
        key: bytes | None = await connection.fetchval("SELECT key FROM stream WHERE subject = $1", contact)
        return key


async def check_no_key_is_left(running: System, contact: str) -> None:
    """In no service's tables, of no stream of the contact."""
    for service in KEEPING:
        async with database(running, service) as connection:
            copies = await connection.fetchval("SELECT count(*) FROM key_copy WHERE subject = $1", contact)
            own = await connection.fetchval("SELECT coalesce(key, '') FROM stream WHERE subject = $1", contact)
            refused = await connection.fetchval("SELECT count(*) FROM erased WHERE subject = $1", contact)
        assert (copies, own or b"", refused) == (0, b"", 1), service


async def told_of(running: System, contact: str) -> dict[str, list[bytes | None]]:
    """All that `hueandcry.keys` has said of the contact's keys, by source, in order."""
    said: dict[str, list[bytes | None]] = {}
    async with kafka.started(kafka.consumer(running.broker(), "test-keys")) as consumer:
        topic = (await kafka.topics(consumer, [keys.TOPIC]))[keys.TOPIC]
        partitions = [TopicPartition(keys.TOPIC, number) for number in topic.partitions]
        ends = await consumer.end_offsets(partitions)
        first = await consumer.beginning_offsets(partitions)
        consumer.assign(partitions)
        for tp in partitions:
            consumer.seek(tp, first[tp])
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    name = read_key(record.key)
                    if name is not None and name[1] == contact:
                        said.setdefault(name[0], []).append(record.value or None)
    return said


async def tombstones_are_last(running: System, contact: str) -> bool:
    said = await told_of(running, contact)
    return bool(said) and all(values[-1] is None for values in said.values())


def keyring(running: System, service: str = "intake") -> Keyring:
    return Keyring(f"/{service}", lambda: masters_file(running).read_text())


def masters_file(running: System) -> Path:
    environment = parts.service_environment(running.layout, running.logins["intake"], running.broker())
    return Path(environment["MASTER_KEYS_FILE"])


def files(running: System) -> Iterator[tuple[Path, bytes]]:
    """Every file of PostgreSQL, Kafka and the logs: what a disk's thief would have. The secrets are elsewhere."""
    for path in sorted(running.layout.var.rglob("*")):
        if path.is_file() and not path.is_relative_to(running.layout.secrets):
            try:
                yield path, path.read_bytes()
            except FileNotFoundError:
                continue  # a server has just removed it


def found_in_files(running: System, needles: Iterable[bytes]) -> list[str]:
    wanted = list(needles)
    return [f"{needle[:12]!r} in {path}" for path, content in files(running) for needle in wanted if needle in content]


async def clean_up(running: System) -> None:
    """What PostgreSQL does in time: dead rows vacuumed, statistics made anew, the write-ahead log turned over."""
    for service in KEEPING:
        async with database(running, service) as connection:
            await connection.execute("VACUUM ANALYZE")
            for _ in range(2):
                await connection.execute("SELECT pg_switch_wal()")
                await connection.execute("CHECKPOINT")


async def read_models(running: System) -> dict[str, list[Any]]:
    """The rows of recording's read models, as they are kept."""
    async with database(running, "recording") as connection:
        tables = [table for projection in PROJECTIONS for table in projection.tables]
        return {table: sorted(map(repr, await connection.fetch(f"SELECT * FROM {table}"))) for table in tables}


# Nowhere on disk ------------------------------------------------------------------------------------------------------


async def test_what_was_erased_is_in_no_file_and_no_key_opens_it_any_more(running: System) -> None:
    victim, neighbour = await take(running, CALL), await take(running, NEIGHBOUR)
    for contact in (victim, neighbour):
        async with running.client("recording", "supervisor") as client:
            said = {"disposition": "advice", "note": NOTE}
            answer = await client.post(f"/v1/contacts/{contact}/disposition", json=said)
            assert answer.status_code == 201, answer.text
    await park(running, victim)
    assert (await shown(running, victim))["person"]["name"] == NAME
    wrapped = await key_of(running, victim)
    assert wrapped
    secret = keyring(running).unwrap(wrapped, subject=victim)
    master = next(one for one in read_masters(masters_file(running).read_text()) if one.id == master_of(wrapped))
    assert found_in_files(running, [wrapped]), "the bytes of a key can be found while there is one"
    assert not found_in_files(running, [*(text.encode() for text in PERSON), secret, master.key])
    before = await settled(running, neighbour, victim)

    await erase(running, victim)
    await confirmed(running, victim)
    await until(lambda: tombstones_are_last(running, victim))
    assert set(await told_of(running, victim)) == {"/intake", "/recording"}
    await check_no_key_is_left(running, victim)
    after = await shown(running, victim)
    assert (after["person"], after["erasedAt"] is None) == (None, False)

    # Rebuilt from the log, the read models say what they said, and that it was erased.
    rebuilt = await settled(running, neighbour, victim)
    for projection in PROJECTIONS:
        await rebuild(projection, running.logins["recording"].owner_url)
    assert await read_models(running) == rebuilt
    assert all(set(before[table]) <= set(rebuilt[table]) for table in before)
    await clean_up(running)
    assert not found_in_files(running, [*(text.encode() for text in PERSON), secret, master.key])

    # The master's turnover: what is left of the key on the disk is noise.
    rotated = await asyncio.to_thread(command, running, "rotate")
    assert rotated.returncode == 0, rotated.stderr
    await until(lambda: asyncio.to_thread(destroyed, running, master.id))
    with pytest.raises((UnknownMaster, Unopened)):
        keyring(running).unwrap(wrapped, subject=victim)
    assert not found_in_files(running, [secret, master.key, b64encode(master.key)])
    assert b64encode(master.key) not in b"".join(path.read_bytes() for path in running.layout.secrets.iterdir())
    assert (await shown(running, neighbour))["person"]["name"] == "Ada Wren"
    running.kill("intake")
    running.restart("intake")
    await asyncio.to_thread(running.wait, "intake")
    assert (await shown(running, neighbour))["person"]["name"] == "Ada Wren"
    assert (await shown(running, victim))["person"] is None


async def park(running: System, contact: str) -> None:
    """Have the router park what the contact's first event holds: a dead letter with all that is sealed in it."""
    async with database(running, "intake") as connection:
        row = await connection.fetchrow("SELECT * FROM event WHERE subject = $1 AND version = 1", contact)
    assert row is not None
    other = str(uuid4())
    event = Event(
        id=uuid4(),
        type=ContactLocated.TYPE,
        source="/intake",
        subject=other,
        version=1,
        time=row["time"],
        data=row["data"],
    )
    async with kafka.started(kafka.producer(running.broker(), "test-park")) as producer:
        await producer.send_and_wait(contacts.TOPIC, event.data, key=other.encode(), headers=to_headers(event))
    async with database(running, "router") as connection:

        async def dead() -> bool:
            fed = "SELECT count(*) FROM held WHERE why = 'parked' AND dead_lettered_at IS NOT NULL"
            return bool(await connection.fetchval(fed))

        await until(dead)


async def settled(running: System, *known: str) -> dict[str, list[Any]]:
    """The read models, once nothing changes any more and these are in the audit."""
    rows: dict[str, list[Any]] = {}

    async def still() -> bool:
        nonlocal rows
        await asyncio.sleep(1)
        last, rows = rows, await read_models(running)
        return rows == last and all(any(contact in row for row in rows["audit_event"]) for contact in known)

    await until(still, patience_s=60)
    return rows


def command(running: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m libs.events.log.keyring …`, as an operator calls it for every service."""
    owners = "\n".join(running.logins[service].owner_url for service in KEEPING)
    return subprocess.run(
        [sys.executable, "-m", "libs.events.log.keyring", *arguments],
        cwd=ROOT,
        env=os.environ | {"MASTER_KEYS_FILE": str(masters_file(running)), "MIGRATION_DATABASE_URL": owners},
        check=False,
        capture_output=True,
        text=True,
    )


def destroyed(running: System, master: str) -> bool:
    """Whether the command has destroyed the master: it refuses while any row needs it."""
    return command(running, "destroy", master).returncode == 0


# Killed and paused on the way -----------------------------------------------------------------------------------------


@contextmanager
def held_relay(running: System, step: str) -> Iterator[Child]:
    """Intake with its relay in a process of its own, which stops itself before a step; intake's own stands by."""
    running.kill("intake")
    environment = parts.service_environment(running.layout, running.logins["intake"], running.broker())
    held = spawn(
        "held relay",
        [sys.executable, "-m", "tests.faults.held_relay", step],
        log=running.layout.log(f"held-{step}"),
        cwd=ROOT,
        env=environment,
    )
    try:
        yield held
    finally:
        if held.alive():
            os.kill(held.pid, signal.SIGCONT)
        held.kill()


async def with_intake_standing_by(running: System, held: Child) -> None:
    """Start intake once the other process has the relay's lock in intake's database, and not one that is just dying."""
    async with database(running, "intake") as connection:

        async def has_the_lock() -> bool:
            holder = await connection.fetchval(_HOLDER)
            return holder in {one.laddr.port for one in psutil.Process(held.pid).net_connections("tcp")}

        await until(has_the_lock, patience_s=60)
    running.restart("intake")
    await asyncio.to_thread(running.wait, "intake")


_HOLDER = """
SELECT a.client_port FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE a.datname = current_database() AND l.locktype = 'advisory' AND (l.classid, l.objid) = (1285, 1) AND l.granted
"""


def is_stopped(child: Child) -> bool:
    return bool(psutil.Process(child.pid).status() == psutil.STATUS_STOPPED)


@pytest.mark.parametrize("step", ["key", pytest.param("event", marks=pytest.mark.long)])
async def test_a_contact_whose_relay_is_killed_before_its_key_or_event_is_read_and_can_be_erased(
    step: str, running: System
) -> None:
    with held_relay(running, step) as held:
        await with_intake_standing_by(running, held)
        contact = await take(running, CALL, routed=False)
        await until(lambda: is_stopped(held), patience_s=90)
        held.kill()

        async def routed_by_its_place() -> bool:
            routing = (await shown(running, contact))["routing"]
            return bool(routing["state"] == "routed" and routing["owningForce"] == "cambridgeshire")

        await until(routed_by_its_place, patience_s=60)
    await erase(running, contact)
    await confirmed(running, contact)
    await until(lambda: tombstones_are_last(running, contact))
    await check_no_key_is_left(running, contact)


@pytest.mark.parametrize(
    "step",
    [pytest.param("erasure", marks=pytest.mark.long), "tombstone", pytest.param("position", marks=pytest.mark.long)],
)
async def test_an_erasure_whose_relay_is_killed_before_it_is_told_is_told_all_the_same(
    step: str, running: System
) -> None:
    with held_relay(running, step) as held:
        await with_intake_standing_by(running, held)
        contact = await take(running, CALL)
        await erase(running, contact)
        await until(lambda: is_stopped(held), patience_s=90)
        held.kill()
        await confirmed(running, contact)
    await until(lambda: tombstones_are_last(running, contact))
    await check_no_key_is_left(running, contact)
    assert (await shown(running, contact))["person"] is None


@pytest.mark.parametrize(
    "failed_over",
    [pytest.param(False, id="its lock kept", marks=pytest.mark.long), pytest.param(True, id="its lock lost")],
)
async def test_a_relay_that_is_paused_with_a_key_and_wakes_after_the_erasure_leaves_no_key(
    failed_over: bool, running: System
) -> None:
    with held_relay(running, "key") as held:
        await with_intake_standing_by(running, held)
        contact = await take(running, CALL, routed=False)
        await until(lambda: is_stopped(held), patience_s=90)  # it has the key in memory, and has not sent it
        await erase(running, contact)
        if failed_over:  # PostgreSQL takes it for dead; intake's own relay tells the events and the erasure
            async with database(running, "intake") as connection:
                cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'relay /intake'"
                await connection.execute(cut)
            await confirmed(running, contact)
            await until(lambda: tombstones_are_last(running, contact))
        os.kill(held.pid, signal.SIGCONT)

        async def key_was_sent_late() -> bool:
            said = (await told_of(running, contact)).get("/intake", [])
            return any(value is not None for value in said)

        await until(key_was_sent_late)
        await confirmed(running, contact)
        await until(lambda: tombstones_are_last(running, contact))
    await asyncio.sleep(2)  # nothing comes after it
    assert await tombstones_are_last(running, contact)
    await check_no_key_is_left(running, contact)
    async with httpx.AsyncClient(base_url=running.url("intake")) as client:
        assert (await client.get("/readyz")).status_code == 200


async def test_a_service_that_starts_hears_of_every_erasure_before_it_opens_anything(running: System) -> None:
    """A database set back to an earlier day: recording has the key of an erased contact again, and has not heard."""
    contact = await take(running, CALL)
    async with database(running, "recording") as connection:

        async def has_a_copy() -> bool:
            return bool(await connection.fetchval("SELECT count(*) FROM key_copy WHERE subject = $1", contact))

        await until(has_a_copy)
        kept = await connection.fetch("SELECT source, subject, key FROM key_copy WHERE subject = $1", contact)
        await erase(running, contact)
        await confirmed(running, contact)
        running.kill("recording")
        # As in the backup of before: the copy is there, the erasure was not heard of.
        for row in kept:
            await connection.execute("INSERT INTO key_copy VALUES ($1, $2, $3)", *row)
        await connection.execute("DELETE FROM erased")
        reader = "SELECT id FROM reader_stream WHERE reader = 'recording-erasures'"
        await connection.execute(f"DELETE FROM inbox WHERE stream IN ({reader})")
        await connection.execute("DELETE FROM reader_stream WHERE reader = 'recording-erasures'")
        await connection.execute("UPDATE checkpoint SET next_offset = 0 WHERE reader = 'recording-erasures'")
    running.restart("recording")
    await asyncio.to_thread(running.wait, "recording")

    async def refused_again() -> bool:
        async with database(running, "recording") as again:
            return bool(await again.fetchval("SELECT count(*) FROM erased WHERE subject = $1", contact))

    await until(refused_again)
    await check_no_key_is_left(running, contact)
