"""That an incident became a crime, which the force's own records system keeps; and the registrar's word that it is not.

Invariants: a crime is said of an incident once, under the reference that the records system gave it, by whoever owns
the incident; said again, it is the same. While one stands, intake erases none of the contacts that led to the incident.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from libs.events.envelope import events_of
from libs.events.log import scope
from libs.events.log.database import Database
from libs.events.log.errors import Conflict, Unavailable
from libs.events.log.scope import Scope
from libs.events.log.store import Append, append, load
from libs.events.types import Fact
from libs.events.types.recording import CrimeCancelled, IncidentCrimed
from services.recording.incidents import Incident, evolve, incident_of

TRIES = 5
MAX_CRIMES = 100
"""Of one incident."""


class IncidentUnknown(Exception):
    """No such incident, or none that the asker may know of."""


class TooManyCrimes(Exception):
    """The incident became a hundred crimes, and takes no more."""


class NoSuchCrime(Exception):
    """The incident is no crime of this reference."""


def crime(incident: Incident, reference: str, by: str) -> list[Fact]:
    """Nothing, where it is that crime already. Raises TooManyCrimes."""
    if reference in incident.crimes:
        return []
    if len(incident.crimes) >= MAX_CRIMES:
        raise TooManyCrimes
    return [IncidentCrimed(crime=reference, by=by)]


def cancel(incident: Incident, reference: str, by: str) -> list[Fact]:
    """Raises NoSuchCrime."""
    if reference not in incident.crimes:
        raise NoSuchCrime
    return [CrimeCancelled(crime=reference, by=by)]


async def change(
    database: Database,
    id_: UUID,
    seen: Scope,
    decide: Callable[[Incident], list[Fact]],
    admits: Callable[[Incident], bool],
    *,
    traceparent: str | None = None,
) -> Incident:
    """The incident after what is decided of it. Raises IncidentUnknown, what `decide` raises, Unavailable."""
    for _ in range(TRIES):
        try:
            async with database.transaction() as connection:
                await scope.begin(connection, seen)
                incident = incident_of(event.fact for event in await load(connection, str(id_)))
                if incident is None or not admits(incident):
                    raise IncidentUnknown
                facts = decide(incident)
                events = events_of(
                    facts,
                    source=database.source,
                    subject=str(id_),
                    after=incident.version,
                    force=incident.opened.owning_force,
                    traceparent=traceparent,
                )
                if events:
                    await append(connection, [Append(str(id_), incident.version, events)])
        except Conflict:
            continue
        for fact in facts:
            incident = evolve(incident, fact) or incident
        return incident
    raise Unavailable("the incident is changing too fast")
