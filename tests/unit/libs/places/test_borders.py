"""Distance and owner, as quick as they are, against the slow way: every border, and every area, one by one."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.places import borders
from libs.places.borders import Borders
from libs.places.grid import to_grid
from libs.places.quadtree import Quadtree
from services.directory.areas import load_areas
from tests.places import real_boundaries, real_places, shipped_places

MILLIMETRE = 0.001
MIDDLE = np.array([500_000.0, 300_000.0])
SIX = ["bedfordshire", "cambridgeshire", "hertfordshire", "leicestershire", "northamptonshire", "nottinghamshire"]


@pytest.fixture(scope="module")
def areas() -> list[shapely.Geometry]:
    try:
        drawn = real_boundaries()
    except FileNotFoundError:
        drawn = load_areas().areas
    return [drawn[force] for force in sorted(drawn)]


@pytest.fixture(scope="module")
def tree(areas: list[shapely.Geometry]) -> Quadtree:
    return Quadtree(areas)


@pytest.fixture(scope="module")
def callers() -> list[tuple[float, float]]:
    try:
        places = real_places(SIX, 1_000)
    except FileNotFoundError:
        places = shipped_places(SIX, 1_000)
    return [to_grid(place.lat, place.lon) for place in places]


def all_borders(asked: Borders) -> shapely.STRtree:
    """Of them all the nearest is looked for anew each time."""
    return shapely.STRtree(asked._lines)


def around(lines: shapely.STRtree, count: int, seed: int) -> list[tuple[float, float]]:
    """Places on borders and up to some tens of metres beside them."""
    random = np.random.default_rng(seed)
    chosen = lines.geometries[random.integers(0, len(lines.geometries), count)]
    on_it = shapely.line_interpolate_point(chosen, random.uniform(0.0, 1.0, count), normalized=True)
    beside = random.normal(0.0, 1.0, (count, 2)) * random.choice([0.0, 0.01, 1.0, 30.0], (count, 1))
    return [(float(e), float(n)) for e, n in shapely.get_coordinates(on_it) + beside]


def check_distances(asked: Borders, lines: shapely.STRtree, places: list[tuple[float, float]]) -> None:
    _, metres = lines.query_nearest(shapely.points(places), return_distance=True, all_matches=False)
    for place, expected in zip(places, metres.tolist(), strict=True):
        assert asked.distance(*place) == pytest.approx(expected, abs=MILLIMETRE), place


def test_callers_and_places_by_a_border_are_as_far_from_it_as_they_are(
    areas: list[shapely.Geometry], callers: list[tuple[float, float]]
) -> None:
    asked = Borders(areas)
    lines = all_borders(asked)
    random = np.random.default_rng(1)
    west, south, east, north = shapely.total_bounds(areas)
    anywhere = random.uniform((west - 2e5, south - 2e5), (east + 2e5, north + 2e5), (300, 2))
    corners = np.floor(random.uniform((west, south), (east, north), (300, 2)) / 64.0) * 64.0  # of cells
    places = [*callers, *around(lines, 1_500, seed=2), *map(tuple, anywhere.tolist()), *map(tuple, corners.tolist())]
    check_distances(asked, lines, places)
    check_distances(asked, lines, places)  # from what it remembers


def test_callers_and_places_by_a_border_have_the_owners_whose_areas_hold_them(
    areas: list[shapely.Geometry], tree: Quadtree, callers: list[tuple[float, float]]
) -> None:
    shapely.prepare(areas)
    bounds = shapely.bounds(areas)
    for easting, northing in [*callers, *around(all_borders(Borders(areas)), 1_500, seed=3)]:
        near = np.flatnonzero(
            (bounds[:, 0] <= easting)
            & (bounds[:, 1] <= northing)
            & (easting <= bounds[:, 2])
            & (northing <= bounds[:, 3])
        )
        slow = {int(at) for at in near if shapely.intersects_xy(areas[at], easting, northing)}
        owners = set(tree.owners(easting, northing))
        if owners != slow:  # on the very line, where a rounding in cutting decides
            on_it = shapely.distance(shapely.Point(easting, northing), shapely.boundary(areas[min(owners | slow)]))
            assert on_it < MILLIMETRE, (easting, northing, owners, slow)


def check_owners(asked: Borders, tree: Quadtree, places: list[tuple[float, float]]) -> int:
    """Where a cell says whose it all is, so does the tree of each place in it; of how many it does."""
    said = 0
    for place in places:
        _, owners = asked.distance_and_owners(*place)
        if owners is not None:
            said += 1
            assert owners == tree.owners(*place), place
    return said


def test_a_cell_that_is_one_areas_says_so_and_of_no_other_place(
    areas: list[shapely.Geometry], tree: Quadtree, callers: list[tuple[float, float]]
) -> None:
    asked = Borders(areas, tree.owners_throughout)
    outlines = shapely.STRtree(shapely.get_parts(shapely.boundary(areas)))  # the coast, too
    west, south, east, north = shapely.total_bounds(areas)
    anywhere = np.random.default_rng(4).uniform((west - 9e4, south - 9e4), (east + 9e4, north + 9e4), (200, 2))
    for _ in range(2):  # found, then remembered
        assert check_owners(asked, tree, callers) > len(callers) / 2
        check_owners(asked, tree, around(outlines, 800, seed=5))
        check_owners(asked, tree, [(float(e), float(n)) for e, n in anywhere])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), seeds=st.integers(2, 40), reach_m=st.sampled_from([200.0, 5_000.0, 200_000.0]))
def test_whatever_the_borders_are_the_distance_is_that_to_the_nearest(seed: int, seeds: int, reach_m: float) -> None:
    random = np.random.default_rng(seed)
    frame = shapely.box(500_000 - reach_m, 300_000 - reach_m, 500_000 + reach_m, 300_000 + reach_m)
    within = MIDDLE + random.uniform(-reach_m, reach_m, (seeds, 2))
    areas = [shapely.intersection(cell, frame) for cell in shapely.voronoi_polygons(shapely.multipoints(within)).geoms]
    tree = Quadtree(areas)
    asked = Borders(areas, tree.owners_throughout)
    lines = all_borders(asked)
    anywhere = MIDDLE + random.uniform(-1.5 * reach_m, 1.5 * reach_m, (40, 2))
    places = [*around(lines, 40, seed), *((float(e), float(n)) for e, n in anywhere)]
    check_distances(asked, lines, places)
    check_owners(asked, tree, places)


def test_what_is_remembered_has_an_end_and_is_found_again(
    areas: list[shapely.Geometry], callers: list[tuple[float, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, some = Borders(areas), callers[:250]
    expected = [whole.distance(*place) for place in some]
    monkeypatch.setattr(borders, "_MAX_CELLS", 7)
    asked = Borders(areas)
    assert [asked.distance(*place) for place in some] == expected
    assert all(0 < len(cells) <= 7 for _, cells in asked._levels[:3])
