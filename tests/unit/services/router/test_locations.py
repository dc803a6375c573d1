"""From places to forces: services/router/locations.py."""

from dataclasses import replace

import msgspec
import pytest
import shapely

from libs.events.types.contacts import ContactLocated, LocatedPersonal, ReceivedPersonal
from libs.events.types.routing import Candidate
from libs.events.types.shapes import ArcBand, Circle, Civic, Point, Polygon, Postcode, Shape
from libs.places import Atlas, postcodes
from libs.places.grid import to_wgs84
from services.router.contact import Placed, hear
from services.router.locations import prepare, resolve
from tests.unit.services.router.given import ALLIANCE, NOON, location, received

ATLAS = Atlas.build(
    "squares",
    50.0,
    {
        "bedfordshire": shapely.box(500_000, 200_000, 510_000, 210_000),
        "cambridgeshire": shapely.box(510_000, 200_000, 520_000, 210_000),
    },
)
KNOWN = replace(ALLIANCE, atlas=ATLAS)


def at(easting: float, northing: float = 205_000) -> tuple[float, float]:
    return to_wgs84(easting, northing)


def located(shape: Shape) -> Placed | None:
    fact = ContactLocated(location=location("l1"), personal=LocatedPersonal(shape=shape))
    return resolve(fact, KNOWN).get("l1")


def test_a_place_becomes_the_forces_it_may_lie_in_and_nothing_else() -> None:
    lat, lon = at(509_700)
    placed = located(Circle(lat=lat, lon=lon, radius_m=100))
    assert placed is not None
    assert placed.candidates == (Candidate(force="bedfordshire", share=1.0, likelihood=1.0),)
    assert (placed.too_close, placed.generation) == (False, "squares")
    assert placed.border_m == pytest.approx(300, abs=5)
    assert str(lat) not in msgspec.json.encode(placed).decode()


def test_a_place_near_a_border_is_too_close_to_say() -> None:
    lat, lon = at(509_980)
    placed = located(Point(lat=lat, lon=lon))
    assert placed is not None
    assert placed.too_close
    assert {candidate.force for candidate in placed.candidates} == {"bedfordshire", "cambridgeshire"}


def test_a_place_in_no_area_is_a_place_all_the_same() -> None:
    placed = located(Point(lat=0.0, lon=0.0))
    assert placed is not None
    assert placed.candidates == ()


@pytest.mark.parametrize(
    "shape",
    [
        Postcode(postcode="ZZ99 9ZZ"),
        Postcode(postcode="nonsense"),
        Civic(house="1", town="Nowhere-under-Water"),
        Point(lat=float("nan"), lon=0.0),
        Point(lat=900.0, lon=0.0),
        Circle(lat=52.0, lon=0.0, radius_m=-1.0),
        ArcBand(lat=52.0, lon=0.0, inner_radius_m=9, outer_radius_m=1, start_angle_deg=0, opening_angle_deg=90),
        Polygon(exterior=((52.0, 0.0),)),
    ],
)
def test_what_holds_no_usable_place_is_left_out_and_raises_nothing(shape: Shape) -> None:
    assert located(shape) is None


def test_a_location_whose_place_was_erased_is_left_out() -> None:
    assert resolve(ContactLocated(location=location("l1")), KNOWN) == {}
    assert resolve(received(locations=(location("l1"),)), KNOWN) == {}


def test_each_of_several_places_told_at_once_is_resolved() -> None:
    west, east = at(505_000), at(515_000)
    shapes: dict[str, Shape] = {
        "a": Point(lat=west[0], lon=west[1]),
        "b": Point(lat=east[0], lon=east[1]),
        "c": Postcode(postcode="nonsense"),
    }
    fact = msgspec.structs.replace(
        received(locations=tuple(location(name) for name in "abc")), personal=ReceivedPersonal(shapes=shapes)
    )
    places = resolve(fact, KNOWN)
    assert {name: placed.candidates[0].force for name, placed in places.items()} == {
        "a": "bedfordshire",
        "b": "cambridgeshire",
    }
    known = hear(None, fact, version=1, at=NOON, places=places)
    assert known is not None
    assert known.caller == places["b"]


async def test_postcodes_are_read_before_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []
    monkeypatch.setattr(postcodes, "preload", lambda letters: asked.append(set(letters)))
    postcode = LocatedPersonal(shape=Postcode(postcode="mk40 1aa"))
    address = LocatedPersonal(shape=Civic(town="Royston", postcode="SG8 9AA"))
    point = LocatedPersonal(shape=Point(lat=52.0, lon=0.0))
    facts = [ContactLocated(location=location(), personal=personal) for personal in (postcode, address, point)]
    await prepare([*facts, received()])
    await prepare([facts[2]])
    assert asked == [{"M", "S"}]
