"""Group commit: appends that arrive while a commit is in flight go together in the next one.

Invariants
  * Nobody is answered before the commit that holds his events is on disk.
  * One bad append harms nobody else: a batch that fails is tried again caller by caller.
  * After a connection was lost during a commit nobody is told anything until the events were looked for by their ids.
    The same append with the same ids is sent again first: whichever of the two commits, the other one conflicts.

A batch is sized by what is queued, never by a timer: an idle caller waits for nobody. A lane sends one batch after the
other, each in the very turn of the event loop in which the last one's answer came: a turn takes as long as the requests
that are served in it. Where many wait there are two lanes, each on a connection of its own: while the one's batch is
being written to disk, the other's is prepared and claims its streams. Appends to one stream, or with one claim, are
never on their way at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

import asyncpg
import msgspec
import structlog
from asyncpg.pool import PoolConnectionProxy

from libs.events.log import metrics
from libs.events.log.database import CONNECT_TIMEOUT_S, TRANSIENT, Database
from libs.events.log.errors import Unavailable
from libs.events.log.store import APPENDED, Append, check, is_appended, outcomes, refusal

log = structlog.get_logger(__name__)

MAX_BATCH = 512
MAX_PENDING = 20_000
LANES = 2
WORTH_A_LANE = 16
"""A batch smaller than this waits for the one before it: a commit costs as much as some sixteen appends."""
DEADLINE_S = 2.5
"""A caller waits no longer for an answer; then it is Unavailable, and what came of it is found by its key."""
SWEEP_S = 0.25
"""How often callers past their deadline are looked for; so it may be so much later."""


class _Pending(msgspec.Struct, frozen=True):
    append: Append
    future: asyncio.Future[None]
    deadline: float
    names: list[str | tuple[str]]
    """Its subject, and its claims' keys as tuples of one: no other with one of them is under way with it."""


