"""pyeventsourcing in B1: `python -m tests.bench.peers.pyeventsourcing <threads> <seconds>`, POSTGRES_* set.

Its application recorder on PostgreSQL as it is by default, which is the safe mode: each append takes an exclusive lock
on the table, so that followers miss nothing. One event an append; the recorder alone, without the library's aggregates
above it. Prints the appends a second.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from uuid import UUID

from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment
from uuid_utils import uuid7

from tests.bench import facts

WARM_UP_S = 0.5


def write(threads: int, seconds: float) -> float:
    environment = Environment(
        "bench",
        {
            **os.environ,
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_POOL_SIZE": str(threads),
            "POSTGRES_MAX_OVERFLOW": "0",
            "POSTGRES_MAX_WAITING": str(threads),
        },
    )
    recorder = InfrastructureFactory.construct(environment).application_recorder()
    counting_from = time.perf_counter() + WARM_UP_S
    until = counting_from + seconds
    counts = [0] * threads

    def writer(number: int) -> None:
        while (now := time.perf_counter()) < until:
            event = facts.event(str(uuid7()))
            recorder.insert_events([StoredEvent(UUID(event.subject), event.version, event.type, event.data)])
            counts[number] += now >= counting_from

    workers = [threading.Thread(target=writer, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - counting_from)


if __name__ == "__main__":
    print(write(int(sys.argv[1]), float(sys.argv[2])))
