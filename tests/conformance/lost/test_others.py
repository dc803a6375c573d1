"""getServiceBoundary, listServices and listServicesByLocation (RFC 5222, sections 9 to 11), and errors (13.1)."""

from __future__ import annotations

import pytest
from lxml import etree

from services.directory.lost.door import answer_to
from tests.conformance.lost.given import (
    CAMBRIDGE,
    EDINBURGH,
    LOST,
    NEW_YORK,
    SOURCE,
    Server,
    civic,
    find,
    geodetic,
    point,
    texts,
)


def boundary(key: str) -> str:
    return f'<getServiceBoundary xmlns="{LOST}" key="{key}"/>'


def services(service: str | None = None, where: str = "", after: str = "") -> str:
    name = "listServicesByLocation" if where else "listServices"
    named = "" if service is None else f"<service>{service}</service>"
    return f'<{name} xmlns="{LOST}" xmlns:gml="http://www.opengis.net/gml">{where}{named}{after}</{name}>'


def test_section_9_a_boundary_can_be_had_by_its_key(server: Server) -> None:
    [key] = texts(server.ask(find(CAMBRIDGE)), "//l:serviceBoundaryReference/@key")
    by_key = server.ask(boundary(key))
    by_value = server.ask(find(CAMBRIDGE, attributes='serviceBoundary="value"'))
    assert etree.QName(by_key).localname == "getServiceBoundaryResponse"
    assert texts(by_key, "//l:path/l:via/@source") == [SOURCE]
    assert texts(by_key, ".//l:serviceBoundary//text()") == texts(by_value, ".//l:serviceBoundary//text()") != []


def test_section_9_under_another_key_there_is_nothing(server: Server) -> None:
    assert server.error(boundary("7214148E0433AFE2FA2D48003D31172E")) == "notFound"
    assert server.error(f'<getServiceBoundary xmlns="{LOST}"/>') == "badRequest"


@pytest.mark.parametrize(
    ("service", "wanted"),
    [
        (None, ["urn:service:sos", "urn:emergency:service:sos", "urn:emergency:service:responder.police"]),
        ("urn:service:sos", ["urn:service:sos.police"]),
        ("urn:emergency:service:sos", ["urn:emergency:service:sos.police"]),
        ("urn:service:sos.police", []),
    ],
)
def test_sections_10_and_11_the_services_under_one_are_listed(
    service: str | None, wanted: list[str], server: Server
) -> None:
    everywhere = server.ask(services(service))
    assert texts(everywhere, "//l:serviceList") == [" ".join(wanted)]
    assert texts(everywhere, "//l:path/l:via/@source") == [SOURCE]
    here = server.ask(services(service, point(CAMBRIDGE, "x7")))
    assert etree.QName(here).localname == "listServicesByLocationResponse"
    assert texts(here, "//l:serviceList") == [" ".join(wanted)]
    assert texts(here, "//l:locationUsed/@id") == ["x7"]


def test_section_11_far_away_no_service_is_known(server: Server) -> None:
    assert server.error(services("urn:service:sos", point(NEW_YORK))) == "notFound"
    assert texts(server.ask(services("urn:service:sos", point(EDINBURGH))), "//l:serviceList") != []


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"hello",
        b"<findService",
        b"\x00\x01\x02",
        f'<findService xmlns="{LOST}"><service>urn:service:sos</service>'.encode(),
        b"<findService><service>urn:service:sos</service></findService>",
        f'<findServiceResponse xmlns="{LOST}"/>'.encode(),
        f'<makeCoffee xmlns="{LOST}"/>'.encode(),
        find(CAMBRIDGE).replace("<service>urn:service:sos.police</service>", ""),
        find(CAMBRIDGE, after="<service>urn:service:sos</service>"),
        find("<!-- nowhere -->"),
        find(CAMBRIDGE, attributes='serviceBoundary="drawing"'),
        find(CAMBRIDGE, attributes='recursive="maybe"'),
        find(CAMBRIDGE, attributes='validateLocation="yes"'),
        find(CAMBRIDGE, after="<asOf>2035-08-21T32:58:03.01-05:00</asOf>"),
        find(CAMBRIDGE, after="<asOf>tomorrow</asOf>"),
        find(CAMBRIDGE, after="<asOf>9999-12-31T23:59:59-14:00</asOf>"),
        find(CAMBRIDGE, after='<path><via source="not a name"/></path>'),
        find(CAMBRIDGE, after="<path><via/></path>"),
        find(CAMBRIDGE, after="<path>" + '<via source="a.example"/>' * 33 + "</path>"),
        find(point(CAMBRIDGE, "a") + point(CAMBRIDGE, "a")),
        find("".join(point(CAMBRIDGE, f"l{number}") for number in range(17))),
        find(point(CAMBRIDGE, "a" * 300)),
        find(CAMBRIDGE, service="urn:service:sos." + "a" * 300),
        services("urn:service:sos").replace("listServices", "listServicesByLocation"),
    ],
    ids=lambda message: str(message)[-60:],
)
def test_section_13_1_what_is_no_request_is_a_bad_request(message: str | bytes, server: Server) -> None:
    assert server.error(message) == "badRequest"


