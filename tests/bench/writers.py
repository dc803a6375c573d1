"""Ours in B1: `python -m tests.bench.writers <writers> <seconds>`, DATABASE_URL in the environment.

Many writers in one process over one Appender, each one appends a new contact's first event and waits until it is on
disk, again and again. Prints the appends a second.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time

import uvloop
from uuid_utils import uuid7

from libs.events.log.appender import Appender
from libs.events.log.database import Database
from libs.events.log.store import Append
from tests.bench import facts

WARM_UP_S = 0.5


async def write(writers: int, seconds: float) -> float:
    database = await Database.connect(os.environ["DATABASE_URL"], source="/intake")
    appender = Appender(database)
    running = asyncio.create_task(appender.run())
    counting_from = time.perf_counter() + WARM_UP_S
    until = counting_from + seconds
    appended = 0

    async def writer() -> None:
        nonlocal appended
        while (now := time.perf_counter()) < until:
            subject = str(uuid7())
            await appender.append(Append(subject, 0, (facts.event(subject),)))
            appended += now >= counting_from

    # What a service does after it has started (libs.service.run).
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    await asyncio.gather(*(writer() for _ in range(writers)))
    took = time.perf_counter() - counting_from
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await database.close()
    return appended / took


if __name__ == "__main__":
    print(uvloop.run(write(int(sys.argv[1]), float(sys.argv[2]))))
