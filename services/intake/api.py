"""Intake's REST API: a contact comes in on a channel, grows, ends, and can be looked at.

Every POST takes an `Idempotency-Key`; those that open a contact take `Prefer: wait=N` too. A 201 means that it is on
disk.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from fastapi import APIRouter, Depends, Header, Path
from starlette.requests import Request
from starlette.responses import Response
from uuid_utils import uuid7

from libs.events.types.contacts import ContactReceived
from libs.service.access import allow
from libs.service.bodies import Answer, Body, Words
from libs.service.caller import Caller
from libs.service.idempotency import IdempotencyKey, keyed
from libs.service.problem import Conflicting, Fault, Invalid, responses
from libs.service.rates import refuse_unless
from libs.service.trace import Shown, WhyHeaders, leave
from services.intake import online, reference, telephone, web
from services.intake.answers import (
    ContactEnd,
    ContactTaken,
    ContactView,
    LegTaken,
    LocationTaken,
    MessageTaken,
    contact_taken,
    routing_of,
    view_of,
)
from services.intake.contact import (
    AddLeg,
    AddLocation,
    AddMessage,
    Change,
    EndContact,
    EndReason,
    Refused,
    Sender,
    decide,
)
from services.intake.contact import end_of as the_end_of
from services.intake.desk import Changed, Desk
from services.intake.json_route import JsonBytes, JsonRoute
from services.intake.legs import known_as
from services.intake.models import Identifier, LocationBody, Time
from services.intake.online import OnlineContact
from services.intake.telephone import LegBody, TelephoneContact
from services.intake.waits import MAX_WAIT_S, wait_preferred
from services.intake.web import WebContact

SEES_PERSONS = frozenset({"handler", "supervisor", "recorder", "registrar"})
"""Who is shown what identifies a person. A gateway is not told again what it told us."""

takes = APIRouter(prefix="/v1/contacts", route_class=JsonRoute, tags=["contacts"])
shows = APIRouter(prefix="/v1/contacts", tags=["contacts"])

_B = TypeVar("_B", bound=Body)

Prefer: TypeAlias = Annotated[
    str | None,
    Header(
        alias="Prefer",
        description=f"`wait=N` (RFC 7240): hold the answer until the contact is routed, at most N seconds (at most "
        f"{MAX_WAIT_S}). `Preference-Applied` says how long was meant.",
    ),
]
ContactId: TypeAlias = Annotated[str, Path(description="The contact's id, or its reference.", max_length=64)]

REFUSALS: dict[int | str, dict[str, Any]] = responses(400, 401, 403, 413, 415, 422, 429, 503)
REFUSED_CHANGES: dict[int | str, dict[str, Any]] = REFUSALS | responses(404, 409)


def _taken(model: type[Answer], description: str) -> dict[int | str, dict[str, Any]]:
    location = {"description": "The contact's address.", "schema": {"type": "string"}}
    return {201: {"model": model, "description": description, "headers": {"Location": location}}}


ENDED: dict[int | str, dict[str, Any]] = {200: {"model": ContactEnd, "description": "The contact has ended."}}
OPENED = _taken(ContactTaken, "The contact is on disk.") | REFUSALS


class MessageBody(Body):
    text: Words
    sender: Sender | None = None
    """Left out: `caller` from a gateway, `handler` from anybody else, who may say nothing else."""
    emergency: bool = False
    """This message turns the contact into an emergency."""


class EndBody(Body):
    reason: EndReason
    ended_at: Time | None = None
    """When it ended on the network; left out: now."""
    call_id: Identifier | None = None
    """Of a gateway's leg that ended; left out: all of its own. The contact ends with its last leg."""


