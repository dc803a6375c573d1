"""What the tests of intake share: copies of the service, tokens, and somebody who routes."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from deploy.local.issuer import make_token, server
from deploy.local.process import free_port
from libs.events.envelope import Event, to_headers
from libs.events.log import kafka
from libs.events.log.broker import Broker
from libs.events.log.database import Database
from libs.events.log.own_reader import OwnReader
from libs.events.types import Fact, contacts, routing
from libs.events.types.contacts import ContactReceived
from libs.events.types.routing import Candidate, Cause, ContactAnswered, ContactReleased, ContactRouted
from libs.service.trace import PURPOSE
from services.intake.app import IntakeSettings, make_app
from tests.conftest import MASTERS, kafka_settings
from tests.integration.logs import running, until

CALL: dict[str, Any] = {
    "line": "999",
    "presentedForce": "bedfordshire",
    "callingNumber": "07700 900123",
    "words": "planted words",
    "locations": [
        {"of": "caller", "source": "aml", "shape": {"kind": "circle", "lat": 52.0482, "lon": -0.0243, "radiusM": 20}}
    ],
}
REPORT: dict[str, Any] = {"words": "my bicycle is gone", "name": "Ada Planted", "category": "theft"}
CHAT: dict[str, Any] = {"medium": "chat", "handle": "planted99", "words": "hello?"}
CHANNELS = [("telephone", CALL), ("web", REPORT), ("online", CHAT)]


@dataclass(frozen=True)
class Tokens:
    """The local issuer, and the tokens it gives."""

    issuer_url: str
    secrets: Path

    def of(
        self,
        *roles: str,
        subject: str = "gw-1",
        forces: tuple[str, ...] = (),
        alliance: bool = False,
        home: str | None = None,
    ) -> str:
        return make_token(
            self.secrets, self.issuer_url, roles=roles, forces=forces, subject=subject, alliance=alliance, home=home
        )

    def handler(
        self, *forces: str, alliance: bool = False, home: str | None = None, subject: str = "h-1"
    ) -> dict[str, str]:
        """A handler's headers, who says for what he opens what is not in his hands."""
        token = self.of("handler", subject=subject, forces=forces, alliance=alliance, home=home)
        return bearer(token) | {PURPOSE: "quality"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@contextmanager
def an_issuer(folder: Path) -> Iterator[Tokens]:
    port = free_port()
    running_server = server("127.0.0.1", port, folder)
    thread = threading.Thread(target=running_server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Tokens(f"http://127.0.0.1:{port}", folder)
    finally:
        running_server.shutdown()
        running_server.server_close()
        thread.join()


@asynccontextmanager
async def a_copy(
    database_url: str, broker: Broker, tokens: Tokens, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A copy of intake, and a gateway's client of it."""
    app = make_app(
        IntakeSettings(
            database_url=database_url,
            oidc_issuer=tokens.issuer_url,
            **kafka_settings(broker, "intake"),
            **{"master_keys": MASTERS, **settings},
        )
    )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://intake", headers=bearer(tokens.of("gateway")), timeout=30
        ) as client,
    ):
        yield client


async def ready(client: httpx.AsyncClient) -> bool:
    """Whether it is ready and nothing is degraded."""
    return bool((await client.get("/readyz")).json() == {"status": "ready"})


class Router:
    """Routes each contact that has a call id beginning with `route`, as a router would: by events on the real Kafka."""

    def __init__(self, broker: Broker) -> None:
        self._producer = kafka.producer(broker, "test-router")
        self._broker = broker
        self._todo: list[Event] = []
        self.seen: dict[str, list[Event]] = {}

    def _on_event(self, event: Event) -> None:
        self.seen.setdefault(event.subject, []).append(event)
        fact = event.fact
        if isinstance(fact, ContactReceived) and (fact.call_id or "").startswith("route"):
            self._todo.append(event)

    async def publish(
        self, contact: str, *, version: int = 1, owner: str | None = "cambridgeshire", cause: Cause | None = None
    ) -> None:
        fact = ContactRouted(
            owning_force=owner,
            cause=cause or ("location" if owner else "no-location-no-presented-force"),
            queue=f"{owner or 'alliance'}-999",
            recipient_uri=f"sip:{owner or 'alliance'}-999@example.org",
            priority=1,
            provisional=owner is None,
            candidates=(Candidate(force=owner, share=1.0),) if owner else (),
            contact_version=1,
            waiting_since=datetime.now(UTC),
        )
        await self._say(contact, version, fact)

    async def answered(self, contact: str, handler: str, *, version: int) -> None:
        await self._say(contact, version, ContactAnswered(handler=handler, queue="q", waited_s=1.0))

    async def released(self, contact: str, handler: str, *, version: int) -> None:
        await self._say(contact, version, ContactReleased(handler=handler, queue="q", reason="other"))

    async def _say(self, contact: str, version: int, fact: Fact) -> None:
        event = Event.of(fact, source="/router", subject=contact, version=version)
        await self._producer.send_and_wait(routing.TOPIC, event.data, key=contact.encode(), headers=to_headers(event))

    async def _route(self) -> None:
        while True:
            await until(lambda: bool(self._todo), patience_s=3600)
            await self.publish(self._todo.pop(0).subject)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Router]:
        reader = OwnReader(
            name="test-router",
            topics=[contacts.TOPIC],
            on_event=self._on_event,
            broker=self._broker,
            from_start=True,
        )
        await self._producer.start()
        try:
            async with running(reader.run(), self._route()):
                await reader.caught_up.wait()
                yield self
        finally:
            await self._producer.stop()


async def opened(intake: httpx.AsyncClient, channel: str = "telephone", **change: Any) -> str:
    answer = await intake.post(f"/v1/contacts/{channel}", json={**dict(CHANNELS)[channel], **change})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def count(store: Database) -> int:
    found: int = await store.fetchval("SELECT count(*) FROM event")
    return found
