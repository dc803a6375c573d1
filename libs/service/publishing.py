"""What every service stands on: its database, and the relay that publishes what is appended to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from fastapi import FastAPI

from libs.events.log.broker import Watch
from libs.events.log.database import Database
from libs.events.log.relay import Relay
from libs.service.background import Background
from libs.service.health import Health
from libs.service.settings import Settings


class Standing(NamedTuple):
    database: Database
    relay: Relay
    background: Background
    """For the service's own loops, which are stopped before the relay is."""


@asynccontextmanager
async def publishing(
    app: FastAPI, settings: Settings, health: Health, *, needs_database: bool = True
) -> AsyncIterator[Standing]:
    """Around a service's life: the database, which stands in `app.state.database` too, and the relay at work.

    Without PostgreSQL the service is not ready, unless it says that it does not need it to answer. What waits to be
    published while Kafka is away is shown as degraded.
    """
    database = app.state.database = await Database.connect(settings.database_url, source=settings.source)
    relay = Relay(settings.database_url, broker=settings.broker, source=settings.source)
    watch = Watch(settings.broker)
    health.add("PostgreSQL", database.trouble, required=needs_database)
    health.add("publishing", relay.trouble, required=False)
    health.add("Kafka", watch.trouble, required=False)
    background = Background(health)
    background.start("relay", relay.run)
    background.start("watch on Kafka", watch.run, required=False)
    try:
        yield Standing(database, relay, background)
    finally:
        await background.stop()
        await database.close()
