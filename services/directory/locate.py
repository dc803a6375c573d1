"""Who owns a place: asked by a line of parameters, or with a document of any shape. Nothing of it is kept or logged."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from libs.events.types.contacts import LocationSource
from libs.events.types.shapes import Circle, Civic, Point, Postcode, Shape
from libs.places import Atlas, UnusableShape
from libs.places.national_grid import NotAReference, read_reference
from libs.places.outline import MAX_RADIUS_M
from libs.places.postcodes import normalise
from libs.service.access import allow
from libs.service.at import AS_THEN, Past
from libs.service.bodies import Body, Moment
from libs.service.problem import Fault, Invalid, NotFound, responses
from libs.service.shapes import ShapeBody
from services.directory.located import LocatedAnswer, answer
from services.directory.moments import Now
from services.directory.pidf_route import BODY, PidfRoute
from services.directory.stored import Picture
from services.directory.then import atlas_then

router = APIRouter(prefix="/v1", tags=["directory"], route_class=PidfRoute)


class Place(BaseModel):
    """A point or circle, a postcode, or a grid reference."""

    model_config = ConfigDict(extra="forbid")

    lat: float | None = Field(None, ge=-90, le=90, allow_inf_nan=False, description="WGS 84 degrees.")
    lon: float | None = Field(None, ge=-180, le=180, allow_inf_nan=False, description="WGS 84 degrees.")
    radius_m: float | None = Field(
        None, ge=0, le=MAX_RADIUS_M, allow_inf_nan=False, description="How uncertain the point is, metres."
    )
    postcode: str | None = Field(None, max_length=32, description="As people write it: any case, any spacing.")
    grid_reference: str | None = Field(
        None,
        max_length=32,
        description="Of the British National Grid: two letters, and an even number of up to ten digits. It stands for "
        "the whole square.",
        examples=["TL 356 407"],
    )
    certainty_percent: float | None = Field(
        None, ge=0, le=100, allow_inf_nan=False, description="How sure it is that the circle holds the place."
    )
    at: Past = Field(None, description=AS_THEN)

    def shape(self) -> Shape:
        """Raises Invalid where the forms are mixed, or none is whole, or a text has not its form."""
        if self.postcode is not None:
            self._alone("postcode", "grid_reference")
            if normalise(self.postcode) is None:
                raise _invalid("postcode", "has not the form of a British postcode, as CB1 1AA")
            return Postcode(postcode=self.postcode)
        if self.grid_reference is not None:
            self._alone("grid_reference")
            try:
                return read_reference(self.grid_reference).polygon
            except NotAReference as error:
                raise _invalid("grid_reference", str(error)) from None
        if self.lat is None:
            raise _invalid("lat", "is required, with lon; or a postcode or a grid_reference")
        if self.lon is None:
            raise _invalid("lon", "is required with lat")
        if self.radius_m:
            return Circle(lat=self.lat, lon=self.lon, radius_m=self.radius_m)
        return Point(lat=self.lat, lon=self.lon)

    def _alone(self, parameter: str, *others: str) -> None:
        if self.model_fields_set & {"lat", "lon", "radius_m", *others}:
            raise _invalid(parameter, "stands alone: give a postcode, or a grid_reference, or lat and lon")


class LocateBody(Body):
    """A place of any shape, and what its source says of it."""

    shape: ShapeBody
    source: LocationSource | None = None
    """Who says so. It is taken at its word, whoever it is."""
    certainty_percent: Annotated[float, Field(ge=0, le=100, strict=True)] | None = None
    """How sure the source is that the shape holds the place; 95 where it does not say (RFC 5491)."""
    taken_at: Moment | None = None
    """When the position was taken. It moves nothing: the boundaries in force now answer."""
    at: Past = Field(None, description=AS_THEN)


def _invalid(parameter: str, detail: str) -> Invalid:
    return Invalid(f"{parameter}: {detail}", faults=[Fault(detail, parameter=parameter)])


@router.get(
    "/locate",
    summary="Who owns a place",
    description="A point (`lat`, `lon`), a circle (with `radius_m`), a `postcode`, or a `grid_reference`.",
    dependencies=[Depends(allow("locate"))],
    responses=responses(404, 422),
)
async def locate(request: Request, now: Now, place: Annotated[Place, Query()]) -> LocatedAnswer:
    return await _answer(request.app.state.picture, place.shape(), place.certainty_percent, place.at)


@router.post(
    "/locate",
    summary="Who owns a place of any shape",
    description="A point, circle, ellipse, arc-band, polygon, postcode or grid reference; or an address, which is "
    "placed by its postcode, or else anywhere in its town. A PIDF-LO document (`application/pidf+xml`) is taken too.",
    dependencies=[Depends(allow("locate_shape"))],
    responses=responses(404, 422),
    openapi_extra=BODY,
)
async def locate_shape(request: Request, now: Now, body: LocateBody) -> LocatedAnswer:
    return await _answer(request.app.state.picture, body.shape.shape(), body.certainty_percent, body.at)


async def _answer(
    picture: Picture, shape: Shape, certainty_percent: float | None, at: datetime | None
) -> LocatedAnswer:
    atlas = await atlas_then(picture, at)
    # In a thread: a first postcode reads a file.
    return await run_in_threadpool(_located, picture, atlas, shape, certainty_percent, at)


def _located(
    picture: Picture, atlas: Atlas, shape: Shape, certainty_percent: float | None, at: datetime | None
) -> LocatedAnswer:
    """Raises NotFound for a place that nobody knows, Invalid for none on earth."""
    try:
        found = atlas.locate(shape, certainty_percent)
    except UnusableShape as error:
        raise Invalid(str(error), faults=[Fault(str(error), pointer="/shape")]) from None
    if found is None and isinstance(shape, Civic):
        raise NotFound("The address has no postcode and no town that are known: give one of them, or a place on a map.")
    if found is None:
        raise NotFound("The ONS Postcode Directory has no such postcode, or no place for it.")
    return answer(picture, atlas, shape, found, at)
