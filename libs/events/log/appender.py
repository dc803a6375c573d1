"""Group commit: appends that arrive while a commit is in flight go together in the next one.

Invariants
  * Nobody is answered before the commit that holds his events is on disk.
  * One bad append harms nobody else: a batch that fails is tried again caller by caller.
  * After a connection was lost during a commit nobody is told anything until the events were looked for by their ids.
    The same append with the same ids is sent again first: whichever of the two commits, the other one conflicts.

A batch is sized by what is queued, never by a timer: an idle caller waits for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import structlog

from libs.events.log import metrics
from libs.events.log.database import TRANSIENT, Database
from libs.events.log.errors import Unavailable
from libs.events.log.store import APPENDED, Append, check, outcomes, refusal

log = structlog.get_logger(__name__)

MAX_BATCH = 512
MAX_PENDING = 20_000
DEADLINE_S = 5.0
"""A caller waits no longer for an answer; then it is Unavailable, and what came of it is found by its key."""

_Pending: TypeAlias = tuple[Append, "asyncio.Future[None]"]


class Appender:
    """Appends for callers that need nothing else in their transaction."""

    def __init__(self, database: Database, *, on_commit: Callable[[], None] = lambda: None) -> None:
        """`on_commit` is called after each commit, in the event loop: it wakes the relay."""
        self._database = database
        self._on_commit = on_commit
        self._pending: deque[_Pending] = deque()
        self._wake = asyncio.Event()

    async def append(self, append: Append) -> None:
        """Return when the events are on disk.

        Raises Conflict, ClaimTaken or EventTooLarge where it is refused, and Unavailable where the outcome is not
        known: the database cannot be reached, or does not answer within five seconds.
        """
        check(append)
        if len(self._pending) >= MAX_PENDING:
            raise Unavailable("too many appends are waiting")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((append, future))
        self._wake.set()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await future
        except TimeoutError:
            raise Unavailable("the append was not confirmed in time") from None

    async def run(self) -> None:
        """Commit batches until cancelled; then commit what is still queued."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._pending:
                    await self._commit(self._next_batch())
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DEADLINE_S):
                    while self._pending:
                        await self._commit(self._next_batch())

    def _next_batch(self) -> list[_Pending]:
        """The callers first in line, at most one append a stream and one claim a key; the others keep their order."""
        batch: list[_Pending] = []
        later: list[_Pending] = []
        taken: set[str] = set()
        while self._pending and len(batch) < MAX_BATCH:
            append, future = self._pending.popleft()
            if future.done():  # its caller has gone
                continue
            names = {append.subject, *(f"claim {claim.key}" for claim in append.claims)}
            if taken.isdisjoint(names):
                taken |= names
                batch.append((append, future))
            else:
                taken |= names  # nobody overtakes it on the same stream
                later.append((append, future))
        self._pending.extendleft(reversed(later))
        return batch

    async def _commit(self, batch: list[_Pending]) -> None:
        if not batch:
            return
        try:
            results = await outcomes(self._database, [append for append, _ in batch])
        except Exception as error:
            log.warning("batch_failed", size=len(batch), error=type(error).__name__)
            # Side by side, so that one caller's second try does not make the others late.
            await asyncio.gather(*(self._settle(append, future) for append, future in batch))
            return
        metrics.APPEND_BATCH.observe(len(batch))
        self._on_commit()
        for (append, future), outcome in zip(batch, results, strict=True):
            _answer(append, future, outcome)

    async def _settle(self, append: Append, future: asyncio.Future[None]) -> None:
        """Find out what became of an append whose batch failed, and do it if it was not done."""
        delay = 0.02
        while not future.done():
            try:
                [outcome] = await outcomes(self._database, [append])
                if outcome != APPENDED and await self._is_stored(append):
                    outcome = APPENDED
                self._on_commit()
                _answer(append, future, outcome)
            except TRANSIENT:
                await asyncio.sleep(delay)
                delay = min(delay * 2, 0.5)
            except Exception as error:
                if not future.done():
                    future.set_exception(error)

    async def _is_stored(self, append: Append) -> bool:
        first = append.events[0]
        stored = await self._database.fetchval(
            "SELECT id FROM event WHERE subject = $1 AND version = $2", first.subject, first.version
        )
        return bool(stored == first.id)


def _answer(append: Append, future: asyncio.Future[None], outcome: int) -> None:
    if future.done():
        return
    if outcome == APPENDED:
        metrics.APPENDED.inc(len(append.events))
        future.set_result(None)
    else:
        metrics.APPEND_REFUSED.labels("conflict" if outcome == 1 else "claim").inc()
        future.set_exception(refusal(append, outcome))
