"""What recording says of a contact that matters to its erasure: the incidents it led to, and the crimes those became.

A read model in intake's own database. Invariant: a crime's row is there while the crime stands. An incident's facts are
one stream, so its contacts are known before its crimes are.
"""

from __future__ import annotations

from collections.abc import Sequence

from libs.events.envelope import Event
from libs.events.log.database import Connection
from libs.events.types import BY_TYPE
from libs.events.types.recording import ContactJoined, CrimeCancelled, IncidentCrimed, IncidentOpened

HEARD = frozenset({IncidentOpened, ContactJoined, IncidentCrimed, CrimeCancelled})

_LINK = """
INSERT INTO contact_incident (contact, incident) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING
"""
_CRIME = "INSERT INTO incident_crime (incident, reference) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_NO_CRIME = "DELETE FROM incident_crime WHERE (incident, reference) = ($1, $2)"


async def keep(connection: Connection, events: Sequence[Event]) -> None:
    """Apply a batch of recording's events. Raises Malformed."""
    links: list[tuple[str, str]] = []
    crimes: list[tuple[str, str, str]] = []
    for event in events:
        match event.fact if BY_TYPE.get(event.type) in HEARD else None:
            case IncidentOpened(contact=contact) | ContactJoined(contact=contact):
                links.append((contact, event.subject))
            case IncidentCrimed(crime=reference):
                crimes.append((_CRIME, event.subject, reference))
            case CrimeCancelled(crime=reference):
                crimes.append((_NO_CRIME, event.subject, reference))
    if links:
        await connection.execute(_LINK, *(list(column) for column in zip(*links, strict=True)))
    for statement, incident, reference in crimes:  # few, and one may take back another
        await connection.execute(statement, incident, reference)
