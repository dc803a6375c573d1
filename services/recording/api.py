"""Recording's REST API: what contacts came to, the incidents they led to, what is still owed, and the audit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request

from libs.events.log.database import Database
from libs.events.log.scope import Scope
from libs.events.log.store import Stream, event_of
from libs.events.types import Fact
from libs.service import cursors
from libs.service.access import Belongs, allow, may_know
from libs.service.bodies import Slug
from libs.service.caller import Caller
from libs.service.cursors import CursorQuery
from libs.service.idempotency import IdempotencyKey, keyed
from libs.service.problem import Conflicting, NotFound, responses
from libs.service.trace import Shown, WhyHeaders, leave
from services.recording import contact_table, crimes
from services.recording.audit import history_of
from services.recording.contact_table import START, After
from services.recording.desk import Desk
from services.recording.disposition import Outcome
from services.recording.incident_list import NEWEST, page_of_incidents
from services.recording.incidents import Incident, incident_of
from services.recording.models import (
    MAX_PAGE,
    AuditEntryView,
    AuditView,
    CrimeBody,
    CrimesAnswer,
    DispositionAnswer,
    DispositionBody,
    IncidentAnswer,
    IncidentPage,
    IncidentView,
    ListedIncident,
    OwingContact,
    OwingCount,
    OwingPage,
)

router = APIRouter(prefix="/v1")

Limit: TypeAlias = Annotated[int, Query(ge=1, le=MAX_PAGE, description="The most that one page shows.")]
ByForce: TypeAlias = Annotated[Slug | None, Query(description="Of these, what this force owns.")]


_INCIDENT = "SELECT told, key, in_hand FROM incident_in_scope($1, $2, $3, $4)"


class Before(NamedTuple):
    """Where a page of incidents ended."""

    id: UUID


@router.post(
    "/contacts/{contact_id}/disposition", status_code=201, tags=["contacts"], responses=responses(404, 409, 422)
)
async def dispose_contact(
    request: Request,
    contact_id: Annotated[UUID, Path(description="The contact's id.")],
    body: DispositionBody,
    caller: Annotated[Caller, Depends(allow("dispose_contact"))],
    idempotency_key: IdempotencyKey = None,
) -> DispositionAnswer:
    """Say what a contact came to: once. The same said again is answered alike, whoever says it; another is refused.

    A contact that is not known here yet may be on its way: the answer waits for it up to two seconds. A handler
    disposes of contacts that somebody claimed or that ended, and of web reports; a supervisor or recorder also of one
    that still waits in a queue.

    An incident that is opened belongs to the force where it happened: `incident.location` decides, else the contact's
    own incident location, else `force`, else the contact's owner. Too close to a border to say, `force` decides if it
    is one of the candidates; else the owner is provisional.
    """
    key = await keyed(request, idempotency_key, caller, "dispose_contact")
    outcome = await _desk(request).dispose(contact_id, body, caller, key)
    await leave(request, caller, *_combined(str(contact_id), outcome, caller))
    return _disposed(contact_id, outcome)


@router.get("/contacts", tags=["contacts"], responses=responses(422))
async def list_owing_contacts(
    request: Request,
    disposition: Annotated[Literal["none"], Query(description="Only contacts that owe one are listed here.")],
    caller: Annotated[Caller, Depends(allow("list_owing_contacts"))],
    force: ByForce = None,
    limit: Limit = 50,
    cursor: CursorQuery = None,
) -> OwingPage:
    """Contacts without a disposition, and how many there are: those that ended first, then oldest first."""
    desk = _desk(request)
    seen, database = Scope(caller.visible), desk.database
    after = START if cursor is None else cursors.read(cursor, After, parameter="cursor")
    contacts = await contact_table.owing(database, seen, force, after, limit + 1)
    counts = await contact_table.count_owing(database, seen, force)
    page = contacts[:limit]
    last = page[-1] if len(contacts) > limit else None
    return OwingPage(
        counts=[OwingCount.model_validate(count) for count in counts],
        contacts=[OwingContact.model_validate(contact) for contact in page],
        next=None if last is None else cursors.written(After(last.ended_at is None, last.received_at, last.id)),
    )


@router.get("/incidents", tags=["incidents"], responses=responses(422))
async def list_incidents(
    request: Request,
    caller: Annotated[Caller, Depends(allow("list_incidents"))],
    force: ByForce = None,
    limit: Limit = 50,
    cursor: CursorQuery = None,
) -> IncidentPage:
    """Incidents that your forces own or that their contacts reported, newest report first.

    A read model: a moment behind what was just answered.
    """
    before = NEWEST if cursor is None else cursors.read(cursor, Before, parameter="cursor").id
    incidents = await page_of_incidents(
        _desk(request).database, Scope(caller.visible), force=force, before=before, limit=limit + 1
    )
    page = incidents[:limit]
    return IncidentPage(
        incidents=[ListedIncident.model_validate(incident) for incident in page],
        next=cursors.written(Before(page[-1].id)) if len(incidents) > limit else None,
    )


@router.get("/incidents/{incident_id}", tags=["incidents"], responses=responses(404, 422))
async def show_incident(
    request: Request,
    incident_id: Annotated[UUID, Path(description="The incident's id.")],
    caller: Annotated[Caller, Depends(allow("show_incident"))],
    why: WhyHeaders,
) -> IncidentView:
    """Show an incident as it stands this moment.

    That somebody is shown it is written down before he is. Where it is not opened for a contact in his hands, he says
    for what. Another force's incident is opened for whom a contact that led to it is, or was, in the hands of, or by
    break-glass.
    """
    desk = _desk(request)
    wide = Scope(caller.visible, caller.subject)
    home = Scope(caller.at_home, caller.subject)
    stream, in_hand = await read_incident(desk.database, incident_id, home, why.in_hand)
    if broke_glass := not stream.events and why.break_glass is not None:
        stream, in_hand = await read_incident(desk.database, incident_id, wide, why.in_hand)
    events = desk.keyring.opened(*stream)
    incident = incident_of(event.fact for event in events)
    if incident is None:
        raise NotFound
    ids = (str(incident_id),)
    await leave(request, caller, Shown(incident.opened.owning_force, "incident", ids, in_hand, broke_glass), why=why)
    return _view(incident_id, incident, events[0].time)


@router.post("/incidents/{incident_id}/crime", tags=["incidents"], responses=responses(404, 409, 422))
async def record_crime(
    request: Request,
    incident_id: Annotated[UUID, Path(description="The incident's id.")],
    body: CrimeBody,
    caller: Annotated[Caller, Depends(allow("record_crime"))],
) -> CrimesAnswer:
    """Say that an incident became a crime, under the reference of the force's records system. Again, it is the same.

    While it stands, no contact that led to the incident is erased.
    """
    decided = partial(crimes.crime, reference=body.reference, by=caller.subject)
    return await _crimes(request, incident_id, caller, "record_crime", decided)


@router.post("/incidents/{incident_id}/crime/cancel", tags=["incidents"], responses=responses(404, 409, 422))
async def cancel_crime(
    request: Request,
    incident_id: Annotated[UUID, Path(description="The incident's id.")],
    body: CrimeBody,
    caller: Annotated[Caller, Depends(allow("cancel_crime"))],
) -> CrimesAnswer:
    """The registrar's last word: no crime."""
    decided = partial(crimes.cancel, reference=body.reference, by=caller.subject)
    return await _crimes(request, incident_id, caller, "cancel_crime", decided)


