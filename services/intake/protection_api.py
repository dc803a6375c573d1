"""Intake's REST API for those who protect personal data: what must be kept, what is wrong, what must go.

Nothing here is one person's secret: every hold, duty, correction and erasure is an event in the contact's stream, with
who said so and by what authority.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Depends, Path
from starlette.requests import Request
from starlette.responses import Response
from uuid_utils import uuid7

from libs.service.access import Belongs, allow, may_know
from libs.service.bodies import Answer
from libs.service.caller import Caller
from libs.service.idempotency import IdempotencyKey, keyed
from libs.service.problem import Conflicting, NotFound, responses
from libs.service.trace import Shown, WhyHeaders, leave
from services.intake.api import REFUSED_CHANGES, ContactId
from services.intake.contact import Refused
from services.intake.decisions import Decision
from services.intake.desk import Desk
from services.intake.erasing import Admit, Eraser
from services.intake.json_route import JsonBytes, JsonRoute
from services.intake.known import Contact
from services.intake.protection import (
    Command,
    Erase,
    Hindrance,
    LiftDuty,
    LiftHold,
    PlaceDuty,
    PlaceHold,
    Rectify,
    StillNeeded,
    decide,
)
from services.intake.protection_models import (
    Corrections,
    DutyBody,
    DutyTaken,
    ErasureBody,
    ErasureView,
    Found,
    HindranceView,
    HoldBody,
    HoldTaken,
    LiftBody,
    Lifted,
    RectificationBody,
    RectificationTaken,
    correction_view,
    erasure_view,
)

protects = APIRouter(prefix="/v1/contacts", route_class=JsonRoute, tags=["data protection"])
reports = APIRouter(prefix="/v1/contacts", tags=["data protection"])

HoldId: TypeAlias = Annotated[str, Path(description="The hold's id.", max_length=64)]
DutyId: TypeAlias = Annotated[str, Path(description="The duty's id.", max_length=64)]

Operation: TypeAlias = Literal["place_hold", "lift_hold", "place_duty", "lift_duty", "rectify_contact"]


def _made(model: type[Answer], description: str) -> dict[int | str, dict[str, Any]]:
    return {201: {"model": model, "description": description}} | REFUSED_CHANGES


def _done(model: type[Answer], description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, "description": description}} | REFUSED_CHANGES


@protects.post(
    "/{contact_id}/erasure",
    status_code=202,
    responses=REFUSED_CHANGES
    | {
        202: {"model": ErasureView, "description": "It is erased; who has not confirmed it yet is named."},
        200: {"model": ErasureView, "description": "It was erased, and every service has confirmed it."},
    },
)
async def erase_contact(
    request: Request,
    contact_id: ContactId,
    body: ErasureBody,
    caller: Annotated[Caller, Depends(allow("erase_contact"))],
) -> Response:
    """Make what identifies a person in a contact unreadable, for everybody and for good.

    Refused (409) while a crime that it led to, a retention duty that is not over, or a legal hold stands: `hindrances`
    names each. Asked for again, it is one erasure: no `Idempotency-Key` is needed. Facts, counts and routing stay.
    """
    now = datetime.now(UTC)
    command = Erase(by=caller.subject, authority=body.authority, at=now, reason=body.reason)
    try:
        contact, found = await _eraser(request).erase(caller, contact_id, command, _admits("erase_contact", caller))
    except StillNeeded as needed:
        raise Conflicting(str(needed), hindrances=_named(needed.hindrances)) from None
    view = _erasure(request, contact, found)
    return _answer(view, 200 if view.state == "confirmed" else 202)


@reports.get("/{contact_id}/erasure", response_model=ErasureView, responses=responses(401, 403, 404, 503))
async def show_erasure(
    request: Request, contact_id: ContactId, caller: Annotated[Caller, Depends(allow("show_erasure"))]
) -> Response:
    """Show how a contact's erasure stands: which service has confirmed it, and by when the last bytes are gone; or,
    where it was not erased, what stands in the way."""
    contact, found = await _eraser(request).look(caller, contact_id, datetime.now(UTC), _admits("show_erasure", caller))
    return _answer(_erasure(request, contact, found))


@protects.post("/{contact_id}/holds", status_code=201, responses=_made(HoldTaken, "The hold stands."))
async def place_hold(
    request: Request,
    contact_id: ContactId,
    body: HoldBody,
    caller: Annotated[Caller, Depends(allow("place_hold"))],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Keep the contact from erasure until the hold is lifted."""
    command = PlaceHold(
        hold=str(uuid7()), by=caller.subject, authority=body.authority, at=datetime.now(UTC), reason=body.reason
    )
    contact, made = await _change(request, contact_id, command, command.hold, caller, idempotency_key, "place_hold")
    placed = next((hold for hold in contact.holds if hold.placed.hold == made), None)
    if placed is None:
        raise Conflicting("The hold that this key placed has been lifted since.")
    return _answer(
        HoldTaken(
            id=made,
            contact=contact.id,
            authority=placed.placed.authority,
            reason=placed.placed.reason,
            by=placed.placed.by,
            since=placed.since,
        ),
        201,
    )


