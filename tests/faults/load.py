"""Contacts that keep arriving while parts die: posted with a key, and again with it until somebody says 201."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import httpx

from tests.integration.logs import until
from tests.integration.test_whole_way import pages
from tests.system import System

PAUSE_S = 0.15
"""Between the contacts of one gateway."""
PATIENCE_S = 60.0
"""A gateway tries again for so long; longer, and the test fails."""

PLACES = {
    "bedfordshire": (52.1386, -0.4667),
    "cambridgeshire": (52.2053, 0.1218),
    "hertfordshire": (51.7527, -0.3394),
}
"""In the middle of each force's county town."""


@dataclass
class Load:
    """What a few gateways have sent."""

    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The answers, by contact id."""
    tries: int = 0
    refused: int = 0
    """Tries that did not end in a 201: the other side was away."""
    before: set[str] = field(default_factory=set)
    """What waited already."""
    _numbers: count[int] = field(default_factory=count)
    _stopping: bool = False

    def more(self, count: int) -> Callable[[], bool]:
        """Whether so many more were acknowledged than by now."""
        goal = len(self.acknowledged) + count
        return lambda: len(self.acknowledged) >= goal

    async def gateway(self, clients: list[httpx.AsyncClient], headers: dict[str, str]) -> None:
        """Send one contact after the other, to one copy after the other, until told to stop."""
        while not self._stopping:
            await self.send(clients, headers)
            await asyncio.sleep(PAUSE_S)

    async def send(self, clients: list[httpx.AsyncClient], headers: dict[str, str]) -> dict[str, Any]:
        number = next(self._numbers)
        lat, lon = list(PLACES.values())[number % 3]
        body = {
            "line": "999",
            "presentedForce": list(PLACES)[number % 3],
            "callId": f"call-{number}",
            "locations": [{"of": "caller", "source": "aml", "shape": {"kind": "point", "lat": lat, "lon": lon}}],
        }
        key = {"Idempotency-Key": f'"{uuid4()}"', **headers}
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        for attempt in count():
            self.tries += 1
            try:
                answer = await clients[(number + attempt) % len(clients)].post(
                    "/v1/contacts/telephone", json=body, headers=key
                )
            except httpx.HTTPError:
                pass
            else:
                if answer.status_code == 201:
                    told: dict[str, Any] = answer.json()
                    assert told["id"] not in self.acknowledged, "two calls became one contact"
                    self.acknowledged[told["id"]] = told
                    return told
                assert answer.status_code == 503, f"neither taken nor asked to come again: {answer.text}"
                assert "retry-after" in answer.headers
            self.refused += 1
            assert asyncio.get_running_loop().time() < deadline, "nobody took the contact"
            await asyncio.sleep(0.1)
        raise AssertionError


async def fresh(running: System) -> Load:
    """Nothing sent yet; it knows what waits already."""
    return Load(before={entry["contact"] async for _, entry in waiting(running)})


@asynccontextmanager
async def arriving(
    running: System,
    *,
    copies: tuple[str, ...] = ("intake",),
    gateways: int = 4,
    prefer: str | None = None,
    load: Load | None = None,
) -> AsyncIterator[Load]:
    """Contacts arrive while the block runs; at its end every one that was sent is acknowledged. `load`: into which they
    are counted; else into a fresh one."""
    if load is None:
        load = await fresh(running)
    clients = [httpx.AsyncClient(base_url=running.url(copy), timeout=15.0) for copy in copies]
    headers = running.headers("gateway") | ({"Prefer": prefer} if prefer else {})
    tasks = [asyncio.create_task(load.gateway(clients, headers)) for _ in range(gateways)]
    try:
        yield load
        load._stopping = True
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            await client.aclose()


async def each_is_there_once(running: System, load: Load) -> None:
    """Every acknowledged contact waits once, in the queue of its force; recording owes each one's disposition; and
    nobody else's stands there."""
    wanted = set(load.acknowledged)
    found: list[str] = []

    async def all_there() -> bool:
        found.clear()
        async for queue, entry in waiting(running):
            found.append(entry["contact"])
            if entry["contact"] in wanted:
                assert entry["owningForce"] == entry["presentedForce"]
                assert queue == f"{entry['owningForce']}-999"
        return wanted <= set(found)

    await until(all_there, patience_s=90)
    assert len(found) == len(set(found)), "a contact waits twice"
    async with running.client("recording", "supervisor") as client:
        owed: list[str] = []

        async def all_owed() -> bool:
            listed = pages(client, "/v1/contacts", "contacts", "cursor", disposition="none")
            owed[:] = [contact["id"] async for contact in listed]
            return wanted <= set(owed)

        await until(all_owed, patience_s=90)
    assert len(owed) == len(set(owed))
    assert set(found) <= wanted | load.before, "a contact is there that nobody was told of"


async def waiting(running: System) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """What waits, each entry with its queue."""
    async with running.client("router", "supervisor") as client:
        answer = await client.get("/v1/queues")
        assert answer.status_code == 200, answer.text
        for state in answer.json()["queues"]:
            if state["queueLength"]:
                async for entry in pages(client, f"/v1/queues/{state['id']}", "entries", "after"):
                    yield state["id"], entry
