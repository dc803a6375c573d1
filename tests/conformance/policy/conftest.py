"""A policy store: the directory with its real PostgreSQL, without Kafka, which it does not need to answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from deploy.local.databases import Logins
from libs.events.log.database import Database
from services.directory.alliance_file import SHIPPED, AllianceFile, parse
from services.directory.app import make_app
from services.directory.areas import Areas
from services.directory.known import known_forces
from services.directory.load import load
from services.directory.settings import DirectorySettings
from tests.conftest import NewDatabase
from tests.integration.intake import Tokens, an_issuer, bearer
from tests.policies import Signer

AUTHORITY = Signer("The Authority", ca=True)


def three_forces() -> AllianceFile:
    """Of which Hertfordshire takes signed policies alone."""
    text = (SHIPPED / "bedfordshire-cambridgeshire-hertfordshire.toml").read_text("utf-8")
    domain, herts = 'domain = "queues.bch.example"\n', 'id = "hertfordshire"\nname = "Hertfordshire"\n'
    assert (text.count(domain), text.count(herts)) == (1, 1)
    text = text.replace(domain, f'{domain}policy_authorities = """\n{AUTHORITY.pem}"""\n')
    return parse(text.replace(herts, f"{herts}signed_policies = true\n"), "three forces")


@dataclass(frozen=True)
class PolicyStore:
    http: httpx.AsyncClient
    tokens: Tokens
    logins: Logins

    def administrator(self, *forces: str, alliance: bool = False, role: str = "administrator") -> dict[str, str]:
        subject = f"{role}-of-{'-'.join(forces) or 'nobody'}"
        return bearer(self.tokens.of(role, subject=subject, forces=forces, alliance=alliance))

    async def ask(self, method: str, path: str = "/Policies", *forces: str, **rest: Any) -> httpx.Response:
        """As an administrator of these forces; of Bedfordshire, if none is named."""
        headers = rest.pop("headers", None) or self.administrator(*(forces or ("bedfordshire",)))
        return await self.http.request(method, path, headers=headers, **rest)

    async def refused(self, status: int, method: str, path: str = "/Policies", *forces: str, **rest: Any) -> Any:
        """The problem document that the answer is."""
        answer = await self.ask(method, path, *forces, **rest)
        assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.json()


@pytest.fixture(scope="package")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    with an_issuer(Path(tmp_path_factory.mktemp("issuer"))) as issued:
        yield issued


@pytest_asyncio.fixture(scope="package")
async def store(database: NewDatabase, tokens: Tokens) -> AsyncIterator[PolicyStore]:
    logins = await database("directory")
    writer = await Database.connect(logins.url, source="/directory")
    await load(writer, three_forces(), known_forces(), Areas("none", "nobody's", 1.0, {}))
    await writer.close()
    settings = DirectorySettings(
        database_url=logins.url, kafka_bootstrap_servers="127.0.0.1:1", oidc_issuer=tokens.issuer_url
    )
    app = make_app(settings)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://directory", timeout=20) as http,
    ):
        made = PolicyStore(http, tokens, logins)
        async with asyncio.timeout(20):
            while (await made.ask("GET", "/v1/alliance")).status_code != 200:
                await asyncio.sleep(0.05)
        yield made
