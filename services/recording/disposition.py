"""Saying what a contact came to: the contact's stream, the incident's, and the contact's row, in one transaction.

Invariant: what is answered stands on disk, and two who answer for one contact at once are answered alike or one of them
is refused: the contact's row is locked, and both streams are appended at the versions that were decided on. What
identifies a person is sealed in each stream with that stream's own key: an incident keeps its copy when the contact is
erased.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from libs.events.envelope import Event, events_of
from libs.events.log import scope
from libs.events.log.database import Connection, Database
from libs.events.log.errors import ClaimTaken, Conflict
from libs.events.log.keyring import Keyring, StreamKey
from libs.events.log.scope import Scope
from libs.events.log.store import Append, Claim, append, holder, load_many_keyed
from libs.events.types.recording import ContactDisposed, IncidentOpened
from libs.service.idempotency import Keyed
from services.recording import contact_table
from services.recording.contact import Contact, may_be_disposed
from services.recording.incidents import (
    Command,
    Decision,
    Incident,
    JoinIncident,
    decide,
    disposition_of,
    evolve,
    incident_id,
    incident_of,
)

PATIENCE_S = 2.0
"""A handler may be quicker than Kafka: how long we wait to hear of his contact."""
TRIES = 5
_LOOK_EVERY_S = 0.1

MakeCommand = Callable[[Contact], Command]
SeesIncident = Callable[[list[str | None]], bool]


class ContactUnknown(Exception):
    """No such contact, or none that the asker may know of."""


class StillWaits(Exception):
    """The contact waits in a queue, and nobody has claimed it."""


class Keys(NamedTuple):
    """Of the two streams that a disposition may be appended to."""

    contact: StreamKey
    incident: StreamKey


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What stands now, whoever said it first."""

    disposed: ContactDisposed
    disposed_at: datetime
    incident_id: str | None = None
    incident: Incident | None = None
    handler: str | None = None
    """In whose hands the contact is, or was."""


class Arrivals:
    """Wakes who waits for a contact to be heard of, when this copy's reader has committed something."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def announce(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def news(self, seconds: float) -> None:
        """Return at the next announcement, or when time is up: another copy's reader may have heard of it."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return


async def await_contact(
    reader: Database, arrivals: Arrivals, id_: UUID, seen: Scope, roles: frozenset[str], patience_s: float = PATIENCE_S
) -> None:
    """Return when the contact is known and may be disposed of.

    Raises ContactUnknown or StillWaits, after the time in which what is on its way must have come.
    """
    clock = asyncio.get_running_loop()
    until = clock.time() + patience_s
    while True:
        contact = await contact_table.read(reader, seen, id_)
        if contact is not None and (contact.disposition is not None or may_be_disposed(contact, roles)):
            return
        if clock.time() >= until:
            raise ContactUnknown if contact is None else StillWaits
        await arrivals.news(_LOOK_EVERY_S)


async def dispose(
    database: Database,
    keyring: Keyring,
    id_: UUID,
    seen: Scope,
    command_for: MakeCommand,
    sees_incident: SeesIncident,
    *,
    keyed: Keyed | None = None,
    traceparent: str | None = None,
) -> Outcome:
    """Decide under the scope, and append. `command_for` makes the command from the contact as it is when decided.

    Raises Refused, ContactUnknown, IdempotencyMismatch; Conflict where others were quicker every time.
    """
    for attempt in range(1, TRIES + 1):
        try:
            async with database.transaction() as connection:
                await scope.begin(connection, seen)
                return await _dispose(connection, keyring, id_, command_for, sees_incident, keyed, traceparent)
        except (Conflict, ClaimTaken, asyncpg.DeadlockDetectedError):
            if attempt == TRIES:
                raise
    raise AssertionError("unreachable")


