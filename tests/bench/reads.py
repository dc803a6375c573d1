"""What a read costs: `GET /v1/contacts/{id}` by handlers, closed loop, and what of that is its trace.

Ours answers when the trace is on disk. The peer is the same application on the same database, which makes the same
trace and forgets it. Beneath that, in PostgreSQL alone: the read under row-level security against the same query
without a scope, one round trip each.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from random import Random

import uvloop

from deploy.local.databases import Logins
from deploy.local.issuer import make_token
from libs.events.log.database import Database
from libs.events.log.roles import CONSUMER, READER
from libs.service.trace import PURPOSE
from tests.bench import scope
from tests.bench.intake import ADDRESS, serving, settle
from tests.bench.measure import Result, Run
from tests.bench.parts import FORCES, Parts, apart, intake_settings, issuer, kafka

CLIENTS = 32
REQUESTS = 2000
TRIAL_S = 4.0
WARM_UP_S = 2.0
_SCOPED = "SELECT told, decision_version, decided_at, fact, in_hand FROM contact_in_scope($1, $2, $3)"
_UNSCOPED = """
SELECT e, d.version, d.decided_at, d.fact
FROM event AS e LEFT JOIN decision AS d ON e.version = 1 AND d.contact = e.subject
WHERE e.subject = $1 ORDER BY e.version
"""


def run(parts: Parts, runs: int, tell: Callable[[str], None]) -> list[Result]:
    traced, scoped = [], []
    logins = parts.database("reads")
    contacts = uvloop.run(_fill(logins))
    with ExitStack() as stack:
        stack.enter_context(apart())
        broker = stack.enter_context(kafka(parts))
        issuer_url, _ = stack.enter_context(issuer(parts))
        settings = intake_settings(logins.url, broker, issuer_url) | {"CLIENT_RATE_PER_S": "100000"}
        requests = _requests(parts, issuer_url, contacts)
        ours, peer = (
            stack.enter_context(serving(parts, name, [module], settings, "/readyz", requests, CLIENTS))
            for name, module in (("traced", "services.intake"), ("untraced", "tests.bench.peers.untraced"))
        )
        settle(logins.url)
        for contestant in (ours, peer):
            contestant.trial(None, WARM_UP_S)
        settle(logins.url)
        for number in range(1, runs + 1):
            without, with_it = peer.trial(None, TRIAL_S), ours.trial(None, TRIAL_S)
            settle(logins.url)
            traced.append(Run(with_it.answered / with_it.seconds, without.answered / without.seconds))
            tell(
                f"reads run {number}: traced {traced[-1].ours:,.0f}/s (p99 {with_it.p99_ms:.1f} ms), "
                f"untraced {traced[-1].peer:,.0f}/s (p99 {without.p99_ms:.1f} ms)"
            )
    for number in range(1, runs + 1):
        scoped.append(uvloop.run(_in_postgres(logins, contacts)))
        tell(f"reads run {number}: in PostgreSQL {scoped[-1].ours:,.0f}/s scoped, {scoped[-1].peer:,.0f}/s unscoped")
    return [
        Result("reads, each leaving a trace", "1/s", "the same read without a trace", 0.9, traced),
        Result("reads in PostgreSQL, scoped", "1/s", "the same query without a scope, one round trip", 0.5, scoped),
    ]


def _requests(parts: Parts, issuer_url: str, contacts: list[tuple[str, str]]) -> list[str]:
    """Of eight handlers of each force, for contacts of theirs that are not in their hands."""
    tokens = {
        (force, number): make_token(
            parts.folder / "secrets", issuer_url, roles=["handler"], forces=[force], subject=f"{force}-{number}"
        )
        for force in FORCES
        for number in range(8)
    }
    chance = Random(1285)
    requests = []
    for number, (force, contact) in enumerate(chance.sample(contacts, REQUESTS)):
        head = [
            f"GET /v1/contacts/{contact} HTTP/1.1",
            f"Host: {ADDRESS}",
            f"Authorization: Bearer {tokens[force, number % 8]}",
            f"{PURPOSE}: quality",
        ]
        requests.append("\r\n".join(head) + "\r\n\r\n")
    return requests


async def _fill(logins: Logins) -> list[tuple[str, str]]:
    consumer = await Database.connect(logins.url, source="/intake", part=CONSUMER)
    try:
        return await scope.fill(consumer)
    finally:
        await consumer.close()


async def _in_postgres(logins: Logins, contacts: list[tuple[str, str]]) -> Run:
    """Reads a second, under the scope and without one, in turn."""
    reader = await Database.connect(logins.url, source="/intake", part=READER)
    consumer = await Database.connect(logins.url, source="/intake", part=CONSUMER)
    chance = Random(1285)

    async def scoped() -> None:
        force, contact = chance.choice(contacts)
        assert await reader.fetch(_SCOPED, [force], None, contact)

    async def unscoped() -> None:
        _, contact = chance.choice(contacts)
        assert await consumer.fetch(_UNSCOPED, contact)

    try:
        return Run(await scope.rate(scoped), await scope.rate(unscoped))
    finally:
        await reader.close()
        await consumer.close()
