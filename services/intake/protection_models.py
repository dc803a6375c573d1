"""What those are asked and answered who protect a contact's personal data: holds, duties, corrections, erasure.

Invariant: nothing that is said here for good is free text. A right value is personal, and sealed; an authority is a
reference, in printable ASCII.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self, TypeAlias

import msgspec
from pydantic import Field, ValidationError, model_validator

from libs.events.log.masters import TURNOVER_DAYS
from libs.events.types.contacts import DutyReason, ErasureReason, HoldReason, RectifiedMember, RectifiedPersonal
from libs.events.types.erasures import Service
from libs.service.bodies import PERSONAL, Answer, Body, Name, Words
from libs.service.shapes import ShapeBody
from services.intake.known import Contact, Correction
from services.intake.models import E164, Email, Identifier, Time
from services.intake.protection import Hindrance

Authority: TypeAlias = Annotated[Identifier, Field(examples=["DPO/2026/0117"])]
"""A case's, a court's or a request's reference: what gives the right. Kept for ever, so no person's name."""
RectificationReason: TypeAlias = Literal["request", "found-wrong", "court-order"]


class ErasureBody(Body):
    authority: Authority
    reason: ErasureReason


class HoldBody(Body):
    authority: Authority
    reason: HoldReason


class DutyBody(Body):
    authority: Authority
    reason: DutyReason
    until: Time
    """From this moment on the duty is over."""


class LiftBody(Body):
    authority: Authority


class _Number(Body):
    value: E164 | None


class _Email(Body):
    value: Email | None


class _Line(Body):
    value: Name | None


_FORMS: dict[RectifiedMember, type[_Number | _Email | _Line]] = {
    "calling-number": _Number,
    "contact-number": _Number,
    "email": _Email,
    "name": _Line,
    "handle": _Line,
    "safe-contact": _Line,
}
"""How a text is written when it is first said; words and messages are free."""


class RectificationBody(Body):
    member: RectifiedMember
    id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Of which message, or of which location; of nothing else."""
    text: Words | None = None
    """The right value; left out: there is none, what was kept was nobody's."""
    shape: ShapeBody | None = None
    """The right place, of a location."""
    authority: Authority
    reason: RectificationReason

    @model_validator(mode="after")
    def _fits_its_member(self) -> Self:
        if (self.member in ("message", "location")) != (self.id is not None):
            raise ValueError("`id` says which message or location is corrected, and belongs to those alone")
        if self.member == "location" and self.text is not None:
            raise ValueError("a location has a `shape`, and no `text`")
        if self.member != "location" and self.shape is not None:
            raise ValueError("`shape` belongs to a location alone")
        try:
            self.right()
        except ValidationError:
            raise ValueError("`text` is not of the form that this member has") from None
        return self

    def right(self) -> str | None:
        """The text as it is kept."""
        form = _FORMS.get(self.member)
        return self.text if form is None else form.model_validate({"value": self.text}).value


class HoldTaken(Answer):
    id: str
    contact: str
    authority: str
    reason: HoldReason
    by: str
    since: datetime


class DutyTaken(Answer):
    id: str
    contact: str
    authority: str
    reason: DutyReason
    by: str
    since: datetime
    until: datetime


class Lifted(Answer):
    contact: str
    id: str


class RectificationTaken(Answer):
    rectification: str
    contact: str
    member: RectifiedMember
    id: str | None
    by: str
    at: datetime


class HindranceView(Answer):
    """What stands in the way of an erasure."""

    kind: Literal["legal-hold", "retention-duty", "crime"]
    id: str
    """The hold's or duty's; of a crime, the incident's."""
    authority: str
    """The hold's or duty's; of a crime, its reference."""
    reason: str | None
    until: datetime | None

    @classmethod
    def of(cls, hindrance: Hindrance) -> HindranceView:
        return cls.model_validate(hindrance)


class Confirmation(Answer):
    service: Service
    source: str
    confirmed_at: datetime


class Remains(Answer):
    """Where bytes of what was erased, or of its key, may lie until when at the latest."""

    where: Literal["broker", "feeds", "database", "backups"]
    until: datetime
    why: str


