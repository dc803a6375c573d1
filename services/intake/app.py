"""Intake's wiring: what there is, how it is joined, what it needs to be ready.

Ready means that contacts can be taken: PostgreSQL answers. Kafka is not needed for that, so what reads and publishes is
shown as degraded while Kafka is down, and the backlog drains afterwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import Field

from libs.events.log.appender import Appender
from libs.events.log.consumer import SharedReader
from libs.events.log.own_reader import OwnReader
from libs.events.types import routing
from libs.service.parked import router as parked
from libs.service.publishing import publishing
from libs.service.run import Health, service_app
from libs.service.settings import Settings
from libs.service.trace import Tracer
from services.intake import decisions
from services.intake.api import shows, takes
from services.intake.desk import Desk
from services.intake.json_route import serve_directly
from services.intake.waits import Waits

DESCRIPTION = """
Takes contacts on every channel and keeps what becomes known of them: locations, messages, the end.

A **201** means that the contact is on disk. Sent again with the same `Idempotency-Key`, a request happens once. With
`Prefer: wait=N` the answer is held until the contact is routed; without, or when that takes longer, its routing is
`pending` and the contact is safe all the same.
"""


class IntakeSettings(Settings):
    port: int = Field(default=8001, ge=0, le=65535)
    source: str = Field(default="/intake", pattern=r"^/[a-z0-9/-]{1,63}$")


def make_app(settings: Settings) -> FastAPI:
    health = Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with publishing(app, settings, health) as (writer, reader, consumer, relay, background):
            broker = settings.broker
            waits = Waits()
            appender = Appender(writer, on_commit=relay.wake)
            decided = SharedReader(
                name=decisions.READER,
                topics=[routing.TOPIC],
                apply=decisions.keep,
                database=consumer,
                broker=broker,
            )
            woken = OwnReader(
                name="intake-waits",
                topics=[routing.TOPIC],
                on_event=waits.on_event,
                broker=broker,
                from_start=False,
            )
            app.state.desk = Desk(reader, appender, waits)
            app.state.tracer = Tracer(appender, source=settings.source)

            health.add("decisions", decided.trouble, required=False)
            health.add("waits", woken.trouble, required=False)
            background.start("appender", appender.run)
            background.start("decisions reader", decided.run)
            background.start("waits reader", woken.run)
            yield

    app = service_app(
        title="Hue and Cry: intake",
        description=DESCRIPTION,
        settings=settings,
        lifespan=lifespan,
        routers=[takes, shows, parked],
        health=health,
    )
    return serve_directly(app, takes)
