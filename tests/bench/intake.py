"""B2: intake, from POST to 201 on disk, under an open-loop load (`tests.bench.load`).

The peak is the highest rate that is sustained: of all that was due in a trial, everything was answered 201, the last no
later than 0.1 s after the trial's end. It is found by bisection, beginning around what a closed loop gets. The 99th
percentile is taken at half of ours' peak, for ours, for the endpoint without I/O, and, for the record, for the commit
alone (pgbench, while the services are idle), all at the same rate: nothing that waits for a commit is quicker than it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from deploy.local.process import free_port
from libs.events.log.roles import RELAY, Login
from tests.bench import facts, pgbench
from tests.bench.load import Outcome
from tests.bench.measure import Result, Run
from tests.bench.parts import ROOT, SERVICE_CORES, Parts, apart, intake_settings, issuer, kafka, keep_to, process

CONNECTIONS = 128
ADDRESS = "{host:port}"
"""Stands in a request for where the contestant is served."""
BODIES = 1000
TRIAL_S = 2.5
BISECTIONS = 4
CLOSED_S = 1.5
LATENCY_S = 20.0
"""So long that one stall of the disk (up to 100 ms, twice a minute on some virtual machines), with what waits behind
it, is no hundredth of it."""
SUSTAINED_S = 0.1
WARM_UP_S = 2.0
SETTLE_LIMIT_S = 60.0

_BEHIND = "SELECT coalesce((SELECT max(position) FROM event), 0) > (SELECT position FROM relay)"


@dataclass
class Contestant:
    """A served endpoint with a load generator of its own."""

    generator: subprocess.Popen[str]
    peak: float = 0.0
    trials: list[tuple[float, Outcome]] = field(default_factory=list)

    def trial(self, rate: float | None, seconds: float) -> Outcome:
        assert self.generator.stdin
        assert self.generator.stdout
        print(json.dumps({"rate": rate, "seconds": seconds}), file=self.generator.stdin, flush=True)
        line = self.generator.stdout.readline()
        if not line:
            assert self.generator.stderr
            raise RuntimeError(self.generator.stderr.read()[-2000:])
        outcome = Outcome(**json.loads(line))
        if rate is not None:
            self.trials.append((rate, outcome))
        return outcome

    def find_peak(self) -> float:
        """The highest sustained rate, found anew in each run: a bad one must not bind those after it."""
        closed = self.trial(None, CLOSED_S)
        around = closed.answered / closed.seconds
        low, high = around * 0.7, around * 1.2
        sustained = 0.0
        for _ in range(BISECTIONS):
            rate = (low + high) / 2
            if self.trial(rate, TRIAL_S).over_s <= SUSTAINED_S:
                low = sustained = rate
            else:
                high = rate
        while not sustained:  # what was taken for the lower end is not sustained either
            low *= 0.85
            if self.trial(low, TRIAL_S).over_s <= SUSTAINED_S:
                sustained = low
        self.peak = sustained
        return sustained


def run(parts: Parts, runs: int, tell: Callable[[str], None]) -> tuple[list[Result], dict[str, Contestant]]:
    """The results, and each contestant with all its trials."""
    against_tutorial, against_no_io, latency, against_commit = [], [], [], []
    with ExitStack() as stack:
        stack.enter_context(apart())
        broker = stack.enter_context(kafka(parts))
        issuer_url, token = stack.enter_context(issuer(parts))
        url, pgbenchs = parts.database("intake").url, parts.database("pgbench").owner_url
        settings = intake_settings(url, broker, issuer_url)
        served = {
            "ours": (["services.intake"], settings, "/readyz"),
            "no I/O": (["tests.bench.peers.no_io"], settings, "/readyz"),
            "tutorial": (["tests.bench.peers.tutorial"], {"DATABASE_URL": parts.empty_database("tutorial")}, "/docs"),
        }
        requests = [_request(token, facts.call(number)) for number in range(BODIES)]
        contestants = {name: stack.enter_context(serving(parts, name, *how, requests)) for name, how in served.items()}
        ours, no_io, tutorial = contestants.values()
        for contestant in contestants.values():
            contestant.trial(None, WARM_UP_S)
        for number in range(1, runs + 1):
            without = no_io.find_peak()
            peak = ours.find_peak()
            settle(url)
            theirs = tutorial.find_peak()
            settle(url)
            quiet = no_io.trial(peak / 2, LATENCY_S)
            busy = ours.trial(peak / 2, LATENCY_S)
            settle(url)
            commit_ms = pgbench.p99_ms(parts, pgbenchs, LATENCY_S, peak / 2)
            against_tutorial.append(Run(peak, theirs))
            against_no_io.append(Run(peak, without))
            latency.append(Run(busy.p99_ms, quiet.p99_ms))
            against_commit.append(Run(busy.p99_ms, commit_ms))
            tell(
                f"B2 run {number}: peak ours {peak:,.0f}/s, no I/O {without:,.0f}/s, tutorial {theirs:,.0f}/s; "
                f"p99 at {peak / 2:,.0f}/s ours {busy.p99_ms:.1f} ms, no I/O {quiet.p99_ms:.1f} ms, "
                f"a commit alone {commit_ms:.1f} ms"
            )
    results = [
        Result("B2 intake, peak", "1/s", "FastAPI tutorial: SQLAlchemy session a request", 5, against_tutorial),
        Result("B2 intake, peak", "1/s", "the same endpoint doing no I/O", 0.8, against_no_io),
        Result("B2 intake, p99 at half the peak", "ms", "the same endpoint doing no I/O", 3, latency, "<="),
        Result(
            "B2 intake, p99 at half the peak",
            "ms",
            "pgbench: the commit alone, the same rows",
            None,
            against_commit,
            "<=",
        ),
    ]
    return results, contestants


@contextmanager
def serving(
    parts: Parts,
    name: str,
    module: list[str],
    settings: dict[str, str],
    ready: str,
    requests: list[str],
    connections: int = CONNECTIONS,
) -> Iterator[Contestant]:
    """A service as a process, with a generator that sends it these requests in turn. To be used in `apart`."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    environment = {**settings, "PORT": str(port)}
    with process(parts, name.replace("/", ""), module, environment, f"http://{address}{ready}") as service:
        generator = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.load", address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        try:
            keep_to(SERVICE_CORES, service.pid)
            assert generator.stdin
            plan = {"requests": [one.replace(ADDRESS, address) for one in requests], "connections": connections}
            print(json.dumps(plan), file=generator.stdin, flush=True)
            yield Contestant(generator)
        finally:
            generator.kill()
            generator.communicate()


def _request(token: str, body: dict[str, object]) -> str:
    content = json.dumps(body, separators=(",", ":"))
    head = [
        "POST /v1/contacts/telephone HTTP/1.1",
        f"Host: {ADDRESS}",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join(head) + "\r\n\r\n" + content


def settle(url: str) -> None:
    """Wait until the relay has carried everything to Kafka and the kernel everything to the disk, so that it is nobody
    else's burden: what a search for a peak leaves behind is written half a minute later, and holds commits up then."""

    async def wait() -> None:
        connection = await Login(url).connect(RELAY, server_settings={})
        try:
            until = time.monotonic() + SETTLE_LIMIT_S
            while await connection.fetchval(_BEHIND):
                if time.monotonic() > until:
                    raise RuntimeError("the relay does not come to the end of what was committed")
                await asyncio.sleep(0.05)
        finally:
            await connection.close()

    asyncio.run(wait())
    os.sync()
