"""What the tests of the log share: facts to append, a reader's table, and patience."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from libs.events.envelope import Event, events_of
from libs.events.log.store import Append, Claim
from libs.events.types.contacts import ContactMessageAdded

SOURCE = "/intake"


def said(number: int, *, emergency: bool = False) -> ContactMessageAdded:
    return ContactMessageAdded(message_id=str(number), sender="caller", emergency=emergency)


def an_append(subject: str | None = None, *, after: int = 0, count: int = 1, claims: tuple[Claim, ...] = ()) -> Append:
    subject = subject or str(uuid4())
    facts = [said(number) for number in range(after + 1, after + count + 1)]
    return Append(subject, after, events_of(facts, source=SOURCE, subject=subject, after=after), claims)


def numbers(events: list[Event]) -> list[int]:
    return [int(event.fact.message_id) for event in events]


async def until(condition: Callable[[], Awaitable[bool] | bool], *, patience_s: float = 30.0) -> None:
    """Wait until it holds; the test fails when patience ends. Asked at most a quarter of the time: what is waited for
    needs the processor too."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    while True:
        asked = loop.time()
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert loop.time() < deadline, f"it did not become true within {patience_s} s"
        await asyncio.sleep(min(1.0, max(0.02, 3 * (loop.time() - asked))))


@asynccontextmanager
async def running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Loops that run while the block does."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
