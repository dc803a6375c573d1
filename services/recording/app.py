"""Recording's wiring: what it hears, what it does about it, what it needs to be ready.

Ready means that contacts can be disposed of and records read: PostgreSQL answers. While Kafka is down what is known
stays known, and what was said is published afterwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from pydantic import Field

from libs.alliance.copy import AllianceCopy
from libs.events.envelope import Event
from libs.events.log.appender import Appender
from libs.events.log.consumer import SharedReader
from libs.events.log.erasures import Erasures
from libs.events.log.key_copies import KeyCopies
from libs.events.log.projection import Projector
from libs.events.types import Fact, access, contacts, routing
from libs.events.types.contacts import ContactEnded, ContactReceived
from libs.events.types.routing import (
    ContactAbandoned,
    ContactAnswered,
    ContactClosed,
    ContactReleased,
    ContactRouted,
    OwnerConfirmed,
)
from libs.service import parked
from libs.service.publishing import publishing
from libs.service.run import Health, service_app
from libs.service.settings import KeyedSettings
from libs.service.trace import Tracer
from services.recording import access_api, api, contact, owing, reviews
from services.recording.desk import Desk
from services.recording.disposition import Arrivals
from services.recording.projections import PROJECTIONS
from services.recording.reader import make_apply
from services.recording.reviews import Reviews

REACTIONS: Mapping[type[Fact], Callable[[contact.Contact, Event, Any], contact.Contact]] = {
    ContactReceived: contact.receive,
    ContactEnded: contact.end,
    ContactRouted: contact.route,
    ContactAnswered: contact.answer,
    ContactReleased: contact.release,
    ContactAbandoned: contact.abandon,
    ContactClosed: contact.close,
    OwnerConfirmed: contact.confirm_owner,
}
"""What each fact changes of what is known of its contact. Then a whole report that is known and routed opens its
incident (reader.py). The read models hear of everything by themselves (projections.py)."""

READER = "recording"

DESCRIPTION = """
Keeps what the law asks for: what every contact came to, the incidents, and the audit of all of it.

A report made whole on a web form opens its incident by itself. A call or a conversation does when its handler says so,
with `POST /v1/contacts/{id}/disposition`. A contact that has no disposition yet is counted and listed, never lost.
"""


class RecordingSettings(KeyedSettings):
    port: int = Field(default=8004, ge=0, le=65535)
    source: str = Field(default="/recording", pattern=r"^/[a-z0-9/-]{1,63}$")


def make_app(settings: KeyedSettings) -> FastAPI:
    health = Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with publishing(app, settings, health) as (writer, reader, consumer, relay, background):
            broker = settings.broker
            alliance = AllianceCopy(name="recording", broker=broker)
            arrivals = Arrivals()
            keyring = settings.keyring()
            copies = KeyCopies(
                settings.database_address(), broker=broker, keyring=keyring, opens=[contacts.TOPIC, access.TOPIC]
            )

            def committed() -> None:
                relay.wake()
                arrivals.announce()

            contacts_reader = SharedReader(
                name=READER,
                topics=(contacts.TOPIC, routing.TOPIC),
                apply=make_apply(REACTIONS, keyring, copies.opened_or_gone),
                keys=copies,
                database=consumer,
                broker=broker,
                on_commit=committed,
            )
            erasures = Erasures("recording", database=consumer, broker=broker, on_commit=relay.wake)

            async def read_contacts() -> None:
                await erasures.known()
                await contacts_reader.run()

            projector = Projector(PROJECTIONS, database=consumer, broker=broker, keys=copies)
            app.state.desk = Desk(writer, reader, alliance, arrivals, keyring, on_commit=relay.wake)
            appender = Appender(writer, on_commit=relay.wake)
            app.state.tracer = Tracer(appender, keyring)
            app.state.reviews = Reviews(reader, appender, keyring)

            health.add("contacts", contacts_reader.trouble, required=False)
            health.add("erasures", erasures.trouble, required=False)
            health.add("read models", projector.trouble, required=False)
            health.add("alliance", alliance.trouble, required=False)
            health.add("keys", copies.trouble, required=False)
            background.start("keys' reader", copies.run)
            background.start("appender", appender.run)
            background.start("alliance's copy", alliance.run)
            background.start("erasures reader", erasures.run)
            background.start("contacts reader", read_contacts)
            background.start("read models' readers", projector.run)
            background.start("count of owed dispositions", partial(owing.measure, consumer))
            background.start("count of owed reviews", partial(reviews.measure, consumer))
            yield

    return service_app(
        title="Hue and Cry: recording",
        description=DESCRIPTION,
        settings=settings,
        lifespan=lifespan,
        routers=[api.router, access_api.router, parked.router],
        health=health,
    )
