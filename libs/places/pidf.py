"""PIDF-LO (RFC 4119, RFC 5139, RFC 5491, RFC 7459): from the XML of a location to a shape of ours.

Invariant: what is read is a place that `check_shape` has nothing against, or is refused with a sentence that says what
would be right and repeats nothing of what was sent: it may be a person's address.

Real clients write what the standards do not. Understood as well: the shapes of RFC 5491 in GML's namespace, and GML's
in theirs; a comma between two numbers; white space around them; a ring that does not close; an ellipse whose
"semi-major" axis is the shorter one; degrees under the code of the foot (EPSG::9002); the identifier of WGS 84 with a
colon too many, or none at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from libs.events.types.shapes import ArcBand, Circle, Civic, Ellipse, Point, Polygon, Shape
from libs.places.outline import MAX_CORNERS, GeometricShape, UnusableShape, check_shape
from libs.places.safe_xml import Element, name_of, read_xml, text_of

GML = "http://www.opengis.net/gml"
SHAPES = "http://www.opengis.net/pidflo/1.0"
CIVIC = "urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr"
PIDF = "urn:ietf:params:xml:ns:pidf"
DATA_MODEL = "urn:ietf:params:xml:ns:pidf:data-model"
GEOPRIV = "urn:ietf:params:xml:ns:pidf:geopriv10"
CONFIDENCE = "urn:ietf:params:xml:ns:geopriv:conf"

_GEODETIC_NAMESPACES = frozenset({GML, GML + "/3.2", SHAPES})
CIVIC_NAMESPACES = frozenset({CIVIC, "urn:ietf:params:xml:ns:pidf:geopriv10:civicLoc"})
"""RFC 5139's, and RFC 4119's before it."""
BRITISH = frozenset({"GB", "UK"})
"""ISO 3166-1, and what people write instead."""

_WGS84 = re.compile(
    r"(?:urn:(?:x-)?ogc:def:{1,2}crs:EPSG:[0-9.]*:|urn:EPSG:geographicCRS:|EPSG:{1,2}"
    r"|https?://www\.opengis\.net/(?:def/crs/EPSG/[0-9.]+/|gml/srs/epsg\.xml#))(4326|4979)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_MAX_NUMBER = 40
"""Characters of one."""
_UOM = re.compile(
    r"(?:urn:(?:x-)?ogc:def:{1,2}uom:EPSG:[0-9.]*:|EPSG:{1,2})?([0-9]{4}|m|metre|deg|degree)", re.IGNORECASE
)
_METRES = {"9001": 1.0, "m": 1.0, "metre": 1.0, "9002": 0.3048}
_DEGREES = {"9102": 1.0, "9002": 1.0, "deg": 1.0, "degree": 1.0, "9101": 180.0 / math.pi}
_MAX_LINE = 200
"""Characters of one line of an address."""


class UnknownReference(UnusableShape):
    """The shape names a spatial reference system other than WGS 84."""


class Address(NamedTuple):
    """A civic address as it was given."""

    shape: Civic
    country: str | None
    """Two capitals (ISO 3166-1)."""
    given: tuple[str, ...]
    """The names of the elements that say something, in their order: `country`, `A3`, `PC`, …"""
    namespace: str


class PidfLocation(NamedTuple):
    """One location of a presence document."""

    shape: Shape
    method: str | None
    """How it was found, as IANA registers it: `GPS`, `Cell`, `Manual`, …"""
    certainty_percent: float | None
    """RFC 7459: how likely the place lies within the shape."""
    at: datetime | None


def read_pidf(content: bytes) -> list[PidfLocation]:
    """The locations of a PIDF-LO document, that to prefer first: of a device, then of a tuple, then of a person
    (RFC 5491, section 3.4, rule 8). There is one at least.

    What cannot be read is passed over where anything else can. Raises NotXml, and UnusableShape for the first fault
    where nothing can be read.
    """
    root = read_xml(content)
    if name_of(root) != (PIDF, "presence"):
        raise UnusableShape("The document must be a presence document (RFC 4119): its root is no pidf:presence.")
    holders = [
        *root.iterchildren(f"{{{DATA_MODEL}}}device"),
        *root.iterchildren(f"{{{PIDF}}}tuple"),
        *root.iterchildren(f"{{{DATA_MODEL}}}person"),
    ]
    found: list[PidfLocation] = []
    refusal: UnusableShape | None = None
    for holder in holders:
        for geopriv in holder.iter(f"{{{GEOPRIV}}}geopriv"):
            try:
                found += _locations(geopriv, _time_of(holder))
            except UnusableShape as error:
                refusal = refusal or error
    if not found:
        raise refusal or UnusableShape("The document holds no location: there is no geopriv:location-info in it.")
    return found


def _locations(geopriv: Element, at: datetime | None) -> list[PidfLocation]:
    """The geodetic ones first: an address beside one says more to people, and less of where."""
    method = next((text_of(one)[:64] for one in geopriv.iterchildren(f"{{{GEOPRIV}}}method")), None)
    infos = list(geopriv.iterchildren(f"{{{GEOPRIV}}}location-info"))
    shapes = [one for info in infos for one in info.iterchildren() if is_geodetic(one)]
    addresses = [one for info in infos for one in info.iterchildren() if is_civic(one)]
    certainty = next((_certainty(one) for info in infos for one in info.iter(f"{{{CONFIDENCE}}}confidence")), None)
    return [
        *(PidfLocation(read_shape(one), method, certainty, at) for one in shapes),
        *(PidfLocation(read_address(one).shape, method, certainty, at) for one in addresses),
    ]


def _certainty(element: Element) -> float | None:
    """`unknown`, and what is no percentage, say nothing."""
    text = text_of(element)
    if len(text) > _MAX_NUMBER or _NUMBER.fullmatch(text) is None:
        return None
    percent = float(text)
    return percent if 0.0 < percent <= 100.0 else None


def _time_of(holder: Element) -> datetime | None:
    for element in holder.iterchildren(f"{{{PIDF}}}timestamp", f"{{{DATA_MODEL}}}timestamp"):
        try:
            return read_time(text_of(element))
        except ValueError:
            return None
    return None


def read_time(text: str) -> datetime:
    """An xsd:dateTime, UTC where it has no offset. Raises ValueError."""
    if (
        re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]{1,12})?(?:Z|[+-][0-9]{2}:[0-9]{2})?", text)
        is None
    ):
        raise ValueError("not a time, as 2026-03-01T12:00:00Z")
    whole, _, rest = text.partition(".")
    if rest:  # as many digits as the standard library takes
        digits = re.match(r"[0-9]+", rest)
        assert digits is not None
        text = f"{whole}.{digits[0][:6].ljust(6, '0')}{rest[digits.end() :]}"
    try:
        time = datetime.fromisoformat(text)
        return (time.replace(tzinfo=UTC) if time.tzinfo is None else time).astimezone(UTC)
    except OverflowError:
        raise ValueError("not a time within the years 1 to 9999") from None


def is_geodetic(element: Element) -> bool:
    return name_of(element)[0] in _GEODETIC_NAMESPACES


def is_civic(element: Element) -> bool:
    return name_of(element)[0] in CIVIC_NAMESPACES and name_of(element)[1] == "civicAddress"


def read_address(element: Element) -> Address:
    """A civicAddress (RFC 5139). Raises UnusableShape for one that says nothing."""
    lines: dict[str, str] = {}
    for child in element.iterchildren():
        namespace, name = name_of(child)
        if namespace in CIVIC_NAMESPACES and (text := text_of(child)):
            lines.setdefault(name, text[:_MAX_LINE])
    if not lines:
        raise UnusableShape("The civic address is empty.")

    def said(*names: str) -> str | None:
        return " ".join(lines[name] for name in names if name in lines)[:_MAX_LINE] or None

    shape = Civic(
        house=said("NAM", "HNO", "HNS"),
        street=said("PRD", "RD", "STS", "POD") or said("A6", "STS"),
        locality=said("A5") or said("A4"),
        town=said("A3") or said("PCN"),
        county=said("A2") or said("A1"),
        postcode=lines.get("PC"),
    )
    country = lines.get("country")
    return Address(shape, country.upper() if country else None, tuple(lines), name_of(element)[0])


def read_shape(element: Element) -> GeometricShape:
    """A shape in two dimensions (RFC 5491, section 5.2; RFC 5222, section 12.2). Raises UnusableShape."""
    if name_of(element)[1] == "location":  # RFC 4119 put one around it
        inner = [child for child in element.iterchildren() if is_geodetic(child)]
        if len(inner) != 1 or name_of(inner[0])[1] == "location":
            raise UnusableShape("A gml:location must hold one shape.")
        element = inner[0]
    read = _READERS.get(name_of(element)[1])
    if read is None or not is_geodetic(element):
        raise UnusableShape("A shape must be a Point, Circle, Ellipse, ArcBand or Polygon (RFC 5491, section 5.2).")
    shape = read(element, _dimensions(element))
    check_shape(shape)
    return shape


def _dimensions(element: Element) -> int | None:
    """How many numbers make a position, by its reference system; None where it names none (then WGS 84 is meant)."""
    name = (element.get("srsName") or "").strip()
    if not name:
        return None
    known = _WGS84.fullmatch(name)
    if known is None:
        raise UnknownReference(
            "The spatial reference system is not known here: give WGS 84, as srsName urn:ogc:def:crs:EPSG::4326."
        )
    return 2 if known[1] == "4326" else 3


def _point(element: Element, dimensions: int | None) -> Point:
    lat, lon = _pos(element, dimensions)
    return Point(lat=lat, lon=lon)


def _circle(element: Element, dimensions: int | None) -> Circle:
    lat, lon = _pos(element, dimensions)
    return Circle(lat=lat, lon=lon, radius_m=_length(element, "radius"))


def _ellipse(element: Element, dimensions: int | None) -> Ellipse:
    lat, lon = _pos(element, dimensions)
    major, minor = _length(element, "semiMajorAxis"), _length(element, "semiMinorAxis")
    orientation = _angle(element, "orientation")
    if minor > major:  # the same ellipse, by its longer axis
        major, minor, orientation = minor, major, (orientation + 90.0) % 180.0
    return Ellipse(lat=lat, lon=lon, semi_major_m=major, semi_minor_m=minor, orientation_deg=orientation)


def _arc_band(element: Element, dimensions: int | None) -> ArcBand:
    lat, lon = _pos(element, dimensions)
    return ArcBand(
        lat=lat,
        lon=lon,
        inner_radius_m=_length(element, "innerRadius"),
        outer_radius_m=_length(element, "outerRadius"),
        start_angle_deg=_angle(element, "startAngle"),
        opening_angle_deg=_angle(element, "openingAngle"),
    )


def _polygon(element: Element, dimensions: int | None) -> Polygon:
    if any(name_of(child)[1] in ("interior", "innerBoundaryIs") for child in element.iterchildren()):
        raise UnusableShape("A polygon must not have holes (RFC 5491, section 5.2.2).")
    ring = _child(_child(element, "exterior"), "LinearRing")
    listed = [child for child in ring.iterchildren() if is_geodetic(child)]
    if [name_of(child)[1] for child in listed] == ["posList"]:
        numbers = _numbers(listed[0], (MAX_CORNERS + 1) * 3)
        size = dimensions or (3 if (listed[0].get("srsDimension") or "").strip() == "3" else 2)
        if len(numbers) % size:
            raise UnusableShape(f"A posList must hold {size} numbers for each corner.")
        corners = [(numbers[at], numbers[at + 1]) for at in range(0, len(numbers), size)]
    elif all(name_of(child)[1] == "pos" for child in listed):
        if len(listed) > MAX_CORNERS + 1:
            raise UnusableShape(f"The polygon must have at most {MAX_CORNERS} corners.")
        corners = [_position(child, dimensions) for child in listed]
    else:
        raise UnusableShape("A ring must hold a pos for each corner, or one posList.")
    if len(corners) > 1 and corners[0] == corners[-1]:
        corners.pop()
    return Polygon(exterior=tuple(corners))


_READERS: dict[str, Callable[[Element, int | None], GeometricShape]] = {
    "Point": _point,
    "Circle": _circle,
    "Ellipse": _ellipse,
    "ArcBand": _arc_band,
    "Polygon": _polygon,
}


def _child(element: Element, name: str) -> Element:
    found = [child for child in element.iterchildren() if is_geodetic(child) and name_of(child)[1] == name]
    if len(found) != 1:
        raise UnusableShape(f"A {name_of(element)[1]} must hold one {name}.")
    return found[0]


def _pos(element: Element, dimensions: int | None) -> tuple[float, float]:
    return _position(_child(element, "pos"), dimensions)


def _position(pos: Element, dimensions: int | None) -> tuple[float, float]:
    """Latitude and longitude; a height is passed over."""
    numbers = _numbers(pos, 3)
    if len(numbers) not in ((dimensions,) if dimensions else (2, 3)):
        raise UnusableShape(f"A pos must hold {dimensions or 2} numbers: latitude, then longitude, in decimal degrees.")
    return numbers[0], numbers[1]


def _numbers(element: Element, most: int) -> list[float]:
    texts = (element.text or "").replace(",", " ").split(None, most)
    if len(element) or len(texts) > most:
        raise UnusableShape("There are more numbers, or something else than numbers, in a position.")
    return [_number(text) for text in texts]


def _number(text: str) -> float:
    if len(text) > _MAX_NUMBER or _NUMBER.fullmatch(text) is None:
        raise UnusableShape("A number must be decimal, as -0.4685.")
    number = float(text)
    if not math.isfinite(number):
        raise UnusableShape("A number is out of range.")
    return number


def _length(element: Element, name: str) -> float:
    return _measure(_child(element, name), name, _METRES, "metres, as uom urn:ogc:def:uom:EPSG::9001")


def _angle(element: Element, name: str) -> float:
    return _measure(_child(element, name), name, _DEGREES, "degrees, as uom urn:ogc:def:uom:EPSG::9102")


def _measure(element: Element, name: str, units: dict[str, float], wanted: str) -> float:
    unit = (element.get("uom") or "").strip()
    known = _UOM.fullmatch(unit) if unit else None
    factor = 1.0 if not unit else units.get(known[1].lower()) if known else None
    if factor is None:
        raise UnusableShape(f"The unit of {name} is not known here: give {wanted}.")
    return _number(text_of(element)) * factor
