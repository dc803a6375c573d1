"""B1: an append that is durable, version-checked and in order before it returns, by 64 writers in one process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench import facts
from tests.bench.measure import Result, Run
from tests.bench.parts import PASSWORD, ROOT, Parts

WRITERS = 64
PGBENCH_CLIENTS = 32
PGBENCH_THREADS = 2
"""Of pgbench's own, for its 32 clients."""
PYEVENTSOURCING_THREADS = 1
"""Of 1, 4, 16 and 64 the fastest: they wait for one lock, and for the interpreter's."""
SECONDS = 3.0
SCRIPT = Path(__file__).parent / "peers" / "pgbench.sql"

_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


def run(parts: Parts, runs: int, tell: Callable[[str], None]) -> list[Result]:
    """Each in a database of its own with the same schema, in turn; what they have written stays until the end."""
    ours, pgbenchs = parts.database("append").url, parts.database("pgbench").owner_url
    theirs = parts.empty_database("pyeventsourcing")
    against_pgbench, against_pyeventsourcing = [], []
    for number in range(1, runs + 1):
        appends = _python("tests.bench.writers", WRITERS, {"DATABASE_URL": ours})
        transactions = _pgbench(parts, pgbenchs)
        stored = _python("tests.bench.peers.pyeventsourcing", PYEVENTSOURCING_THREADS, _environment(theirs))
        against_pgbench.append(Run(appends, transactions))
        against_pyeventsourcing.append(Run(appends, stored))
        tell(f"B1 run {number}: ours {appends:,.0f}/s, pgbench {transactions:,.0f}/s, pyeventsourcing {stored:,.0f}/s")
    return [
        Result(
            "B1 append, 64 writers",
            "1/s",
            f"pgbench, {PGBENCH_CLIENTS} clients, the same rows and indexes, no order",
            2.5,
            against_pgbench,
        ),
        Result(
            "B1 append, 64 writers",
            "1/s",
            "pyeventsourcing 9.5, safe mode, one event an append",
            15,
            against_pyeventsourcing,
        ),
    ]


def _python(module: str, writers: int, environment: Mapping[str, str]) -> float:
    done = subprocess.run(
        [sys.executable, "-m", module, str(writers), str(SECONDS)],
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


def _pgbench(parts: Parts, url: str) -> float:
    binaries = parts.postgres.binaries
    variables = {
        "type": facts.FACT.TYPE,
        "force": facts.FORCE,
        "traceparent": facts.TRACEPARENT,
        "data": facts.data(),
    }
    command = [
        str(binaries / "pgbench"),
        "--no-vacuum",
        "--protocol=prepared",
        f"--client={PGBENCH_CLIENTS}",
        f"--jobs={PGBENCH_THREADS}",
        f"--time={SECONDS:.0f}",
        f"--file={SCRIPT}",
        *(f"--define={name}={value}" for name, value in variables.items()),
        url,
    ]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(binaries.parent / "lib")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = _TPS.search(done.stdout)
    if done.returncode or found is None or "failed transactions: 0 " not in done.stdout:
        raise RuntimeError(f"pgbench failed: {done.stderr[-2000:]}{done.stdout[-2000:]}")
    return float(found[1])
