"""A running recording for its tests: a database and topics of its own, an issuer, copies of the service, and what
intake, router and directory would have said."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import shapely
from aiokafka import AIOKafkaProducer
from uuid_utils.compat import uuid7

from deploy.local.databases import Logins
from deploy.local.issuer import make_token, server
from deploy.local.process import free_port
from libs.events.envelope import Event, to_headers
from libs.events.log import kafka
from libs.events.log.broker import Broker
from libs.events.types import BY_TYPE, Fact
from libs.events.types.contacts import ContactEnded, ContactReceived, Location, ReceivedPersonal
from libs.events.types.directory import (
    AllianceDefined,
    AreaChunkPublished,
    AreaRef,
    BoundariesActivated,
    ForceDefined,
    QueueDefined,
)
from libs.events.types.routing import ContactAnswered, ContactReleased, ContactRouted
from libs.events.types.shapes import Point
from libs.places import encode_area, sha256_of
from libs.places.grid import to_grid
from libs.service.trace import PURPOSE
from services.recording.app import RecordingSettings, make_app
from tests.conftest import MASTERS, kafka_settings

BEDS, CAMBS, HERTS = "bedfordshire", "cambridgeshire", "hertfordshire"
IN_CAMBS = {"kind": "point", "lat": 52.20, "lon": 0.12}
IN_HERTS = {"kind": "point", "lat": 51.80, "lon": -0.20}
ON_THE_BORDER = {"kind": "point", "lat": 52.0, "lon": -0.05}
ADVICE = {"disposition": "advice"}


@dataclass
class Contact:
    """A contact as intake and router tell of it: each call says one thing more."""

    id: str = field(default_factory=lambda: str(uuid7()))
    versions: dict[str, int] = field(default_factory=dict)
    last: dict[str, Event] = field(default_factory=dict)
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(minutes=5))

    def _say(self, fact: Fact, source: str, cause: str | None, time: datetime | None = None) -> Event:
        self.versions[source] = self.versions.get(source, 0) + 1
        because = self.last.get(cause) if cause is not None else None
        event = Event.of(
            fact,
            source=source,
            subject=self.id,
            version=self.versions[source],
            caused_by=because.id if because is not None else None,
            time=time,
        )
        self.last[source] = event
        return event

    def received(self, channel: str = "telephone", **members: Any) -> Event:
        medium = {"telephone": "voice", "web": "form", "online": "chat"}[channel]
        line = "999" if channel == "telephone" else None
        members = {"presented_force": CAMBS if channel == "telephone" else None, **members}
        fact = ContactReceived(
            reference=f"REF-{self.id[-8:]}",
            channel=channel,  # type: ignore[arg-type]
            medium=medium,  # type: ignore[arg-type]
            line=line,  # type: ignore[arg-type]
            gateway="gateway-1",
            **members,
        )
        return self._say(fact, "/intake", None, self.received_at)

    def reported(self, words: str, *, category: str = "theft", at: Point | None = None) -> Event:
        """A web report made whole."""
        place = at or Point(lat=52.2, lon=0.12)
        return self.received(
            "web",
            category=category,
            locations=(Location(id="where", of="incident", source="caller"),),
            personal=ReceivedPersonal(name="Ada Wren", words=words, shapes={"where": place}),
        )

    def ended(self) -> Event:
        return self._say(ContactEnded(reason="caller-ended", ended_at=datetime.now(UTC)), "/intake", None)

    def routed(self, owner: str | None = CAMBS, **members: Any) -> Event:
        members = {"cause": "location", "queue": f"{owner or 'alliance'}-999", **members}
        fact = ContactRouted(
            owning_force=owner,
            recipient_uri="sip:queue@example.test",
            priority=1,
            contact_version=1,
            waiting_since=self.received_at,
            **members,
        )
        return self._say(fact, "/router", "/intake")

    def answered(self, handler: str = "anna", force: str = CAMBS) -> Event:
        fact = ContactAnswered(handler=handler, answering_force=force, queue=f"{force}-999", waited_s=2.5)
        return self._say(fact, "/router", "/router")

    def released(self) -> Event:
        return self._say(ContactReleased(handler="anna", queue="q", reason="ill"), "/router", "/router")


def a_call(owner: str | None = CAMBS, **received: Any) -> tuple[Contact, list[Event]]:
    """A call that was received, routed and answered."""
    contact = Contact()
    return contact, [contact.received(**received), contact.routed(owner), contact.answered()]


def alliance() -> list[Event]:
    """Three forces whose areas are rectangles on the grid that meet at `ON_THE_BORDER`'s northing, and its easting less
    40 km: Cambridgeshire in the north, Hertfordshire and Bedfordshire in the south."""
    x, y = to_grid(52.0, -0.05)

    def box(west_km: float, south_km: float, east_km: float, north_km: float) -> shapely.Geometry:
        sides = (x + west_km * 1000, y + south_km * 1000, x + east_km * 1000, y + north_km * 1000)
        return shapely.MultiPolygon([shapely.box(*sides)])

    areas = {CAMBS: box(-40, 0, 40, 80), HERTS: box(-40, -60, 40, 0), BEDS: box(-80, -60, -40, 0)}
    facts: list[tuple[str, Fact]] = [
        ("alliance/test", AllianceDefined(id="test", name="Test", default_queue="alliance-default")),
        (
            "queue/alliance-default",
            QueueDefined(id="alliance-default", name="Default", uri="sip:alliance-default@example.test"),
        ),
    ]
    references = []
    for force, area in areas.items():
        facts.append((f"force/{force}", ForceDefined(id=force, name=force.title())))
        chunks = encode_area(area)
        names = tuple(sha256_of(chunk) for chunk in chunks)
        pairs = zip(names, chunks, strict=True)
        facts += [(f"area/{name}", AreaChunkPublished(sha256=name, content=chunk)) for name, chunk in pairs]
        references.append(AreaRef(force=force, hashes=names))
    activated = BoundariesActivated(generation="test", source="drawn", accuracy_m=25.0, areas=tuple(references))
    facts.append(("boundaries/test", activated))
    return [Event.of(fact, source="/directory", subject=subject, version=1) for subject, fact in facts]


@dataclass
class System:
    """Copies of recording on one database, and the ways to it."""

    logins: Logins
    broker: Broker
    secrets: Path
    issuer: str
    producer: AIOKafkaProducer
    clients: list[httpx.AsyncClient]
    published: dict[UUID, Event] = field(default_factory=dict)
    """Everything that was told, by event id."""

    @property
    def client(self) -> httpx.AsyncClient:
        return self.clients[0]

    def caller(
        self,
        role: str = "handler",
        *forces: str,
        subject: str = "anna",
        alliance: bool = False,
        home: str | None = None,
        purpose: str | None = "quality",
    ) -> dict[str, str]:
        """The headers of somebody with a role; of Cambridgeshire, where no force is given."""
        token = make_token(
            self.secrets,
            self.issuer,
            roles=[role],
            forces=forces or (CAMBS,),
            subject=subject,
            alliance=alliance,
            home=home,
        )
        return {"Authorization": f"Bearer {token}"} | ({} if purpose is None else {PURPOSE: purpose})

    async def publish(self, *events: Event) -> None:
        """Put events on their topics, in this order."""
        self.published |= {event.id: event for event in events}
        sent = [
            await self.producer.send(_topic(event), event.data, key=event.subject.encode(), headers=to_headers(event))
            for event in events
        ]
        await asyncio.gather(*sent)

    async def dispose(
        self, contact: Contact, body: dict[str, Any], caller: dict[str, str] | None = None, copy: int = 0
    ) -> httpx.Response:
        headers = caller or self.caller()
        return await self.clients[copy].post(f"/v1/contacts/{contact.id}/disposition", json=body, headers=headers)

    async def get(self, path: str, caller: dict[str, str], **query: Any) -> Any:
        response = await self.client.get(path, params=query, headers=caller)
        assert response.status_code == 200, response.text
        return response.json()

    async def audit(self, contact: Contact, *forces: str) -> list[dict[str, Any]]:
        found = await self.get("/v1/audit", self.caller("auditor", *forces, alliance=True), contact=contact.id)
        events: list[dict[str, Any]] = found["events"]
        return events

    async def audited(self, contact: Contact, count: int, *forces: str) -> list[dict[str, Any]]:
        """The contact's history, once it holds this many events."""

        async def look() -> list[dict[str, Any]] | None:
            response = await self.client.get(
                "/v1/audit", params={"contact": contact.id}, headers=self.caller("auditor", *forces, alliance=True)
            )
            events: list[dict[str, Any]] = response.json().get("events", [])
            return events if len(events) >= count else None

        found: list[dict[str, Any]] = await until(look)
        return found

    async def incident_of(self, contact: Contact, *forces: str) -> UUID:
        """The incident that the contact led to, once it is known."""

        async def look() -> UUID | None:
            response = await self.client.get(
                "/v1/audit", params={"contact": contact.id}, headers=self.caller("auditor", *forces, alliance=True)
            )
            for event in response.json().get("events", []):
                if event["type"].endswith("contact-disposed.v1"):
                    return UUID(event["data"]["incident"])
            return None

        found: UUID = await until(look)
        return found


