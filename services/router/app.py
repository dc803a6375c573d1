"""The router's wiring: what there is, how it is joined, what it needs to be ready.

Ready means that handlers are served and decisions can be made: PostgreSQL answers, and this copy of the router has read
a whole directory; where only the boundaries do not come, it does without them after a while. It consumes nothing before
that. With Kafka or the directory away it goes on with what it has; what waits to be read or published, and how old the
copy of the directory is, is shown as degraded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import Field

from libs.alliance.copy import AllianceCopy
from libs.events.log.consumer import SharedReader
from libs.events.log.erasures import Erasures
from libs.events.log.key_copies import KeyCopies
from libs.events.types import contacts
from libs.places import postcodes
from libs.service import parked
from libs.service.publishing import publishing
from libs.service.run import Health, service_app
from libs.service.settings import KeyedSettings
from services.router.api import Desk, router
from services.router.reactions import Reactions
from services.router.withdrawn import Withdrawn

READER = "router"
WITHOUT_BOUNDARIES_S = 30.0
"""How long a router that starts and knows the queues waits for boundaries that do not come. Then contacts go where they
were presented, provisionally: a piece of geometry that is lost must not keep them from everybody."""

DESCRIPTION = """
Decides which force owns a contact and in which queue it waits, and keeps the queues.

A handler takes the next contact of a queue with `claim`: nobody else gets it. What is shown and what can be taken is
what belongs to the forces in the token; what no force could be found for waits in the alliance's default queue.
"""


class RouterSettings(KeyedSettings):
    port: int = Field(default=8002, ge=0, le=65535)
    source: str = Field(default="/router", pattern=r"^/[a-z0-9/-]{1,63}$")


def make_app(settings: KeyedSettings) -> FastAPI:
    health = Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with publishing(app, settings, health) as (writer, reader, consumer, relay, background):
            broker = settings.broker
            directory = AllianceCopy(name="router", broker=broker)
            copies = KeyCopies(
                settings.database_address(), broker=broker, keyring=settings.keyring(), opens=[contacts.TOPIC]
            )
            reactions = Reactions(source=settings.source, alliance=lambda: directory.current)
            contacts_reader = SharedReader(
                name=READER,
                topics=[contacts.TOPIC],
                apply=reactions.apply,
                on_park=reactions.on_park,
                database=consumer,
                broker=broker,
                on_commit=relay.wake,
                keys=copies,
            )

            erasures = Erasures("router", database=consumer, broker=broker, on_commit=relay.wake)
            withdrawn = Withdrawn(consumer, lambda: directory.current, on_commit=relay.wake)

            usable = asyncio.Event()

            async def read_contacts() -> None:
                await directory.until_usable(WITHOUT_BOUNDARIES_S)
                usable.set()
                await erasures.known()
                await contacts_reader.run()

            app.state.desk = Desk(writer, reader, directory, relay.wake)

            health.add("directory", lambda: _lacks(directory, usable))
            health.add("age of the directory", lambda: _age(directory), required=False)
            health.add("reading contacts", contacts_reader.trouble, required=False)
            health.add("erasures", erasures.trouble, required=False)
            health.add("keys", copies.trouble, required=False)
            background.start("keys reader", copies.run)
            background.start("directory copy", directory.run)
            background.start("erasures reader", erasures.run)
            background.start("contacts reader", read_contacts)
            background.start("queues withdrawn", withdrawn.run, required=False)
            # At hand before somebody types one: a letter that is read when first asked for keeps a contact waiting.
            preloading = asyncio.create_task(asyncio.to_thread(postcodes.preload))
            try:
                yield
            finally:
                await preloading

    return service_app(
        title="Hue and Cry: router",
        description=DESCRIPTION,
        settings=settings,
        lifespan=lifespan,
        routers=[router, parked.router],
        health=health,
    )


def _lacks(directory: AllianceCopy, usable: asyncio.Event) -> str | None:
    """What decisions cannot be made without."""
    ready = directory.ready() or (usable.is_set() and directory.knows_queues())
    return None if ready else directory.trouble()


def _age(directory: AllianceCopy) -> str | None:
    """What the copy of the directory lacks, and how old it is for that."""
    trouble = directory.trouble()
    return trouble and f"{trouble}; directoryAgeSeconds {directory.age_s():.0f}"
