"""`POST /lost`: LoST over HTTP (RFC 5222, section 14).

Invariant: what was understood as HTTP is answered in LoST, with 200, whatever is wrong with it: its own errors are in
its own XML. Problem documents are for what is refused before: no token, another media type, a body too large.
"""

from __future__ import annotations

from datetime import UTC, datetime

import shapely
import structlog
from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from libs.events.types.shapes import Civic, Postcode
from libs.places.outline import outline
from libs.service.access import allow
from libs.service.problem import Unavailable, UnsupportedMedia
from services.directory.lost import answer
from services.directory.lost.boundary import Boundary, area_of, boundary_of, key_of
from services.directory.lost.finding import Found, Ground, MappingFound, find, place
from services.directory.lost.refusal import Refusal
from services.directory.lost.request import (
    FindService,
    GetServiceBoundary,
    ListServices,
    ListServicesByLocation,
    Location,
    read_request,
)
from services.directory.lost.services import below
from services.directory.moments import Now
from services.directory.stored import Picture

MEDIA_TYPE = "application/lost+xml"
_TAKEN = frozenset({MEDIA_TYPE, "application/xml", "text/xml"})
"""Clients name it by its general name too."""

log = structlog.get_logger(__name__)
router = APIRouter(tags=["directory"])
_XML = {MEDIA_TYPE: {"schema": {"type": "string", "description": "RFC 5222, section 15."}}}


class LostResponse(Response):
    media_type = MEDIA_TYPE


@router.post(
    "/lost",
    summary="Who answers for a place, by LoST (RFC 5222)",
    description="`findService`, `listServices`, `listServicesByLocation` and `getServiceBoundary`. LoST's own errors "
    "come with 200, in its own XML.",
    dependencies=[Depends(allow("lost"))],
    response_class=LostResponse,
    openapi_extra={"requestBody": {"required": True, "content": _XML}},
)
async def lost(request: Request, now: Now) -> Response:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _TAKEN:
        raise UnsupportedMedia(f"The body's Content-Type must be {MEDIA_TYPE}.")
    picture: Picture = request.app.state.picture
    if picture.in_force is None:
        raise Unavailable("No boundaries are in use here yet: they have not been loaded, or are being read.")
    content = await request.body()
    ground = Ground(now, picture.in_force, picture.changed, datetime.now(UTC))
    if b"asOf" in content and (moment := await run_in_threadpool(as_of, content)) is not None:
        ground = await _ground_then(picture, ground, moment)
    return LostResponse(await run_in_threadpool(answer_to, content, ground))


def as_of(content: bytes) -> datetime | None:
    """The moment that a message asks about; None where it asks about none, or cannot be read."""
    try:
        asked = read_request(content)
    except Refusal:
        return None
    return asked.as_of if isinstance(asked, FindService) else None


async def _ground_then(picture: Picture, ground: Ground, moment: datetime) -> Ground:
    """What ruled at a moment of the past; what rules now, where nothing ruled then, or it is not past. Raises
    Unavailable."""
    if moment >= ground.now:
        return ground
    try:
        then, alliance = await picture.in_force_at(moment), picture.told.at(moment)
    except (KeyError, ValueError):
        raise Unavailable("The boundaries of that time cannot be read here.", retry_after_s=60) from None
    if then is None or alliance.defined is None:
        return ground
    return Ground(alliance, then, picture.told.changed(moment), ground.now)


def answer_to(content: bytes, ground: Ground) -> bytes:
    """A LoST message for a LoST message, whatever that is."""
    source = ground.source
    try:
        asked = read_request(content)
        if not isinstance(asked, GetServiceBoundary) and source in asked.path:
            raise Refusal("loop", "The request has come by this server before.")
        match asked:
            case FindService():
                return _found(find(asked, ground), asked, source)
            case ListServices():
                return answer.list_services_response(source, asked.path, below(asked.service))
            case ListServicesByLocation():
                services = below(asked.service)
                used, _ = place(asked.locations, ground.live)
                return answer.list_services_by_location_response(source, asked.path, services, used.id)
            case GetServiceBoundary():
                return answer.get_service_boundary_response(source, _boundary(asked.key, ground))
    except Refusal as refusal:
        return answer.errors(source, refusal)
    except Exception:
        log.exception("lost_not_answered")
        return answer.errors(source, Refusal("internalError", "The mistake is ours and has been logged."))


def _found(found: Found, asked: FindService, source: str) -> bytes:
    mappings = [answer.mapping(one, source, _boundary_for(one, found, asked)) for one in found.mappings]
    return answer.find_service_response(source, asked.path, mappings, found.checked, found.warnings, found.used.id)


def _boundary_for(mapping: MappingFound, found: Found, asked: FindService) -> Boundary | str | None:
    """None where there is none to give, or where the place lies in the strip by which it was drawn smaller: a client
    that is not inside would not know what to make of it."""
    area = area_of(found.generation, mapping.force) if mapping.force is not None else None
    if area is None:
        return None
    if asked.boundary == "reference":
        return key_of(area)
    boundary = boundary_of(found.generation, area)
    return boundary if boundary is not None and _touches(boundary, found.used) else None


def _touches(boundary: Boundary, location: Location) -> bool:
    if isinstance(location.shape, (Civic, Postcode)):
        return True
    drawn = outline(location.shape)
    if drawn is None:
        return False
    where = drawn.area if drawn.area is not None else shapely.Point(drawn.easting, drawn.northing)
    return bool(shapely.intersects(boundary.area, where))


def _boundary(key: str, ground: Ground) -> Boundary:
    for area in ground.live.boundaries.areas:
        if key_of(area) == key and (boundary := boundary_of(ground.live, area)) is not None:
            return boundary
    raise Refusal("notFound", "No boundary in use has this key: ask for the service again.")
