"""B1: an append that is durable, version-checked and in order before it returns, by 64 writers in one process.

Against pgbench, whose row is ready when its transaction begins, events are ready too: what is compared is the append.
Against pyeventsourcing, which writes its records itself, each event is made and sealed in the time that counts; that
figure stands beside pgbench's too, as what an event costs that is made, sealed and appended.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from tests.bench import pgbench
from tests.bench.measure import Result, Run
from tests.bench.parts import PASSWORD, ROOT, Parts

WRITERS = 64
APPENDS = 40_000
PYEVENTSOURCING_THREADS = 1
"""Of 1, 4, 16 and 64 the fastest: they wait for one lock, and for the interpreter's."""
SECONDS = 3.0


def run(parts: Parts, runs: int, tell: Callable[[str], None]) -> list[Result]:
    """Each in a database of its own with the same schema, in turn; what they have written stays until the end."""
    ours, pgbenchs = parts.database("append").url, parts.database("pgbench").owner_url
    theirs = parts.empty_database("pyeventsourcing")
    ready_against_pgbench, made_against_pgbench, made_against_pyeventsourcing = [], [], []
    for number in range(1, runs + 1):
        ready = _python("tests.bench.writers", [WRITERS, APPENDS, "ready"], {"DATABASE_URL": ours})
        transactions = pgbench.throughput(parts, pgbenchs, SECONDS)
        made = _python("tests.bench.writers", [WRITERS, APPENDS, "made"], {"DATABASE_URL": ours})
        peer = [PYEVENTSOURCING_THREADS, SECONDS]
        stored = _python("tests.bench.peers.pyeventsourcing", peer, _environment(theirs))
        ready_against_pgbench.append(Run(ready, transactions))
        made_against_pgbench.append(Run(made, transactions))
        made_against_pyeventsourcing.append(Run(made, stored))
        tell(
            f"B1 run {number}: ours {ready:,.0f}/s, made and sealed first {made:,.0f}/s; "
            f"pgbench {transactions:,.0f}/s, pyeventsourcing {stored:,.0f}/s"
        )
    clients = f"pgbench, {pgbench.CLIENTS} clients, the same rows and indexes, no order"
    library = "pyeventsourcing 9.5, safe mode, one event an append"
    append, made_too = f"B1 append, {WRITERS} writers", f"B1 event made, sealed and appended, {WRITERS} writers"
    return [
        Result(append, "1/s", clients, 2.5, ready_against_pgbench),
        Result(made_too, "1/s", clients, None, made_against_pgbench),
        Result(made_too, "1/s", library, 15, made_against_pyeventsourcing),
    ]


def _python(module: str, arguments: list[object], environment: Mapping[str, str]) -> float:
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr[-2000:]}")
    return float(done.stdout)


def _environment(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    return {
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_HOST": parts.hostname or "",
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_USER": parts.username or "",
        "POSTGRES_PASSWORD": PASSWORD,
    }
