"""What the channels share: the words, numbers, times and places a request may hold, each with its limit.

Invariant: a body that these models accept can be stored and carried. It holds no NUL and no control character, no
number that is not finite, no time without an offset; every string and list has a greatest length. Bodies are read from
JSON in pydantic's strict mode (a string is not a number, `true` is not 1) and unknown members are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, Self, TypeAlias

import phonenumbers
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from uuid_utils import uuid7

from libs.events.types import shapes
from libs.events.types.contacts import Location, LocationOf, LocationSource

MAX_LOCATIONS = 20
"""In one request."""
MAX_RADIUS_M = 200_000.0
MIN_RADIUS_M = 0.1
"""A circle smaller than this is kept as a point; an axis or a mast's reach smaller than this is refused."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CONTROL_OR_BREAK = re.compile(r"[\x00-\x1f\x7f]")
_BRITISH = re.compile(r"\+44[1-9][0-9]{9}")
_POSTCODE = re.compile(r"\s*([A-Za-z]{1,2}[0-9][A-Za-z0-9]?)\s*([0-9][A-Za-z]{2})\s*")


class Body(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        frozen=True,
        use_attribute_docstrings=True,
    )


def _legible(text: str) -> str:
    """A person's words are not refused for a stray control character: it is shown as what it is, unreadable."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _one_line(text: str) -> str:
    return _CONTROL_OR_BREAK.sub("\N{REPLACEMENT CHARACTER}", text)


def _e164(text: str) -> str:
    """A number as it may be dialled from the United Kingdom, in E.164. Its length is checked, not that it is in use."""
    if _BRITISH.fullmatch(text):  # what the network sends; the same answer as below for a twentieth of the time
        return text
    try:
        number = phonenumbers.parse(text, "GB")
    except phonenumbers.NumberParseException:
        raise ValueError("not a telephone number; leave it out if it is withheld") from None
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise ValueError("a telephone number cannot have this length; leave it out if it is withheld")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _utc(moment: datetime) -> datetime:
    if not 2000 <= moment.year < 2100:
        raise ValueError("a time between 2000 and 2099 is expected")
    return moment.astimezone(UTC)


def postcode_of(text: str) -> str | None:
    """A British postcode in capitals with one space (`SG8 6NA`), or None where the text is not of that form."""
    match = _POSTCODE.fullmatch(text)
    return None if match is None else f"{match[1]} {match[2]}".upper()


def _postcode(text: str) -> str:
    postcode = postcode_of(text)
    if postcode is None:
        raise ValueError("not a British postcode, as SG8 6NA")
    return postcode


E164: TypeAlias = Annotated[
    str,
    Field(min_length=2, max_length=32, examples=["+441438555123"]),
    AfterValidator(_e164),
]
"""Read with GB as the default region, kept as E.164."""
Slug: TypeAlias = Annotated[
    str, Field(max_length=64, pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", examples=["bedfordshire"])
]
"""A force's id. Whether there is such a force is the router's to say: a contact is not refused for it."""
Identifier: TypeAlias = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[!-~]+( [!-~]+)*$")]
"""A name some machine gave: printable ASCII."""
Dialled: TypeAlias = Annotated[str, Field(max_length=32, pattern=r"^\+?[0-9*#]+$", examples=["999"])]
"""Digits as dialled: a short code has no E.164 form."""
Language: TypeAlias = Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
"""BCP 47."""
Email: TypeAlias = Annotated[str, Field(max_length=254, pattern=r"^[!-?A-~]+@[!-?A-~]+$")]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Words: TypeAlias = Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(_legible)]
Time: TypeAlias = Annotated[AwareDatetime, AfterValidator(_utc)]
"""ISO 8601 with offset, 2000 to 2099; kept in UTC."""

Lat: TypeAlias = Annotated[float, Field(ge=-90, le=90)]
Lon: TypeAlias = Annotated[float, Field(ge=-180, le=180)]
Length: TypeAlias = Annotated[float, Field(ge=MIN_RADIUS_M, le=MAX_RADIUS_M)]
"""Metres."""
Degrees: TypeAlias = Annotated[float, Field(ge=0, le=360)]
"""Clockwise from north."""
AddressLine: TypeAlias = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]


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
    radius_m: Annotated[float, Field(ge=0, le=MAX_RADIUS_M)]

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
    inner_radius_m: Annotated[float, Field(ge=0, le=MAX_RADIUS_M)]
    outer_radius_m: Length
    start_angle_deg: Degrees
    opening_angle_deg: Annotated[float, Field(ge=0.1, le=360)]

    @model_validator(mode="after")
    def _has_an_area(self) -> Self:
        if self.outer_radius_m - self.inner_radius_m < MIN_RADIUS_M:
            raise ValueError("outerRadiusM is not greater than innerRadiusM")
        return self

    def shape(self) -> shapes.Shape:
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
    exterior: Annotated[tuple[tuple[Lat, Lon], ...], Field(min_length=3, max_length=1000)]
    """Corners as [lat, lon]."""

    @model_validator(mode="after")
    def _has_three_corners(self) -> Self:
        if len(set(self.exterior)) < 3:
            raise ValueError("a polygon has at least three different corners")
        return self

    def shape(self) -> shapes.Shape:
        return shapes.Polygon(exterior=self.exterior)


class PostcodeBody(Body):
    kind: Literal["postcode"]
    postcode: Annotated[str, Field(max_length=16, examples=["SG8 6NA"]), AfterValidator(_postcode)]

    def shape(self) -> shapes.Shape:
        return shapes.Postcode(postcode=self.postcode)


class CivicBody(Body):
    kind: Literal["civic"]
    house: AddressLine | None = None
    street: AddressLine | None = None
    locality: AddressLine | None = None
    town: AddressLine | None = None
    county: AddressLine | None = None
    postcode: Annotated[str, Field(min_length=1, max_length=16), AfterValidator(_one_line)] | None = None
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
    PointBody | CircleBody | EllipseBody | ArcBandBody | PolygonBody | PostcodeBody | CivicBody,
    Field(discriminator="kind"),
]


class LocationBody(Body):
    """A place, and what it is the place of."""

    of: LocationOf
    source: LocationSource
    certainty_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    """How sure the source is that the shape holds the place."""
    taken_at: Time | None = None
    """When the position was taken, if the source says."""
    shape: ShapeBody

    def located(self) -> tuple[Location, shapes.Shape]:
        """What may be kept for ever, under an id of its own, and the place itself."""
        location = Location(
            id=str(uuid7()),
            of=self.of,
            source=self.source,
            certainty_percent=self.certainty_percent,
            taken_at=self.taken_at,
        )
        return location, self.shape.shape()


LocationBodies: TypeAlias = Annotated[tuple[LocationBody, ...], Field(max_length=MAX_LOCATIONS)]


def located(bodies: Sequence[LocationBody]) -> tuple[tuple[Location, ...], dict[str, shapes.Shape]]:
    """The locations of a request, and the shape of each by its id."""
    both = [body.located() for body in bodies]
    return tuple(location for location, _ in both), {location.id: shape for location, shape in both}
