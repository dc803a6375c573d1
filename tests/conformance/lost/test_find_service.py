"""findService, by RFC 5222's sections 5 to 8, 12 and 13.2."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import shapely

from libs.events.types.directory import QueueDefined
from libs.places.grid import to_grid
from tests.conformance.lost.given import (
    ACTIVATED,
    CAMBRIDGE,
    EDINBURGH,
    LOADED,
    NAMES,
    NEW_YORK,
    NORTHAMPTON,
    NOW,
    POLICE,
    ROYSTON,
    SOURCE,
    Server,
    civic,
    find,
    geodetic,
    point,
    texts,
)

FOUR_FORCES = "52.6402 -0.4950"


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_section_5_a_mapping_names_the_owning_force_its_999_queue_and_999(server: Server) -> None:
    answer = server.ask(find(CAMBRIDGE))
    assert texts(answer, "//l:displayName") == ["Cambridgeshire"]
    assert texts(answer, "//l:mapping/l:service") == [POLICE]
    assert texts(answer, "//l:uri") == [f"sip:cambridgeshire-999@{SOURCE}"]
    assert texts(answer, "//l:serviceNumber") == ["999"]
    assert texts(answer, "//l:warnings") == []


def test_section_5_1_last_updated_is_when_boundaries_queue_or_force_last_changed(server: Server) -> None:
    found = server.ask(find(CAMBRIDGE))
    assert [time(text) for text in texts(found, "//@lastUpdated")] == [ACTIVATED]
    assert texts(found, "//l:mapping/@source") == [SOURCE]
    later = NOW - timedelta(days=1)
    for subject in ("queue/cambridgeshire-999", "force/cambridgeshire"):
        changed = Server(replace(server.ground, changed={**server.ground.changed, subject: later}))
        after = changed.ask(find(CAMBRIDGE))
        assert [time(text) for text in texts(after, "//@lastUpdated")] == [later]
        assert texts(after, "//@sourceId") == texts(found, "//@sourceId")
    other = replace(server.ground, changed={**server.ground.changed, "queue/bedfordshire-999": later})
    assert [time(text) for text in texts(Server(other).ask(find(CAMBRIDGE)), "//@lastUpdated")] == [ACTIVATED]
    assert LOADED < ACTIVATED


def test_section_5_1_source_id_tells_mappings_of_one_source_apart(server: Server) -> None:
    ids = [
        texts(server.ask(find(where, service=service)), "//@sourceId")[0]
        for where in (CAMBRIDGE, ROYSTON, EDINBURGH)
        for service in (POLICE, "urn:service:sos")
    ]
    assert len(set(ids)) == len(ids)


def test_section_5_2_a_certain_mapping_may_be_kept_for_an_hour_and_no_other(server: Server) -> None:
    assert [time(text) for text in texts(server.ask(find(CAMBRIDGE)), "//@expires")] == [NOW + timedelta(hours=1)]
    uncertain = (
        find(FOUR_FORCES),
        find(EDINBURGH),
        find(NORTHAMPTON),
        find(CAMBRIDGE, service=f"{POLICE}.traffic"),
        find(CAMBRIDGE, after="<asOf>2035-01-01T00:00:00Z</asOf>"),
    )
    for message in uncertain:
        assert set(texts(server.ask(message), "//@expires")) == {"NO-CACHE"}


def test_section_5_3_a_display_name_has_its_language(server: Server) -> None:
    assert texts(server.ask(find(CAMBRIDGE)), "//l:displayName/@xml:lang") == ["en"]


def rings(answer: Any) -> list[shapely.Geometry]:
    """The polygons of the first service boundary, on the grid."""
    found = []
    for polygon in answer.xpath("(//l:serviceBoundary)[1]/gml:Polygon", namespaces=NAMES):
        drawn = []
        for text in texts(polygon, ".//gml:posList"):
            numbers = np.array(text.split(), dtype=float).reshape(-1, 2)
            drawn.append([to_grid(lat, lon) for lat, lon in numbers.tolist()])
        found.append(shapely.Polygon(drawn[0], drawn[1:]))
    return found


def test_section_5_4_the_service_is_the_one_that_the_mapping_is_for(server: Server) -> None:
    for asked, given in (
        (POLICE, POLICE),
        ("urn:service:sos", "urn:service:sos"),
        ("urn:emergency:service:sos.police", "urn:emergency:service:sos.police"),
        (f"{POLICE}.traffic", POLICE),
    ):
        assert texts(server.ask(find(CAMBRIDGE, service=asked)), "//l:mapping/l:service") == [given]


def test_section_5_5_a_boundary_by_value_holds_the_place_and_the_whole_area(server: Server) -> None:
    answer = server.ask(find(CAMBRIDGE, attributes='serviceBoundary="value"'))
    area = shapely.union_all(rings(answer))
    assert area.contains(shapely.Point(to_grid(52.2053, 0.1218)))
    assert not area.contains(shapely.Point(to_grid(52.0482, -0.0243)))
    assert area.area == pytest.approx(3_400e6, rel=0.02)  # Cambridgeshire and Peterborough, square metres


def test_section_5_5_rings_are_closed_and_outer_ones_counter_clockwise(server: Server) -> None:
    answer = server.ask(find(CAMBRIDGE, attributes='serviceBoundary="value"'))
    for text in texts(answer, "//gml:exterior//gml:posList"):
        numbers = text.split()
        assert numbers[:2] == numbers[-2:]
        corners = np.array(numbers, dtype=float).reshape(-1, 2)[:, ::-1]  # east, north
        assert shapely.is_ccw(shapely.LinearRing(corners))


def test_section_5_6_a_boundary_comes_by_reference_unless_the_value_is_asked_for(server: Server) -> None:
    by_default = server.ask(find(CAMBRIDGE))
    assert texts(by_default, "//l:serviceBoundary") == []
    [key] = texts(by_default, "//l:serviceBoundaryReference/@key")
    assert texts(by_default, "//l:serviceBoundaryReference/@source") == [SOURCE]
    assert texts(server.ask(find("52.40 0.26")), "//@key") == [key]  # Ely, in the same area
    assert texts(server.ask(find(ROYSTON)), "//@key") != [key]


def test_section_5_7_the_number_is_what_a_telephone_dials(server: Server) -> None:
    """Digits, star and hash alone; the default mapping is reached by the same."""
    for where in (CAMBRIDGE, ROYSTON, EDINBURGH):
        [number] = texts(server.ask(find(where)), "//l:mapping/l:serviceNumber")
        assert number == "999"
        assert set(number) <= set("0123456789*#")


def test_section_5_8_a_mapping_has_one_address_a_scheme(server: Server) -> None:
    for where in (CAMBRIDGE, ROYSTON, EDINBURGH):
        schemes = [uri.partition(":")[0] for uri in texts(server.ask(find(where)), "//l:mapping/l:uri")]
        assert schemes
        assert len(set(schemes)) == len(schemes)


def test_section_6_the_path_ends_with_this_server(server: Server) -> None:
    assert texts(server.ask(find(CAMBRIDGE)), "//l:path/l:via/@source") == [SOURCE]
    asked = find(CAMBRIDGE, after='<path><via source="resolver.example"/><via source="other.example"/></path>')
    assert texts(server.ask(asked), "//l:path/l:via/@source") == ["resolver.example", "other.example", SOURCE]


def test_section_7_the_location_used_is_named(server: Server) -> None:
    assert texts(server.ask(find(point(CAMBRIDGE, "6020688f1ce1896d"))), "//l:locationUsed/@id") == ["6020688f1ce1896d"]
    nameless = point(CAMBRIDGE).replace('id="here"', "")
    assert texts(server.ask(find(nameless)), "//l:locationUsed") == []


def test_section_8_3_1_of_several_locations_the_first_that_is_understood_is_used(server: Server) -> None:
    unknown = '<location id="new" profile="geodetic-3d-plus"><x xmlns="urn:x"/></location>'
    answer = server.ask(find(unknown + point(ROYSTON, "b") + point(CAMBRIDGE, "c")))
    assert texts(answer, "//l:locationUsed/@id") == ["b"]
    assert texts(answer, "//l:displayName") == ["Hertfordshire"]
    unplaceable = civic("a", country="GB", A3="Somewhere")
    assert texts(server.ask(find(unplaceable + point(ROYSTON, "b"))), "//l:locationUsed/@id") == ["b"]
    broken = geodetic("<gml:Point><gml:pos>fifty-two</gml:pos></gml:Point>", "a")
    assert texts(server.ask(find(broken + point(ROYSTON, "b"))), "//l:locationUsed/@id") == ["b"]


def test_section_8_3_2_the_service_says_what_is_looked_for_and_must_be_there(server: Server) -> None:
    police, any_ = (
        texts(server.ask(find(CAMBRIDGE, service=service)), "//l:mapping/l:service")
        for service in (POLICE, "urn:service:sos")
    )
    assert (police, any_) == ([POLICE], ["urn:service:sos"])
    assert server.error(find(CAMBRIDGE).replace(f"<service>{POLICE}</service>", "")) == "badRequest"
    assert server.error(find(CAMBRIDGE, service="urn:service:counseling")) == "serviceNotImplemented"


def test_section_8_3_3_a_recursive_query_is_answered_from_what_is_known_here(server: Server) -> None:
    for recursive in ("true", "1", "false", "0"):
        answer = server.ask(find(CAMBRIDGE, attributes=f'recursive="{recursive}"'))
        assert texts(answer, "//l:path/l:via/@source") == [SOURCE]
        assert server.error(find(NEW_YORK, attributes=f'recursive="{recursive}"')) == "notFound"


def test_section_8_4_1_a_place_over_two_areas_has_a_mapping_for_each_the_largest_share_first(server: Server) -> None:
    circle = (
        '<gs:Circle srsName="urn:ogc:def:crs:EPSG::4326"><gml:pos>52.0482 -0.0243</gml:pos>'
        '<gs:radius uom="urn:ogc:def:uom:EPSG::9001">8000</gs:radius></gs:Circle>'
    )
    polygon = (
        '<gml:Polygon srsName="urn:ogc:def:crs:EPSG::4326"><gml:exterior><gml:LinearRing><gml:posList>'
        "51.99 -0.10 51.99 0.05 52.12 0.05 52.12 -0.10 51.99 -0.10"
        "</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon>"
    )
    for shape in (circle, polygon):
        answer = server.ask(find(geodetic(shape), attributes='serviceBoundary="value"'))
        names = texts(answer, "//l:displayName")
        assert names[:2] in (["Hertfordshire", "Cambridgeshire"], ["Cambridgeshire", "Hertfordshire"])
        assert len(answer.xpath("//l:serviceBoundary", namespaces=NAMES)) >= 2
        assert len(set(texts(answer, "//@sourceId"))) == len(names)


def test_section_8_4_2_an_address_is_validated_as_far_as_its_postcode_goes(server: Server) -> None:
    asked = 'validateLocation="true"'
    right = server.ask(find(civic(country="GB", A3="Luton", PC="LU1 2NX"), attributes=asked))
    assert texts(right, "//l:displayName") == ["Bedfordshire"]
    assert texts(right, "//l:valid") == ["ca:country ca:PC"]
    assert texts(right, "//l:unchecked") == ["ca:A3"]
    wrong = server.ask(find(civic(country="GB", A3="Luton", PC="LU99 9ZZ"), attributes=asked))
    assert texts(wrong, "//l:invalid") == ["ca:PC"]
    assert texts(wrong, "//l:displayName")[0] == "Bedfordshire", "the town places it"
    wrong = server.ask(find(civic(country="GB", A3="Nowhere in England", PC="LU99 9ZZ"), attributes=asked))
    assert texts(wrong, "//l:invalid") == ["ca:PC"]
    assert texts(wrong, "//l:warnings/l:defaultMappingReturned/@message")
    element = right.xpath("//l:locationValidation", namespaces=NAMES)[0]
    assert element.nsmap["ca"] == "urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr"


def test_section_8_4_2_nothing_is_validated_unasked(server: Server) -> None:
    assert texts(server.ask(find(civic(country="GB", PC="LU1 2NX"))), "//l:locationValidation") == []
    assert texts(server.ask(find(CAMBRIDGE, attributes='validateLocation="true"')), "//l:locationValidation") == []


@pytest.mark.parametrize("namespace", ["gml", "gs"])
@pytest.mark.parametrize(
    "shape",
    [
        "<N:Point><gml:pos>52.2053 0.1218</gml:pos></N:Point>",
        "<N:Circle><gml:pos>52.2053 0.1218</gml:pos><N:radius>50</N:radius></N:Circle>",
        (
            "<N:Ellipse><gml:pos>52.2053, 0.1218</gml:pos><N:semiMajorAxis> 80 </N:semiMajorAxis>"
            "<N:semiMinorAxis>120</N:semiMinorAxis><N:orientation>40</N:orientation></N:Ellipse>"
        ),
        (
            "<N:ArcBand><gml:pos>52.2053 0.1218</gml:pos><N:innerRadius>100</N:innerRadius>"
            "<N:outerRadius>900</N:outerRadius><N:startAngle>20</N:startAngle><N:openingAngle>30</N:openingAngle></N:ArcBand>"
        ),
        (
            "<N:Polygon><gml:exterior><gml:LinearRing><gml:pos>52.20 0.12</gml:pos><gml:pos>52.20 0.13</gml:pos>"
            "<gml:pos>52.21 0.13</gml:pos></gml:LinearRing></gml:exterior></N:Polygon>"
        ),
    ],
    ids=lambda shape: shape[3:].partition(">")[0],
)
def test_section_12_2_every_shape_of_the_geodetic_profile_is_understood(
    shape: str, namespace: str, server: Server
) -> None:
    answer = server.ask(find(geodetic(shape.replace("N:", f"{namespace}:"))))
    assert texts(answer, "//l:displayName") == ["Cambridgeshire"]


def test_section_12_1_a_boundary_is_in_a_baseline_profile_whatever_the_place_came_in(server: Server) -> None:
    for where in (CAMBRIDGE, civic(PC="CB1 1AA")):
        answer = server.ask(find(where, attributes='serviceBoundary="value"'))
        assert texts(answer, "//l:serviceBoundary/@profile") == ["geodetic-2d"]
    # More than one profile may come: the sender's order is what it prefers.
    both = civic("a", PC="SG8 7AA") + point(CAMBRIDGE, "b")
    assert texts(server.ask(find(both)), "//l:locationUsed/@id") == ["a"]


def test_section_12_3_a_civic_address_lies_where_its_postcode_does(server: Server) -> None:
    assert texts(server.ask(find(civic(country="GB", PC="sg87aa"))), "//l:displayName") == ["Hertfordshire"]
    assert texts(server.ask(find(civic(PC="PE1 1AA"))), "//l:displayName") == ["Cambridgeshire"]
    assert server.error(find(civic(country="US", A3="Laurel", PC="20707"))) == "notFound"


def test_section_13_2_a_part_of_a_service_is_substituted_by_the_service(server: Server) -> None:
    for asked, given in (
        (f"{POLICE}.traffic", POLICE),
        ("urn:emergency:service:sos.psap", "urn:emergency:service:sos"),
        ("URN:service:SOS.Police", POLICE),
    ):
        answer = server.ask(find(CAMBRIDGE, service=asked))
        assert texts(answer, "//l:mapping/l:service") == [given]
        substituted = asked.lower() != given
        assert bool(answer.xpath("//l:warnings/l:serviceSubstitution", namespaces=NAMES)) == substituted


@pytest.mark.parametrize("where", [EDINBURGH, NORTHAMPTON, "53.0 1.5", civic(country="GB", A3="Nowhere")])
def test_section_13_2_where_no_force_of_ours_covers_the_place_the_default_answers(where: str, server: Server) -> None:
    """Scotland; a neighbour's area; the sea; an address that cannot be placed."""
    answer = server.ask(find(where, attributes='serviceBoundary="value"'))
    assert texts(answer, "//l:uri") == [f"sip:alliance-default@{SOURCE}"]
    assert len(answer.xpath("//l:warnings/l:defaultMappingReturned", namespaces=NAMES)) == 1
    assert texts(answer, "//l:serviceBoundary") == []


