"""Recording's REST API of who has looked at what: for auditors, data protection officers and supervisors.

To be shown it leaves a trace, too. Everything is a read model: a moment behind what was just answered.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import AfterValidator, AwareDatetime, Field
from starlette.requests import Request

from libs.events.log.scope import Scope
from libs.events.types.access import Act, Emergency, Finding, Kind, Purpose
from libs.service import cursors
from libs.service.access import ACCESS, allow
from libs.service.bodies import PERSONAL, Answer, Body, Words
from libs.service.caller import Caller
from libs.service.cursors import CursorQuery
from libs.service.problem import Fault, Invalid, responses
from libs.service.scopes import Scope as Ties
from libs.service.trace import Shown, WhyHeaders, leave
from services.recording import accesses
from services.recording.accesses import AccessEntry, After, Before
from services.recording.api import Limit
from services.recording.reviews import Reviews

router = APIRouter(prefix="/v1", tags=["access"])


def _storable(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the calendar") from None


Moment: TypeAlias = Annotated[AwareDatetime, AfterValidator(_storable)]


class AccessView(Answer):
    id: UUID
    force: str | None
    """Whose data it was; null: the alliance's own."""
    at: datetime
    reader: str
    roles: list[str]
    home_force: str | None
    act: Act
    operation: str
    kind: Kind
    ids: list[str]
    """What was shown, given or joined."""
    searched_by: list[str]
    """By what kinds of words it was looked for."""
    recipient: str | None
    in_hand: str | None
    """The contact in the reader's hands for which it was done."""
    purpose: Purpose | None
    break_glass: Emergency | None
    source: str
    words: Annotated[str | None, PERSONAL]
    """What the reader wrote of the reason."""


class AccessPage(Answer):
    accesses: list[AccessView]
    next: str | None
    """The cursor of the next page; null: this is the last."""


class BreakGlassView(AccessView):
    due_at: datetime
    """The end of the day after, in England."""


class BreakGlassPage(Answer):
    """What nobody has reviewed, what is due first first."""

    accesses: list[BreakGlassView]
    next: str | None


class ReviewBody(Body):
    finding: Finding
    words: Annotated[Words, Field(max_length=2_000)]
    """Why, and what was done about it."""


class ReviewAnswer(Answer):
    access: UUID
    finding: Finding
    by: str
    at: datetime


@router.get("/access", responses=responses(422))
async def list_accesses(
    request: Request,
    caller: Annotated[Caller, Depends(allow("list_accesses"))],
    why: WhyHeaders,
    contact: Annotated[UUID | None, Query(description="Of this contact.")] = None,
    incident: Annotated[UUID | None, Query(description="Of this incident.")] = None,
    reader: Annotated[str | None, Query(min_length=1, max_length=255, description="By this token's subject.")] = None,
    since: Annotated[Moment | None, Query(description="From this moment on.")] = None,
    until: Annotated[Moment | None, Query(description="Before this moment.")] = None,
    limit: Limit = 50,
    cursor: CursorQuery = None,
) -> AccessPage:
    """Who has looked at what, newest first: at a contact or an incident, by a reader, in a time."""
    if contact is not None and incident is not None:
        text = "name a contact or an incident, not both"
        raise Invalid(f"incident: {text}", faults=[Fault(text, parameter="incident")])
    thing = contact or incident
    before = accesses.NEWEST if cursor is None else cursors.read(cursor, Before, parameter="cursor")
    if until is not None and until < before.at:
        before = accesses.NEWEST._replace(at=until, id=UUID(int=0))
    found = await accesses.page_of_accesses(
        _reviews(request).database,
        _scope(caller),
        thing=None if thing is None else str(thing),
        reader=reader,
        since=since or accesses.OLDEST,
        before=before,
        limit=limit + 1,
    )
    page = found[:limit]
    asked = [name for name, given in (("contact", contact), ("incident", incident), ("reader", reader)) if given]
    await leave(request, caller, *_shown("accesses", page, caller, thing, asked), why=why)
    last = page[-1] if len(found) > limit else None
    return AccessPage(
        accesses=[AccessView.model_validate(entry) for entry in page],
        next=None if last is None else cursors.written(Before(last.at, last.id, last.force or "")),
    )


@router.get("/break-glass", responses=responses(422))
async def list_break_glass(
    request: Request,
    caller: Annotated[Caller, Depends(allow("list_break_glass"))],
    why: WhyHeaders,
    limit: Limit = 50,
    cursor: CursorQuery = None,
) -> BreakGlassPage:
    """What was opened of your own force by break-glass, and nobody has reviewed."""
    after = accesses.FIRST if cursor is None else cursors.read(cursor, After, parameter="cursor")
    found = await accesses.page_of_owed(_reviews(request).database, Scope(caller.at_home), after=after, limit=limit + 1)
    page = found[:limit]
    await leave(request, caller, *_shown("break-glass", page, caller, None, []), why=why)
    last = page[-1] if len(found) > limit else None
    return BreakGlassPage(
        accesses=[BreakGlassView.model_validate(entry) for entry in page],
        next=None
        if last is None or last.due_at is None
        else cursors.written(After(last.due_at, last.id, last.force or "")),
    )


@router.post("/break-glass/{access_id}/review", status_code=201, responses=responses(403, 404, 409, 422))
async def review_break_glass(
    request: Request,
    access_id: Annotated[UUID, Path(description="The access's id.")],
    body: ReviewBody,
    caller: Annotated[Caller, Depends(allow("review_break_glass"))],
) -> ReviewAnswer:
    """Say whether it was justified that a record of your own force was opened by break-glass. Once; and not of what you
    opened yourself."""
    made = await _reviews(request).review(access_id, body.finding, body.words, caller)
    return ReviewAnswer(access=made.access, finding=made.finding, by=made.by, at=made.at)


def _reviews(request: Request) -> Reviews:
    reviews: Reviews = request.app.state.reviews
    return reviews


def _scope(caller: Caller) -> Scope:
    """All forces of the token for who audits them, the home force for who supervises there."""
    scopes = ACCESS["list_accesses"].scopes
    audits = any(scopes.get(role) is Ties.ACCESSES for role in caller.roles)
    return Scope(caller.visible if audits else caller.at_home)


def _shown(kind: Kind, page: list[AccessEntry], caller: Caller, thing: UUID | None, asked: list[str]) -> list[Shown]:
    """That the audit was read: an event of each force of which something was shown, or of the reader's own."""
    forces = dict.fromkeys(entry.force for entry in page) or {caller.home: None}
    ids = () if thing is None else (str(thing),)
    return [Shown(force, kind, ids, searched_by=tuple(asked)) for force in forces]
