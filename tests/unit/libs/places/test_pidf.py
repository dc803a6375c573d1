"""PIDF-LO: each case names the clause, or the habit of real clients, that it is about."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.types.shapes import ArcBand, Circle, Civic, Ellipse, Point, Polygon
from libs.places import UnusableShape, check_shape
from libs.places.pidf import UnknownReference, read_address, read_pidf, read_shape, read_time
from libs.places.safe_xml import NotXml, read_xml

SPACES = (
    'xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" '
    'xmlns:gp="urn:ietf:params:xml:ns:pidf:geopriv10" xmlns:gml="http://www.opengis.net/gml" '
    'xmlns:gs="http://www.opengis.net/pidflo/1.0" xmlns:con="urn:ietf:params:xml:ns:geopriv:conf" '
    'xmlns:ca="urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr"'
)
POINT = '<gml:Point srsName="urn:ogc:def:crs:EPSG::4326"><gml:pos>52.1 -0.4</gml:pos></gml:Point>'
ADDRESS = "<ca:civicAddress><ca:country>gb</ca:country><ca:PC>LU1 2NX</ca:PC></ca:civicAddress>"


def shape(text: str) -> object:
    return read_shape(read_xml(text.replace(">", f" {SPACES}>", 1).encode()))


def geopriv(info: str, rest: str = "") -> str:
    return f"<gp:geopriv><gp:location-info>{info}</gp:location-info><gp:usage-rules/>{rest}</gp:geopriv>"


def presence(inner: str) -> bytes:
    return f'<presence {SPACES} entity="pres:a@example.com">{inner}</presence>'.encode()


def test_rfc_4119_a_tuple_s_location_its_method_and_its_time() -> None:
    rest = "<gp:method>Cell</gp:method>"
    status = f"<status>{geopriv(POINT, rest)}</status><timestamp>2026-03-01T13:00:00+01:00</timestamp>"
    [found] = read_pidf(presence(f'<tuple id="t">{status}</tuple>'))
    assert found.shape == Point(lat=52.1, lon=-0.4)
    assert (found.method, found.at) == ("Cell", datetime(2026, 3, 1, 12, tzinfo=UTC))


def test_rfc_5491_rule_8_a_device_comes_before_a_tuple_and_a_person_last() -> None:
    def at(lat: int) -> str:
        return geopriv(POINT.replace("52.1", str(lat)))

    document = presence(
        f'<dm:person id="p">{at(1)}</dm:person><tuple id="t"><status>{at(2)}</status></tuple>'
        f'<dm:device id="d">{at(3)}</dm:device><dm:device id="e">{at(4)}</dm:device>'
    )
    lats = [found.shape.lat for found in read_pidf(document) if isinstance(found.shape, Point)]
    assert lats == [3, 4, 2, 1]


def test_rfc_5491_beside_an_address_the_shape_comes_first() -> None:
    found = read_pidf(presence(f'<dm:device id="d">{geopriv(ADDRESS + POINT)}</dm:device>'))
    assert [one.shape for one in found] == [Point(lat=52.1, lon=-0.4), Civic(postcode="LU1 2NX")]


@pytest.mark.parametrize(
    ("text", "percent"), [("67", 67.0), (" 95.5 ", 95.5), ("unknown", None), ("0", None), ("1e9", None)]
)
def test_rfc_7459_the_confidence_is_the_certainty(text: str, percent: float | None) -> None:
    info = POINT + f'<con:confidence pdf="normal">{text}</con:confidence>'
    [found] = read_pidf(presence(f'<dm:device id="d">{geopriv(info)}</dm:device>'))
    assert found.certainty_percent == percent


def test_what_cannot_be_read_is_passed_over_where_anything_else_can() -> None:
    bad = geopriv("<gml:Point><gml:pos>here</gml:pos></gml:Point>")
    good = f'<tuple id="t"><status>{geopriv(POINT)}</status></tuple>'
    assert len(read_pidf(presence(f'<dm:device id="d">{bad}</dm:device>{good}'))) == 1
    with pytest.raises(UnusableShape, match="decimal"):
        read_pidf(presence(f'<dm:device id="d">{bad}</dm:device>'))
    with pytest.raises(UnusableShape, match="no location"):
        read_pidf(presence(""))
    with pytest.raises(UnusableShape, match="presence"):
        read_pidf(b"<a/>")
    with pytest.raises(NotXml):
        read_pidf(b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>')


@pytest.mark.parametrize("space", ["gml", "gs"])
def test_rfc_5491_section_5_2_every_shape_in_either_namespace(space: str) -> None:
    """RFC 5491 has Circle, Ellipse and ArcBand in its own namespace; real clients have them in GML's."""
    made = {
        "Point": Point(lat=1, lon=2),
        "Circle": Circle(lat=1, lon=2, radius_m=5),
        "Ellipse": Ellipse(lat=1, lon=2, semi_major_m=9, semi_minor_m=4, orientation_deg=43.2),
        "ArcBand": ArcBand(lat=1, lon=2, inner_radius_m=3, outer_radius_m=8, start_angle_deg=20, opening_angle_deg=30),
    }
    inner = {
        "Point": "",
        "Circle": "<N:radius>5</N:radius>",
        "Ellipse": "<N:semiMajorAxis>9</N:semiMajorAxis><N:semiMinorAxis>4</N:semiMinorAxis>"
        "<N:orientation>43.2</N:orientation>",
        "ArcBand": "<N:innerRadius>3</N:innerRadius><N:outerRadius>8</N:outerRadius><N:startAngle>20</N:startAngle>"
        "<N:openingAngle>30</N:openingAngle>",
    }
    for name, wanted in made.items():
        text = f"<N:{name}><gml:pos>1 2</gml:pos>{inner[name]}</N:{name}>"
        assert shape(text.replace("N:", f"{space}:")) == wanted


