"""Two copies of every service: no contact claimed twice, no wait unanswered, a dead copy's work taken over."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.faults.load import arriving, each_is_there_once, fresh, waiting
from tests.integration.logs import until
from tests.system import System

pytestmark = pytest.mark.timeout(600)

SERVICES = ("intake", "router", "directory", "recording")
TAKEN_OVER_S = 5.0
QUEUES = ("bedfordshire-999", "cambridgeshire-999", "hertfordshire-999")


@pytest.fixture(scope="module", autouse=True)
def copies(running: System) -> Iterator[None]:
    """A second one of each."""
    made = [running.second_copy(service) for service in SERVICES]
    running.wait(*made)
    yield
    for name in made:
        running.retire(name)


@pytest.fixture
def long(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--long"))


async def test_nothing_is_claimed_twice_and_no_wait_stays_unanswered_while_copies_die(
    running: System, long: bool
) -> None:
    dying = [copy for service in SERVICES for copy in (service, f"{service}-2")] if long else ["intake", "router-2"]
    claimed: list[str] = []
    async with arriving(running, copies=("intake", "intake-2"), gateways=3, prefer="wait=10") as load:
        handlers = [
            asyncio.create_task(_handle(running, queue, copy, claimed))
            for queue in QUEUES
            for copy in ("router", "router-2")
        ]
        for copy in dying:
            await until(load.more(25), patience_s=60)
            running.kill(copy)
            await asyncio.sleep(1)
            running.restart(copy)
            await asyncio.to_thread(running.wait, copy)
        await until(load.more(25), patience_s=60)
    await until(lambda: set(claimed) >= load.acknowledged.keys(), patience_s=60)
    for handler in handlers:
        handler.cancel()
    await asyncio.gather(*handlers, return_exceptions=True)
    twice = [contact for contact, times in Counter(claimed).items() if times > 1]
    assert not twice, f"{len(twice)} contacts were claimed twice"
    assert set(claimed) == load.acknowledged.keys() | load.before
    assert [entry async for entry in waiting(running)] == []
    unanswered = [told for told in load.acknowledged.values() if told["routing"]["state"] != "routed"]
    assert not unanswered, f"{len(unanswered)} of {len(load.acknowledged)} waits ended without the decision"


async def test_a_dead_copys_work_is_taken_over_within_five_seconds(
    running: System, long: bool, figures: Callable[[str], None]
) -> None:
    """Contacts for every partition arrive at the moment when a router dies; how long until the last is routed."""
    took: list[float] = []
    headers = running.headers("gateway") | {"Prefer": "wait=10"}
    for number in range(9 if long else 1):
        dying = ("router", "router-2")[number % 2]
        load = await fresh(running)
        running.kill(dying)
        began = time.monotonic()
        async with httpx.AsyncClient(base_url=running.url("intake"), timeout=30) as client:
            told = await asyncio.gather(*(load.send([client], headers) for _ in range(60)))
        took.append(time.monotonic() - began)
        assert {one["routing"]["state"] for one in told} == {"routed"}
        running.restart(dying)
        await asyncio.to_thread(running.wait, dying)
        await each_is_there_once(running, load)
        await asyncio.sleep(2)  # so that both have partitions again
    figures(f"a dead router's work is taken over in {', '.join(f'{s:.1f}' for s in sorted(took))} s")
    assert statistics.median_low(took) <= TAKEN_OVER_S


async def _handle(running: System, queue: str, copy: str, claimed: list[str]) -> None:
    """A handler who takes one contact after the other; when the answer does not come, asks again with the same key."""
    number = 0
    async with httpx.AsyncClient(
        base_url=running.url(copy), headers=running.headers("handler", subject=f"{queue} {copy}"), timeout=10
    ) as client:
        while True:
            try:
                answer = await client.post(f"/v1/queues/{queue}/claim", headers={"Idempotency-Key": f'"{number}"'})
            except httpx.HTTPError:
                await asyncio.sleep(0.2)
                continue
            if answer.status_code == 200:
                claimed.append(answer.json()["contact"])
                number += 1
            else:
                assert answer.status_code in (204, 503), answer.text
                await asyncio.sleep(0.15)
