"""Towns and villages, and what to ask about: libs/places/settlements.py, libs/places/asking.py."""

import itertools

import pytest
import shapely

from libs.events.types.shapes import Circle, Civic, Point, Postcode, Shape
from libs.places import Atlas
from libs.places.asking import centre_of, landmarks, question
from libs.places.settlements import extent_of, named, nearest, settlements
from services.directory.areas import load_areas
from services.directory.build_settlements import rows_of, written

ROYSTON = (535_600, 240_700)


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    shipped = load_areas()
    return Atlas.build(shipped.generation, shipped.accuracy_m, shipped.areas)


@pytest.mark.parametrize(
    "typed", ["Bury St Edmunds", "bury saint edmunds", "BURY ST. EDMUNDS", " Bury  St Edmund's ", "Bury-St-Edmunds"]
)
def test_a_town_is_known_however_it_is_spelt(typed: str) -> None:
    [found] = named(typed)
    assert found.name == "Bury St Edmunds"
    assert (found.easting, found.northing) == pytest.approx((585_500, 264_500), abs=2_500)


@pytest.mark.parametrize("typed", ["Ruritania", "", "!!!", "B", "Newport" * 100, "\N{SNOWMAN}"])
def test_what_is_no_town_is_none(typed: str) -> None:
    assert named(typed) == ()
    assert extent_of(typed) is None


def test_a_name_that_several_towns_have_is_all_of_them() -> None:
    found = extent_of("Newport")
    assert found is not None
    assert shapely.get_num_geometries(found.area) == len(named("Newport")) > 3
    assert (found.easting, found.northing) == pytest.approx((331_000, 188_000), abs=2_500)  # in Gwent, the largest


def test_a_larger_town_reaches_further() -> None:
    [luton], [sandy] = named("Luton"), named("Sandy")
    assert luton.radius_m > 2 * sandy.radius_m > 1_000.0


def test_the_nearest_come_first() -> None:
    some = list(itertools.islice(nearest(*ROYSTON, 10_000.0), 5))
    assert some[0][0].name == "Royston"
    distances = [away for _, away in some]
    assert distances == sorted(distances)
    assert all(away <= 3_000.0 for _, away in nearest(*ROYSTON, 3_000.0))
    assert list(nearest(0.0, 1_200_000.0, 1_000.0)) == []


@pytest.mark.parametrize(
    ("address", "force"),
    [
        (Civic(town="Luton"), "bedfordshire"),
        (Civic(street="High Street", town="ROYSTON", postcode="nonsense"), "south-yorkshire"),
        (Civic(street="High Street", town="Peterborough"), "cambridgeshire"),
        (Civic(town="Luton", postcode="SG8 9LG"), "hertfordshire"),
    ],
)
def test_an_address_lies_at_its_postcode_or_else_in_its_town(atlas: Atlas, address: Civic, force: str) -> None:
    """Two towns are called Royston; both are candidates."""
    found = atlas.locate(address)
    assert found is not None
    assert force in {candidate.force for candidate in found.candidates}
    assert found.too_close == (len(found.candidates) > 1)
    if address.town == "ROYSTON":
        assert {"south-yorkshire", "hertfordshire"} <= {candidate.force for candidate in found.candidates}
        assert found.too_close
        assert found.confidence < 0.9


def test_between_royston_and_bassingbourn_one_is_asked_which_is_nearer(atlas: Atlas) -> None:
    """Royston is in Hertfordshire, Bassingbourn three kilometres away in Cambridgeshire."""
    shape = Circle(lat=52.0640, lon=-0.0390, radius_m=1_500.0)
    found = atlas.locate(shape)
    assert found is not None
    assert found.too_close
    centre = centre_of(shape)
    assert centre is not None
    asked = landmarks(atlas, *centre, ("hertfordshire", "cambridgeshire"))
    assert [(one.force, one.name) for one in asked] == [
        ("hertfordshire", "Royston"),
        ("cambridgeshire", "Bassingbourn"),
    ]
    assert all(0.0 < one.distance_m < 3_000.0 for one in asked)
    assert question(one.name for one in asked) == "Are you nearer Royston or Bassingbourn?"


def test_a_name_stands_for_one_force_and_its_side_is_not_in_doubt(atlas: Atlas) -> None:
    forces = [candidate.force for candidate in _stamford(atlas)]
    asked = landmarks(atlas, 501_700, 305_700, forces)
    assert [one.force for one in asked] == forces
    assert len({one.name for one in asked}) == len(forces) == 4
    for one in asked:
        places = [known for known, away in nearest(501_700, 305_700, 25_000.0) if away == one.distance_m]
        assert {atlas.locate_grid(place.easting, place.northing).candidates[0].force for place in places} == {one.force}


def _stamford(atlas: Atlas) -> tuple[object, ...]:
    found = atlas.locate(Circle(lat=52.6402, lon=-0.4950, radius_m=3_000.0))
    assert found is not None
    return found.candidates


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        ([], None),
        (["Royston"], None),
        (["Royston", "Bassingbourn"], "Are you nearer Royston or Bassingbourn?"),
        (["Stamford", "Easton", "Ryhall"], "Are you nearer Stamford, Easton or Ryhall?"),
    ],
)
def test_the_question_needs_two_names(names: list[str], asked: str | None) -> None:
    assert question(names) == asked


@pytest.mark.parametrize(
    ("shape", "centre"),
    [
        (Postcode(postcode="SG8 9LG"), ROYSTON),
        (Civic(postcode="SG8 9LG", town="Luton"), ROYSTON),
        (Civic(town="Luton"), (509_000, 221_500)),
        (Point(lat=52.04832, lon=-0.02438), (535_600, 240_700)),
        (Postcode(postcode="ZZ9 9ZZ"), None),
        (Civic(street="High Street"), None),
        (Point(lat=-33.9, lon=151.2), None),
    ],
)
def test_every_shape_has_its_centre_or_lies_nowhere(shape: Shape, centre: tuple[float, float] | None) -> None:
    found = centre_of(shape)
    assert found == (None if centre is None else pytest.approx(centre, abs=1_000.0))


def test_the_shipped_file_is_what_its_maker_makes() -> None:
    city = {"countrycode": "GB", "latitude": 52.04832, "longitude": -0.02438, "population": 15781}
    cities = {
        "1": {"name": "Royston", "admin1code": "ENG", **city},
        "2": {"name": "Peebles", "admin1code": "SCT", **city},
        "3": {"name": "Paris", "admin1code": "11", **city, "countrycode": "FR"},
    }
    [row] = rows_of(cities)
    assert row in {(one.name, round(one.easting), round(one.northing), one.population) for one in settlements()}
    assert "GeoNames" in written([row], "3.0.2").splitlines()[2]
