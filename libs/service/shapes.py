"""A place in a request's body: one class a shape of `libs.events.types.shapes`, with its limits.

Invariant: a shape that is taken here can be stored, and looked for on a map: `libs.places.check_shape` has nothing
against it. A number is a number: neither text nor a truth value is read as one.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from libs.events.types import shapes
from libs.places import check_shape
from libs.places.national_grid import read_reference
from libs.places.outline import MAX_CORNERS, MAX_RADIUS_M
from libs.places.postcodes import normalise
from libs.service.bodies import Body, Name

MIN_RADIUS_M = 0.1
"""A circle smaller than this is kept as a point; an axis or a mast's reach smaller than this is refused."""


def postcode_of(text: str) -> str | None:
    """A British postcode in capitals with one space (`SG8 6NA`), or None where the text is not of that form."""
    code = normalise(text)
    return None if code is None else f"{code[:-3]} {code[-3:]}"


def _postcode(text: str) -> str:
    postcode = postcode_of(text)
    if postcode is None:
        raise ValueError("not a British postcode, as SG8 6NA")
    return postcode


Number: TypeAlias = Annotated[float, Field(strict=True)]
Lat: TypeAlias = Annotated[Number, Field(ge=-90, le=90)]
Lon: TypeAlias = Annotated[Number, Field(ge=-180, le=180)]
Radius: TypeAlias = Annotated[Number, Field(ge=0, le=MAX_RADIUS_M)]
"""Metres; 0 is none."""
Length: TypeAlias = Annotated[Number, Field(ge=MIN_RADIUS_M, le=MAX_RADIUS_M)]
"""Metres."""
Degrees: TypeAlias = Annotated[Number, Field(ge=0, le=360)]
"""Clockwise from north."""


class PointBody(Body):
    kind: Literal["point"]
    lat: Lat
    lon: Lon

    def shape(self) -> shapes.Shape:
        return shapes.Point(lat=self.lat, lon=self.lon)


class CircleBody(Body):
    kind: Literal["circle"]
    lat: Lat
    lon: Lon
    radius_m: Radius

    def shape(self) -> shapes.Shape:
        if self.radius_m < MIN_RADIUS_M:
            return shapes.Point(lat=self.lat, lon=self.lon)
        return shapes.Circle(lat=self.lat, lon=self.lon, radius_m=self.radius_m)


class EllipseBody(Body):
    kind: Literal["ellipse"]
    lat: Lat
    lon: Lon
    semi_major_m: Length
    semi_minor_m: Length
    orientation_deg: Degrees

    @model_validator(mode="after")
    def _major_is_longer(self) -> Self:
        if self.semi_minor_m > self.semi_major_m:
            raise ValueError("semiMinorM is longer than semiMajorM")
        return self

    def shape(self) -> shapes.Shape:
        return shapes.Ellipse(
            lat=self.lat,
            lon=self.lon,
            semi_major_m=self.semi_major_m,
            semi_minor_m=self.semi_minor_m,
            orientation_deg=self.orientation_deg,
        )


class ArcBandBody(Body):
    kind: Literal["arc-band"]
    lat: Lat
    lon: Lon
    inner_radius_m: Radius
    outer_radius_m: Length
    start_angle_deg: Degrees
    opening_angle_deg: Annotated[Number, Field(ge=0.1, le=360)]

    @model_validator(mode="after")
    def _is_a_place(self) -> Self:
        check_shape(self.shape())
        return self

    def shape(self) -> shapes.ArcBand:
        return shapes.ArcBand(
            lat=self.lat,
            lon=self.lon,
            inner_radius_m=self.inner_radius_m,
            outer_radius_m=self.outer_radius_m,
            start_angle_deg=self.start_angle_deg,
            opening_angle_deg=self.opening_angle_deg,
        )


class PolygonBody(Body):
    kind: Literal["polygon"]
    exterior: Annotated[tuple[tuple[Lat, Lon], ...], Field(min_length=3, max_length=MAX_CORNERS)]
    """Corners as [lat, lon]."""

    @model_validator(mode="after")
    def _is_a_place(self) -> Self:
        check_shape(self.shape())
        return self

    def shape(self) -> shapes.Polygon:
        return shapes.Polygon(exterior=self.exterior)


class PostcodeBody(Body):
    kind: Literal["postcode"]
    postcode: Annotated[str, Field(max_length=16, examples=["SG8 6NA"]), AfterValidator(_postcode)]

    def shape(self) -> shapes.Shape:
        return shapes.Postcode(postcode=self.postcode)


def _reference(text: str) -> str:
    read_reference(text)
    return text


class GridReferenceBody(Body):
    kind: Literal["grid-reference"]
    reference: Annotated[str, Field(max_length=32, examples=["TL 356 407"]), AfterValidator(_reference)]
    """Of the British National Grid: two letters, and an even number of up to ten digits. The whole square is kept, as a
    polygon."""

    def shape(self) -> shapes.Shape:
        return read_reference(self.reference).polygon


class CivicBody(Body):
    kind: Literal["civic"]
    house: Name | None = None
    street: Name | None = None
    locality: Name | None = None
    town: Name | None = None
    county: Name | None = None
    postcode: Annotated[Name, Field(max_length=16)] | None = None
    """As the subscriber's record has it: half a postcode does not make an address worthless."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any((self.house, self.street, self.locality, self.town, self.county, self.postcode)):
            raise ValueError("an address has at least one line")
        return self

    def shape(self) -> shapes.Shape:
        return shapes.Civic(
            house=self.house,
            street=self.street,
            locality=self.locality,
            town=self.town,
            county=self.county,
            postcode=None if self.postcode is None else postcode_of(self.postcode) or self.postcode,
        )


ShapeBody: TypeAlias = Annotated[
    PointBody | CircleBody | EllipseBody | ArcBandBody | PolygonBody | PostcodeBody | GridReferenceBody | CivicBody,
    Field(discriminator="kind"),
]
