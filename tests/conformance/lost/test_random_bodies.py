"""Whatever is sent, a valid LoST message is answered, soon, without a mistake of ours and without memory kept."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from math import cos, sin

import psutil
import pytest
from lxml import etree

from libs.places import postcodes
from libs.places.safe_xml import MAX_BYTES, MAX_ELEMENTS
from tests.conformance.lost.given import CAMBRIDGE, LOST, MESSAGES, Server, civic, find, geodetic, point, texts

SOON_S = 5.0
"""Of processor time, whatever else the machine has to do; the slowest takes a tenth of a second."""
KEPT_BYTES = 48 * 1024 * 1024
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BILLION_LAUGHS = f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]><x a="&l9;">&l9;</x>'
QUADRATIC = f'<!DOCTYPE x [<!ENTITY a "{"a" * 50_000}">]><x>{"&a;" * 50_000}</x>'
FILE = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>'
FOREIGN = '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><x/>'


def ring(corners: str) -> str:
    return find(
        geodetic(f"<gml:Polygon><gml:exterior><gml:LinearRing>{corners}</gml:LinearRing></gml:exterior></gml:Polygon>")
    )


def star(corners: int) -> str:
    """Crosses no border of its own, and every other: from near Cambridge out and back."""
    made = []
    for at in range(corners):
        reach = 1.0 if at % 2 else 0.2
        turn = 6.283185307 * at / corners
        made.append(f"{52.2 + reach * sin(turn):.6f} {0.1 + reach * cos(turn):.6f}")
    return ring(f"<gml:posList>{' '.join(made)}</gml:posList>")


HOSTILE: dict[str, tuple[str | bytes, str | None]] = {
    "billion laughs": (BILLION_LAUGHS, "badRequest"),
    "billion laughs in UTF-16": (BILLION_LAUGHS.encode("utf-16"), "badRequest"),
    "quadratic": (QUADRATIC, "badRequest"),
    "a file": (FILE, "badRequest"),
    "a foreign DTD": (FOREIGN, "badRequest"),
    "an entity nobody declared": (find(CAMBRIDGE, after="<x>&lol;</x>"), "badRequest"),
    "deep": ("<a>" * 100_000 + "</a>" * 100_000, "badRequest"),
    "as deep as libxml2 goes": ("<a>" * 250 + "</a>" * 250, "badRequest"),
    "many elements": (f"<a>{'<b/>' * (MAX_ELEMENTS + 1)}</a>", "badRequest"),
    "many attributes": ("<a " + " ".join(f"a{n}='{n}'" for n in range(60_000)) + "/>", "badRequest"),
    "large": (b"<a>" + b"x" * MAX_BYTES + b"</a>", "badRequest"),
    "a million corners": (ring(f"<gml:posList>{'52.1 0.1 ' * 1_000_000}</gml:posList>"), "badRequest"),
    "20,000 corners": (ring(f"<gml:posList>{'52.1 0.1 ' * 20_000}</gml:posList>"), "locationInvalid"),
    "5,000 corners in elements": (ring("<gml:pos>52.1 0.1</gml:pos>" * 5_000), "locationInvalid"),
    "1,001 corners": (star(1_001), "locationInvalid"),
    "a star of 1,000 corners": (star(1_000), None),
    "crossing itself": (ring("<gml:posList>52 0 53 1 52 1 53 0</gml:posList>"), "locationInvalid"),
    "touching itself": (ring("<gml:posList>52 0 53 0 53 1 52 0 52 -1 51 -1</gml:posList>"), "locationInvalid"),
    "a line": (ring("<gml:posList>52 0 53 0 54 0</gml:posList>"), "locationInvalid"),
    "half the world": (ring("<gml:posList>-80 -170 -80 170 80 170 80 -170</gml:posList>"), "locationInvalid"),
    "NaN": (find("NaN NaN"), "locationInvalid"),
    "infinite": (find("1e309 -1e309"), "locationInvalid"),
    "a long number": (find("5" * 100_000 + " 0"), "locationInvalid"),
    "other digits": (find("५२ ०"), "locationInvalid"),
    "UTF-7": (b'<?xml version="1.0" encoding="UTF-7"?><a/>', "badRequest"),
    "no such encoding": (b'<?xml version="1.0" encoding="klingon"?><a/>', "badRequest"),
    "half a surrogate pair": (find(CAMBRIDGE).encode().replace(b"here", b"\xed\xa0\x80"), "badRequest"),
    "a NUL": (find(CAMBRIDGE).encode().replace(b"here", b"he\x00re"), "badRequest"),
    "an undeclared prefix": (find("<p:location/>"), "badRequest"),
    "XInclude": (
        find('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/passwd" parse="text"/>'),
        "badRequest",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_sent_to_do_harm_is_refused_with_the_reason(kind: str, server: Server) -> None:
    message, error = HOSTILE[kind]
    before, began = psutil.Process().memory_info().rss, time.process_time()
    root = server.ask(message)
    assert time.process_time() - began < SOON_S
    assert psutil.Process().memory_info().rss - before < KEPT_BYTES
    if error is None:
        assert etree.QName(root).localname == "findServiceResponse"
    else:
        assert [etree.QName(one).localname for one in root] == [error]
    assert b"root:" not in etree.tostring(root)


WORDS = (
    *(
        "findService",
        "listServices",
        "listServicesByLocation",
        "getServiceBoundary",
        "location",
        "service",
        "path",
        "via",
    ),
    *("gml:Point", "gml:pos", "gml:Polygon", "gml:exterior", "gml:LinearRing", "gml:posList", "gs:Circle", "gs:radius"),
    *("gs:Ellipse", "gs:semiMajorAxis", "gs:ArcBand", "civicAddress", "PC", "country", "asOf", "gml:location"),
)
VALUES = (
    *("", " ", "true", "value", "geodetic-2d", "civic", "52.2 0.1", "52.2, 0.1", "NaN", "-1e400", "1e-400", "0"),
    *("-0.0", "90 180", "-90 -180", "100000", "urn:service:sos", "urn:service:sos.police.x", "SG8 7AA", "GB", "US"),
    *("2035-08-21T12:58:03.01-05:00", "urn:ogc:def:crs:EPSG::4326", "urn:ogc:def:crs:EPSG::27700", "\u202e", "&amp;"),
)


def shape(rng: random.Random) -> str:
    """A shape with any numbers, most of them near Cambridge."""

    def number(low: float, high: float) -> str:
        return str(rng.uniform(low, high)) if rng.random() < 0.95 else rng.choice(VALUES)

    def pos() -> str:
        return f"{number(51.5, 53)}{rng.choice((' ', ', ', chr(10)))}{number(-1, 1)}"

    match rng.randrange(5):
        case 0:
            return f"<gml:Point><gml:pos>{pos()}</gml:pos></gml:Point>"
        case 1:
            return f"<gs:Circle><gml:pos>{pos()}</gml:pos><gs:radius>{number(-5, 1.01e5)}</gs:radius></gs:Circle>"
        case 2:
            return (
                f"<gs:Ellipse><gml:pos>{pos()}</gml:pos><gs:semiMajorAxis>{number(0, 1e4)}</gs:semiMajorAxis>"
                f"<gs:semiMinorAxis>{number(0, 1e4)}</gs:semiMinorAxis>"
                f"<gs:orientation>{number(-400, 400)}</gs:orientation></gs:Ellipse>"
            )
        case 3:
            return (
                f"<gs:ArcBand><gml:pos>{pos()}</gml:pos><gs:innerRadius>{number(0, 5e3)}</gs:innerRadius>"
                f"<gs:outerRadius>{number(0, 2e4)}</gs:outerRadius><gs:startAngle>{number(-370, 370)}</gs:startAngle>"
                f"<gs:openingAngle>{number(-5, 370)}</gs:openingAngle></gs:ArcBand>"
            )
        case _:
            corners = " ".join(pos() for _ in range(rng.randrange(8)))
            return (
                "<gml:Polygon><gml:exterior><gml:LinearRing><gml:posList>"
                f"{corners}</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon>"
            )


def tree(rng: random.Random, depth: int) -> str:
    """Elements of LoST's own words, put together at random."""
    word = rng.choice(WORDS)
    attributes = "".join(
        f' {name}="{rng.choice(VALUES)}"'
        for name in ("id", "profile", "key", "recursive", "serviceBoundary", "source", "srsName", "uom")
        if rng.random() < 0.2
    )
    inner = "".join(tree(rng, depth - 1) for _ in range(rng.randrange(4))) if depth else rng.choice(VALUES)
    spaces = f' xmlns="{LOST}" xmlns:gml="http://www.opengis.net/gml" xmlns:gs="http://www.opengis.net/pidflo/1.0"'
    return f"<{word}{spaces if rng.random() < 0.3 or depth == 4 else ''}{attributes}>{inner}</{word}>"