class ErasureView(Answer):
    contact: str
    state: Literal["none", "confirming", "confirmed"]
    """`none`: it was not erased. `confirming`: nobody can read it who has heard of that, and not all have said so."""
    erased_at: datetime | None
    by: str | None
    authority: str | None
    reason: ErasureReason | None
    hindrances: list[HindranceView]
    """What stands in the way of an erasure now."""
    confirmed: list[Confirmation]
    awaited: list[Service]
    remains: list[Remains]
    incidents: list[str]
    """What the contact led to: records of their own, under keys of their own, that its erasure leaves as they are."""


class CorrectionView(Answer):
    rectification: str
    member: RectifiedMember
    id: str | None
    by: str
    authority: str
    reason: RectificationReason
    at: datetime
    before: Annotated[str | dict[str, Any] | None, PERSONAL]
    """What stood until then; null: nothing, or it was erased."""
    after: Annotated[str | dict[str, Any] | None, PERSONAL]


class Corrections(Answer):
    contact: str
    erased_at: datetime | None
    corrections: list[CorrectionView]


SERVICES: tuple[Service, ...] = ("intake", "router", "recording")
"""Who must confirm an erasure."""
BROKER_FORGETS = timedelta(days=1)
"""A key that was followed by its tombstone: `segment.ms` and `max.compaction.lag.ms` of `hueandcry.keys`."""
FEEDS_FORGET = timedelta(days=7, hours=2)
"""`retention.ms` of a force's feed, the hour for which a segment stays open, and what Kafka takes to remove it."""

MASTERS_GO = timedelta(days=TURNOVER_DAYS)
"""A master key is destroyed after this, once all that is still needed was wrapped by the next."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a contact's erasure besides the contact itself."""

    incidents: tuple[str, ...] = ()
    hindrances: tuple[Hindrance, ...] = ()
    confirmed: tuple[tuple[Service, str, datetime], ...] = ()


def erasure_view(contact: Contact, found: Found, *, backups: timedelta) -> ErasureView:
    erasure = contact.erasure
    confirmed = [
        Confirmation(service=service, source=source, confirmed_at=at) for service, source, at in found.confirmed
    ]
    awaited = [] if erasure is None else [one for one in SERVICES if one not in {c.service for c in confirmed}]
    return ErasureView(
        contact=contact.id,
        state="none" if erasure is None else "confirming" if awaited else "confirmed",
        erased_at=erasure.at if erasure else None,
        by=erasure.erased.by if erasure else None,
        authority=erasure.erased.authority if erasure else None,
        reason=erasure.erased.reason if erasure else None,
        hindrances=[HindranceView.of(one) for one in found.hindrances],
        confirmed=confirmed,
        awaited=awaited,
        remains=[] if erasure is None else _remains(erasure.at, backups),
        incidents=list(found.incidents),
    )


def _remains(at: datetime, backups: timedelta) -> list[Remains]:
    return [
        Remains(where="broker", until=at + BROKER_FORGETS, why="the keys' topic is compacted within a day"),
        Remains(where="feeds", until=at + FEEDS_FORGET, why="a force's feed is kept for seven days"),
        Remains(
            where="database",
            until=at + MASTERS_GO,
            why="dead rows and the write-ahead log hold the key wrapped by a master key that is destroyed by then",
        ),
        Remains(
            where="backups",
            until=at + max(MASTERS_GO, backups),
            why="a backup holds it likewise, and is itself removed by then",
        ),
    ]


def correction_view(correction: Correction) -> CorrectionView:
    fact = correction.rectified
    return CorrectionView(
        rectification=fact.rectification,
        member=fact.member,
        id=fact.message or (fact.location.id if fact.location else None),
        by=fact.by,
        authority=fact.authority,
        reason=fact.reason,
        at=correction.at,
        before=_value(correction.before),
        after=_value(fact.personal),
    )


def _value(personal: RectifiedPersonal | None) -> str | dict[str, Any] | None:
    if personal is None:
        return None
    if personal.shape is not None:
        built: dict[str, Any] = msgspec.to_builtins(personal.shape)
        return built
    return personal.text
