"""The directory's REST API: what the alliance is. Read-only; nothing in it is personal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeAlias, TypeVar

from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request

from libs.alliance import Alliance
from libs.service.access import allow
from libs.service.bodies import Slug
from libs.service.problem import NotFound, Unavailable, responses
from services.directory.answers import (
    AllianceAnswer,
    AreaAnswer,
    BoundariesAnswer,
    ForceAnswer,
    LineAnswer,
    QueueAnswer,
    SiteAnswer,
)
from services.directory.stored import Picture

router = APIRouter(prefix="/v1", tags=["directory"])

_T = TypeVar("_T", ForceAnswer, SiteAnswer, QueueAnswer, LineAnswer)
ForceId: TypeAlias = Annotated[Slug | None, Query(description="Only this force's.")]


def alliance_now(request: Request) -> Alliance:
    """The picture in force. Raises Unavailable until an alliance is known."""
    picture: Picture = request.app.state.picture
    if picture.current.defined is None:
        raise Unavailable("No alliance is known here yet: it has not been loaded, or is being read.")
    return picture.current


Now: TypeAlias = Annotated[Alliance, Depends(alliance_now)]


def _sorted(model: type[_T], facts: Iterable[object]) -> list[_T]:
    return sorted((model.model_validate(fact) for fact in facts), key=lambda answer: answer.id)


@router.get("/alliance", summary="The alliance", dependencies=[Depends(allow("get_alliance"))])
async def get_alliance(now: Now) -> AllianceAnswer:
    assert now.defined is not None
    return AllianceAnswer(
        id=now.defined.id,
        name=now.defined.name,
        default_queue=now.defined.default_queue,
        members=sorted(force.id for force in now.members),
        generation=now.generation,
        position=now.position,
    )


@router.get("/forces", summary="Members and neighbours", dependencies=[Depends(allow("list_forces"))])
async def list_forces(
    now: Now, member: Annotated[bool | None, Query(description="Only members, or only neighbours.")] = None
) -> list[ForceAnswer]:
    return _sorted(ForceAnswer, (force for force in now.forces.values() if member in (None, force.member)))


@router.get(
    "/forces/{force}", summary="One force", dependencies=[Depends(allow("get_force"))], responses=responses(404)
)
async def get_force(now: Now, force: Annotated[str, Path(max_length=64)]) -> ForceAnswer:
    known = now.forces.get(force)
    if known is None:
        raise NotFound("No force has this id: GET /v1/forces lists those that are known.")
    return ForceAnswer.model_validate(known)


@router.get("/sites", summary="Where people sit", dependencies=[Depends(allow("list_sites"))])
async def list_sites(now: Now) -> list[SiteAnswer]:
    return _sorted(SiteAnswer, now.sites.values())


@router.get(
    "/queues",
    summary="The queues as they are defined",
    description="What waits in them is the router's to say.",
    dependencies=[Depends(allow("list_queue_definitions"))],
)
async def list_queue_definitions(now: Now, force: ForceId = None) -> list[QueueAnswer]:
    return _sorted(QueueAnswer, (queue for queue in now.queues.values() if force in (None, queue.force)))


@router.get(
    "/lines",
    summary="Trunks and dialled numbers, and whom each presents a call to",
    dependencies=[Depends(allow("list_lines"))],
)
async def list_lines(now: Now, force: ForceId = None) -> list[LineAnswer]:
    return _sorted(LineAnswer, (line for line in now.lines.values() if force in (None, line.force)))


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