@takes.post("/telephone", status_code=201, responses=OPENED)
async def receive_telephone(
    request: Request,
    body: TelephoneContact,
    caller: Annotated[Caller, Depends(allow("receive_telephone"))],
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Take a call."""
    return await _receive(request, body, telephone.received, caller, idempotency_key, prefer, "receive_telephone")


@takes.post("/web", status_code=201, responses=OPENED)
async def receive_web(
    request: Request,
    body: WebContact,
    caller: Annotated[Caller, Depends(allow("receive_web"))],
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Take a report made whole on a web form."""
    return await _receive(request, body, web.received, caller, idempotency_key, prefer, "receive_web")


@takes.post("/online", status_code=201, responses=OPENED)
async def receive_online(
    request: Request,
    body: OnlineContact,
    caller: Annotated[Caller, Depends(allow("receive_online"))],
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Take the beginning of a conversation in writing."""
    return await _receive(request, body, online.received, caller, idempotency_key, prefer, "receive_online")


@takes.post(
    "/{contact_id}/locations", status_code=201, responses=_taken(LocationTaken, "It is known.") | REFUSED_CHANGES
)
async def add_location(
    request: Request,
    contact_id: ContactId,
    body: LocationBody,
    caller: Annotated[Caller, Depends(allow("add_location"))],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Say where the caller is, or the incident. Welcome after the end, too."""
    place, shape = body.located()
    contact, made, _ = await _change(
        request, contact_id, AddLocation(place, shape), place.id, caller, idempotency_key, "add_location"
    )
    known_at = next(known.known_at for known in contact.locations if known.location.id == made)
    return _created(LocationTaken(id=made, contact=contact.id, known_at=known_at), contact.id)


@takes.post("/{contact_id}/messages", status_code=201, responses=_taken(MessageTaken, "It is kept.") | REFUSED_CHANGES)
async def add_message(
    request: Request,
    contact_id: ContactId,
    body: MessageBody,
    caller: Annotated[Caller, Depends(allow("add_message"))],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Add what was written, or said. An ended conversation takes no more: open a new contact."""
    command = AddMessage(
        message_id=str(uuid7()), sender=_sender(body.sender, caller), text=body.text, emergency=body.emergency
    )
    contact, made, _ = await _change(
        request, contact_id, command, command.message_id, caller, idempotency_key, "add_message"
    )
    known_at = next(known.known_at for known in contact.messages if known.message.message_id == made)
    return _created(MessageTaken(id=made, contact=contact.id, known_at=known_at), contact.id)


@takes.post("/{contact_id}/legs", status_code=201, responses=_taken(LegTaken, "It is known.") | REFUSED_CHANGES)
async def add_leg(
    request: Request,
    contact_id: ContactId,
    body: LegBody,
    caller: Annotated[Caller, Depends(allow("add_leg"))],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Say that the network presents the call once more: one contact, one more leg. The gateway need not be the one that
    brought it; it may then add to the contact and end its own legs, and is not shown it."""
    leg = telephone.leg_added(body, gateway=caller.subject)
    contact, _, decision = await _change(
        request, contact_id, AddLeg(leg), leg.leg_id, caller, idempotency_key, "add_leg"
    )
    [known] = known_as(contact.legs, caller.subject, body.call_id)
    answer = LegTaken(
        id=known.id,
        contact=contact.id,
        call_id=body.call_id,
        known_at=known.added_at,
        routing=routing_of(decision),
    )
    return _created(answer, contact.id)


@takes.post(
    "/{contact_id}/end",
    responses=ENDED | REFUSED_CHANGES,
)
async def end_contact(
    request: Request,
    contact_id: ContactId,
    body: EndBody,
    caller: Annotated[Caller, Depends(allow("end_contact"))],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Say that the contact has ended on its channel; as a gateway: that its own legs have, or the one of the `callId`.
    The contact ends with its last leg, or when staff say so. The same end told again is the same end."""
    staff = not caller.roles.isdisjoint({"handler", "supervisor"})
    if staff and body.call_id is not None:
        raise Invalid(
            "Only a gateway may say that a leg has ended: staff end the contact.",
            faults=[Fault("must be left out", pointer="/callId")],
        )
    gateway = None if staff else caller.subject
    command = EndContact(
        reason=body.reason, ended_at=body.ended_at, heard_at=datetime.now(UTC), gateway=gateway, call_id=body.call_id
    )
    contact, _, _ = await _change(request, contact_id, command, str(uuid7()), caller, idempotency_key, "end_contact")
    end = the_end_of(contact, gateway, body.call_id)
    assert end is not None
    goes_on = contact.ended is None
    return _answer(ContactEnd(contact=contact.id, reason=end.reason, ended_at=end.ended_at, goes_on=goes_on))


@shows.get("/{contact_id}", response_model=ContactView, responses=responses(401, 403, 404, 422, 503))
async def show_contact(
    request: Request,
    contact_id: ContactId,
    caller: Annotated[Caller, Depends(allow("show_contact"))],
    why: WhyHeaders,
) -> Response:
    """Show a contact as it stands, with every location and the latest decision. A gateway is shown no personal data.

    That somebody is shown it is written down before he is. Where the contact is not in his hands, nor opened for one
    that is, he says for what. Another force's contact is opened for whom it is, or was, in the hands of, or by
    break-glass.
    """
    opened = await _desk(request).open(caller, contact_id, why)
    contact, personal = opened.contact, not SEES_PERSONS.isdisjoint(caller.roles)
    shown = Shown(opened.force, "contact", (contact.id,), opened.in_hand, opened.broke_glass)
    await leave(request, caller, *([shown] if personal else []), why=why)
    return _answer(view_of(contact, opened.decision, personal=personal))


async def _receive(
    request: Request,
    body: _B,
    received: Callable[..., ContactReceived],
    caller: Caller,
    idempotency_key: str | None,
    prefer: str | None,
    operation: Literal["receive_telephone", "receive_web", "receive_online"],
) -> Response:
    wait_s = wait_preferred(prefer)
    contact = received(body, gateway=caller.subject, reference=reference.draw())
    refuse_unless(contact.emergency, request.scope)
    receipt, decision = await _desk(request).receive(
        contact,
        keyed=await keyed(request, idempotency_key, caller, operation),
        wait_s=wait_s,
    )
    applied = [] if wait_s is None else [(b"preference-applied", b"wait=%d" % wait_s)]
    return JsonBytes(contact_taken(receipt, decision), 201, [_location_of(receipt.contact), *applied])


async def _change(
    request: Request,
    contact_id: str,
    command: Change,
    made: str,
    caller: Caller,
    idempotency_key: str | None,
    operation: Literal["add_location", "add_message", "add_leg", "end_contact"],
) -> Changed:
    key = await keyed(request, idempotency_key, caller, operation)
    try:
        return await _desk(request).change(
            caller,
            contact_id,
            lambda contact: decide(contact, command),
            made=made,
            keyed=key,
            leg=isinstance(command, AddLeg),
            found=lambda contact, _: refuse_unless(contact.emergency or _is_urgent(command), request.scope),
        )
    except Refused as refused:
        raise Conflicting(str(refused)) from None


def _is_urgent(command: Change) -> bool:
    return isinstance(command, AddMessage) and command.emergency


def _sender(claimed: Sender | None, caller: Caller) -> Sender:
    """Who wrote a message: a gateway says so, staff speak for themselves alone. Raises Invalid."""
    if "gateway" in caller.roles:
        return claimed or "caller"
    if claimed not in (None, "handler"):
        raise Invalid(
            "Only a gateway may say that somebody else wrote the message.",
            faults=[Fault("must be handler, or left out", pointer="/sender")],
        )
    return "handler"


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _answer(answer: Answer) -> Response:
    return JsonBytes(answer.json_bytes())


def _created(answer: Answer, contact: str) -> Response:
    return JsonBytes(answer.json_bytes(), 201, [_location_of(contact)])


def _location_of(contact: str) -> tuple[bytes, bytes]:
    return b"location", b"/v1/contacts/%b" % contact.encode()
