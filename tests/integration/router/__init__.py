"""Two copies of the router in processes of their own, on the real PostgreSQL and Kafka; a small alliance in squares.

The test speaks to Kafka as intake and directory do, and to the routers as handlers do. Neither of those services runs.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import shapely
from uuid_utils.compat import uuid7

from deploy.local.issuer import make_token, server
from deploy.local.process import Child, free_port
from libs.events.envelope import Event, events_of, to_headers
from libs.events.log import kafka
from libs.events.log.broker import Broker
from libs.events.log.database import Database
from libs.events.log.roles import CONSUMER
from libs.events.log.store import load
from libs.events.types import Fact, contacts, directory
from libs.events.types.contacts import (
    Channel,
    ContactEnded,
    ContactLocated,
    ContactMessageAdded,
    ContactReceived,
    Line,
    LocatedPersonal,
    Location,
    LocationOf,
    ReceivedPersonal,
)
from libs.events.types.directory import AreaChunkPublished, AreaRef, BoundariesActivated
from libs.events.types.shapes import Circle, Point, Shape
from libs.places import encode_area, sha256_of
from libs.places.grid import to_wgs84
from tests import nursery
from tests.conftest import MASTERS, kafka_settings
from tests.unit.services.router.given import DIRECTORY, MEDIA

SQUARES = ("bedfordshire", "cambridgeshire", "hertfordshire", "essex")
"""From west to east, 10 km each; the first three are members."""
WEST, SOUTH, SIDE = 500_000, 200_000, 10_000
ACCURACY_M = 50.0


def inside(force: str) -> Point:
    """A place well within a force's square."""
    east = WEST + SQUARES.index(force) * SIDE + random.uniform(2_000, SIDE - 2_000)
    lat, lon = to_wgs84(east, SOUTH + random.uniform(2_000, SIDE - 2_000))
    return Point(lat=lat, lon=lon)


def on_the_border(west: str) -> Circle:
    """A place that lies mostly in the square of `west`, and partly in the next to the east."""
    lat, lon = to_wgs84(WEST + (SQUARES.index(west) + 1) * SIDE - 60, SOUTH + SIDE / 2)
    return Circle(lat=lat, lon=lon, radius_m=200)


def at_sea() -> Point:
    return Point(lat=51.0, lon=2.5)


def boundaries() -> list[Fact]:
    facts: list[Fact] = []
    areas = []
    for number, force in enumerate(SQUARES):
        west = WEST + number * SIDE
        chunks = encode_area(shapely.box(west, SOUTH, west + SIDE, SOUTH + SIDE))
        facts += [AreaChunkPublished(sha256=sha256_of(chunk), content=chunk) for chunk in chunks]
        areas.append(AreaRef(force=force, hashes=tuple(map(sha256_of, chunks))))
    facts.append(BoundariesActivated(generation="squares", source="test", accuracy_m=ACCURACY_M, areas=tuple(areas)))
    return facts