class Appender:
    """Appends for callers that need nothing else in their transaction."""

    def __init__(self, database: Database, *, on_commit: Callable[[], None] = lambda: None) -> None:
        """`on_commit` is called after each commit, in the event loop: it wakes the relay."""
        self._database = database
        self._on_commit = on_commit
        self._pending: deque[_Pending] = deque()
        self._runs = False
        self._lanes: dict[asyncio.Task[None], list[_Pending]] = {}
        """Each with the batch that it has on its way; none before it takes its first."""
        self._names: set[str | tuple[str]] = set()
        """Of all that is under way."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._connections: list[PoolConnectionProxy[asyncpg.Record]] = []
        """Free, and kept between batches: to take one from the pool each time costs as much as ten appends."""

    async def append(self, append: Append) -> None:
        """Return when the events are on disk.

        Raises Conflict, ClaimTaken or EventTooLarge where it is refused, and Unavailable where the outcome is not
        known: the database cannot be reached, or does not answer within two and a half seconds.
        """
        check(append)
        if len(self._pending) >= MAX_PENDING:
            raise Unavailable("too many appends are waiting")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        names: list[str | tuple[str]] = [append.subject, *[(claim.key,) for claim in append.claims]]
        self._pending.append(_Pending(append, future, loop.time() + DEADLINE_S, names))
        if len(self._lanes) < LANES:
            self._open_lanes()
        if self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_S, self._sweep)
        await future

    def _sweep(self) -> None:
        """One timer for all callers, because one for each costs more than the rest of their append."""
        now = asyncio.get_running_loop().time()
        for waiting in (*self._lanes.values(), self._pending):
            for pending in waiting:
                if now >= pending.deadline and not pending.future.done():
                    pending.future.set_exception(Unavailable("the append was not confirmed in time"))
        anybody = self._pending or self._lanes
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep) if anybody else None

    async def run(self) -> None:
        """Commit batches until cancelled; then commit what is still queued."""
        self._runs = True
        self._open_lanes()
        try:
            await asyncio.Event().wait()
        finally:
            await self._finish()
            self._runs = False
            while self._connections:
                await _release(self._database.pool, self._connections.pop())

    async def _finish(self) -> None:
        until = asyncio.get_running_loop().time() + DEADLINE_S
        while self._lanes and (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._lanes, timeout=left)

    def _open_lanes(self) -> None:
        """As many as are worth it. One that is opened begins in the next turn, with all that is queued by then."""
        while self._runs and len(self._lanes) < LANES and self._is_worth_a_lane():
            self._lanes[asyncio.create_task(self._drive())] = []

    def _is_worth_a_lane(self) -> bool:
        """Whether enough waits for one more lane, and for those that are about to begin."""
        return len(self._pending) >= (WORTH_A_LANE * (1 + self._free()) if self._lanes else 1)

    def _free(self) -> int:
        """How many lanes have nothing on its way."""
        return sum(not batch for batch in self._lanes.values())

    async def _drive(self) -> None:
        """A lane's work, as long as it is worth it."""
        lane = asyncio.current_task()
        assert lane is not None
        try:
            while batch := self._next_batch(self._share()):
                self._lanes[lane] = batch
                try:
                    await self._commit(batch)
                finally:
                    self._lanes[lane] = []
                    for pending in batch:
                        self._names.difference_update(pending.names)
                if len(self._lanes) > 1 and len(self._pending) < WORTH_A_LANE:
                    break
        finally:
            del self._lanes[lane]

    def _share(self) -> int:
        """Of what waits, what a free lane takes: lanes that are free at once share it, and take turns from then on."""
        return min(-(-len(self._pending) // self._free()), MAX_BATCH)

    def _next_batch(self, size: int) -> list[_Pending]:
        """The callers first in line, no two of one stream or claim; the others keep their order."""
        batch: list[_Pending] = []
        later: list[_Pending] = []
        names = self._names
        barred: set[str | tuple[str]] = set()
        while self._pending and len(batch) < size:
            pending = self._pending.popleft()
            if pending.future.done():  # its caller has gone
                continue
            own = pending.names
            if names.isdisjoint(own) and (not later or barred.isdisjoint(own)):
                names.update(own)
                batch.append(pending)
            else:
                barred.update(own)  # nobody overtakes it on the same stream
                later.append(pending)
        self._pending.extendleft(reversed(later))
        return batch

    async def _commit(self, batch: list[_Pending]) -> None:
        try:
            results = await self._outcomes([pending.append for pending in batch])
        except Exception as error:
            log.warning("batch_failed", size=len(batch), error=type(error).__name__)
            # Side by side, so that one caller's second try does not make the others late.
            await asyncio.gather(*(self._settle(pending.append, pending.future) for pending in batch))
            return
        metrics.APPEND_BATCH.observe(len(batch))
        metrics.APPENDED.inc(sum(len(p.append.events) for p, o in zip(batch, results, strict=True) if not o))
        self._on_commit()
        for pending, outcome in zip(batch, results, strict=True):
            _answer(pending.append, pending.future, outcome)

    async def _outcomes(self, appends: list[Append]) -> list[int]:
        pool = self._database.pool
        while self._connections:
            connection = self._connections.pop()
            if not connection.is_closed():
                break
            await _release(pool, connection)
        else:
            connection = await pool.acquire(timeout=CONNECT_TIMEOUT_S)
        try:
            results = await outcomes(connection, appends)
        except BaseException as error:
            if isinstance(error, TimeoutError):
                await self._database.give_up(pool)
            await _release(pool, connection)  # the pool sees whether it is still good for anything
            raise
        self._connections.append(connection)
        return results

    async def _settle(self, append: Append, future: asyncio.Future[None]) -> None:
        """Find out what became of an append whose batch failed, and do it if it was not done."""
        delay = 0.02
        while not future.done():
            try:
                [outcome] = await outcomes(self._database, [append])
                if outcome != APPENDED and await is_appended(self._database, append):
                    outcome = APPENDED
                metrics.APPENDED.inc(0 if outcome else len(append.events))
                self._on_commit()
                _answer(append, future, outcome)
            except TRANSIENT:
                await asyncio.sleep(delay)
                delay = min(delay * 2, 0.5)
            except Exception as error:
                if not future.done():
                    future.set_exception(error)


async def _release(pool: asyncpg.Pool[asyncpg.Record], connection: PoolConnectionProxy[asyncpg.Record]) -> None:
    with contextlib.suppress(asyncpg.InterfaceError):  # it came from a pool that was given up since
        await pool.release(connection)


def _answer(append: Append, future: asyncio.Future[None], outcome: int) -> None:
    if future.done():
        return
    if outcome == APPENDED:
        future.set_result(None)
    else:
        metrics.APPEND_REFUSED.labels("conflict" if outcome == 1 else "claim").inc()
        future.set_exception(refusal(append, outcome))
