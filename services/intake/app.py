"""Intake's wiring: what there is, how it is joined, what it needs to be ready.

Ready means that contacts can be taken: PostgreSQL answers. Kafka is not needed for that, so what reads and publishes is
shown as degraded while Kafka is down, and the backlog drains afterwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI
from pydantic import Field

from libs.events.envelope import Event
from libs.events.log.appender import Appender
from libs.events.log.consumer import SharedReader
from libs.events.log.database import Connection
from libs.events.log.erasures import Erasures
from libs.events.log.key_copies import KeyCopies
from libs.events.log.own_reader import OwnReader
from libs.events.log.store import Append
from libs.events.types import recording, routing
from libs.service.parked import router as parked
from libs.service.publishing import publishing
from libs.service.run import Health, service_app
from libs.service.settings import KeyedSettings
from libs.service.trace import Tracer
from services.intake import decisions, recorded
from services.intake.api import shows, takes
from services.intake.desk import Desk
from services.intake.erasing import Eraser, confirm
from services.intake.json_route import serve_directly
from services.intake.protection_api import protects, reports
from services.intake.waits import Waits

DESCRIPTION = """
Takes contacts on every channel and keeps what becomes known of them: locations, messages, the end.

A **201** means that the contact is on disk. Sent again with the same `Idempotency-Key`, a request happens once. With
`Prefer: wait=N` the answer is held until the contact is routed; without, or when that takes longer, its routing is
`pending` and the contact is safe all the same.
"""


class IntakeSettings(KeyedSettings):
    port: int = Field(default=8001, ge=0, le=65535)
    source: str = Field(default="/intake", pattern=r"^/[a-z0-9/-]{1,63}$")


async def hear(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
    """What intake keeps of what the others say: where a contact was routed, and what it led to."""
    await recorded.keep(connection, events)
    return await decisions.keep(connection, events)


def make_app(settings: KeyedSettings) -> FastAPI:
    health = Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with publishing(app, settings, health) as (writer, reader, consumer, relay, background):
            broker = settings.broker
            waits = Waits()
            appender = Appender(writer, on_commit=relay.wake)
            heard = SharedReader(
                name=decisions.READER,
                topics=[routing.TOPIC, recording.TOPIC],
                apply=hear,
                database=consumer,
                broker=broker,
            )
            erasures = Erasures("intake", database=consumer, broker=broker, on_commit=relay.wake, hear=confirm)
            woken = OwnReader(
                name="intake-waits",
                topics=[routing.TOPIC],
                on_event=waits.on_event,
                broker=broker,
                from_start=False,
            )
            keyring = settings.keyring()
            # It opens nobody's events: what the topic says of its own keys is held against its own.
            copies = KeyCopies(settings.database_address(), broker=broker, keyring=keyring)
            app.state.desk = Desk(reader, appender, waits, keyring)
            app.state.tracer = Tracer(appender, keyring)
            app.state.eraser = Eraser(app.state.desk, writer, reader, on_commit=relay.wake)
            app.state.backups_gone_after = timedelta(days=settings.backup_retention_days)

            health.add("decisions", heard.trouble, required=False)
            health.add("erasures", erasures.trouble, required=False)
            health.add("waits", woken.trouble, required=False)
            health.add("keys", copies.trouble, required=False)
            background.start("appender", appender.run)
            background.start("keys reader", copies.run)
            background.start("decisions reader", heard.run)
            background.start("erasures reader", erasures.run)
            background.start("waits reader", woken.run)
            yield

    app = service_app(
        title="Hue and Cry: intake",
        description=DESCRIPTION,
        settings=settings,
        lifespan=lifespan,
        routers=[takes, shows, protects, reports, parked],
        health=health,
    )
    return serve_directly(app, takes)
