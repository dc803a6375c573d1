"""PIDF-LO documents at `POST /v1/locate`, by the clauses of RFC 4119, 5139, 5491 and 7459: what they are read as."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from libs.events.types.shapes import ArcBand, Circle, Civic, Ellipse, Point, Polygon, Shape
from libs.service.problem import BadRequest, Invalid
from services.directory.locate import LocateBody
from services.directory.pidf_route import as_json
from tests.conformance.lost.test_random_bodies import HOSTILE, VALUES, mutated
from tests.unit.libs.places.test_pidf import ADDRESS, POINT, geopriv, presence

RING = (
    "<gml:exterior><gml:LinearRing><gml:posList>52.1 -0.4 52.1 -0.3 52.2 -0.3 52.1 -0.4</gml:posList>"
    "</gml:LinearRing></gml:exterior>"
)
AT = "<gml:pos>52.1 -0.4</gml:pos>"
METRES, DEGREES = 'uom="urn:ogc:def:uom:EPSG::9001"', 'uom="urn:ogc:def:uom:EPSG::9102"'
SHAPES: dict[str, tuple[str, Shape]] = {
    "5.2.1 point": (POINT, Point(lat=52.1, lon=-0.4)),
    "5.2.2 polygon": (
        f"<gml:Polygon>{RING}</gml:Polygon>",
        Polygon(exterior=((52.1, -0.4), (52.1, -0.3), (52.2, -0.3))),
    ),
    "5.2.3 circle": (
        f"<gs:Circle>{AT}<gs:radius {METRES}>850.24</gs:radius></gs:Circle>",
        Circle(lat=52.1, lon=-0.4, radius_m=850.24),
    ),
    "5.2.4 ellipse": (
        (
            f"<gs:Ellipse>{AT}<gs:semiMajorAxis {METRES}>1275</gs:semiMajorAxis><gs:semiMinorAxis {METRES}>670"
            f"</gs:semiMinorAxis><gs:orientation {DEGREES}>43.2</gs:orientation></gs:Ellipse>"
        ),
        Ellipse(lat=52.1, lon=-0.4, semi_major_m=1275, semi_minor_m=670, orientation_deg=43.2),
    ),
    "5.2.5 arc-band": (
        (
            f"<gs:ArcBand>{AT}<gs:innerRadius {METRES}>3594</gs:innerRadius>"
            f"<gs:outerRadius {METRES}>4148</gs:outerRadius>"
            f"<gs:startAngle {DEGREES}>20</gs:startAngle><gs:openingAngle {DEGREES}>20</gs:openingAngle></gs:ArcBand>"
        ),
        ArcBand(lat=52.1, lon=-0.4, inner_radius_m=3594, outer_radius_m=4148, start_angle_deg=20, opening_angle_deg=20),
    ),
}


def device(info: str, rest: str = "", after: str = "") -> bytes:
    return presence(f'<dm:device id="d">{geopriv(info, rest)}{after}</dm:device>')


def read(document: bytes) -> Any:
    return LocateBody.model_validate_json(as_json(document))


@pytest.mark.parametrize("clause", SHAPES)
def test_rfc_5491_section_5_2_each_shape_is_that_place(clause: str) -> None:
    written, shape = SHAPES[clause]
    assert read(device(written)).shape.shape() == shape


def test_rfc_5491_section_5_2_a_direction_may_be_negative_and_an_ellipse_a_line() -> None:
    written = SHAPES["5.2.4 ellipse"][0].replace(">43.2<", ">-90<").replace(">670<", ">0<")
    found = read(device(written)).shape.shape()
    assert (found.orientation_deg, found.semi_minor_m) == (270.0, 0.1)


def test_rfc_5491_section_3_4_rule_8_a_device_s_place_counts_then_a_tuple_s_then_a_person_s() -> None:
    def at(lat: int) -> str:
        return geopriv(POINT.replace("52.1", str(lat)))

    person, tuple_ = f'<dm:person id="p">{at(50)}</dm:person>', f'<tuple id="t"><status>{at(51)}</status></tuple>'
    assert read(presence(person + tuple_ + f'<dm:device id="d">{at(52)}</dm:device>')).shape.lat == 52
    assert read(presence(person + tuple_)).shape.lat == 51
    assert read(presence(person)).shape.lat == 50


def test_rfc_5491_section_3_4_of_several_devices_the_first_counts() -> None:
    other = geopriv(POINT.replace("52.1", "51"))
    document = presence(f'<dm:device id="a">{geopriv(POINT)}</dm:device><dm:device id="b">{other}</dm:device>')
    assert read(document).shape.lat == 52.1


def test_rfc_5491_section_3_of_a_compound_location_the_shape_counts() -> None:
    assert read(device(ADDRESS + POINT)).shape.shape() == Point(lat=52.1, lon=-0.4)


def test_rfc_5139_an_address_is_taken_by_its_postcode_and_its_town() -> None:
    assert read(device(ADDRESS)).shape.shape() == Civic(postcode="LU1 2NX")
    town = "<ca:civicAddress><ca:country>GB</ca:country><ca:A3>Luton</ca:A3></ca:civicAddress>"
    assert read(device(town)).shape.shape() == Civic(town="Luton")


def test_rfc_5139_an_address_that_says_nothing_of_where_gives_way_to_what_does() -> None:
    floor = "<ca:civicAddress><ca:country>GB</ca:country><ca:HNO>1</ca:HNO></ca:civicAddress>"
    document = presence(
        f'<dm:device id="d">{geopriv(floor)}</dm:device><tuple id="t"><status>{geopriv(POINT)}</status></tuple>'
    )
    assert read(document).shape.shape() == Point(lat=52.1, lon=-0.4)


def test_rfc_7459_the_confidence_is_the_certainty_and_unknown_says_none() -> None:
    circle = SHAPES["5.2.3 circle"][0]
    assert read(device(circle + "<con:confidence>67</con:confidence>")).certainty_percent == 67.0
    assert read(device(circle + "<con:confidence>unknown</con:confidence>")).certainty_percent is None
    assert read(device(circle)).certainty_percent is None


@pytest.mark.parametrize(
    ("method", "source"),
    [("GPS", "device"), ("A-GPS", "device"), ("Cell", "network-cell"), ("Manual", "caller"), ("Derived", None)],
)
def test_rfc_4119_section_2_2_4_the_method_is_the_source(method: str, source: str | None) -> None:
    assert read(device(POINT, f"<gp:method>{method}</gp:method>")).source == source


def test_rfc_4479_the_timestamp_is_when_it_was_taken() -> None:
    found = read(device(POINT, after="<dm:timestamp>2026-03-01T13:00:00+01:00</dm:timestamp>"))
    assert found.taken_at.isoformat() == "2026-03-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ("", "no geopriv:location-info"),
        ('<gml:Point srsName="urn:ogc:def:crs:EPSG::27700"><gml:pos>1 2</gml:pos></gml:Point>', "WGS 84"),
        ("<gml:Point><gml:pos>91 0</gml:pos></gml:Point>", "latitude"),
        ("<gml:Point><gml:pos>NaN 0</gml:pos></gml:Point>", "decimal"),
        (f"<gs:Circle>{AT}<gs:radius>-1</gs:radius></gs:Circle>", "radius"),
        (f"<gs:Sphere>{AT}</gs:Sphere>", "Point, Circle, Ellipse, ArcBand or Polygon"),
        ("<ca:civicAddress/>", "empty"),
    ],
)
def test_what_is_no_place_is_refused_with_the_reason(info: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        as_json(device(info))


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_sent_to_do_harm_is_refused_with_the_reason(kind: str) -> None:
    message = HOSTILE[kind][0]
    with pytest.raises((BadRequest, Invalid), match=r"\w"):
        as_json(message if isinstance(message, bytes) else message.encode())


def other_number(rng: random.Random, document: bytes) -> bytes:
    """One of its numbers is another, or none at all."""
    numbers = list(re.finditer(rb"(?<=[> ])-?[0-9.]+(?=[< ])", document))
    at = rng.choice(numbers) if numbers else re.match(b"", document)
    assert at is not None
    other = str(rng.uniform(-400.0, 400.0)) if rng.random() < 0.7 else rng.choice(VALUES)
    return document[: at.start()] + other.encode() + document[at.end() :]


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_mutated_documents_are_read_or_refused(count: int) -> None:
    rng = random.Random(5491)
    seeds = [device(written + "<con:confidence>67</con:confidence>") for written, _ in SHAPES.values()] + [
        device(ADDRESS, "<gp:method>GPS</gp:method>", "<dm:timestamp>2026-03-01T13:00:00+01:00</dm:timestamp>")
    ]
    read_some = refused_some = 0
    for _ in range(count):
        try:
            content = as_json(rng.choice((mutated, other_number))(rng, rng.choice(seeds)))
        except (BadRequest, Invalid):
            refused_some += 1
        else:
            assert content.startswith(b'{"shape":{"kind":')
            read_some += 1
    assert min(read_some, refused_some) > count // 20
