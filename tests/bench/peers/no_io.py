"""Intake's own POST endpoint doing no I/O: `python -m tests.bench.peers.no_io`, with intake's settings.

The same application, wire, limits, tokens, validation, decision and answer, served by the same `serve`. Only what is
appended goes nowhere, and nothing is read from or sent to Kafka.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from libs.events.log.appender import Appender
from libs.events.log.database import Database
from libs.events.log.store import Append, check
from libs.service.run import Health, serve, service_app
from libs.service.settings import KeyedSettings
from services.intake.api import takes
from services.intake.app import DESCRIPTION, IntakeSettings
from services.intake.desk import Desk
from services.intake.json_route import serve_directly
from services.intake.waits import Waits


class Nowhere(Appender):
    async def append(self, append: Append) -> None:
        check(append)


def make_app(settings: KeyedSettings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = await Database.connect(settings.database_url, source=settings.source)
        app.state.desk = Desk(database, Nowhere(database), Waits(), settings.keyring())
        yield
        await database.close()

    app = service_app(
        title="Intake without I/O",
        description=DESCRIPTION,
        settings=settings,
        lifespan=lifespan,
        routers=[takes],
        health=Health(),
    )
    return serve_directly(app, takes)


if __name__ == "__main__":
    settings = IntakeSettings.read()
    serve(make_app(settings), settings)
