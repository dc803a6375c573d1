"""Recording's REST API: what contacts came to, the incidents they led to, what is still owed, and the audit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request

from libs.events.log.scope import Scope
from libs.events.log.store import load_keyed
from libs.events.types import Fact
from libs.service import cursors
from libs.service.access import Belongs, allow, may_know
from libs.service.bodies import Slug
from libs.service.caller import Caller
from libs.service.cursors import CursorQuery
from libs.service.idempotency import IdempotencyKey, keyed
from libs.service.problem import Conflicting, NotFound, responses
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
    return _disposed(contact_id, await _desk(request).dispose(contact_id, body, caller, key))


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
) -> IncidentView:
    """Show an incident as it stands this moment."""
    desk = _desk(request)
    stream = await load_keyed(desk.database, str(incident_id), Scope(caller.visible))
    events = desk.keyring.opened(*stream)
    incident = incident_of(event.fact for event in events)
    if incident is None:
        raise NotFound
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
) -> AuditView:
    """Every event about a contact and the incident it led to, in order, without what identifies a person.

    A read model: a moment behind what was just answered.
    """
    database = _desk(request).database
    seen = Scope(caller.visible)
    if await contact_table.read(database, seen, contact) is None:
        raise NotFound
    entries, complete = await history_of(database, seen, str(contact))
    return AuditView(
        contact=contact, complete=complete, events=[AuditEntryView.model_validate(entry) for entry in entries]
    )


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
