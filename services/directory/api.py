"""The directory's REST API: what the alliance is. Read-only; nothing in it is personal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeAlias, TypeVar

from fastapi import APIRouter, Depends, Path, Query

from libs.service.access import allow
from libs.service.at import At
from libs.service.bodies import Slug
from libs.service.problem import NotFound, responses
from services.directory.answers import (
    AllianceAnswer,
    AreaAnswer,
    BoundariesAnswer,
    ForceAnswer,
    LineAnswer,
    QueueAnswer,
    SiteAnswer,
)
from services.directory.moments import Now, Then

router = APIRouter(prefix="/v1", tags=["directory"])

_T = TypeVar("_T", ForceAnswer, SiteAnswer, QueueAnswer, LineAnswer)
ForceId: TypeAlias = Annotated[Slug | None, Query(description="Only this force's.")]


def _sorted(model: type[_T], facts: Iterable[object]) -> list[_T]:
    return sorted((model.model_validate(fact) for fact in facts), key=lambda answer: answer.id)


@router.get(
    "/alliance", summary="The alliance", dependencies=[Depends(allow("get_alliance"))], responses=responses(404)
)
async def get_alliance(then: Then, at: At = None) -> AllianceAnswer:
    assert then.defined is not None
    announced = then.boundaries.generation if then.boundaries else None
    return AllianceAnswer(
        id=then.defined.id,
        name=then.defined.name,
        default_queue=then.defined.default_queue,
        members=sorted(force.id for force in then.members),
        generation=announced if at is not None else then.generation,
        position=then.position,
    )


@router.get(
    "/forces", summary="Members and neighbours", dependencies=[Depends(allow("list_forces"))], responses=responses(404)
)
async def list_forces(
    then: Then, member: Annotated[bool | None, Query(description="Only members, or only neighbours.")] = None
) -> list[ForceAnswer]:
    return _sorted(ForceAnswer, (force for force in then.forces.values() if member in (None, force.member)))


@router.get(
    "/forces/{force}", summary="One force", dependencies=[Depends(allow("get_force"))], responses=responses(404)
)
async def get_force(then: Then, force: Annotated[str, Path(max_length=64)]) -> ForceAnswer:
    known = then.forces.get(force)
    if known is None:
        raise NotFound("No force has this id: GET /v1/forces lists those that are known.")
    return ForceAnswer.model_validate(known)


@router.get("/sites", summary="Where people sit", dependencies=[Depends(allow("list_sites"))], responses=responses(404))
async def list_sites(then: Then) -> list[SiteAnswer]:
    return _sorted(SiteAnswer, then.sites.values())


@router.get(
    "/queues",
    summary="The queues as they are defined",
    description="What waits in them is the router's to say.",
    dependencies=[Depends(allow("list_queue_definitions"))],
    responses=responses(404),
)
async def list_queue_definitions(then: Then, force: ForceId = None) -> list[QueueAnswer]:
    return _sorted(QueueAnswer, (queue for queue in then.queues.values() if force in (None, queue.force)))


@router.get(
    "/lines",
    summary="Trunks and dialled numbers, and whom each presents a call to",
    dependencies=[Depends(allow("list_lines"))],
    responses=responses(404),
)
async def list_lines(then: Then, force: ForceId = None) -> list[LineAnswer]:
    return _sorted(LineAnswer, (line for line in then.lines.values() if force in (None, line.force)))


@router.get(
    "/boundaries",
    summary="The generation of boundaries in force",
    dependencies=[Depends(allow("get_boundaries"))],
    responses=responses(404),
)
async def get_boundaries(now: Now) -> BoundariesAnswer:
    boundaries = now.boundaries
    if boundaries is None:
        raise NotFound("No boundaries were loaded yet.")
    return BoundariesAnswer(
        generation=boundaries.generation,
        attribution=boundaries.source,
        accuracy_metres=boundaries.accuracy_m,
        in_use=now.generation == boundaries.generation,
        areas=[AreaAnswer(force=area.force, hashes=list(area.hashes)) for area in boundaries.areas],
    )
