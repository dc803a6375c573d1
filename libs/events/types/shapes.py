"""The shapes a location can have (RFC 5491 section 5.2, RFC 4119 civic addresses, and the British postcode).

Latitudes and longitudes are WGS 84 degrees (EPSG:4326), lengths metres, angles degrees clockwise from north.
"""

from typing import TypeAlias

import msgspec


class _Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, tag_field="kind"):
    pass


class Point(_Shape, frozen=True, kw_only=True, tag="point"):
    lat: float
    lon: float


class Circle(_Shape, frozen=True, kw_only=True, tag="circle"):
    lat: float
    lon: float
    radius_m: float


class Ellipse(_Shape, frozen=True, kw_only=True, tag="ellipse"):
    lat: float
    lon: float
    semi_major_m: float
    semi_minor_m: float
    orientation_deg: float
    """Of the semi-major axis, clockwise from north."""


class ArcBand(_Shape, frozen=True, kw_only=True, tag="arc-band"):
    """A sector of a mast: between two radii, from the start angle clockwise over the opening angle."""

    lat: float
    lon: float
    inner_radius_m: float
    outer_radius_m: float
    start_angle_deg: float
    opening_angle_deg: float


class Polygon(_Shape, frozen=True, kw_only=True, tag="polygon"):
    exterior: tuple[tuple[float, float], ...]
    """Corners as (lat, lon); the ring closes by itself, a repeated first corner is allowed."""


class Postcode(_Shape, frozen=True, kw_only=True, tag="postcode"):
    postcode: str


class Civic(_Shape, frozen=True, kw_only=True, tag="civic"):
    """A street address. Only its postcode and town place it; the rest is for people."""

    house: str | None = None
    street: str | None = None
    locality: str | None = None
    town: str | None = None
    county: str | None = None
    postcode: str | None = None


Shape: TypeAlias = Point | Circle | Ellipse | ArcBand | Polygon | Postcode | Civic
