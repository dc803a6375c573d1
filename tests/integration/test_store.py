"""The event store on the real PostgreSQL: versions, claims, order, and what one bad append does to the others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from libs.events.envelope import events_of
from libs.events.log import metrics, store
from libs.events.log.appender import Appender
from libs.events.log.database import Database
from libs.events.log.errors import ClaimTaken, Conflict, EventTooLarge, Unavailable
from libs.events.log.roles import CONSUMER, WRITER, Part
from libs.events.log.store import Append, Claim
from libs.events.types.contacts import ContactMessageAdded
from tests.conftest import NewDatabase
from tests.integration.logs import SOURCE, an_append, numbers, running, until


def commits() -> float:
    """How many batches this process has committed."""
    return next(one.value for one in metrics.APPEND_BATCH.collect()[0].samples if one.name.endswith("_count"))


@pytest_asyncio.fixture
async def db(database: NewDatabase) -> AsyncIterator[Database]:
    logins = await database("intake")
    db = await Database.connect(logins.url, source=SOURCE, part=CONSUMER, max_size=20)
    yield db
    await db.close()


async def test_a_stream_reads_back_in_order(db: Database) -> None:
    first = an_append(count=3)
    async with db.transaction() as connection:
        await store.append(connection, [first])
    async with db.transaction() as connection:
        await store.append(connection, [an_append(first.subject, after=3, count=2)])
    events = await store.load(db, first.subject)
    assert numbers(events) == [1, 2, 3, 4, 5]
    assert [event.version for event in events] == [1, 2, 3, 4, 5]
    assert events[0] == first.events[0]


async def test_two_deciders_of_one_stream_never_both_win(db: Database) -> None:
    subject = str(uuid4())

    async def decide() -> bool:
        try:
            async with db.transaction() as connection:
                await store.append(connection, [an_append(subject, count=2)])
        except Conflict:
            return False
        return True

    won = await asyncio.gather(*(decide() for _ in range(10)))
    assert sum(won) == 1
    assert numbers(await store.load(db, subject)) == [1, 2]


async def test_an_append_of_several_streams_is_whole_or_nothing(db: Database) -> None:
    stale, fresh = an_append(after=7), an_append()
    with pytest.raises(Conflict):
        async with db.transaction() as connection:
            await store.append(connection, [fresh, stale])
    assert await store.load(db, fresh.subject) == []


async def test_a_claim_is_taken_once(db: Database) -> None:
    async with running((appender := Appender(db)).run()):
        first = an_append(claims=(Claim("reference AB12", b"one"), Claim("key a", b"a")))
        await appender.append(first)
        with pytest.raises(ClaimTaken):
            await appender.append(an_append(claims=(Claim("key b", b"b"), Claim("reference AB12", b"two"))))
    assert await store.holder(db, "reference AB12") == (first.subject, b"one")
    assert await store.holder(db, "key b") is None, "what a loser had claimed is free again"


async def test_a_stale_append_does_not_keep_its_claims(db: Database) -> None:
    async with running((appender := Appender(db)).run()):
        with pytest.raises(Conflict):
            await appender.append(an_append(after=3, claims=(Claim("key of a stale one", b""),)))
        assert await store.holder(db, "key of a stale one") is None


async def test_of_many_that_claim_one_key_at_once_one_wins(db: Database) -> None:
    async with running((appender := Appender(db)).run(), (other := Appender(db)).run()):
        appends = [an_append(claims=(Claim("the key", b""),)) for _ in range(40)]
        done = await asyncio.gather(
            *((appender, other)[i % 2].append(append) for i, append in enumerate(appends)), return_exceptions=True
        )
    winners = [append for append, error in zip(appends, done, strict=True) if error is None]
    assert len(winners) == 1
    assert all(error is None or isinstance(error, ClaimTaken) for error in done)
    assert await db.fetchval("SELECT count(*) FROM event") == 1


async def test_one_bad_append_harms_nobody_else(db: Database) -> None:
    async with running((appender := Appender(db)).run()):
        known = an_append()
        await appender.append(known)
        good = [an_append() for _ in range(50)]
        bad = [an_append(known.subject), an_append(known.subject, after=9), an_append("x\ud800")]
        done = await asyncio.gather(*(appender.append(a) for a in [*good, *bad]), return_exceptions=True)
    assert done[:50] == [None] * 50
    assert [type(error) for error in done[50:52]] == [Conflict, Conflict]
    assert isinstance(done[52], ValueError)
    assert await db.fetchval("SELECT count(*) FROM event") == 51


async def test_each_of_one_call_has_its_own_outcome_whatever_becomes_of_the_others(db: Database) -> None:
    known, taken = an_append(claims=(Claim("taken", b""),)), (Claim("taken", b""),)
    await store.append(db, [known])
    stale, follows, claims = an_append(after=9), an_append(known.subject, after=1), an_append(claims=taken)
    assert await store.outcomes(db, [an_append(), stale, follows, claims, an_append()]) == [0, 1, 0, 2, 0]
    # One that is there already among those that are said to be new: they are asked for one by one.
    there, stale = an_append(known.subject), an_append(known.subject, after=1)
    assert await store.outcomes(db, [an_append(), there, an_append(claims=taken), an_append()]) == [0, 1, 2, 0]
    assert await store.outcomes(db, [stale, an_append()]) == [1, 0]
    assert numbers(await store.load(db, known.subject)) == [1, 2]
    assert await db.fetchval("SELECT count(*) FROM event") == 7


async def test_appends_to_one_stream_in_one_moment_keep_their_order(db: Database) -> None:
    subject = str(uuid4())
    async with running((appender := Appender(db)).run()):
        await asyncio.gather(*(appender.append(an_append(subject, after=n)) for n in range(30)))
    assert numbers(await store.load(db, subject)) == list(range(1, 31))


async def test_what_waits_goes_in_one_commit(db: Database) -> None:
    async with running((appender := Appender(db)).run()):
        for count in (1, 31, 64):
            before = commits()
            await asyncio.gather(*(appender.append(an_append()) for _ in range(count)))
            assert commits() - before == 1, count
        before = commits()
        first = asyncio.create_task(appender.append(an_append()))
        await asyncio.sleep(0)
        while not appender._batch:
            await asyncio.sleep(0)
        await asyncio.gather(first, *(appender.append(an_append()) for _ in range(10)))
        assert commits() - before == 2, "what came while one was on its way went together"
        await until(lambda: appender._sender is None)

        async def twice() -> None:
            await appender.append(an_append())
            await appender.append(an_append())

        before = commits()
        again = asyncio.create_task(twice())
        while not appender._batch:
            await asyncio.sleep(0)
        await asyncio.gather(again, *(appender.append(an_append()) for _ in range(10)))
        assert commits() - before == 2, "who appends again on being answered goes with those who wait"
        await until(lambda: appender._sender is None)


async def test_told_to_stop_it_serves_who_waits_and_whom_it_has_answered_and_then_nobody(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.events.log.appender.DEADLINE_S", 1.0)
    appender = Appender(db)
    told = asyncio.create_task(appender.run())

    async def one_after_the_other() -> None:
        for _ in range(5):
            await appender.append(an_append())  # each in the turn in which the one before it is answered

    waiting = asyncio.create_task(one_after_the_other())
    while not appender._batch:
        await asyncio.sleep(0)
    told.cancel()
    await waiting
    await asyncio.wait([told])
    assert appender._connection is None, "it is the pool's again"
    with pytest.raises(Unavailable):
        await appender.append(an_append())
    assert await db.fetchval("SELECT count(*) FROM event") == 5


async def test_an_event_over_the_limit_is_refused_alone(db: Database) -> None:
    def of(size: int) -> Append:
        fact = ContactMessageAdded(message_id="x" * size, sender="caller")
        return Append(subject := str(uuid4()), 0, events_of([fact], source=SOURCE, subject=subject, after=0))

    async with running((appender := Appender(db)).run()):
        good, large, fits = an_append(), of(600_000), of(500_000)
        done = await asyncio.gather(*map(appender.append, (good, large, fits)), return_exceptions=True)
        assert [type(error) for error in done] == [type(None), EventTooLarge, type(None)]
    with pytest.raises(asyncpg.PostgresError, match="512 KiB"):
        await store.outcomes(db, [large])


async def test_positions_become_visible_in_order_whoever_writes(db: Database) -> None:
    """A follower of `position > last` sees every event, while eight write and some roll back."""
    stop = asyncio.Event()
    seen: list[str] = []

    async def write(seed: int) -> list[str]:
        chance, wrote = random.Random(seed), []
        while not stop.is_set():
            append = an_append(count=chance.randint(1, 3))
            try:
                async with db.transaction() as connection:
                    await store.append(connection, [append])
                    if chance.random() < 0.2:
                        raise LookupError
                    if chance.random() < 0.2:
                        await asyncio.sleep(0.01)
            except LookupError:
                continue
            wrote += [str(event.id) for event in append.events]
        return wrote

    async def follow() -> None:
        last = 0
        while True:
            for position, event in await store.read_after(db, last, 50):
                assert position > last
                last = position
                seen.append(str(event.id))
            await asyncio.sleep(0)

    async with running(follow()) as [follower]:
        writers = [asyncio.create_task(write(seed)) for seed in range(8)]
        await asyncio.sleep(2)
        stop.set()
        wrote = [event for events in await asyncio.gather(*writers) for event in events]
        await until(lambda: len(seen) >= len(wrote) or follower.done())
    assert len(wrote) > 100
    assert sorted(seen) == sorted(wrote)


@pytest.mark.parametrize("part", [WRITER, CONSUMER])
async def test_whoever_appends_can_tell_after_a_lost_commit_whether_it_was_his(
    database: NewDatabase, part: Part
) -> None:
    db = await Database.connect((await database("intake")).url, source=SOURCE, part=part)
    try:
        mine = an_append()
        another = an_append(mine.subject)
        await store.append(db, [mine])
        assert await store.is_appended(db, mine)
        assert not await store.is_appended(db, another)
        # So an append that is sent again because its commit's answer was lost is not refused, and not done twice.
        async with running((appender := Appender(db)).run()):
            again: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            await appender._settle(mine, again)
            await again
            with pytest.raises(Conflict):
                await appender.append(another)
    finally:
        await db.close()


async def test_a_connection_lost_during_a_commit_is_settled_by_looking(db: Database) -> None:
    """Backends are killed while appends run: what is acknowledged is there once, and nobody waits for ever."""
    async with running((appender := Appender(db)).run()):
        killer = await asyncpg.connect(db.dsn)
        acknowledged: list[Append] = []
        killed: list[asyncpg.Record] = []

        async def append_some() -> None:
            for _ in range(100):
                one = an_append(count=2)
                try:
                    await appender.append(one)
                except Unavailable:
                    continue
                acknowledged.append(one)

        async def kill() -> None:
            for _ in range(15):
                killed.extend(
                    await killer.fetch(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE pid <> pg_backend_pid() AND datname = current_database() AND usename = session_user"
                    )
                )
                await asyncio.sleep(0.03)

        await asyncio.gather(*(append_some() for _ in range(16)), kill())
        await killer.close()
    assert killed
    assert len(acknowledged) > 800
    ids = await db.fetch("SELECT subject, count(*) AS count FROM event GROUP BY subject")
    stored = {row["subject"]: row["count"] for row in ids}
    assert all(stored.get(append.subject) == 2 for append in acknowledged)


async def test_a_paused_writer_does_not_hold_the_order(db: Database) -> None:
    """A process that stops with the order lock in its hand is cut off after two seconds."""
    others: list[int] = []

    async def pause_with_the_lock() -> None:
        async with db.transaction() as connection:
            await store.append(connection, [an_append()])
            waiting = asyncio.create_task(store.outcomes(db, [an_append()]))
            await asyncio.sleep(3)
            others.extend(await asyncio.wait_for(waiting, 5))

    with pytest.raises((Unavailable, asyncpg.PostgresError)):
        await pause_with_the_lock()
    assert others == [store.APPENDED]


async def test_the_service_can_neither_change_nor_remove_an_event(db: Database) -> None:
    for statement in ("UPDATE event SET type = 'x'", "DELETE FROM event", "TRUNCATE event"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(statement)


async def test_a_server_that_is_away_is_unavailable_at_once() -> None:
    db = await Database.connect("postgresql://nobody@127.0.0.1:9/nothing", source=SOURCE)
    with pytest.raises(Unavailable):
        await db.fetchval("SELECT 1")
    assert "does not answer" in (await db.trouble() or "")
    await db.close()
