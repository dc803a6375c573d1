"""A PIDF-LO document (RFC 4119, RFC 5491) where a place is asked for in JSON: read as the body that says the same.

Invariant: a document is not parsed before it is known who sends it, and nothing of it is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from libs.events.types.contacts import LocationSource
from libs.events.types.shapes import ArcBand, Civic, Ellipse, Shape
from libs.places import UnusableShape
from libs.places.pidf import PidfLocation, read_pidf
from libs.places.safe_xml import NotXml
from libs.service.access import authenticate
from libs.service.problem import BadRequest, Invalid, UnsupportedMedia
from libs.service.shapes import MIN_RADIUS_M

MEDIA_TYPE = "application/pidf+xml"
BODY = {
    "requestBody": {
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "string",
                    "description": "A PIDF-LO document (RFC 4119, 5139, 5491, 7459). Of several locations the first in "
                    "the order of RFC 5491, section 3.4, counts: a device's, a tuple's, a person's; of a compound one "
                    "the shape.",
                }
            }
        }
    }
}
"""For the OpenAPI document, beside the JSON."""

_SOURCES: dict[str, LocationSource] = {
    "manual": "caller",
    "cell": "network-cell",
    "triangulation": "network-cell",
    "otdoa": "network-cell",
    "u-tdoa": "network-cell",
    "gps": "device",
    "a-gps": "device",
    "gnss": "device",
    "802.11": "device",
    "device-assisted_a-gps": "device",
    "device-based_a-gps": "device",
    "dbh_hello": "device",
    "device-assisted_otdoa": "network-cell",
}
"""By IANA's registered method tokens, in small letters; of the others nothing is said."""


class PidfRoute(APIRoute):
    """For an operation whose JSON body is a `LocateBody`, and which takes documents too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        otherwise = super().get_route_handler()

        async def handle(request: Request) -> Response:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if request.method != "POST" or media_type == "application/json":
                return await otherwise(request)
            await authenticate(request)
            content = await request.body()
            if media_type == MEDIA_TYPE:
                return await otherwise(_with_body(request, as_json(content)))
            if content:
                raise UnsupportedMedia(f"The body's Content-Type must be application/json or {MEDIA_TYPE}.")
            return await otherwise(request)

        return handle


def as_json(content: bytes) -> bytes:
    """The document as a `LocateBody`. Raises BadRequest for what is no XML that is taken, Invalid for what holds no
    place."""
    try:
        found = read_pidf(content)
    except NotXml as error:
        raise BadRequest(str(error)) from None
    except UnusableShape as error:
        raise Invalid(str(error)) from None
    location = next(filter(_can_be_placed, found), found[0])
    said: dict[str, Any] = {"shape": _within_limits(location.shape)}
    if location.certainty_percent is not None:
        said["certaintyPercent"] = location.certainty_percent
    if location.at is not None:
        said["takenAt"] = location.at
    if (source := _SOURCES.get((location.method or "").lower())) is not None:
        said["source"] = source
    return msgspec.json.encode(said)


def _can_be_placed(location: PidfLocation) -> bool:
    """An address that names neither postcode nor town says nothing of where; whatever else is given does."""
    shape = location.shape
    return not isinstance(shape, Civic) or shape.postcode is not None or shape.town is not None


def _within_limits(shape: Shape) -> Shape:
    """The same place: a document may turn the other way round, and have no width; a body may not."""
    match shape:
        case Ellipse():
            return msgspec.structs.replace(
                shape,
                semi_major_m=max(shape.semi_major_m, MIN_RADIUS_M),
                semi_minor_m=max(shape.semi_minor_m, MIN_RADIUS_M),
                orientation_deg=shape.orientation_deg % 360.0,
            )
        case ArcBand():
            return msgspec.structs.replace(shape, start_angle_deg=shape.start_angle_deg % 360.0)
    return shape


def _with_body(request: Request, body: bytes) -> Request:
    headers = [
        (name, value) for name, value in request.scope["headers"] if name not in (b"content-type", b"content-length")
    ]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**request.scope, "headers": headers}, receive, request._send)
