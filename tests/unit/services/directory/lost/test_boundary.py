import numpy as np
import pytest
import shapely

from libs.places.grid import to_grid_many
from services.directory.lost.boundary import MAX_CORNERS, draw

KM = 1_000.0


def wiggly(corners: int, jag_m: float, seed: int = 7) -> shapely.Geometry:
    """A round area of 30 km with a coast as jagged as that."""
    rng = np.random.default_rng(seed)
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    reach = 30 * KM + rng.uniform(-jag_m, jag_m, corners)
    return shapely.multipolygons(
        [shapely.Polygon(np.column_stack([500 * KM + reach * np.cos(turn), 250 * KM + reach * np.sin(turn)]))]
    )


def test_a_small_area_is_drawn_as_it_is() -> None:
    area = wiggly(500, 300)
    drawn = draw(area)
    assert drawn is not None
    assert drawn.area.equals(area)
    [ring] = drawn.rings
    corners = np.array(ring.exterior.split(), dtype=float).reshape(-1, 2)
    back = shapely.Polygon(to_grid_many(corners[:, 0], corners[:, 1]))
    assert shapely.area(shapely.symmetric_difference(back, area)) < 5e-6 * area.area


@pytest.mark.parametrize("jag_m", [1.0, 20.0, 90.0])
def test_a_large_area_is_drawn_simpler_and_never_larger(jag_m: float) -> None:
    area = wiggly(60_000, jag_m)
    assert shapely.is_valid(area)
    drawn = draw(area)
    assert drawn is not None
    assert shapely.get_num_coordinates(drawn.area) <= MAX_CORNERS
    assert area.contains(drawn.area)
    assert drawn.area.area > 0.97 * area.area


def test_islands_and_holes_are_drawn_too() -> None:
    land = shapely.box(0, 0, 10 * KM, 10 * KM).difference(shapely.box(4 * KM, 4 * KM, 5 * KM, 5 * KM))
    drawn = draw(shapely.multipolygons([shapely.box(20 * KM, 0, 21 * KM, KM), land]))
    assert drawn is not None
    assert [len(ring.interiors) for ring in drawn.rings] == [1, 0]


def test_what_no_drawing_makes_small_enough_has_no_boundary() -> None:
    """Ten thousand islets, each too small to be drawn smaller."""
    at = [(column * 10.0, row * 10.0) for column in range(100) for row in range(100)]
    assert draw(shapely.multipolygons([shapely.box(x, y, x + 1, y + 1) for x, y in at])) is None
