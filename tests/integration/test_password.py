"""The password of a service's role is changed while contacts arrive: none is refused, none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex

import asyncpg
import httpx
import pytest
import pytest_asyncio

from deploy.local.databases import Logins
from deploy.local.postgres import Postgres
from libs.events.log.roles import READER, WRITER, Login
from services.intake.app import IntakeSettings, make_app
from tests.conftest import MASTERS, PASSWORD, NewDatabase
from tests.integration.intake import CALL, Tokens, an_issuer, bearer
from tests.integration.logs import until

ROLE = "intake"


@pytest_asyncio.fixture
async def superuser(postgres: Postgres) -> AsyncIterator[asyncpg.Connection]:
    """Gives the role its password back at the end: other tests log in with it."""
    connection = await asyncpg.connect(postgres.admin_url)
    yield connection
    await connection.execute(f"ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'")
    await connection.close()


def _with(url: str, password: str) -> str:
    return url.replace(f":{PASSWORD}@", f":{password}@")


async def _cut(superuser: asyncpg.Connection, logins: Logins) -> None:
    """Every connection of the service: it has to log in again."""
    await superuser.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND usename = $2",
        logins.url.rpartition("/")[2],
        ROLE,
    )


@pytest.mark.parametrize("first", ["file", "role"])
async def test_a_login_works_whichever_of_file_and_role_is_changed_first(
    database: NewDatabase, superuser: asyncpg.Connection, tmp_path: Path, first: str
) -> None:
    logins, file, new = await database("intake"), tmp_path / "url", token_hex(8)
    file.write_text(logins.url)
    login = Login(lambda: file.read_text().strip())

    async def works() -> None:
        for part in (WRITER, READER):
            connection = await login.connect(part, server_settings={})
            await connection.close()

    await works()
    if first == "role":  # then new connections wait for the file, and the old ones work on
        await superuser.execute(f"ALTER ROLE {ROLE} PASSWORD '{new}'")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await works()
        file.write_text(_with(logins.url, new))
    else:
        file.write_text(_with(logins.url, new))
        await works()
        await superuser.execute(f"ALTER ROLE {ROLE} PASSWORD '{new}'")
    await works()


async def test_contacts_that_arrive_while_the_password_changes_are_all_taken(
    database: NewDatabase,
    superuser: asyncpg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """File first, then the role. Half-way every connection is cut, so that each must log in with what holds by then."""
    logins, file = await database("intake"), tmp_path / "intake.url"
    file.write_text(logins.url)
    answers: list[httpx.Response] = []
    stop = asyncio.Event()
    with an_issuer(tmp_path) as tokens:  # which does not start where a deployment's settings are
        monkeypatch.setenv("DATABASE_URL_FILE", str(file))
        settings = IntakeSettings(  # type: ignore[call-arg]
            kafka_bootstrap_servers="127.0.0.1:9", oidc_issuer=tokens.issuer_url, master_keys=MASTERS
        )
        app = make_app(settings)
        async with app.router.lifespan_context(app), _client(app, tokens) as client:

            async def arrive() -> None:
                while not stop.is_set():
                    answers.append(await client.post("/v1/contacts/telephone", json=CALL))

            async def shown() -> int:
                await until(lambda: bool(answers))
                contact = answers[-1].json()["id"]
                return (await client.get(f"/v1/contacts/{contact}")).status_code

            arriving = [asyncio.create_task(arrive()) for _ in range(4)]
            for _ in range(3):
                await asyncio.sleep(0.2)
                new = token_hex(8)
                file.write_text(_with(logins.url, new))
                await asyncio.sleep(0.1)
                await _cut(superuser, logins)
                await asyncio.sleep(0.1)
                await superuser.execute(f"ALTER ROLE {ROLE} PASSWORD '{new}'")
                await _cut(superuser, logins)
                await asyncio.sleep(0.2)
                assert await shown() == 200
            stop.set()
            await asyncio.gather(*arriving)
    assert {answer.status_code for answer in answers} == {201}
    connection = await Login(file.read_text()).connect("consumer", server_settings={})
    stored = {row["subject"] for row in await connection.fetch("SELECT DISTINCT subject FROM event")}
    await connection.close()
    assert stored == {answer.json()["id"] for answer in answers}
    assert len(stored) > 50


def _client(app: object, tokens: Tokens) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://i", headers=bearer(tokens.of("gateway")), timeout=30)