def test_section_13_2_where_our_area_meets_a_neighbours_both_are_answered(server: Server) -> None:
    """Near Stamford four forces meet, one of them ours: the default stands for the three."""
    answer = server.ask(find(FOUR_FORCES))
    assert sorted(texts(answer, "//l:uri")) == [
        f"sip:alliance-default@{SOURCE}",
        f"sip:cambridgeshire-999@{SOURCE}",
    ]
    assert len(answer.xpath("//l:warnings/l:defaultMappingReturned", namespaces=NAMES)) == 1


def test_as_of_a_time_before_the_first_boundaries_nothing_is_known(server: Server) -> None:
    """`asOf` of draft-ietf-ecrit-lost-planned-changes and NENA-STA-010.3."""
    for offset, known in ((timedelta(seconds=-1), False), (timedelta(0), True), (timedelta(days=9_000), True)):
        asked = find(CAMBRIDGE, after=f"<asOf>{(ACTIVATED + offset).isoformat()}</asOf>")
        if known:
            assert texts(server.ask(asked), "//l:displayName") == ["Cambridgeshire"]
        else:
            assert server.error(asked) == "notFound"


def test_without_a_queue_of_its_own_a_force_s_places_go_to_the_default(server: Server) -> None:
    alliance = server.ground.alliance
    queues = {name: queue for name, queue in alliance.queues.items() if queue.force != "cambridgeshire"}
    without = Server(replace(server.ground, alliance=replace(alliance, queues=queues)))
    assert texts(without.ask(find(CAMBRIDGE)), "//l:uri") == [f"sip:alliance-default@{SOURCE}"]
    none_at_all = Server(replace(server.ground, alliance=replace(alliance, queues={})))
    assert texts(none_at_all.ask(find(CAMBRIDGE)), "/l:errors/l:notFound/@message") != []


def test_the_source_is_a_name_even_where_the_default_queue_s_address_has_none(server: Server) -> None:
    alliance = server.ground.alliance
    queue = QueueDefined(id="alliance-default", name="x", uri="sip:alliance-default@localhost")
    changed = replace(alliance, queues={**alliance.queues, queue.id: queue})
    answer = Server(replace(server.ground, alliance=changed)).ask(find(EDINBURGH))
    assert texts(answer, "//l:path/l:via/@source") == ["bedfordshire-cambridgeshire-hertfordshire.invalid"]
