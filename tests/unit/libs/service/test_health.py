"""Readiness names what is missing; a loop that crashes starts again and says so."""

import asyncio
import io
import itertools
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY

from libs.service import background as module
from libs.service import health as health_module
from libs.service.background import Background
from libs.service.health import Health


async def asks(health: Health) -> httpx.Response:
    app = FastAPI()
    app.include_router(health.router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://things") as client:
        return await client.get("/readyz")


async def test_nothing_missing_is_ready() -> None:
    health = Health()
    health.add("database", lambda: None)
    answer = await asks(health)
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


async def test_what_is_missing_is_named_and_what_is_not_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "CHECK_S", 0.1)
    health = Health()

    async def away() -> str | None:
        return "cannot be reached"

    async def hangs() -> str | None:
        await asyncio.sleep(60)
        return None

    def crashes() -> str | None:
        raise RuntimeError("secret of the house")

    for name, check in {"a": lambda: None, "b": away, "c": hangs, "d": crashes}.items():
        health.add(name, check)
    answer = await asks(health)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["missing"] == [
        {"name": "b", "detail": "cannot be reached"},
        {"name": "c", "detail": "no answer within 0.1 s"},
        {"name": "d", "detail": "its check failed (RuntimeError)"},
    ]


async def test_what_it_can_do_without_leaves_it_ready_and_degraded() -> None:
    health = Health()
    health.add("publishing", lambda: "Kafka is away", required=False)
    answer = await asks(health)
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "degraded": [{"name": "publishing", "detail": "Kafka is away"}]}
    health.add("database", lambda: "is away")
    await asyncio.sleep(health_module.CACHE_S + 0.01)
    answer = await asks(health)
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "not ready",
        "missing": [{"name": "database", "detail": "is away"}],
        "degraded": [{"name": "publishing", "detail": "Kafka is away"}],
    }


async def test_a_loop_it_can_do_without_does_not_make_it_unready(loops: tuple[Background, Health]) -> None:
    background, health = loops

    async def crashing() -> None:
        raise RuntimeError

    background.start("relay", crashing, required=False)
    await asyncio.sleep(0.02)
    assert (await asks(health)).json()["degraded"][0]["name"] == "relay"
    assert await health.missing() == {}


async def test_asking_often_checks_seldom() -> None:
    health, asked = Health(), 0

    def check() -> str | None:
        nonlocal asked
        asked += 1
        return None

    health.add("database", check)
    await asyncio.gather(*(health.missing() for _ in range(100)))
    assert asked == 1
    await asyncio.sleep(health_module.CACHE_S + 0.01)
    await health.missing()
    assert asked == 2


@pytest.fixture
async def loops() -> AsyncIterator[tuple[Background, Health]]:
    health = Health()
    background = Background(health)
    yield background, health
    await background.stop()


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_loop_that_crashes_is_started_again_later_and_later(
    loops: tuple[Background, Health], logged: io.StringIO
) -> None:
    background, _ = loops
    starts: list[float] = []
    clock = asyncio.get_running_loop().time

    async def crashing() -> None:
        starts.append(clock())
        raise RuntimeError("secret of the house")

    before = REGISTRY.get_sample_value("hueandcry_background_restarts_total", {"loop": "crashing"}) or 0.0
    background.start("crashing", crashing)
    await until(lambda: len(starts) >= 4)
    gaps = [later - sooner for sooner, later in itertools.pairwise(starts)]
    assert all(gap >= wait for gap, wait in zip(gaps, (0.09, 0.19, 0.39), strict=False))
    assert REGISTRY.get_sample_value("hueandcry_background_restarts_total", {"loop": "crashing"}) >= before + 3
    assert logged.getvalue().count("a background loop crashed") >= 3


async def test_readiness_says_that_a_loop_has_ended_and_is_silent_when_it_is_well(
    loops: tuple[Background, Health], monkeypatch: pytest.MonkeyPatch
) -> None:
    background, health = loops
    monkeypatch.setattr(health_module, "CACHE_S", 0)
    crash = asyncio.Event()
    runs = 0

    async def relay() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            await crash.wait()
            raise ConnectionError("secret of the house")
        await asyncio.sleep(60)

    background.start("relay", relay)
    await until(lambda: runs == 1)
    assert await health.missing() == {}
    crash.set()
    await asyncio.sleep(0.02)
    assert (await health.missing())["relay"] == "ended by itself (ConnectionError), starts again in a moment"
    await until(lambda: runs == 2)
    assert (await health.missing())["relay"] == "started again a moment ago (ConnectionError)"
    await asyncio.sleep(module.FIRST_WAIT_S * 2)
    assert await health.missing() == {}


async def test_a_loop_that_returns_has_not_done_its_work(loops: tuple[Background, Health]) -> None:
    background, _ = loops
    runs = 0

    async def returning() -> None:
        nonlocal runs
        runs += 1

    background.start("returning", returning)
    await until(lambda: runs == 2)


async def test_loops_stop_in_reverse_each_after_the_one_before_has_ended() -> None:
    background, ended = Background(Health()), []

    def loop(name: str) -> object:
        async def run() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)  # flushes
                ended.append(name)

        return run

    for name in ("relay", "reader", "timer"):
        background.start(name, loop(name))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    await background.stop()
    assert ended == ["timer", "reader", "relay"]
    await background.stop()  # nothing is left to stop


async def test_a_loop_that_will_not_end_does_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_S", 0.05)
    background, ended = Background(Health()), []
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def obedient() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("obedient")

    background.start("obedient", obedient)
    background.start("stubborn", stubborn)
    await asyncio.sleep(0.01)
    await background.stop()
    assert ended == ["obedient"]
    release.set()