async def until(look: Callable[[], Any], patience_s: float = 20.0) -> Any:
    """What `look` finds, once it finds something."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while not (found := await look()):
        assert asyncio.get_running_loop().time() < deadline, f"nothing was found within {patience_s} s"
        await asyncio.sleep(0.05)
    return found


def _topic(event: Event) -> str:
    return BY_TYPE[event.type].TOPIC


@asynccontextmanager
async def running_system(logins: Logins, broker: Broker, secrets: Path, copies: int = 2) -> AsyncIterator[System]:
    port = free_port()
    issuer = server("127.0.0.1", port, secrets)
    thread = threading.Thread(target=issuer.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{port}"
    producer = kafka.producer(broker, "test")
    async with AsyncExitStack() as stack:
        stack.callback(issuer.server_close)
        stack.callback(issuer.shutdown)
        await producer.start()
        stack.push_async_callback(producer.stop)
        clients = []
        for _ in range(copies):
            settings = RecordingSettings(
                database_url=logins.url,
                oidc_issuer=address,
                master_keys=MASTERS,
                **kafka_settings(broker, "recording"),
            )
            app = make_app(settings)
            await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx.ASGITransport(app=app)
            clients.append(
                await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://recording"))
            )
        system = System(logins, broker, secrets, address, producer, clients)
        await system.publish(*alliance())
        for client in clients:
            await until(partial(_ready, client), patience_s=120)
        yield system


async def _ready(client: httpx.AsyncClient) -> bool:
    answer = await client.get("/readyz")
    return bool(answer.json() == {"status": "ready"})


def types_of(events: Iterable[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("uk.hueandcry.").removesuffix(".v1") for event in events]


def opening(**incident: object) -> dict[str, object]:
    return {
        "disposition": "incident-opened",
        "incident": {"summary": "a bicycle, gone", "category": "theft", **incident},
    }
