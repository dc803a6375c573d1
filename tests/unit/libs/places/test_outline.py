import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from libs.events.types.shapes import ArcBand, Circle, Ellipse, Point, Polygon
from libs.places.grid import to_grid, to_wgs84
from libs.places.outline import MAX_RADIUS_M, Outline, UnusableShape, check_shape, outline

NORWICH = {"lat": 52.63, "lon": 1.30}
"""Far east of the central meridian: grid north lies 2.6 degrees east of true north here."""
GEOD = Geod(ellps="WGS84")


def drawn(shape: Point | Circle | Ellipse | ArcBand | Polygon) -> Outline:
    result = outline(shape)
    assert result is not None
    return result


def furthest(shape: Ellipse) -> tuple[float, float]:
    """True bearing (0–180) and distance of the outline's furthest corner from the centre."""
    area = drawn(shape).area
    places = [to_wgs84(east, north) for east, north in shapely.get_coordinates(area)]
    measured = [GEOD.inv(shape.lon, shape.lat, lon, lat) for lat, lon in places]
    bearing, _, distance = max(measured, key=lambda item: item[2])
    return bearing % 180.0, distance


def test_a_circle_has_its_area_in_metres() -> None:
    area = drawn(Circle(**NORWICH, radius_m=1_000.0)).area
    assert shapely.area(area) == pytest.approx(math.pi * 1e6, rel=2e-3)  # the grid's own scale is within 0.1 %


def test_an_ellipse_has_its_area_in_metres() -> None:
    area = drawn(Ellipse(**NORWICH, semi_major_m=3_000.0, semi_minor_m=500.0, orientation_deg=70.0)).area
    assert shapely.area(area) == pytest.approx(math.pi * 3_000.0 * 500.0, rel=2e-3)


@pytest.mark.parametrize("orientation", [0.0, 30.0, 90.0, 135.0])
def test_an_ellipse_lies_by_true_north_and_not_by_the_grids(orientation: float) -> None:
    shape = Ellipse(**NORWICH, semi_major_m=20_000.0, semi_minor_m=1_000.0, orientation_deg=orientation)
    bearing, distance = furthest(shape)
    assert min(abs(bearing - orientation), 180.0 - abs(bearing - orientation)) < 0.1
    assert distance == pytest.approx(20_000.0, rel=2e-3)
    east, north = to_grid(NORWICH["lat"], NORWICH["lon"])
    corners = shapely.get_coordinates(drawn(shape).area) - (east, north)
    far = corners[np.argmax(np.hypot(corners[:, 0], corners[:, 1]))]
    by_the_grid = math.degrees(math.atan2(far[0], far[1])) % 180.0
    assert 2.0 < (orientation - by_the_grid) % 180.0 < 3.2  # what was corrected


def test_an_arc_band_is_the_sector_it_says() -> None:
    shape = ArcBand(
        **NORWICH, inner_radius_m=1_000.0, outer_radius_m=3_000.0, start_angle_deg=350.0, opening_angle_deg=40.0
    )
    result = drawn(shape)
    assert shapely.area(result.area) == pytest.approx(math.pi * (9e6 - 1e6) * 40.0 / 360.0, rel=5e-3)
    for bearing, distance, inside in [
        (10.0, 2_000.0, True),
        (351.0, 2_000.0, True),
        (29.0, 2_000.0, True),
        (348.0, 2_000.0, False),
        (31.5, 2_000.0, False),
        (10.0, 900.0, False),
        (10.0, 3_100.0, False),
    ]:
        lon, lat, _ = GEOD.fwd(NORWICH["lon"], NORWICH["lat"], bearing, distance)
        assert shapely.intersects_xy(result.area, *to_grid(lat, lon)) is np.bool_(inside)


def test_the_centre_of_an_arc_band_is_not_the_mast() -> None:
    result = drawn(
        ArcBand(**NORWICH, inner_radius_m=1_000.0, outer_radius_m=3_000.0, start_angle_deg=0.0, opening_angle_deg=60.0)
    )
    mast = to_grid(NORWICH["lat"], NORWICH["lon"])
    assert math.dist(mast, (result.easting, result.northing)) > 1_500.0


def test_a_whole_turn_is_a_ring() -> None:
    area = drawn(
        ArcBand(**NORWICH, inner_radius_m=500.0, outer_radius_m=1_000.0, start_angle_deg=5.0, opening_angle_deg=360.0)
    ).area
    assert shapely.area(area) == pytest.approx(math.pi * 0.75e6, rel=1e-2)
    assert shapely.is_valid(area)


def test_a_polygon_may_repeat_its_first_corner() -> None:
    corners = ((52.0, -0.5), (52.0, -0.4), (52.1, -0.4), (52.1, -0.5))
    open_ring = drawn(Polygon(exterior=corners))
    closed_ring = drawn(Polygon(exterior=(*corners, corners[0])))
    assert shapely.area(open_ring.area) == pytest.approx(shapely.area(closed_ring.area))
    assert shapely.area(open_ring.area) == pytest.approx(6_850.0 * 11_127.0, rel=1e-2)