@pytest.mark.parametrize(
    "shape",
    [
        "",
        "<gml:Point/>",
        "<gml:Point><gml:pos/></gml:Point>",
        "<gml:Point><gml:pos>91 0</gml:pos></gml:Point>",
        "<gml:Point><gml:pos>52 -181</gml:pos></gml:Point>",
        "<gml:Point><gml:pos>NaN 0</gml:pos></gml:Point>",
        "<gml:Point><gml:pos>52 INF</gml:pos></gml:Point>",
        "<gml:Point><gml:pos>52 1e999</gml:pos></gml:Point>",
        "<gml:Point><gml:pos>52</gml:pos></gml:Point>",
        "<gml:Point><gml:pos>52 0 0 0</gml:pos></gml:Point>",
        "<gml:Point><gml:pos>52,2 0,1</gml:pos></gml:Point>",
        "<gml:Point><gml:pos>52 0</gml:pos><gml:pos>53 0</gml:pos></gml:Point>",
        '<gml:Point srsName="urn:ogc:def:crs:EPSG::27700"><gml:pos>52 0</gml:pos></gml:Point>',
        '<gml:Point srsName="urn:ogc:def:crs:EPSG::4326"><gml:pos>52 0 40</gml:pos></gml:Point>',
        "<gml:Point><gml:pos>52 0</gml:pos></gml:Point><gml:Point><gml:pos>52 0</gml:pos></gml:Point>",
        "<gml:Square><gml:pos>52 0</gml:pos></gml:Square>",
        "<gs:Circle><gml:pos>52 0</gml:pos></gs:Circle>",
        "<gs:Circle><gml:pos>52 0</gml:pos><gs:radius>-1</gs:radius></gs:Circle>",
        "<gs:Circle><gml:pos>52 0</gml:pos><gs:radius>1e9</gs:radius></gs:Circle>",
        '<gs:Circle><gml:pos>52 0</gml:pos><gs:radius uom="urn:ogc:def:uom:EPSG::9102">5</gs:radius></gs:Circle>',
        (
            "<gml:Polygon><gml:exterior><gml:LinearRing><gml:posList>52 0 52 1 53 1 53</gml:posList></gml:LinearRing>"
            "</gml:exterior></gml:Polygon>"
        ),
        (
            "<gml:Polygon><gml:exterior><gml:LinearRing><gml:posList>52 0 53 1 52 1 53 0 52 0</gml:posList>"
            "</gml:LinearRing></gml:exterior></gml:Polygon>"
        ),
        (
            "<gml:Polygon><gml:exterior><gml:LinearRing><gml:posList>52 0 52 1</gml:posList></gml:LinearRing>"
            "</gml:exterior></gml:Polygon>"
        ),
        '<civicAddress xmlns="urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr"><A3>Ely</A3></civicAddress>',
    ],
    ids=lambda shape: shape[:70],
)
def test_section_13_1_what_is_no_place_is_an_invalid_location(shape: str, server: Server) -> None:
    assert server.error(find(geodetic(shape))) == "locationInvalid"


def test_section_13_1_an_empty_address_is_an_invalid_location(server: Server) -> None:
    assert server.error(find(civic())) == "locationInvalid"


def test_section_13_1_without_a_known_profile_the_known_ones_are_named(server: Server) -> None:
    message = find('<location id="1" profile="x-moon"><crater xmlns="urn:moon"/></location>')
    assert server.error(message) == "locationProfileUnrecognized"
    [told] = texts(server.ask(message), "//@message")
    assert "geodetic-2d" in told
    assert "civic" in told


def test_section_15_the_profiles_that_are_not_known_are_named_and_what_is_no_name_is_none(server: Server) -> None:
    given = "".join(f'<location id="{at}" profile="{name}"/>' for at, name in enumerate(("x-moon", "x-mars", "x-moon")))
    assert texts(server.ask(find(given)), "//@unsupportedProfiles") == ["x-moon x-mars"]
    for name in ("two words", "&lt;x&gt;", "a/b", "x" * 65, "\N{SNOWMAN}"):
        assert server.error(find(f'<location id="1" profile="{name}"/>')) == "locationInvalid"


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16"])
def test_section_16_both_encodings_are_understood_and_answers_are_in_utf_8(encoding: str, server: Server) -> None:
    message = f'<?xml version="1.0" encoding="{encoding}"?>' + find(CAMBRIDGE)
    assert texts(server.ask(message.encode(encoding)), "//l:displayName") == ["Cambridgeshire"]
    assert answer_to(message.encode(encoding), server.ground).startswith(b"<?xml version='1.0' encoding='UTF-8'?>")


def test_section_13_1_a_request_that_came_by_here_before_is_a_loop(server: Server) -> None:
    path = f'<path><via source="other.example"/><via source="{SOURCE}"/></path>'
    assert server.error(find(CAMBRIDGE, attributes='recursive="true"', after=path)) == "loop"
    assert server.error(services("urn:service:sos", point(CAMBRIDGE), path)) == "loop"


@pytest.mark.parametrize(
    "service",
    ["urn:service:sos.fire", "urn:service:sos.ambulance", "urn:service:sos.policeman", "urn:x", "http://a/", "sos"],
)
def test_section_13_1_other_services_are_not_implemented(service: str, server: Server) -> None:
    assert server.error(find(CAMBRIDGE, service=service)) == "serviceNotImplemented"
    assert server.error(services(service)) == "serviceNotImplemented"


def test_section_13_1_an_error_repeats_nothing_of_what_was_sent(server: Server) -> None:
    secret = "Zebedee"
    for message in (
        f"<{secret}",
        f"<{secret}/>",
        find(secret),
        find(CAMBRIDGE, service=secret),
        find(civic(country="US", A3=secret)),
        find(CAMBRIDGE, after=f"<asOf>{secret}</asOf>"),
        find(f'<location id="1" profile="{secret} {secret}"/>'),
        boundary(secret),
    ):
        assert secret.encode() not in etree.tostring(server.ask(message))