@pytest.mark.parametrize(
    "ring",
    [
        "<gml:pos>1 2</gml:pos><gml:pos>1 3</gml:pos><gml:pos>2 3</gml:pos><gml:pos>1 2</gml:pos>",
        "<gml:pos>1 2</gml:pos><gml:pos>1 3</gml:pos><gml:pos>2 3</gml:pos>",
        "<gml:pos>1, 2</gml:pos><gml:pos> 1 , 3 </gml:pos><gml:pos>\n2\n3\n</gml:pos>",
        "<gml:posList>1 2 1 3 2 3 1 2</gml:posList>",
        "<gml:posList>1,2 1,3 2,3</gml:posList>",
        '<gml:posList srsDimension="3">1 2 0 1 3 0 2 3 0</gml:posList>',
    ],
)
def test_habits_a_ring_is_read_closed_or_open_with_commas_and_white_space(ring: str) -> None:
    text = f"<gml:Polygon><gml:exterior><gml:LinearRing>{ring}</gml:LinearRing></gml:exterior></gml:Polygon>"
    assert shape(text) == Polygon(exterior=((1, 2), (1, 3), (2, 3)))


def test_rfc_5491_section_5_2_2_a_polygon_has_no_holes() -> None:
    ring = "<gml:LinearRing><gml:posList>1 2 1 3 2 3</gml:posList></gml:LinearRing>"
    holed = f"<gml:Polygon><gml:exterior>{ring}</gml:exterior><gml:interior>{ring}</gml:interior></gml:Polygon>"
    with pytest.raises(UnusableShape, match="holes"):
        shape(holed)


def test_habits_swapped_axes_are_the_same_ellipse_by_its_longer_axis() -> None:
    text = (
        "<gs:Ellipse><gml:pos>1 2</gml:pos><gs:semiMajorAxis>123</gs:semiMajorAxis>"
        "<gs:semiMinorAxis>200</gs:semiMinorAxis><gs:orientation>{}</gs:orientation></gs:Ellipse>"
    )
    for given_deg, wanted_deg in ((40, 130), (170, 80)):
        wanted = Ellipse(lat=1, lon=2, semi_major_m=200, semi_minor_m=123, orientation_deg=wanted_deg)
        assert shape(text.format(given_deg)) == wanted


@pytest.mark.parametrize(
    ("unit", "metres"),
    [("urn:ogc:def:uom:EPSG::9001", 100.0), ("", 100.0), ("EPSG::9001", 100.0), ("urn:ogc:def:uom:EPSG::9002", 30.48)],
)
def test_lengths_are_metres_or_feet(unit: str, metres: float) -> None:
    read = shape(f'<gs:Circle><gml:pos>1 2</gml:pos><gs:radius uom="{unit}">100</gs:radius></gs:Circle>')
    assert isinstance(read, Circle)
    assert read.radius_m == pytest.approx(metres)
    with pytest.raises(UnusableShape, match="metres"):
        shape('<gs:Circle><gml:pos>1 2</gml:pos><gs:radius uom="furlong">100</gs:radius></gs:Circle>')


