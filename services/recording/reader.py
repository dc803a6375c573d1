"""What recording does with the facts it hears: it keeps the table of contacts and opens incidents of whole reports.

Invariant: a contact's row, its report's incident and the reader's checkpoint change in one transaction, with the row
locked. So a report opens its incident exactly once, however many copies read and however often an event comes again.

A fact that cannot be read changes nothing, and its contact is known and owed all the same: parked, it would hold back
what the router says of the contact, and nobody could dispose of it. The router parks such a fact, the audit shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
import structlog

from libs.events.envelope import Event, Malformed
from libs.events.log.consumer import Apply
from libs.events.log.database import Connection
from libs.events.log.store import Append
from libs.events.types import Fact
from libs.events.types.contacts import ContactReceived
from services.recording import contact_table
from services.recording.contact import Contact
from services.recording.disposition import after_disposal, appends_of, incident_owners
from services.recording.incidents import decide
from services.recording.reports import incident_of_report, is_made_whole, opens_by_itself

log = structlog.get_logger(__name__)

Reaction: TypeAlias = Callable[[Contact, Event, Any], Contact]


def make_apply(reactions: Mapping[type[Fact], Reaction], source: str) -> Apply:
    """The shared reader's `apply`: each fact goes to its reaction, others say nothing to recording."""
    by_type = {fact.TYPE: reaction for fact, reaction in reactions.items()}

    async def apply(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
        heard = [(UUID(event.subject), event) for event in events if event.type in by_type]
        if not heard:
            return []
        contacts = await contact_table.lock(connection, (id_ for id_, _ in heard))
        reports: dict[UUID, bytes] = {}
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
                reports[id_] = event.data
        due = [id_ for id_, contact in contacts.items() if opens_by_itself(contact)]
        reports |= await contact_table.take_reports(connection, [id_ for id_ in due if id_ not in reports])
        appends: list[Append] = []
        owners: dict[str, str | None] = {}
        for id_ in due:
            contacts[id_], opened = open_report(contacts[id_], reports.pop(id_), last[id_], source)
            appends += opened
            owners |= incident_owners(opened)
        await contact_table.keep_reports(
            connection, {id_: data for id_, data in reports.items() if contacts[id_].disposition is None}
        )
        await contact_table.save(connection, list(contacts.values()))
        await contact_table.involve(connection, [], owners)
        await contact_table.involve_anew(connection, contacts.values())
        return appends

    return apply


def open_report(contact: Contact, data: bytes, last: Event, source: str) -> tuple[Contact, list[Append]]:
    """The contact after its report opened the incident, and what to append. `data` is the received event's."""
    decision = decide(None, None, incident_of_report(contact, _received.decode(data)))
    now = datetime.now(UTC)
    (disposed,) = decision.on_contact
    appends = appends_of(decision, contact, None, source=source, time=now, traceparent=last.traceparent)
    return after_disposal(contact, disposed, now), appends


_received = msgspec.json.Decoder(ContactReceived)