@protects.post("/{contact_id}/holds/{hold_id}/lift", responses=_done(Lifted, "The hold stands no more."))
async def lift_hold(
    request: Request,
    contact_id: ContactId,
    hold_id: HoldId,
    body: LiftBody,
    caller: Annotated[Caller, Depends(allow("lift_hold"))],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """End a hold."""
    command = LiftHold(hold=hold_id, by=caller.subject, authority=body.authority, at=datetime.now(UTC))
    contact, _ = await _change(
        request, contact_id, command, str(uuid7()), caller, idempotency_key, "lift_hold", target=hold_id
    )
    return _answer(Lifted(contact=contact.id, id=hold_id))


@protects.post("/{contact_id}/duties", status_code=201, responses=_made(DutyTaken, "The duty stands."))
async def place_duty(
    request: Request,
    contact_id: ContactId,
    body: DutyBody,
    caller: Annotated[Caller, Depends(allow("place_duty"))],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Keep the contact from erasure until a day."""
    command = PlaceDuty(
        duty=str(uuid7()),
        by=caller.subject,
        authority=body.authority,
        at=datetime.now(UTC),
        reason=body.reason,
        until=body.until,
    )
    contact, made = await _change(request, contact_id, command, command.duty, caller, idempotency_key, "place_duty")
    placed = next((duty for duty in contact.duties if duty.placed.duty == made), None)
    if placed is None:
        raise Conflicting("The duty that this key placed has been lifted since.")
    return _answer(
        DutyTaken(
            id=made,
            contact=contact.id,
            authority=placed.placed.authority,
            reason=placed.placed.reason,
            by=placed.placed.by,
            since=placed.since,
            until=placed.placed.until,
        ),
        201,
    )


@protects.post("/{contact_id}/duties/{duty_id}/lift", responses=_done(Lifted, "The duty stands no more."))
async def lift_duty(
    request: Request,
    contact_id: ContactId,
    duty_id: DutyId,
    body: LiftBody,
    caller: Annotated[Caller, Depends(allow("lift_duty"))],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """End a retention duty before its day."""
    command = LiftDuty(duty=duty_id, by=caller.subject, authority=body.authority, at=datetime.now(UTC))
    contact, _ = await _change(
        request, contact_id, command, str(uuid7()), caller, idempotency_key, "lift_duty", target=duty_id
    )
    return _answer(Lifted(contact=contact.id, id=duty_id))


@protects.post(
    "/{contact_id}/rectifications", status_code=201, responses=_made(RectificationTaken, "What is right is shown.")
)
async def rectify_contact(
    request: Request,
    contact_id: ContactId,
    body: RectificationBody,
    caller: Annotated[Caller, Depends(allow("rectify_contact"))],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Put right what is wrong in a contact. Everybody is shown the right value; the wrong one auditors alone.

    A corrected location that a decision rests on is decided on anew. An incident keeps what it was opened with.
    """
    command = Rectify(
        rectification=str(uuid7()),
        by=caller.subject,
        authority=body.authority,
        at=datetime.now(UTC),
        member=body.member,
        id=body.id,
        reason=body.reason,
        text=body.right(),
        shape=body.shape.shape() if body.shape is not None else None,
    )
    contact, made = await _change(
        request, contact_id, command, command.rectification, caller, idempotency_key, "rectify_contact"
    )
    taken = next(one for one in contact.corrections if one.rectified.rectification == made)
    return _answer(
        RectificationTaken(
            rectification=made,
            contact=contact.id,
            member=taken.rectified.member,
            id=body.id,
            by=taken.rectified.by,
            at=taken.at,
        ),
        201,
    )


@reports.get("/{contact_id}/rectifications", response_model=Corrections, responses=responses(401, 403, 404, 503))
async def list_rectifications(
    request: Request,
    contact_id: ContactId,
    caller: Annotated[Caller, Depends(allow("list_rectifications"))],
    why: WhyHeaders,
) -> Response:
    """Show what was put right in a contact: when, by whom and why, and what stood there before."""
    found = await _desk(request).find(caller, contact_id)
    contact = found.contact
    _admits("list_rectifications", caller)(contact, found.decision)
    await leave(request, caller, Shown(found.force, "contact", (contact.id,), found.in_hand), why=why)
    return _answer(
        Corrections(
            contact=contact.id,
            erased_at=contact.erasure.at if contact.erasure else None,
            corrections=[correction_view(one) for one in contact.corrections],
        )
    )


async def _change(
    request: Request,
    contact_id: str,
    command: Command,
    made: str,
    caller: Caller,
    idempotency_key: str | None,
    operation: Operation,
    *,
    target: str = "",
) -> tuple[Contact, str]:
    key = await keyed(request, idempotency_key, caller, operation, target=target)
    try:
        changed = await _desk(request).change(
            caller,
            contact_id,
            lambda contact: decide(contact, command),
            made=made,
            keyed=key,
            found=_admits(operation, caller),
        )
        return changed.contact, changed.made
    except Refused as refused:
        raise Conflicting(str(refused)) from None


def _admits(operation: str, caller: Caller) -> Admit:
    """Whose the contact is, says the router; until it has, nobody's, and so the alliance's."""

    def admit(contact: Contact, decision: Decision | None) -> None:
        routed = decision.routed if decision is not None else None
        thing = Belongs.to(
            routed.owning_force if routed else None,
            presented=contact.received.presented_force,
            gateway=contact.received.gateway,
            alliances=routed is not None and routed.cause == "no-queue",
        )
        if not may_know(operation, caller, thing):
            raise NotFound

    return admit


def _named(hindrances: tuple[Hindrance, ...]) -> list[dict[str, Any]]:
    return [HindranceView.of(one).model_dump(mode="json", by_alias=True) for one in hindrances]


def _erasure(request: Request, contact: Contact, found: Found) -> ErasureView:
    backups: timedelta = request.app.state.backups_gone_after
    return erasure_view(contact, found, backups=backups)


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _eraser(request: Request) -> Eraser:
    eraser: Eraser = request.app.state.eraser
    return eraser


def _answer(answer: Answer, status: int = 200) -> Response:
    return JsonBytes(answer.json_bytes(), status)