def mutated(rng: random.Random, message: bytes) -> bytes:
    """A few bytes changed, taken out, doubled or moved."""
    content = bytearray(message)
    for _ in range(rng.randrange(1, 8)):
        at, length = rng.randrange(len(content) + 1), rng.randrange(1, 40)
        match rng.randrange(5):
            case 0:
                content[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del content[at : at + length]
            case 2:
                content[at:at] = content[at : at + length]
            case 3:
                content[at:at] = rng.choice(VALUES).encode()
            case _:
                other = rng.randrange(len(content) + 1)
                content[other:other] = content[at : at + length]
        if not content:
            break
    return bytes(content)


def bodies(count: int, seed: int = 5222) -> Iterator[bytes]:
    """Messages as they should be, and then as many that mostly are not."""
    rng = random.Random(seed)
    seeds = [
        find(CAMBRIDGE, attributes='serviceBoundary="value" validateLocation="true"').encode(),
        find(civic(country="GB", A3="Luton", PC="LU1 2NX"), attributes='validateLocation="true"').encode(),
        find(point(CAMBRIDGE, "a") + civic("b", PC="SG8 7AA"), after="<asOf>2035-01-01T00:00:00Z</asOf>").encode(),
        f'<getServiceBoundary xmlns="{LOST}" key="b45313b4ff433a2b71ed53d52483a996"/>'.encode(),
        f'<listServices xmlns="{LOST}"><service>urn:service:sos</service></listServices>'.encode(),
        *(path.read_bytes() for path in sorted(MESSAGES.glob("*.xml"))),
    ]
    yield from seeds
    for at in range(count):
        match at % 10:
            case 0:
                yield rng.randbytes(rng.randrange(400))
            case 1 | 2:
                yield tree(rng, 4).encode()
            case 3 | 4 | 5:
                how = rng.choice(("value", "reference"))
                yield find(geodetic(shape(rng)), attributes=f'serviceBoundary="{how}"').encode()
            case _:
                yield mutated(rng, rng.choice(seeds))


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_random_and_mutated_bodies_are_answered_in_lost(
    count: int, server: Server, figures: Callable[[str], None]
) -> None:
    met: Counter[str] = Counter()
    slowest = 0.0
    postcodes.preload()  # what is kept for good, as these and the boundaries drawn, is kept before it is measured
    for body in bodies(200, seed=1):
        server.ask(body)
    before = psutil.Process().memory_info().rss
    for body in bodies(count):
        began = time.process_time()
        root = server.ask(body)
        slowest = max(slowest, time.process_time() - began)
        name = etree.QName(root).localname
        met[etree.QName(root[0]).localname if name == "errors" else name] += 1
        assert texts(root, "/l:errors/l:internalError") == [], body
    grown = psutil.Process().memory_info().rss - before
    figures(f"LoST: {count} bodies, slowest {slowest * 1000:.0f} ms, memory {grown / 2**20:+.0f} MiB, {dict(met)}")
    assert slowest < SOON_S
    assert grown < KEPT_BYTES
    for kind in ("findServiceResponse", "badRequest", "locationInvalid", "notFound", "listServicesResponse"):
        assert met[kind] > 0, met
