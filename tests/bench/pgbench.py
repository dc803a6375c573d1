"""PostgreSQL's own benchmark: one append of one event a transaction, its row ready (`peers/pgbench.sql`)."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

from tests.bench import facts
from tests.bench.parts import SERVICE_CORES, Parts

CLIENTS = 32
THREADS = 2
"""Of pgbench's own, for its clients."""
SCRIPT = Path(__file__).parent / "peers" / "pgbench.sql"

_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


def throughput(parts: Parts, url: str, seconds: float) -> float:
    """Transactions a second, as many as there can be."""
    found = _TPS.search(_run(parts, url, seconds))
    if found is None:
        raise RuntimeError("pgbench does not say how many transactions it made a second")
    return float(found[1])


def p99_ms(parts: Parts, url: str, seconds: float, rate: float) -> float:
    """The 99th percentile at a rate, in ms from when a transaction was due (they come at random, at that mean).

    To be used in `parts.apart`; pgbench has a service's core.
    """
    with tempfile.TemporaryDirectory() as folder:
        others = os.sched_getaffinity(0)
        os.sched_setaffinity(0, SERVICE_CORES)  # of this thread, from which pgbench gets its own
        try:
            _run(parts, url, seconds, f"--rate={rate:.0f}", "--log", f"--log-prefix={folder}/transactions")
        finally:
            os.sched_setaffinity(0, others)
        # The third column is the latency in µs, from the scheduled start (PostgreSQL's manual, pgbench, `--rate`).
        latencies = sorted(int(line.split()[2]) for file in Path(folder).iterdir() for line in file.open())
    return latencies[int(0.99 * len(latencies))] / 1000


def _run(parts: Parts, url: str, seconds: float, *options: str) -> str:
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
        f"--client={CLIENTS}",
        f"--jobs={THREADS}",
        f"--time={seconds:.0f}",
        f"--file={SCRIPT}",
        *(f"--define={name}={value}" for name, value in variables.items()),
        *options,
        url,
    ]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(binaries.parent / "lib")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode or "failed transactions: 0 " not in done.stdout:
        raise RuntimeError(f"pgbench failed: {done.stderr[-2000:]}{done.stdout[-2000:]}")
    return done.stdout
