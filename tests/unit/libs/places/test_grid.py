"""Against the Ordnance Survey's own published answers (OSTN15 test points)."""

import math

import numpy as np
import pytest
from pyproj import Transformer

from libs.places.grid import on_grid, to_grid, to_grid_many, to_wgs84

OSTN15 = {
    "TP01 St Mary's, Scilly": (49.92226393730, -6.29977752014, 91492.146, 11318.804),
    "TP02 Lizard Point": (49.96006137820, -5.20304609998, 170370.718, 11572.405),
    "TP03 Plymouth": (50.43885825610, -4.10864563561, 250359.811, 62016.569),
    "TP04 St Catherine's Point": (50.57563665000, -1.29782277240, 449816.371, 75335.861),
    "TP05 Southampton": (50.93127937910, -1.45051433700, 438710.920, 114792.250),
    "TP06 Nash Point": (51.40078220140, -3.55128349240, 292184.870, 168003.465),
    "TP07 North Foreland": (51.37447025550, 1.44454730409, 639821.835, 169565.858),
    "TP08 Brislington": (51.42754743020, -2.54407618349, 362269.991, 169978.690),
    "TP09 Lambeth": (51.48936564950, -0.11992557180, 530624.974, 178388.464),
    "TP10 Carmarthen": (51.85890896400, -4.30852476960, 241124.584, 220332.641),
    "TP11 Colchester": (51.89436637350, 0.89724327012, 599445.590, 225722.826),
    "TP12 Droitwich": (52.25529381630, -2.15458614387, 389544.190, 261912.153),
}


@pytest.mark.parametrize("point", OSTN15)
def test_a_place_is_within_metres_of_where_the_ordnance_survey_has_it(point: str) -> None:
    lat, lon, easting, northing = OSTN15[point]
    east, north = to_grid(lat, lon)
    assert math.hypot(east - easting, north - northing) < (5.0 if lon < -3.6 else 2.5)


def test_the_pinned_transformation_is_the_one_that_proj_would_take_without_grid_files() -> None:
    proj = Transformer.from_crs(4326, 27700, always_xy=True, allow_ballpark=False, only_best=False)
    lats, lons = np.meshgrid(np.linspace(50, 55.5, 12), np.linspace(-5.5, 1.7, 12))
    ours = to_grid_many(lats.ravel(), lons.ravel())
    theirs = np.column_stack(proj.transform(lons.ravel(), lats.ravel()))
    assert np.abs(ours - theirs).max() < 6.0  # with the OSTN15 grid installed PROJ takes that: metres apart, no more


def test_one_place_and_many_agree() -> None:
    east, north = to_grid(52.6402, -0.4950)
    assert to_grid_many([52.6402], [-0.4950])[0] == pytest.approx((east, north), abs=1e-6)


def test_there_and_back_is_the_same_place() -> None:
    lat, lon = to_wgs84(*to_grid(52.6402, -0.4950))
    assert (lat, lon) == pytest.approx((52.6402, -0.4950), abs=1e-7)


@pytest.mark.parametrize("place", [(math.nan, 0.0), (0.0, math.nan), (47.9, 0.0), (52.0, 5.1), (-52.0, 0.0)])
def test_what_is_not_in_britain_is_not_on_the_grid(place: tuple[float, float]) -> None:
    assert not on_grid(*place)
