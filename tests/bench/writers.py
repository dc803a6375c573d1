"""Ours in B1: `python -m tests.bench.writers <writers> <appends> ready|made`, DATABASE_URL in the environment.

Many writers in one process over one Appender, each one appends a new contact's first event and waits until it is on
disk, again and again. The events are made and sealed before (`ready`), or each by its writer in the time that counts
(`made`). Prints the appends a second.

Ready ones are made some at a time, just before they are appended, as a service makes them: all at once they are 66 MB,
which have left the processor's caches, and Python's share of an append was 5.8 us here for fetching them, not 4.1.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Iterator

import uvloop
from uuid_utils import uuid7

from libs.events.log.appender import Appender
from libs.events.log.database import Database
from libs.events.log.store import Append
from tests.bench import facts

WARM_UP = 5_000
AT_ONCE = 50
"""Ready events a writer has before it: 5 MB of them in all."""


async def write(writers: int, appends: int, ready: bool) -> float:
    database = await Database.connect(os.environ["DATABASE_URL"], source="/intake")
    appender = Appender(database)
    running = asyncio.create_task(appender.run())

    async def writer(queue: Iterator[Append]) -> None:
        for append in queue:
            await appender.append(append)

    async def write_all(queue: Iterator[Append]) -> None:
        await asyncio.gather(*(writer(queue) for _ in range(writers)))

    # What a service does after it has started (libs.service.run).
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    await write_all(_made(WARM_UP))
    took = 0.0
    at_once = writers * AT_ONCE
    for done in range(0, appends, at_once):
        some = _made(min(at_once, appends - done))
        queue = iter(list(some)) if ready else some
        began = time.perf_counter()
        await write_all(queue)
        took += time.perf_counter() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await database.close()
    return appends / took


def _made(appends: int) -> Iterator[Append]:
    for _ in range(appends):
        subject = str(uuid7())
        yield Append(subject, 0, (facts.event(subject),))


if __name__ == "__main__":
    print(uvloop.run(write(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "ready")))
