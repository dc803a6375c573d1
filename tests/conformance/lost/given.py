"""A LoST server over the shipped areas, and a client that checks the form of every answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lxml import etree

from libs.alliance import NOTHING_KNOWN, Alliance, evolve
from libs.alliance.generations import read_atlas
from services.directory.alliance_file import SHIPPED, read
from services.directory.areas import load_areas
from services.directory.boundaries import SUBJECT, plan
from services.directory.forces import desired
from services.directory.generation import InForce
from services.directory.known import known_forces
from services.directory.lost.door import answer_to
from services.directory.lost.finding import Ground
from tests.places import SHARED

MESSAGES = SHARED / "lost"
"""Real clients' messages. They are not part of this repository."""
LOST = "urn:ietf:params:xml:ns:lost1"
NAMES = {"l": LOST, "gml": "http://www.opengis.net/gml"}
SOURCE = "queues.bch.example"
LOADED = datetime(2026, 1, 1, 12, tzinfo=UTC)
ACTIVATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
GRAMMAR = etree.RelaxNG(etree.parse(Path(__file__).with_name("answers.rng")))
STANDARD = [etree.RelaxNG(etree.parse(path)) for path in sorted(MESSAGES.glob("*.rng"))]
"""The standard's own schema (section 15), where it lies beside the messages: it is not ours to give away."""

POLICE = "urn:service:sos.police"
CAMBRIDGE, ROYSTON, NORTHAMPTON, EDINBURGH, NEW_YORK = (
    *("52.2053 0.1218", "52.0482 -0.0243", "52.2405 -0.9027"),
    *("55.95 -3.19", "40.7168 -73.9907"),
)


def make_ground() -> Ground:
    """The three forces' alliance, its boundaries activated two months after it was loaded. Takes seconds."""
    areas = load_areas()
    planned = plan(areas.generation, areas.attribution, areas.accuracy_m, areas.areas, stored=(), in_force=None)
    assert planned.activation is not None
    chunks = {chunk.sha256: chunk.content for chunk in planned.chunks}
    alliance: Alliance = NOTHING_KNOWN
    file = read(SHIPPED / "bedfordshire-cambridgeshire-hertfordshire.toml")
    wanted = desired(file, known_forces())
    for fact in (*wanted.values(), planned.activation):
        alliance = evolve(alliance, fact)
    atlas = read_atlas(planned.activation, chunks)
    live = InForce(planned.activation, atlas, chunks, ACTIVATED)
    changed = dict.fromkeys(wanted, LOADED) | {SUBJECT: ACTIVATED}
    return Ground(replace(alliance, atlas=atlas), live, changed, NOW)


@dataclass
class Server:
    ground: Ground

    def ask(self, message: str | bytes) -> Any:
        """The root of the answer, which is valid."""
        content = message if isinstance(message, bytes) else message.encode()
        root = etree.fromstring(answer_to(content, self.ground))
        for grammar in (GRAMMAR, *STANDARD):
            grammar.assertValid(root)
        return root

    def error(self, message: str | bytes) -> str:
        """The name of the one error that is answered."""
        root = self.ask(message)
        assert etree.QName(root).localname == "errors", etree.tostring(root)[:500]
        assert root.get("source") == SOURCE
        [error] = root
        return str(etree.QName(error).localname)


def find(where: str, *, service: str = POLICE, attributes: str = "", after: str = "") -> str:
    """A findService at this location element, or at these coordinates."""
    location = where if where.startswith("<") else point(where)
    return (
        f'<findService xmlns="{LOST}" xmlns:gml="http://www.opengis.net/gml" '
        f'xmlns:gs="http://www.opengis.net/pidflo/1.0" {attributes}>'
        f"{location}<service>{service}</service>{after}</findService>"
    )


def point(pos: str, id_: str = "here") -> str:
    return geodetic(f'<gml:Point srsName="urn:ogc:def:crs:EPSG::4326"><gml:pos>{pos}</gml:pos></gml:Point>', id_)


def geodetic(shape: str, id_: str = "here") -> str:
    return f'<location id="{id_}" profile="geodetic-2d">{shape}</location>'


def civic(id_: str = "home", **lines: str) -> str:
    written = "".join(f"<{name}>{text}</{name}>" for name, text in lines.items())
    address = f'<civicAddress xmlns="urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr">{written}</civicAddress>'
    return f'<location id="{id_}" profile="civic">{address}</location>'


def texts(root: Any, path: str) -> list[str]:
    """The texts, or attributes, at an XPath with the prefix `l`."""
    found = root.xpath(path, namespaces=NAMES)
    return [str(one) if isinstance(one, str) else " ".join((one.text or "").split()) for one in found]
