"""The directory, wired: its database, the relay that publishes it, the picture that answers, the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from libs.events.log.database import Database
from libs.events.log.relay import Relay
from libs.service.run import Background, Health, service_app
from services.directory import api
from services.directory.settings import DirectorySettings
from services.directory.stored import Picture

DESCRIPTION = """What the alliance is: its forces, sites, queues, lines and boundaries; and who owns a place.

Every change is published on `hueandcry.directory`, geometry on `hueandcry.areas`. Those who decide keep a copy of their
own and do not ask here; this is for people and their tools."""


def make_app(settings: DirectorySettings) -> FastAPI:
    health = Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = await Database.connect(settings.database_url, source=settings.source)
        picture = app.state.picture = Picture(database)
        relay = Relay(settings.database_url, bootstrap_servers=settings.kafka_bootstrap_servers, source=settings.source)
        # What is known is answered from memory, whatever else is away.
        health.add("alliance", picture.trouble)
        health.add("PostgreSQL", database.trouble, required=False)
        health.add("publishing", relay.trouble, required=False)
        background = Background(health)
        background.start("relay", relay.run)
        background.start("picture", picture.run)
        try:
            yield
        finally:
            await background.stop()
            await database.close()

    return service_app(
        title="Hue and Cry: directory",
        description=DESCRIPTION,
        settings=settings,
        lifespan=lifespan,
        routers=[api.router],
        health=health,
    )