@pytest.mark.parametrize(
    ("unit", "written"),
    [
        ("urn:ogc:def:uom:EPSG::9102", "90"),
        ("urn:ogc:def:uom:EPSG::9002", "90"),
        ("EPSG::9101", "1.5707963267948966"),
    ],
)
def test_angles_are_degrees_or_radians_and_degrees_under_the_code_of_the_foot(unit: str, written: str) -> None:
    read = shape(
        "<gs:Ellipse><gml:pos>1 2</gml:pos><gs:semiMajorAxis>9</gs:semiMajorAxis><gs:semiMinorAxis>4</gs:semiMinorAxis>"
        f'<gs:orientation uom="{unit}">{written}</gs:orientation></gs:Ellipse>'
    )
    assert isinstance(read, Ellipse)
    assert read.orientation_deg == pytest.approx(90)


@pytest.mark.parametrize(
    ("srs", "pos"),
    [
        ("urn:ogc:def:crs:EPSG::4326", "1 2"),
        ("urn:ogc:def::crs:EPSG::4326", "1 2"),
        ("urn:ogc:def:crs:EPSG:6.6:4326", "1 2"),
        ("EPSG:4326", "1 2"),
        ("http://www.opengis.net/def/crs/EPSG/0/4326", "1 2"),
        ("urn:ogc:def:crs:EPSG::4979", "1 2 30"),
        ("", "1 2"),
        ("", "1 2 30"),
    ],
)
def test_wgs_84_is_known_by_all_its_names_and_heights_are_passed_over(srs: str, pos: str) -> None:
    assert shape(f'<gml:Point srsName="{srs}"><gml:pos>{pos}</gml:pos></gml:Point>') == Point(lat=1, lon=2)


@pytest.mark.parametrize("srs", ["urn:ogc:def:crs:EPSG::27700", "urn:ogc:def:crs:EPSG::43261", "WGS84-ish", "4326"])
def test_another_reference_system_is_refused_as_such(srs: str) -> None:
    with pytest.raises(UnknownReference, match="4326"):
        shape(f'<gml:Point srsName="{srs}"><gml:pos>1 2</gml:pos></gml:Point>')


def test_rfc_4119_a_location_around_the_shape_is_looked_through() -> None:
    assert shape(f"<gml:location>{POINT}</gml:location>") == Point(lat=52.1, lon=-0.4)
    with pytest.raises(UnusableShape):
        shape(f"<gml:location><gml:location>{POINT}</gml:location></gml:location>")


def test_rfc_5139_an_address_in_our_words() -> None:
    lines = {
        "country": "gb",
        "A1": "England",
        "A2": "Cambridgeshire",
        "A3": "Ely",
        "A5": "Littleport",
        "RD": "Main",
        "STS": "Street",
        "HNO": "12",
        "HNS": "A",
        "PC": " CB6  1PJ ",
        "FLR": "",
    }
    written = "".join(f"<ca:{name}>{text}</ca:{name}>" for name, text in lines.items())
    read = read_address(read_xml(f"<ca:civicAddress {SPACES}>{written}</ca:civicAddress>".encode()))
    assert read.shape == Civic(
        house="12 A",
        street="Main Street",
        locality="Littleport",
        town="Ely",
        county="Cambridgeshire",
        postcode="CB6 1PJ",
    )
    assert read.country == "GB"
    assert read.given == tuple(name for name, text in lines.items() if text)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2035-08-21T12:58:03.01-05:00", datetime(2035, 8, 21, 17, 58, 3, 10_000, tzinfo=UTC)),
        ("2035-08-21T12:58:03.123456789Z", datetime(2035, 8, 21, 12, 58, 3, 123_456, tzinfo=UTC)),
    ],
)
def test_times_of_xml_schema_are_read(text: str, utc: datetime) -> None:
    assert read_time(text) == utc


@pytest.mark.parametrize(
    "text",
    ["", "2026-03-01", "2035-08-21T32:58:03Z", "0001-01-01T00:00:00+14:00", "2026-13-01T00:00:00Z", "20260301T120000Z"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|month|hour|range"):
        read_time(text)


@given(st.text(max_size=40), st.sampled_from(["pos", "radius", "uom", "srsName"]))
def test_no_text_makes_anything_but_a_shape_or_a_refusal(text: str, where: str) -> None:
    element = read_xml(
        f'<gs:Circle {SPACES} srsName=""><gml:pos>1 2</gml:pos><gs:radius uom="">5</gs:radius></gs:Circle>'.encode()
    )
    legible = "".join(letter for letter in text if letter.isprintable())
    if where == "srsName":
        element.set("srsName", legible)
    elif where == "uom":
        element[1].set("uom", legible)
    else:
        element[where == "radius"].text = legible
    try:
        read = read_shape(element)
    except UnusableShape:
        return
    assert isinstance(read, Circle)
    check_shape(read)
