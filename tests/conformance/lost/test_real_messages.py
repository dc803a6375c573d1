"""Real clients' messages, with their habits: understood, or refused with the reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lxml import etree

from tests.conformance.lost.given import MESSAGES, SOURCE, Server, texts

HERE = sorted(MESSAGES.glob("*.xml"))
REFUSED = {
    "findServiceResponse": "badRequest",  # responses, not requests
    "findServiceResponse_for_not_in_ecrf": "badRequest",
    "findServiceResponse_malformed": "badRequest",
    "findServiceResponse_malformed_xml_body": "badRequest",
    "findService_geodetic_point_incorrect_asOf": "badRequest",
    "findService_polygon_covering_fully_two_boundaries": "locationInvalid",  # their rings cross themselves
    "findService_polygon_covering_fully_one_and_partially_another_boundary": "locationInvalid",
}
LISTED = {"listServices_urn-service-sos", "listServices_urn-emergency-service-sos"}

pytestmark = pytest.mark.skipif(not HERE, reason=f"the messages are not part of this repository: {MESSAGES}")


@pytest.mark.parametrize("path", HERE, ids=lambda path: path.stem)
def test_as_it_is_a_message_is_answered_as_it_must_be(path: Path, server: Server) -> None:
    """Section 13.1. The places are American: what is understood is not found."""
    if path.stem in LISTED:
        assert texts(server.ask(path.read_bytes()), "//l:serviceList")[0].endswith("sos.police")
    else:
        assert server.error(path.read_bytes()) == REFUSED.get(path.stem, "notFound")


@pytest.mark.parametrize("path", [path for path in HERE if path.stem not in REFUSED | dict.fromkeys(LISTED)])
def test_moved_to_cambridge_the_same_message_is_understood(path: Path, server: Server) -> None:
    """Every habit is still in it: commas, namespaces, white space, open rings, axes, units, `asOf`."""
    text = path.read_text(encoding="utf-8")
    positions = [(float(lat), float(lon)) for lat, lon in re.findall(r"pos>\s*(-?[\d.]+),?\s+(-?[\d.]+)\s*<", text)]
    if positions:
        by_lat, by_lon = 52.2053 - positions[0][0], 0.1218 - positions[0][1]
        moved = re.sub(
            r"(pos>\s*)(-?[\d.]+)(,?\s+)(-?[\d.]+)",
            lambda m: f"{m[1]}{float(m[2]) + by_lat}{m[3]}{float(m[4]) + by_lon}",
            text,
        )
    else:
        moved = text.replace("<country>US", "<country>GB").replace("20707", "CB2 1TN")
    answer = server.ask(moved)
    assert texts(answer, "//l:path/l:via/@source") == [SOURCE], etree.tostring(answer)
    assert texts(answer, "//l:locationUsed/@id") == ["123456789"]
    if etree.QName(answer).localname == "findServiceResponse":
        assert texts(answer, "//l:displayName") == ["Cambridgeshire"]
        assert len(texts(answer, "//l:serviceBoundary//gml:posList")) >= 1
    else:
        assert texts(answer, "//l:serviceList")[0].endswith("sos.police")
