"""kill -9 of each part in turn while contacts arrive: every acknowledged contact is there, once.

What is not acknowledged is sent again with its key, and is there once too. The short version kills three parts once,
and Kafka where intake goes on without it; the long one (`make faults`) each part again and again.
"""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.faults.load import arriving, each_is_there_once
from tests.integration.logs import until
from tests.system import System

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def rounds(pytestconfig: pytest.Config) -> int:
    """How often each part is killed."""
    return 10 if pytestconfig.getoption("--long") else 1


_LATER = [pytest.param(part, marks=pytest.mark.long) for part in ("kafka", "directory", "recording")]


@pytest.mark.parametrize("part", ["intake", "router", "postgres", *_LATER])
async def test_every_acknowledged_contact_is_there_once_after_a_kill_of(
    part: str, running: System, rounds: int
) -> None:
    async with arriving(running) as load:
        for _ in range(rounds):
            await until(load.more(40))
            running.kill(part)
            await asyncio.sleep(1.5)
            running.restart(part)
            await asyncio.to_thread(running.wait, "postgres", "kafka", *_services())
            await until(load.more(40))
    await each_is_there_once(running, load)


async def test_with_kafka_down_intake_takes_every_contact_and_all_drains_afterwards(running: System) -> None:
    running.kill("kafka")
    async with arriving(running) as load:
        await until(load.more(100))
        assert load.refused == 0, "a contact was refused while only Kafka was down"
        async with httpx.AsyncClient(base_url=running.url("intake")) as client:
            ready = await client.get("/readyz")
        assert ready.status_code == 200, "intake is ready without Kafka"
    running.restart("kafka")
    await asyncio.to_thread(running.wait, "kafka")
    await each_is_there_once(running, load)


async def test_with_the_directory_down_routing_goes_on_even_in_a_router_that_starts_meanwhile(running: System) -> None:
    running.kill("directory")
    running.kill("router")
    running.restart("router")
    await asyncio.to_thread(running.wait, "router")
    async with arriving(running, prefer="wait=10") as load:
        await until(load.more(40))
    assert {told["routing"]["state"] for told in load.acknowledged.values()} == {"routed"}
    running.restart("directory")
    await asyncio.to_thread(running.wait, "directory")
    await each_is_there_once(running, load)


async def test_with_postgres_down_intake_says_503_and_when_to_come_again(running: System) -> None:
    running.kill("postgres")
    try:
        async with running.client("intake", "gateway") as client:
            answer = await client.post("/v1/contacts/telephone", json={"line": "999"})
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["content-type"] == "application/problem+json"
            ready = await client.get("/readyz")
            assert ready.status_code == 503
            assert "PostgreSQL" in ready.text
    finally:
        running.restart("postgres")
        await asyncio.to_thread(running.wait, "postgres", *_services())


def _services() -> tuple[str, ...]:
    return ("intake", "router", "directory", "recording")
