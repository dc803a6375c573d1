"""One running system for all tests at the services' door; when they are through, each must be as well as before."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import httpx
import pytest
import pytest_asyncio

from libs.service.trace import BREAK_GLASS
from services.directory.areas import load_areas
from tests import system as systems
from tests.integration.bad_input.service import BODIES, SECRET, SERVICES, Services
from tests.integration.logs import until
from tests.system import System


@pytest.fixture(scope="package")
def running() -> Iterator[System]:
    """The system. At the end every service is ready, and no log holds a traceback or what was sent."""
    with (
        tempfile.TemporaryDirectory(prefix="hueandcry-bad-input-", ignore_cleanup_errors=True) as folder,
        systems.system(Path(folder), "bedfordshire-cambridgeshire-hertfordshire") as system,
    ):
        yield system
        for service in SERVICES:
            answer = httpx.get(system.url(service) + "/readyz", timeout=10)
            assert answer.status_code == 200, f"{service}: {answer.text}"
            log = system.layout.log(service).read_text()
            assert log, "there is no log to look at"
            for trace in ("Traceback", '"exception"', "unhandled error", SECRET):
                assert trace not in log, f"{service}: {log[max(0, log.index(trace) - 2000) :][:4000]}"


@pytest_asyncio.fixture(scope="package")
async def services(running: System) -> AsyncIterator[Services]:
    """The services, with a call and a web report that were taken, routed and written down."""
    async with AsyncExitStack() as opened:
        databases = {
            name: await opened.enter_async_context(
                asyncpg.create_pool(running.logins[name].url, min_size=1, max_size=1)
            )
            for name in SERVICES
        }
        client = await opened.enter_async_context(httpx.AsyncClient(timeout=20))
        documents = {name: (await client.get(running.url(name) + "/openapi.json")).json() for name in SERVICES}
        made = Services(running, documents, databases)
        client.headers.update(made.headers())
        called, written = [
            (
                await client.post(f"{running.url('intake')}/v1/contacts/{channel}", json=BODIES[f"receive_{channel}"])
            ).json()
            for channel in ("telephone", "web")
        ]
        incidents: list[dict[str, str]] = []

        async def are_known() -> bool:
            found = await client.get(running.url("recording") + "/v1/incidents")
            incidents[:] = found.json()["incidents"]
            audits = [
                await client.get(running.url("recording") + "/v1/audit", params={"contact": contact["id"]})
                for contact in (called, written)
            ]
            return bool(incidents) and all(answer.status_code == 200 for answer in audits)

        await until(are_known)
        made.known = {
            "contact_id": called["id"],
            "queue_id": "bedfordshire-101",
            "force": "bedfordshire",
            "generation": load_areas().generation,
            "incident_id": incidents[0]["id"],
            "hold_id": "1",
            "duty_id": "1",
            "access_id": await an_access(made, called["id"]),
            "id": "1",
        }
        yield made


async def an_access(services: Services, contact: str) -> str:
    """That a contact was opened by break-glass."""
    headers = services.headers(
        "test-breaker",
        roles=["handler"],
        forces=["bedfordshire", "hertfordshire"],
        alliance=False,
        home="hertfordshire",
    )
    async with httpx.AsyncClient(timeout=20) as client:
        opened = await client.get(
            f"{services.system.url('intake')}/v1/contacts/{contact}",
            headers=headers | {BREAK_GLASS: "life-at-risk; a child is in the house"},
        )
        assert opened.status_code == 200, opened.text
        found: list[str] = []

        async def is_known() -> bool:
            answer = await client.get(f"{services.system.url('recording')}/v1/break-glass", headers=services.headers())
            found[:] = [one["id"] for one in answer.json()["accesses"]]
            return bool(found)

        await until(is_known)
    return found[0]


@pytest_asyncio.fixture(scope="module")
async def quiet(services: Services) -> None:
    """Everything that was taken before has gone its way."""
    await services.quiet()


@pytest_asyncio.fixture
async def refused(services: Services, quiet: None) -> AsyncIterator[Services]:
    """For tests whose every request must be refused: afterwards no fault was found, and nothing is stored."""
    services.faults.clear()
    before = await services.stored()
    yield services
    assert not services.faults, "\n".join(services.faults)
    assert await services.stored() == before, "something was stored"


@pytest_asyncio.fixture(scope="module")
async def client(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """With every role, for every force."""
    async with httpx.AsyncClient(timeout=20, headers=services.headers()) as client:
        yield client