@pytest.mark.parametrize(
    "shape",
    [
        Circle(**NORWICH, radius_m=0.0),
        Ellipse(**NORWICH, semi_major_m=0.0, semi_minor_m=0.0, orientation_deg=0.0),
        ArcBand(**NORWICH, inner_radius_m=0.0, outer_radius_m=0.5, start_angle_deg=0.0, opening_angle_deg=10.0),
    ],
)
def test_a_shape_without_size_is_a_point(shape: Circle | Ellipse | ArcBand) -> None:
    assert drawn(shape) == drawn(Point(**NORWICH))


def test_an_ellipse_without_width_is_thin_and_not_nothing() -> None:
    area = drawn(Ellipse(**NORWICH, semi_major_m=1_000.0, semi_minor_m=0.0, orientation_deg=45.0)).area
    assert shapely.is_valid(area)
    assert shapely.area(area) > 1_000.0


@pytest.mark.parametrize(
    "shape",
    [
        Point(lat=math.nan, lon=0.0),
        Point(lat=52.0, lon=math.inf),
        Point(lat=91.0, lon=0.0),
        Point(lat=52.0, lon=-180.5),
        Point(lat=10**400, lon=0.0),
        Circle(**NORWICH, radius_m=-1.0),
        Circle(**NORWICH, radius_m=math.nan),
        Circle(**NORWICH, radius_m=MAX_RADIUS_M * 1.01),
        Ellipse(**NORWICH, semi_major_m=10.0, semi_minor_m=math.inf, orientation_deg=0.0),
        Ellipse(**NORWICH, semi_major_m=10.0, semi_minor_m=5.0, orientation_deg=math.nan),
        Ellipse(**NORWICH, semi_major_m=10.0, semi_minor_m=5.0, orientation_deg=1e9),
        ArcBand(**NORWICH, inner_radius_m=5.0, outer_radius_m=5.0, start_angle_deg=0.0, opening_angle_deg=10.0),
        ArcBand(**NORWICH, inner_radius_m=0.0, outer_radius_m=5.0, start_angle_deg=0.0, opening_angle_deg=0.0),
        ArcBand(**NORWICH, inner_radius_m=0.0, outer_radius_m=5.0, start_angle_deg=0.0, opening_angle_deg=361.0),
        Polygon(exterior=()),
        Polygon(exterior=((52.0, 0.0), (52.1, 0.0), (52.0, 0.0))),
        Polygon(exterior=((52.0, 0.0), (52.1, 0.0), (52.2, 0.0))),
        Polygon(exterior=((52.0, 0.0), (52.1, 0.1), (52.1, 0.0), (52.0, 0.1))),
        Polygon(exterior=((52.0, 0.0), (math.nan, 0.1), (52.1, 0.0))),
        Polygon(exterior=((52.0, 179.0), (52.0, -179.0), (53.0, -179.0), (53.0, 179.0))),
        Polygon(exterior=tuple((52.0 + math.sin(at) / 10, math.cos(at) / 10) for at in range(1_001))),
    ],
)
def test_what_is_no_place_is_refused_with_a_sentence(shape: Point | Circle | Ellipse | ArcBand | Polygon) -> None:
    with pytest.raises(UnusableShape, match=r"^The .* must .*\.$"):
        check_shape(shape)
    with pytest.raises(ValueError, match=r"^The "):
        outline(shape)


@pytest.mark.parametrize(
    "shape",
    [
        Point(lat=0.0, lon=0.0),
        Circle(lat=-89.9, lon=120.0, radius_m=100_000.0),
        Polygon(exterior=((10.0, 10.0), (11.0, 10.0), (11.0, 11.0))),
    ],
)
def test_a_place_abroad_is_beyond_the_grid(shape: Point | Circle | Polygon) -> None:
    assert outline(shape) is None


ANY = st.floats(allow_nan=True, allow_infinity=True)
LAT, LON, LENGTH = st.floats(45.0, 65.0), st.floats(-15.0, 8.0), st.floats(0.0, MAX_RADIUS_M)


@settings(deadline=None)
@given(
    st.one_of(
        st.builds(Point, lat=ANY, lon=ANY),
        st.builds(Circle, lat=LAT, lon=LON, radius_m=LENGTH | ANY),
        st.builds(Ellipse, lat=LAT, lon=LON, semi_major_m=LENGTH | ANY, semi_minor_m=LENGTH, orientation_deg=ANY),
        st.builds(
            ArcBand,
            lat=LAT,
            lon=LON,
            inner_radius_m=LENGTH,
            outer_radius_m=LENGTH,
            start_angle_deg=st.floats(-360.0, 360.0),
            opening_angle_deg=st.floats(0.0, 360.0),
        ),
        st.builds(Polygon, exterior=st.lists(st.tuples(LAT | ANY, LON), max_size=8).map(tuple)),
    )
)
def test_every_shape_is_drawn_or_refused(shape: Point | Circle | Ellipse | ArcBand | Polygon) -> None:
    try:
        result = outline(shape)
    except UnusableShape:
        return
    if result is not None:
        assert math.isfinite(result.easting)
        assert math.isfinite(result.northing)
        assert result.area is None or math.isfinite(shapely.area(result.area))