@dataclass
class World:
    """Kafka as intake and directory write to it, two routers, and handlers."""

    broker: Broker
    database: Database
    copies: list[Child]
    clients: list[httpx.AsyncClient]
    producer: Any
    secrets: Path
    issuer: str
    versions: dict[str, int] = field(default_factory=dict)

    # As intake ------------------------------------------------------------------------------------------------------

    async def say(self, contact: str, *facts: Fact, force: str | None = None) -> list[Event]:
        after = self.versions.get(contact, 0)
        events = events_of(facts, source="/intake", subject=contact, after=after, force=force)
        self.versions[contact] = after + len(events)
        for event in events:
            await self.producer.send_and_wait(
                contacts.TOPIC, event.data, key=contact.encode(), headers=to_headers(event)
            )
        return events

    async def receive(
        self,
        place: Shape | None = None,
        *,
        channel: Channel = "telephone",
        line: Line | None = None,
        presented: str | None = None,
        emergency: bool = False,
        contact: str | None = None,
    ) -> str:
        contact = contact or str(uuid7())
        location = Location(id=str(uuid7()), of="caller", source="aml")
        await self.say(
            contact,
            ContactReceived(
                reference=contact[-6:],
                channel=channel,
                medium=MEDIA[channel],
                line=line or ("999" if channel == "telephone" else None),
                presented_force=presented,
                emergency=emergency,
                gateway="gateway-1",
                locations=(location,) if place else (),
                personal=ReceivedPersonal(calling_number="+447700900123", shapes={location.id: place})
                if place
                else None,
            ),
            force=presented,
        )
        return contact

    async def locate(self, contact: str, place: Shape, of: LocationOf = "caller") -> None:
        location = Location(id=str(uuid7()), of=of, source="aml")
        await self.say(contact, ContactLocated(location=location, personal=LocatedPersonal(shape=place)))

    async def end(self, contact: str) -> None:
        await self.say(contact, ContactEnded(reason="caller-ended", ended_at=datetime.now(UTC)))

    async def message(self, contact: str, *, emergency: bool = False) -> None:
        await self.say(contact, ContactMessageAdded(message_id=str(uuid7()), sender="caller", emergency=emergency))

    # As the directory -----------------------------------------------------------------------------------------------

    async def say_of_the_alliance(self, entity: str, version: int, fact: Fact) -> None:
        [event] = events_of([fact], source="/directory", subject=entity, after=version - 1)
        await self.producer.send_and_wait(fact.TOPIC, event.data, key=entity.encode(), headers=to_headers(event))

    # As a handler ---------------------------------------------------------------------------------------------------

    def token(
        self, subject: str, *forces: str, role: str = "handler", alliance: bool = False, site: str | None = None
    ) -> dict[str, str]:
        text = make_token(
            self.secrets, self.issuer, roles=[role], forces=forces, subject=subject, alliance=alliance, site=site
        )
        return {"Authorization": f"Bearer {text}"}

    @property
    def client(self) -> httpx.AsyncClient:
        """Either copy."""
        return random.choice(self.clients)

    async def claim(self, queue: str, who: dict[str, str], **options: Any) -> httpx.Response:
        client = options.pop("client", None) or self.client
        headers = who | options.pop("headers", {})
        return await client.post(f"/v1/queues/{queue}/claim", headers=headers, **options)

    # What came of it ------------------------------------------------------------------------------------------------

    async def facts(self, contact: str) -> list[Fact]:
        return [event.fact for event in await load(self.database, contact)]

    async def kinds(self, contact: str) -> list[str]:
        return [type(fact).__name__ for fact in await self.facts(contact)]

    async def until_facts(self, contact: str, count: int, *, patience_s: float = 15.0) -> list[Fact]:
        """Wait until the router has said so much about a contact."""
        deadline = asyncio.get_running_loop().time() + patience_s
        while len(facts := await self.facts(contact)) < count:
            assert asyncio.get_running_loop().time() < deadline, (
                f"{len(facts)} of {count} facts about {contact}\n" + "\n".join(c.last_words(20) for c in self.copies)
            )
            await asyncio.sleep(0.02)
        assert len(facts) == count
        return facts

    async def settle(self) -> None:
        """Wait until the routers have read everything that was said so far."""
        mark = str(uuid7())
        for partition in range(12):  # one mark a partition: whatever was said before it has been read when it is routed
            while kafka.partition_of(mark.encode(), 12) != partition:
                mark = str(uuid7())
            await self.receive(channel="web", contact=mark)
            await self.until_facts(mark, 1)
            await self.database.execute("DELETE FROM queue_entry WHERE contact = $1", mark)
            mark = str(uuid7())

    async def queue_of(self, contact: str) -> str | None:
        """The queue in which it waits now."""
        found: str | None = await self.database.fetchval("SELECT queue FROM queue_entry WHERE contact = $1", contact)
        return found


async def publish_directory(producer: Any) -> None:
    for number, fact in enumerate([*DIRECTORY, *boundaries()]):
        subject = f"test/{number}"
        [event] = events_of([fact], source="/directory", subject=subject, after=0)
        await producer.send_and_wait(fact.TOPIC, event.data, key=subject.encode(), headers=to_headers(event))
    assert directory.TOPIC != directory.AREAS_TOPIC


@contextmanager
def issuer(secrets: Path) -> Iterator[str]:
    port = free_port()
    running = server("127.0.0.1", port, secrets)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}"
    running.shutdown()
    running.server_close()


def start_router(database_url: str, broker: Broker, issuer_url: str, folder: Path) -> tuple[Child, httpx.AsyncClient]:
    port = free_port()
    child = nursery.start(
        f"router-{port}",
        "services.router",
        log=folder / f"router-{port}.log",
        env=os.environ
        | {
            "PORT": str(port),
            "DATABASE_URL": database_url,
            "MASTER_KEYS": MASTERS,
            **{name.upper(): value for name, value in kafka_settings(broker, "router").items()},
            "OIDC_ISSUER": issuer_url,
        },
    )
    return child, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10)


async def until_ready(child: Child, client: httpx.AsyncClient, *, patience_s: float = 30.0) -> None:
    """Until the copy is ready and nothing of it is degraded."""
    deadline = asyncio.get_running_loop().time() + patience_s
    last = "no answer"
    while True:
        assert child.alive(), child.last_words(20)
        assert asyncio.get_running_loop().time() < deadline, f"{last}\n{child.last_words(20)}"
        try:
            answer = await client.get("/readyz")
            last = answer.text
            if answer.status_code == 200 and "degraded" not in answer.json():
                return
        except httpx.TransportError as error:
            last = repr(error)
        await asyncio.sleep(0.1)


@asynccontextmanager
async def world(database_url: str, broker: Broker, folder: Path, *, copies: int = 2) -> AsyncIterator[World]:
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    producer = kafka.producer(broker, "test")
    await producer.start()
    await publish_directory(producer)
    database = await Database.connect(database_url, source="/test", part=CONSUMER, max_size=4)
    with issuer(secrets) as issuer_url:
        started = [start_router(database_url, broker, issuer_url, folder) for _ in range(copies)]
        routers = World(
            broker,
            database,
            [child for child, _ in started],
            [client for _, client in started],
            producer,
            secrets,
            issuer_url,
        )
        try:
            for child, client in started:
                await until_ready(child, client)
            yield routers
        finally:
            for client in routers.clients:
                await client.aclose()
            stopped = [child.stop(10) for child in routers.copies]
            await producer.stop()
            await database.close()
    assert all(stopped), "a copy did not stop by itself"


def is_uuid(text: str) -> bool:
    return str(UUID(text)) == text