async def _crimes(
    request: Request,
    incident_id: UUID,
    caller: Caller,
    operation: str,
    decided: Callable[[Incident], list[Fact]],
) -> CrimesAnswer:
    try:
        incident = await _desk(request).change_incident(
            incident_id,
            caller,
            decided,
            lambda incident: may_know(operation, caller, Belongs.to(incident.opened.owning_force)),
        )
    except crimes.IncidentUnknown:
        raise NotFound from None
    except (crimes.NoSuchCrime, crimes.TooManyCrimes) as refused:
        raise Conflicting(str(type(refused).__doc__)) from None
    return CrimesAnswer(incident=incident_id, crimes=list(incident.crimes), version=incident.version)


@router.get("/audit", tags=["audit"], responses=responses(404, 422))
async def show_audit(
    request: Request,
    contact: Annotated[UUID, Query(description="The contact's id.")],
    caller: Annotated[Caller, Depends(allow("show_audit"))],
    why: WhyHeaders,
) -> AuditView:
    """Every event about a contact and the incident it led to, in order, without what identifies a person.

    A read model: a moment behind what was just answered.
    """
    database = _desk(request).database
    seen = Scope(caller.visible)
    known = await contact_table.read(database, seen, contact)
    if known is None:
        raise NotFound
    entries, complete = await history_of(database, seen, str(contact))
    await leave(
        request, caller, Shown(known.owning_force or known.presented_force, "history", (str(contact),)), why=why
    )
    return AuditView(
        contact=contact, complete=complete, events=[AuditEntryView.model_validate(entry) for entry in entries]
    )


async def read_incident(database: Database, id_: UUID, seen: Scope, read_for: str | None) -> tuple[Stream, str | None]:
    """An incident's events with its key, and for which contact in the caller's hands it is read; none where it is not
    in the scope."""
    rows = await database.fetch(_INCIDENT, *seen, id_, read_for)
    stream = Stream([event_of(row["told"], database.source) for row in rows], rows[0]["key"] if rows else None)
    return stream, rows[0]["in_hand"] if rows else None


def _combined(contact: str, outcome: Outcome, caller: Caller) -> list[Shown]:
    """What was joined by a disposition: a contact with an incident that others led to."""
    if outcome.disposed.disposition != "joined-incident" or outcome.incident_id is None or outcome.incident is None:
        return []
    in_hand = contact if outcome.handler == caller.subject else None
    ids = (contact, outcome.incident_id)
    forces = dict.fromkeys((outcome.disposed.force, outcome.incident.opened.owning_force))
    return [Shown(force, "incident", ids, in_hand) for force in forces]


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


# Answers ------------------------------------------------------------------------------------------------------------


def _disposed(contact: UUID, outcome: Outcome) -> DispositionAnswer:
    incident = None
    if outcome.incident_id is not None and outcome.incident is not None:
        incident = IncidentAnswer(**_incident(UUID(outcome.incident_id), outcome.incident))
    return DispositionAnswer(
        contact=contact,
        disposition=outcome.disposed.disposition,
        by=outcome.disposed.by,
        disposed_at=outcome.disposed_at,
        incident=incident,
        transferred_to=outcome.disposed.transferred_to,
    )


def _view(id_: UUID, incident: Incident, opened_at: datetime) -> IncidentView:
    opened = incident.opened
    return IncidentView(
        **_incident(id_, incident),
        category=opened.category,
        reported_at=opened.reported_at,
        opened_at=opened_at,
        opened_by=opened.opened_by,
        contacts=list(incident.contacts),
        summary=opened.personal.summary if opened.personal is not None else None,
        place=opened.personal.place if opened.personal is not None else None,
        crimes=list(incident.crimes),
        version=incident.version,
    )


def _incident(id_: UUID, incident: Incident) -> dict[str, Any]:
    opened = incident.opened
    return {
        "id": id_,
        "reference": opened.reference,
        "owning_force": opened.owning_force,
        "owned_because": opened.owned_because,
        "provisional": opened.provisional,
    }
