"""What recording does with the facts it hears: it keeps the table of contacts and opens incidents of whole reports.

Invariant: a contact's row, its report's incident and the reader's checkpoint change in one transaction, with the row
locked. So a report opens its incident exactly once, however many copies read and however often an event comes again.
What the incident says of a person is a copy, sealed with the incident's own key.

A fact that cannot be read changes nothing, and its contact is known and owed all the same: parked, it would hold back
what the router says of the contact, and nobody could dispose of it. The router parks such a fact, the audit shows it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import structlog

from libs.events.envelope import Event, Malformed
from libs.events.log.consumer import Apply
from libs.events.log.database import Connection
from libs.events.log.keyring import Keyring
from libs.events.log.store import Append, load_many_keyed
from libs.events.types import Fact
from libs.events.types.contacts import ContactReceived
from services.recording import contact_table
from services.recording.contact import Contact
from services.recording.disposition import Keys, after_disposal, appends_of, incident_owners
from services.recording.incidents import decide, incident_id
from services.recording.reports import incident_of_report, is_made_whole, opens_by_itself

log = structlog.get_logger(__name__)

Reaction: TypeAlias = Callable[[Contact, Event, Any], Contact]


Open: TypeAlias = Callable[[Connection, Sequence[Event]], Awaitable[Sequence[Event]]]


def make_apply(reactions: Mapping[type[Fact], Reaction], keyring: Keyring, opened: Open) -> Apply:
    """The shared reader's `apply`: each fact goes to its reaction, others say nothing to recording. `opened` opens what
    was kept of a report; what no key opens any more comes as it was."""
    by_type = {fact.TYPE: reaction for fact, reaction in reactions.items()}

    async def apply(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
        heard = [(UUID(event.subject), event) for event in events if event.type in by_type]
        if not heard:
            return []
        contacts = await contact_table.lock(connection, (id_ for id_, _ in heard))
        reports: dict[UUID, Event] = {}
        last: dict[UUID, Event] = {}
        for id_, event in heard:
            try:
                fact = event.fact
            except Malformed:
                log.error("fact_unreadable", type=event.type, event_id=str(event.id), contact=event.subject)
                continue
            contacts[id_] = by_type[event.type](contacts[id_], event, fact)
            last[id_] = event
            if event.type == ContactReceived.TYPE and is_made_whole(contacts[id_]):
                reports[id_] = event
        due = [id_ for id_, contact in contacts.items() if opens_by_itself(contact)]
        kept = await contact_table.take_reports(connection, [contacts[id_] for id_ in due if id_ not in reports])
        reports |= dict(zip(kept, await opened(connection, [*kept.values()]), strict=True))
        keys = await keys_of(connection, keyring, due)
        appends: list[Append] = []
        owners: dict[str, str | None] = {}
        for id_ in due:
            contacts[id_], made = open_report(
                contacts[id_], reports.pop(id_).fact, last[id_], source=keyring.source, keys=keys[id_]
            )
            appends += made
            owners |= incident_owners(made)
        await contact_table.keep_reports(
            connection, {id_: event for id_, event in reports.items() if contacts[id_].disposition is None}
        )
        await contact_table.save(connection, list(contacts.values()))
        await contact_table.involve(connection, [], owners)
        await contact_table.involve_anew(connection, contacts.values())
        return appends

    return apply


async def keys_of(connection: Connection, keyring: Keyring, contacts: Sequence[UUID]) -> dict[UUID, Keys]:
    """Of each contact's stream and of the incident's that it opens; made, where there are none, and that is so where
    nothing was said yet, unless a key is refused."""
    if not contacts:
        return {}
    names = {id_: (str(id_), incident_id(str(id_))) for id_ in contacts}
    subjects = [subject for pair in names.values() for subject in pair]
    streams = await load_many_keyed(connection, subjects, keyring.source)
    return {
        id_: Keys(*(keyring.key_of(subject, streams[subject].key) for subject in pair)) for id_, pair in names.items()
    }


def open_report(
    contact: Contact, received: ContactReceived, last: Event, *, source: str, keys: Keys
) -> tuple[Contact, list[Append]]:
    """The contact after its report opened the incident, and what to append."""
    decision = decide(None, None, incident_of_report(contact, received))
    now = datetime.now(UTC)
    (disposed,) = decision.on_contact
    appends = appends_of(decision, contact, None, source=source, time=now, keys=keys, traceparent=last.traceparent)
    return after_disposal(contact, disposed, now), appends
