"""The directory, wired: its database, the relay that publishes it, the picture that answers, the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from libs.service.publishing import publishing
from libs.service.run import Health, service_app
from services.directory import api, boundaries_api, locate, lost, manner_api, map_api, policy_api
from services.directory.importing import Store
from services.directory.settings import DirectorySettings
from services.directory.stored import Picture

DESCRIPTION = """What the alliance is: its forces, sites, queues, lines and boundaries; who owns a place; and each
force's routing policies, as a NENA i3 Policy Store.

Every change is published on `hueandcry.directory`, geometry on `hueandcry.areas`. Those who decide keep a copy of their
own and do not ask here; this is for people and their tools."""


def make_app(settings: DirectorySettings) -> FastAPI:
    health = Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with publishing(app, settings, health, needs_database=False) as stood:
            picture = app.state.picture = Picture(stood.reader)
            boundaries = app.state.boundaries = Store.of(stood.writer, picture.stored)
            app.state.policy_writer, app.state.policy_reader = stood.writer, stood.reader
            # What is known is answered from memory, whatever else is away.
            health.add("alliance", picture.trouble)
            stood.background.start("picture", picture.run)
            try:
                yield
            finally:
                boundaries.stop()

    return service_app(
        title="Hue and Cry: directory",
        description=DESCRIPTION,
        settings=settings,
        lifespan=lifespan,
        routers=[
            *(map_api.router, map_api.pages),
            *(api.router, boundaries_api.router, manner_api.router, locate.router, policy_api.router, lost.router),
        ],
        health=health,
        files={("PUT", "/v1/boundaries"): boundaries_api.IMPORT_S},
    )