async def _dispose(
    connection: Connection,
    keyring: Keyring,
    id_: UUID,
    command_for: MakeCommand,
    sees_incident: SeesIncident,
    keyed: Keyed | None,
    traceparent: str | None,
) -> Outcome:
    contact = await contact_table.lock_known(connection, id_)
    if contact is None:
        raise ContactUnknown
    held = None if keyed is None else await holder(connection, keyed.claim_key)
    command = command_for(contact)
    subject = str(id_)
    wanted = command.incident if isinstance(command, JoinIncident) else incident_id(subject)
    streams = await load_many_keyed(connection, [subject, wanted], keyring.source)
    keys = Keys(*(keyring.key_of(name, streams[name].key) for name in (subject, wanted)))
    if keyed is not None and held is not None:
        keyed.made(*held, of=subject, key=keys.contact.secret)
    disposals = [event.opened(keys.contact.secret) for event in streams[subject].events]
    standing = disposition_of(event.fact for event in disposals)
    incident = incident_of(event.opened(keys.incident.secret).fact for event in streams[wanted].events)
    if isinstance(command, JoinIncident) and incident is not None and standing is None:
        forces = [incident.opened.owning_force, *await contact_table.forces_of_incident(connection, UUID(wanted))]
        if not sees_incident(forces):
            incident = None
    decision = decide(standing, incident, command)
    if standing is not None:
        return await _what_stands(connection, keyring, contact, disposals, standing)

    now = datetime.now(UTC)
    appends = appends_of(
        decision,
        contact,
        incident,
        source=keyring.source,
        time=now,
        keys=keys,
        keyed=keyed,
        traceparent=traceparent,
    )
    (disposed,) = decision.on_contact
    after = after_disposal(contact, disposed, now)
    await contact_table.save(connection, [after])
    await contact_table.involve(connection, [after], incident_owners(appends))
    await contact_table.take_reports(connection, [contact])
    await append(connection, appends)
    for fact in decision.on_incident:
        incident = evolve(incident, fact)
    return Outcome(
        disposed=disposed, disposed_at=now, incident_id=decision.incident, incident=incident, handler=contact.handler
    )


async def _what_stands(
    connection: Connection, keyring: Keyring, contact: Contact, stream: list[Event], standing: ContactDisposed
) -> Outcome:
    incident = None
    if standing.incident is not None:
        streams = await load_many_keyed(connection, [standing.incident], keyring.source)
        incident = incident_of(event.fact for event in keyring.opened(*streams[standing.incident]))
    return Outcome(
        disposed=standing,
        disposed_at=stream[0].time,
        incident_id=standing.incident,
        incident=incident,
        handler=contact.handler,
    )


def after_disposal(contact: Contact, disposed: ContactDisposed, at: datetime) -> Contact:
    return msgspec.structs.replace(
        contact,
        disposition=disposed.disposition,
        incident=None if disposed.incident is None else UUID(disposed.incident),
        disposed_at=at,
    )


def incident_owners(appends: Iterable[Append]) -> dict[str, str | None]:
    """Of the incidents that these appends open, the owner of each; None: the alliance."""
    facts = [(append.subject, event.fact) for append in appends for event in append.events]
    return {subject: fact.owning_force for subject, fact in facts if isinstance(fact, IncidentOpened)}


def appends_of(
    decision: Decision,
    contact: Contact,
    incident: Incident | None,
    *,
    source: str,
    time: datetime,
    keys: Keys,
    keyed: Keyed | None = None,
    traceparent: str | None = None,
) -> list[Append]:
    """The two appends of a decision. The disposition follows from the router's latest word, the incident from it."""
    subject = str(contact.id)
    disposals = events_of(
        decision.on_contact,
        source=source,
        subject=subject,
        after=0,
        force=contact.owning_force,
        caused_by=contact.routed or contact.received,
        traceparent=traceparent,
        time=time,
        key=keys.contact.secret,
    )
    claims = [] if keyed is None else [keyed.claim(subject, subject, key=keys.contact.secret)]
    appends = [Append(subject, 0, disposals, claims, key=keys.contact.new)]
    if decision.on_incident:
        appends.append(_on_incident(decision, incident, disposals[0], source=source, key=keys.incident))
    return appends


def _on_incident(
    decision: Decision, incident: Incident | None, disposal: Event, *, source: str, key: StreamKey
) -> Append:
    (fact,) = decision.on_incident
    assert decision.incident is not None, "what is said of an incident is said of one"
    if isinstance(fact, IncidentOpened):
        after, owner, claims = 0, fact.owning_force, [Claim(f"reference/{fact.reference}", UUID(fact.contact).bytes)]
    else:
        assert incident is not None, "a contact joins an incident that was opened"
        after, owner, claims = incident.version, incident.opened.owning_force, []
    said = events_of(
        [fact],
        source=source,
        subject=decision.incident,
        after=after,
        force=owner,
        caused_by=disposal.id,
        traceparent=disposal.traceparent,
        time=disposal.time,
        key=key.secret,
    )
    return Append(decision.incident, after, said, claims, key=key.new)
