"""What every service stands on: its database, and the relay that publishes what is appended to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from fastapi import FastAPI

from libs.events.log.broker import Watch
from libs.events.log.database import Database
from libs.events.log.relay import Relay
from libs.events.log.roles import CONSUMER, READER, WRITER, Login
from libs.service.background import Background
from libs.service.health import Health
from libs.service.settings import Settings

MAX_CONNECTIONS = 8
"""Of each part; the relay has one more."""


class Standing(NamedTuple):
    writer: Database
    """Decides and appends for callers."""
    reader: Database
    """Answers callers."""
    consumer: Database
    """Applies what others have said."""
    relay: Relay
    background: Background
    """For the service's own loops, which are stopped before the relay is."""


@asynccontextmanager
async def publishing(
    app: FastAPI, settings: Settings, health: Health, *, needs_database: bool = True
) -> AsyncIterator[Standing]:
    """Around a service's life: its database in each part it plays there, and the relay at work. What operators are
    shown of every force (libs.service.parked) is read from the consumer's, in `app.state.database`.

    Without PostgreSQL the service is not ready, unless it says that it does not need it to answer. What waits to be
    published while Kafka is away is shown as degraded.
    """
    login = Login(settings.database_address())
    async with AsyncExitStack() as stack:
        parts = []
        for part in (WRITER, READER, CONSUMER):
            parts.append(await Database.connect(login, source=settings.source, part=part, max_size=MAX_CONNECTIONS))
            stack.push_async_callback(parts[-1].close)
        writer, reader, consumer = parts
        app.state.database = consumer
        relay = Relay(login, broker=settings.broker, source=settings.source)
        watch = Watch(settings.broker)
        health.add("PostgreSQL", writer.trouble, required=needs_database)
        health.add("publishing", relay.trouble, required=False)
        health.add("Kafka", watch.trouble, required=False)
        background = Background(health)
        background.start("relay", relay.run)
        background.start("watch on Kafka", watch.run, required=False)
        stack.push_async_callback(background.stop)
        yield Standing(writer, reader, consumer, relay, background)
