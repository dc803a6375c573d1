"""The areas we ship are what the build makes, and what the build promises of them holds."""

import csv
from pathlib import Path

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from libs.places import postcodes
from libs.places.postcodes import Postcodes, districts
from services.directory.areas import FILE, Areas, areas_path, load_areas, pack_areas, read_areas
from services.directory.build_areas import (
    NOBODY,
    REACH_M,
    border_places,
    dissolve,
    make_areas,
    reach_of,
    read_places,
)

FORCES = sorted(set(districts().values()))
SIX = ("bedfordshire", "cambridgeshire", "hertfordshire", "leicestershire", "northamptonshire", "nottinghamshire")
STAMFORD = (502_900.0, 307_000.0)
Places = tuple[NDArray[np.float64], NDArray[np.int64]]


@pytest.fixture(scope="module")
def shipped() -> Areas:
    return load_areas()


@pytest.fixture(scope="module")
def places() -> Places:
    return read_places(FORCES)


def test_all_43_forces_have_an_area_and_an_entry(shipped: Areas) -> None:
    with (Path(areas_path()).parent / "forces.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert sorted(shipped.areas) == FORCES == sorted(row["id"] for row in rows)
    assert len(rows) == 43
    for column in ("name", "ons_code", "pnc_code"):
        assert len({row[column] for row in rows}) == 43


def test_the_file_is_small_and_carries_its_attribution(shipped: Areas) -> None:
    assert areas_path().stat().st_size < 4_000_000
    for words in ("Office for National Statistics", "Open Government Licence v.3.0", "Royal Mail", "OS data"):
        assert words in shipped.attribution
        assert words.split()[0] in (areas_path().parent / "README.md").read_text(encoding="utf-8")
    assert 0.0 < shipped.accuracy_m < 1_000.0


def test_the_same_areas_make_the_same_bytes(shipped: Areas) -> None:
    assert pack_areas(shipped) == areas_path().read_bytes()
    assert FILE in str(areas_path())
    again = read_areas(pack_areas(shipped))
    assert again.generation == shipped.generation


def test_neighbours_share_their_edges_without_gap_or_overlap(shipped: Areas, places: Places) -> None:
    areas = list(shipped.areas.values())
    assert all(shapely.is_valid(area) for area in areas)
    assert shapely.coverage_is_valid(areas)
    country = shapely.union_all(areas)
    assert shapely.area(country) == pytest.approx(sum(shapely.area(area) for area in areas), rel=1e-12)
    within_reach = shapely.STRtree(shapely.points(places[0][places[1] != NOBODY]))
    for part in shapely.get_parts(country):
        for hole in part.interiors:  # the middle of the Bristol Channel
            corners = shapely.points(shapely.get_coordinates(hole))
            _, distance = within_reach.query_nearest(corners, return_distance=True, all_matches=False)
            assert distance.min() > 0.95 * REACH_M


def test_every_corner_is_a_whole_metre(shipped: Areas) -> None:
    for area in shipped.areas.values():
        corners = shapely.get_coordinates(area)
        assert (corners == np.rint(corners)).all()


def test_the_six_forces_postcodes_lie_in_their_own_areas(shipped: Areas, places: Places) -> None:
    where, owners = places
    for force in SIX:
        own = where[owners == FORCES.index(force)]
        area = shipped.areas[force]
        shapely.prepare(area)
        inside = shapely.intersects_xy(area, own[:, 0], own[:, 1])
        # A place a metre from the line can be on its other side once the line goes by whole metres.
        astray = own[~inside]
        assert len(astray) < len(own) / 10_000, force
        assert all(shapely.distance(area, shapely.Point(*place)) < 1.5 for place in astray), force


def test_a_region_is_built_twice_alike_and_as_shipped(shipped: Areas, places: Places) -> None:
    where, owners = places
    near = (np.abs(where - STAMFORD) < 40_000.0).all(axis=1)
    built = make_areas("test", FORCES, where[near], owners[near])
    order = np.random.default_rng(1).permutation(int(near.sum()))
    again = make_areas("test", FORCES, where[near][order], owners[near][order])
    assert pack_areas(built) == pack_areas(again)
    middle = shapely.Point(*STAMFORD).buffer(40_000.0 - 2.0 * REACH_M)
    compared = 0
    for force in FORCES:
        ours, theirs = (areas.areas[force].intersection(middle) for areas in (built, shipped))
        compared += not shapely.is_empty(theirs)
        assert shapely.area(shapely.symmetric_difference(ours, theirs)) <= 1e-6 * shapely.area(theirs), force
    assert compared >= 4  # around Stamford four forces meet


@pytest.mark.parametrize("seed", range(5))
def test_leaving_out_what_has_only_its_own_around_it_moves_no_border(seed: int) -> None:
    random = np.random.default_rng(seed)
    where = np.unique(np.rint(random.uniform((400_000, 200_000), (430_000, 230_000), (3_000, 2))), axis=0)
    owners = (np.hypot(*(where - (412_000, 212_000)).T) < 8_000).astype(np.int64)
    owners[random.random(len(where)) < 0.01] = 2
    owners[where[:, 0] > 427_000] = NOBODY
    reach = reach_of(where[owners != NOBODY])
    shaping = border_places(where, owners)
    assert 0 < len(shaping) < len(where)
    whole = dissolve(where, owners, reach, 3)
    few = dissolve(where[shaping], owners[shaping], reach, 3)
    for one, other in zip(whole, few, strict=True):
        assert shapely.area(shapely.symmetric_difference(one, other)) <= 1e-4 * shapely.area(one)


def test_a_place_of_two_forces_is_the_one_with_more_postcodes_there(monkeypatch: pytest.MonkeyPatch) -> None:
    # Luton, North Hertfordshire, Edinburgh, and one without a place.
    letter = Postcodes(
        np.array([b"AA1 1AA", b"AA1 1AB", b"AA1 1AC", b"AA1 1AD", b"AA1 1AE", b"AA1 1AF"]),
        np.array([500_000, 500_000, 500_000, 510_000, 510_000, np.nan], dtype=np.float32),
        np.array([200_000, 200_000, 200_000, 200_000, 200_000, np.nan], dtype=np.float32),
        np.array([0, 1, 1, 2, 0, 0], dtype=np.int16),
        ("E06000032", "E07000099", "S12000036"),
    )
    monkeypatch.setattr(postcodes, "read_letter", lambda name: letter if name == "A" else None)
    where, owners = read_places(["bedfordshire", "hertfordshire"])
    assert where.tolist() == [[500_000.0, 200_000.0], [510_000.0, 200_000.0]]
    assert owners.tolist() == [1, NOBODY]  # one each in the second: NOBODY sorts first
