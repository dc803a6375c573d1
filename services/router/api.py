"""The router's REST API: queues as they are, taking and giving back contacts, and where a contact is.

Everything is shown within the caller's forces; a contact or queue outside of them is not there (404).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from libs.alliance import Alliance
from libs.alliance.copy import AllianceCopy
from libs.events.log.database import Database
from libs.events.log.store import load
from libs.service import cursors
from libs.service.access import Belongs, allow, may_know
from libs.service.bodies import Body, Slug
from libs.service.caller import Caller
from libs.service.cursors import CursorQuery
from libs.service.idempotency import IdempotencyKey, keyed
from libs.service.problem import (
    Conflicting,
    Fault,
    Forbidden,
    Invalid,
    NotFound,
    Unavailable,
    responses,
)
from services.router import entries, handlers, queue
from services.router.answers import (
    ContactRouting,
    ContactTaken,
    QueueEntry,
    QueuePage,
    QueueState,
    QueueStates,
    ReleaseReason,
    RoutingState,
)
from services.router.contact import fold
from services.router.decide import NoDefaultQueue
from services.router.entries import FIRST, Length, Place
from services.router.handlers import OnCommit, Taker


@dataclass(frozen=True, slots=True)
class Desk:
    """What the API works with; stands in `app.state.desk`."""

    writer: Database
    reader: Database
    directory: AllianceCopy
    on_commit: OnCommit

    @property
    def alliance(self) -> Alliance:
        alliance = self.directory.current
        if alliance is None:
            raise Unavailable("The directory has not been read yet.")
        return alliance

    @property
    def directory_age_s(self) -> float:
        """Once the directory has been read."""
        return round(self.directory.age_s(), 3)


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk: TypeAlias = Annotated[Desk, Depends(_desk)]
ContactId: TypeAlias = Annotated[UUID, Path(description="The contact's id.")]
ForceId: TypeAlias = Annotated[Slug, Field(description="The force's id.")]
QueueId: TypeAlias = Annotated[Slug, Path(description="The queue's id.", examples=["bedfordshire-999"])]


class ClaimBody(Body):
    answering_force: ForceId | None = None
    """For which of the caller's forces the contact is answered; left out: the caller's only force, if it has one."""


class ReleaseBody(Body):
    reason: ReleaseReason = "unfinished"


class OwnerBody(Body):
    owning_force: ForceId


router = APIRouter(prefix="/v1")


@router.get("/queues", tags=["queues"], response_description="The queues, by id.")
async def list_queues(desk: AtDesk, caller: Annotated[Caller, Depends(allow("list_queues"))]) -> QueueStates:
    """The state of every queue that the caller may see."""
    alliance = desk.alliance
    lengths = await entries.lengths(desk.reader, handlers.scope_of(caller))
    known = alliance.queues
    return QueueStates(
        queues=[
            QueueState.of(name, known.get(name), lengths.get(name, Length()))
            for name in sorted(known.keys() | lengths.keys())
            if may_know("list_queues", caller, Belongs.to(_force_of(alliance, name)))
        ],
        directory_age_seconds=desk.directory_age_s,
    )


@router.get("/queues/{queue_id}", tags=["queues"], response_description="The queue.", responses=responses(404, 422))
async def show_queue(
    desk: AtDesk,
    queue_id: QueueId,
    caller: Annotated[Caller, Depends(allow("show_queue"))],
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: CursorQuery = None,
) -> QueuePage:
    """A queue and the contacts in it, in the order in which they will be taken."""
    state = await _queue("show_queue", desk, queue_id, caller)
    place = FIRST if after is None else cursors.read(after, Place, parameter="after")
    rows = await entries.page(desk.reader, handlers.scope_of(caller), queue_id, after=place, limit=limit + 1)
    return QueuePage(
        **dict(state),
        entries=[QueueEntry.of(row) for row in rows[:limit]],
        next=cursors.written(entries.place_of(rows[limit - 1])) if len(rows) > limit else None,
        directory_age_seconds=desk.directory_age_s,
    )


@router.post(
    "/queues/{queue_id}/claim",
    tags=["queues"],
    response_model=ContactTaken,
    response_description="The contact, in the caller's hands.",
    responses={204: {"description": "Nobody waits in this queue."}, **responses(404, 409, 422, 503)},
)
async def claim_next(
    request: Request,
    desk: AtDesk,
    queue_id: QueueId,
    caller: Annotated[Caller, Depends(allow("claim_next"))],
    body: ClaimBody | None = None,
    idempotency_key: IdempotencyKey = None,
) -> ContactTaken | Response:
    """Take the next contact: the most urgent, then the one that has waited longest. No other handler gets it.

    Under an `Idempotency-Key` it is taken once: sent again, the request is answered with the same contact, and with 409
    once that is no longer in the caller's hands.
    """
    await _queue("claim_next", desk, queue_id, caller)
    taker = Taker(handlers.scope_of(caller), caller.subject, _answering_force(caller, body), caller.site)
    key = await keyed(request, idempotency_key, caller, "claim_next", target=queue_id)
    try:
        taken = await handlers.claim_next(desk.writer, queue_id, taker, keyed=key, on_commit=desk.on_commit)
    except handlers.GivenBack:
        raise Conflicting("What this key took is no longer in your hands: take the next with a new key.") from None
    return Response(status_code=204) if taken is None else ContactTaken.of(taken)


@router.get(
    "/contacts/{contact_id}", tags=["contacts"], response_description="Where it is.", responses=responses(404, 422)
)
async def show_routing(
    desk: AtDesk, contact_id: ContactId, caller: Annotated[Caller, Depends(allow("show_routing"))]
) -> ContactRouting:
    """Where a contact is, and every decision that was made about it, in order."""
    subject = str(contact_id)
    events = await load(desk.reader, subject, handlers.scope_of(caller))
    if fold(map(entries.fact_of, events)).decision is None:
        raise NotFound
    return ContactRouting.told_by(subject, events)


@router.post(
    "/contacts/{contact_id}/release",
    tags=["contacts"],
    response_description="Where it is now.",
    responses=responses(403, 404, 409, 422),
)
async def release_contact(
    desk: AtDesk,
    contact_id: ContactId,
    caller: Annotated[Caller, Depends(allow("release_contact"))],
    body: ReleaseBody | None = None,
) -> RoutingState:
    """Give a contact back unfinished. It waits again where it belongs by now, at its old place in time."""
    subject = str(contact_id)
    with _refusals():
        contact = await handlers.release(
            desk.writer,
            subject,
            caller,
            reason=(body or ReleaseBody()).reason,
            on_commit=desk.on_commit,
        )
    return RoutingState.of(subject, contact)


@router.post(
    "/contacts/{contact_id}/owner",
    tags=["contacts"],
    response_description="Where it is now.",
    responses=responses(404, 409, 422),
)
async def confirm_owner(
    desk: AtDesk,
    contact_id: ContactId,
    body: OwnerBody,
    caller: Annotated[Caller, Depends(allow("confirm_owner"))],
) -> RoutingState:
    """Say which force owns the contact. If it waits, it moves there, keeping its place in time; no later location
    overrides it."""
    subject = str(contact_id)
    with _refusals():
        contact = await handlers.confirm_owner(
            desk.writer,
            subject,
            caller,
            force=body.owning_force,
            alliance=desk.alliance,
            on_commit=desk.on_commit,
        )
    return RoutingState.of(subject, contact)


@contextmanager
def _refusals() -> Iterator[None]:
    """What may not be done with a contact, for the person who asked."""
    try:
        yield
    except handlers.UnknownContact:
        raise NotFound from None
    except queue.NotAnswered:
        raise Conflicting("No handler has this contact: there is nothing to give back.") from None
    except queue.HeldByAnother:
        raise Forbidden("Another handler has this contact; a supervisor may give it back.") from None
    except NoDefaultQueue:
        raise Unavailable("The directory names no default queue just now.") from None
    except queue.UnknownForce:
        text = "is no force that the alliance knows"
        raise Invalid(f"/owningForce: {text}", faults=[Fault(text, pointer="/owningForce")]) from None


def _force_of(alliance: Alliance, queue_id: str) -> str | None:
    """Whose queue it is; one that the directory no longer knows is the alliance's."""
    defined = alliance.queues.get(queue_id)
    return defined.force if defined else None


async def _queue(
    operation: Literal["show_queue", "claim_next"], desk: Desk, queue_id: str, caller: Caller
) -> QueueState:
    """The queue's state. Raises NotFound where there is none that the caller may know of."""
    defined = desk.alliance.queues.get(queue_id)
    if not may_know(operation, caller, Belongs.to(_force_of(desk.alliance, queue_id))):
        raise NotFound
    length = await entries.length_of(desk.reader, handlers.scope_of(caller), queue_id)
    if defined is None and not length.length:
        raise NotFound
    return QueueState.of(queue_id, defined, length)


def _answering_force(caller: Caller, body: ClaimBody | None) -> str | None:
    said = body.answering_force if body else None
    if said is None:
        return next(iter(caller.forces)) if len(caller.forces) == 1 else None
    if said not in caller.forces:
        text = "is not one of the caller's forces"
        raise Invalid(f"/answeringForce: {text}", faults=[Fault(text, pointer="/answeringForce")])
    return said
