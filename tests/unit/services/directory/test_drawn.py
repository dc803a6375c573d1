"""Areas as they are drawn: simplified together, in degrees, for display."""

from __future__ import annotations

import json
from typing import Any

import pytest
import shapely

from libs.events.types.directory import BoundariesActivated
from libs.places.grid import to_grid
from services.directory.areas import load_areas
from services.directory.drawn import document

BOUNDARIES = BoundariesActivated(generation="g-1", source="somebody", accuracy_m=250.0, areas=())
TOLERANCES_M = (20, 100, 500)


def drawn(areas: dict[str, shapely.Geometry], tolerance_m: int) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(document(areas, BOUNDARIES, tolerance_m))
    return made


@pytest.mark.parametrize("tolerance_m", TOLERANCES_M)
def test_neither_gap_nor_overlap_opens_between_neighbours(tolerance_m: int) -> None:
    shipped = load_areas().areas
    features = drawn(shipped, tolerance_m)["features"]
    areas = [shapely.from_geojson(json.dumps(feature["geometry"])) for feature in features]
    assert [feature["id"] for feature in features] == sorted(shipped)
    assert all(shapely.is_valid(area) for area in areas)
    together = shapely.union_all(areas)
    # Corners that two areas share are rounded to the same place.
    assert sum(shapely.area(area) for area in areas) == pytest.approx(shapely.area(together), rel=1e-9)


def test_a_larger_tolerance_has_fewer_corners() -> None:
    areas = load_areas().areas
    sizes = [len(document(areas, BOUNDARIES, tolerance_m)) for tolerance_m in TOLERANCES_M]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[-1]


def test_a_force_s_name_stands_within_its_area_and_outer_rings_turn_left() -> None:
    for feature in drawn(load_areas().areas, 500)["features"]:
        area = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert shapely.contains(area, shapely.Point(feature["properties"]["nameAt"])), feature["id"]
        assert all(shapely.is_ccw(shapely.get_exterior_ring(part)) for part in shapely.get_parts(area))


def test_longitude_comes_first_and_it_says_that_it_is_for_display() -> None:
    east, north = to_grid(52.1, -0.4)
    made = drawn({"one": shapely.box(east, north, east + 5_000, north + 5_000)}, 20)
    corners = shapely.get_coordinates(shapely.from_geojson(json.dumps(made["features"][0]["geometry"])))
    assert corners.min(axis=0) == pytest.approx((-0.4, 52.1), abs=0.002)
    assert (made["generation"], made["attribution"], made["accuracyMetres"]) == ("g-1", "somebody", 250.0)
    assert made["note"] == "Simplified for display. Who owns a place, POST /v1/locate says."


def test_areas_that_were_not_drawn_together_are_drawn_all_the_same() -> None:
    one, other = shapely.box(5e5, 2e5, 5.1e5, 2.1e5), shapely.box(5.099e5, 2e5, 5.2e5, 2.1e5)
    made = drawn({"one": one, "other": other}, 500)
    areas = [shapely.from_geojson(json.dumps(feature["geometry"])) for feature in made["features"]]
    assert all(shapely.is_valid(area) and not shapely.is_empty(area) for area in areas)
