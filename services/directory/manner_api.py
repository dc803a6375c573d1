"""The directory's REST API: hours, holidays, greetings, crime references, overlays and the agreement, with history.
Read-only; nothing in it is personal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request

from libs.alliance import agreement, hours
from libs.alliance.crime_reference import Pattern
from libs.events.types.agreement import AgreementMade
from libs.events.types.contacts import Line
from libs.events.types.directory import EntityWithdrawn
from libs.london import LONDON
from libs.service.access import allow
from libs.service.at import At, AtAnyTime
from libs.service.bodies import Slug
from libs.service.problem import NotFound, responses
from services.directory.manner_answers import (
    AgreementAnswer,
    CrimeReferenceAnswer,
    DateHoursAnswer,
    DayHoursAnswer,
    ForceVersionAnswer,
    GreetingAnswer,
    HolidayAnswer,
    HolidaysAnswer,
    HoursAnswer,
    OverlayAnswer,
    PeriodAnswer,
    SharedServiceAnswer,
)
from services.directory.moments import Moment, Now, Then, known_at
from services.directory.stored import Picture

router = APIRouter(prefix="/v1", tags=["directory"])
ForceId: TypeAlias = Annotated[Slug | None, Query(description="Only this force's.")]


@router.get(
    "/hours",
    summary="Who is open when, and whether at a moment",
    description="By what was known at that moment; of a moment in the future, by what is known now.",
    dependencies=[Depends(allow("list_hours"))],
    responses=responses(404),
)
async def list_hours(request: Request, force: ForceId = None, at: AtAnyTime = None) -> list[HoursAnswer]:
    now = datetime.now(UTC)
    then, moment = known_at(request, at if at is not None and at <= now else None), at or now
    found = []
    for _, one in sorted(then.hours.items()):
        if force in (None, one.force):
            opening = hours.opening(one, hours.days_of(then.holidays, one.holidays), moment)
            found.append(
                HoursAnswer(
                    id=one.id,
                    of=one.of,
                    subject=one.subject,
                    force=one.force,
                    week=[DayHoursAnswer.model_validate(day) for day in one.week],
                    holidays=one.holidays,
                    on_holidays=[PeriodAnswer.model_validate(period) for period in one.on_holidays],
                    dates=[DateHoursAnswer.model_validate(day) for day in one.dates],
                    open=opening.is_open,
                    changes_at=opening.changes_at,
                    holiday=opening.holiday,
                )
            )
    return found


@router.get(
    "/holidays",
    summary="The calendars of holidays",
    dependencies=[Depends(allow("list_holidays"))],
    responses=responses(404),
)
async def list_holidays(then: Then) -> list[HolidaysAnswer]:
    return [
        HolidaysAnswer(
            id=one.id,
            name=one.name,
            force=one.force,
            includes=one.includes,
            days=[
                HolidayAnswer(date=day, name=name) for day, name in sorted(hours.days_of(then.holidays, one.id).items())
            ],
            until=hours.known_until(then.holidays, one.id),
            source=one.source,
        )
        for _, one in sorted(then.holidays.items())
    ]


@router.get(
    "/greetings",
    summary="What callers hear before anybody answers",
    dependencies=[Depends(allow("list_greetings"))],
    responses=responses(404),
)
async def list_greetings(
    then: Then,
    force: ForceId = None,
    line: Annotated[Line | None, Query(description="Only what is for this line, or for any.")] = None,
    language: Annotated[str | None, Query(max_length=35, description="Only in this language (RFC 5646).")] = None,
) -> list[GreetingAnswer]:
    return [
        GreetingAnswer.model_validate(one)
        for _, one in sorted(then.greetings.items())
        if force in (None, one.force)
        and (line is None or one.line in (None, line))
        and (language is None or one.language.lower() == language.lower())
    ]


@router.get(
    "/crime-references",
    summary="How each force writes its crime references",
    dependencies=[Depends(allow("list_crime_references"))],
    responses=responses(404),
)
async def list_crime_references(request: Request, force: ForceId = None, at: At = None) -> list[CrimeReferenceAnswer]:
    then, year = known_at(request, at), (at or datetime.now(UTC)).astimezone(LONDON).year
    return [
        CrimeReferenceAnswer(
            force=one.force,
            pattern=one.pattern,
            yearly=one.yearly,
            source=one.source,
            example=Pattern(one.pattern, yearly=one.yearly).write(year, 1),
        )
        for _, one in sorted(then.crime_references.items())
        if force in (None, one.force)
    ]


@router.get(
    "/overlays",
    summary="Railways, airports and other places where another force may be meant",
    description="They suggest, and never decide.",
    dependencies=[Depends(allow("list_overlays"))],
    responses=responses(404),
)
async def list_overlays(then: Then) -> list[OverlayAnswer]:
    return [
        OverlayAnswer(
            id=one.id,
            name=one.name,
            kind=one.kind,
            generation=one.generation,
            source=one.source,
            within_m=one.within_m,
            forces=sorted({feature.force for feature in one.features}),
            features=len(one.features),
        )
        for _, one in sorted(then.overlays.items())
    ]


@router.get(
    "/forces/{force}/history",
    summary="When what is known of a force was changed",
    description="Each version as it was: `GET /v1/forces/{force}?at=` with its `since`.",
    dependencies=[Depends(allow("list_force_versions"))],
    responses=responses(404),
)
async def list_force_versions(
    request: Request, now: Now, force: Annotated[str, Path(max_length=64)]
) -> list[ForceVersionAnswer]:
    picture: Picture = request.app.state.picture
    told = picture.told.of(f"force/{force}")
    if not told:
        raise NotFound("No force has or had this id: GET /v1/forces lists those that are known.")
    return [
        ForceVersionAnswer(version=one.version, since=one.since, withdrawn=isinstance(one.fact, EntityWithdrawn))
        for one in told
    ]


@router.get(
    "/agreement",
    summary="The agreement in force at a moment (Police Act 1996, section 22A)",
    description="By what is known now, for a version may have been written down later than it began; or with "
    "`known_at` by what was known then.",
    dependencies=[Depends(allow("get_agreement"))],
    responses=responses(404),
)
async def get_agreement(
    request: Request,
    moment: Moment,
    known: Annotated[At, Query(alias="known_at", description="By what was known then; not in the future.")] = None,
) -> AgreementAnswer:
    versions = known_at(request, known).agreements.values()
    version = agreement.in_force(versions, moment)
    if version is None:
        raise NotFound("No agreement is in force at that moment: GET /v1/agreements lists its versions.")
    return next(answer for answer in _agreements(versions) if answer.id == version.id)


@router.get(
    "/agreements",
    summary="Every version of the agreement, and when each is in force",
    dependencies=[Depends(allow("list_agreements"))],
    responses=responses(404),
)
async def list_agreements(then: Then) -> list[AgreementAnswer]:
    return _agreements(then.agreements.values())


def _agreements(versions: Iterable[AgreementMade]) -> list[AgreementAnswer]:
    return [
        AgreementAnswer(
            id=one.id,
            title=one.title,
            under=one.under,
            signed_on=one.signed_on,
            first_day=one.first_day,
            last_day=one.last_day,
            begins=begins,
            ends=ends,
            parties=list(one.parties),
            host=one.host,
            services=[
                SharedServiceAnswer(
                    id=service.id,
                    name=service.name,
                    shared_by=service.shared_by,
                    basis=service.basis,
                    figures={figure.force: figure.amount for figure in service.figures},
                    shares=agreement.shares(service),
                    data_controllers=list(service.data_controllers),
                    host=service.host or one.host,
                )
                for service in one.services
            ],
            document=one.document,
        )
        for one, begins, ends in agreement.spans(versions)
    ]
