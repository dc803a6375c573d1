import math
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.types.shapes import ArcBand, Circle, Civic, Ellipse, Point, Polygon, Postcode, Shape
from libs.places import Atlas, UnusableShape
from libs.places.grid import to_wgs84
from libs.places.quadtree import Quadtree
from services.directory.areas import load_areas

WEST = shapely.box(500_000, 200_000, 510_000, 220_000)
EAST = shapely.box(510_000, 200_000, 520_000, 220_000)
NORTH = shapely.box(500_000, 220_000, 520_000, 230_000)
"""Three areas that meet in (510 000, 220 000). The rest of the world is sea."""


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return Atlas.build("test", 100.0, {"west": WEST, "east": EAST, "north": NORTH})


def forces(located: object) -> list[str]:
    return [candidate.force for candidate in located.candidates]  # type: ignore[attr-defined]


def point(easting: float, northing: float) -> Point:
    lat, lon = to_wgs84(easting, northing)
    return Point(lat=lat, lon=lon)


def circle(easting: float, northing: float, radius_m: float) -> Circle:
    lat, lon = to_wgs84(easting, northing)
    return Circle(lat=lat, lon=lon, radius_m=radius_m)


def test_a_point_well_inside_is_one_forces(atlas: Atlas) -> None:
    located = atlas.locate(point(505_000, 205_000))
    assert located is not None
    assert forces(located) == ["west"]
    assert located.candidates[0].share == 1.0
    assert located.border_m == pytest.approx(5_000.0, abs=0.05)
    assert (located.too_close, located.outside) == (False, False)


def test_the_coast_is_no_border(atlas: Atlas) -> None:
    located = atlas.locate_grid(500_010, 205_000)
    assert forces(located) == ["west"]
    assert located.border_m == pytest.approx(9_990.0, abs=50.0)
    assert not located.too_close


def test_a_point_near_a_border_names_both_sides_the_nearer_first(atlas: Atlas) -> None:
    located = atlas.locate_grid(510_030, 205_000)
    assert forces(located) == ["east", "west"]
    assert located.too_close
    assert located.border_m == pytest.approx(30.0)
    assert [candidate.share for candidate in located.candidates] == [1.0, 0.0]
    assert located.candidates[0].likelihood == located.confidence > 0.6
    assert sum(candidate.likelihood for candidate in located.candidates) == pytest.approx(1.0, abs=1e-5)


def test_a_point_just_beyond_the_accuracy_is_not_too_close(atlas: Atlas) -> None:
    located = atlas.locate_grid(510_101, 205_000)
    assert forces(located) == ["east"]
    assert not located.too_close


def test_a_point_where_three_meet_names_all_three(atlas: Atlas) -> None:
    assert set(forces(atlas.locate_grid(510_000, 220_000))) == {"west", "east", "north"}


@pytest.mark.parametrize("place", [(490_000, 210_000), (530_000, 210_000), (510_000, 100_000), (math.pi, -1e9)])
def test_a_point_at_sea_is_outside(atlas: Atlas, place: tuple[float, float]) -> None:
    located = atlas.locate_grid(*place)
    assert located.outside
    assert located.candidates == ()
    assert not located.too_close


def test_a_place_abroad_is_outside(atlas: Atlas) -> None:
    located = atlas.locate(Point(lat=-33.9, lon=151.2))
    assert located is not None
    assert located.outside


def test_a_shape_is_shared_by_area(atlas: Atlas) -> None:
    located = atlas.locate(circle(510_000, 205_000, 1_000.0))
    assert located is not None
    assert located.too_close
    assert [candidate.share for candidate in located.candidates] == pytest.approx([0.5, 0.5], abs=1e-3)


def test_a_shape_that_only_grazes_a_border_is_clear(atlas: Atlas) -> None:
    located = atlas.locate(circle(509_020, 205_000, 1_000.0))
    assert located is not None
    assert forces(located) == ["west", "east"]
    assert 0.0 < located.candidates[1].share < located.candidates[1].likelihood < 0.05
    assert not located.too_close


def test_a_second_candidate_with_a_noticeable_share_is_too_close(atlas: Atlas) -> None:
    located = atlas.locate(circle(509_600, 205_000, 1_000.0))
    assert located is not None
    assert located.candidates[1].share > 0.05
    assert located.border_m == pytest.approx(400.0, abs=1.0)
    assert located.too_close


def test_the_share_at_sea_is_nobodys(atlas: Atlas) -> None:
    located = atlas.locate(circle(500_000, 210_000, 1_000.0))
    assert located is not None
    assert located.candidates[0].share == pytest.approx(0.5, abs=1e-3)
    assert not located.outside


def test_the_largest_possible_shape_is_answered(atlas: Atlas) -> None:
    located = atlas.locate(circle(510_000, 210_000, 100_000.0))
    assert located is not None
    areas = 200e6 / (math.pi * 1e10)
    assert [candidate.share for candidate in located.candidates] == pytest.approx([areas] * 3, rel=1e-2)


def test_a_polygon_is_shared_by_area(atlas: Atlas) -> None:
    corners = [
        to_wgs84(e, n) for e, n in [(508_000, 205_000), (514_000, 205_000), (514_000, 206_000), (508_000, 206_000)]
    ]
    located = atlas.locate(Polygon(exterior=tuple(corners)))
    assert located is not None
    assert [(c.force, round(c.share, 2)) for c in located.candidates] == [("east", 0.67), ("west", 0.33)]


@pytest.mark.parametrize("town", [None, "Ruritania", ""])
def test_an_address_without_a_postcode_or_a_known_town_is_no_usable_place(atlas: Atlas, town: str | None) -> None:
    assert atlas.locate(Civic(street="High Street", town=town, county="Hertfordshire")) is None


@pytest.mark.parametrize("written", ["nonsense", "ZZ9 9ZZ", ""])
def test_an_unknown_postcode_is_no_usable_place(atlas: Atlas, written: str) -> None:
    assert atlas.locate(Postcode(postcode=written)) is None


def test_a_postcode_is_its_districts_forces_and_never_too_close() -> None:
    # SG8 9LG lies in Royston. The areas are drawn so that it lies in the other one.
    areas = {"cambridgeshire": shapely.box(530_000, 230_000, 540_000, 250_000), "hertfordshire": WEST}
    located = Atlas.build("test", 100.0, areas).locate(Postcode(postcode="sg8 9lg"))
    assert located is not None
    assert forces(located) == ["hertfordshire"]
    assert not located.too_close


def test_a_postcode_of_a_force_the_atlas_does_not_know_is_where_it_lies() -> None:
    royston = Atlas.build("test", 100.0, {"town": shapely.box(530_000, 235_000, 540_000, 245_000)})
    located = royston.locate(Civic(house="1", postcode="SG8 9LG"))
    assert located is not None
    assert forces(located) == ["town"]
    scotland = royston.locate(Postcode(postcode="EH1 1BQ"))
    assert scotland is not None
    assert scotland.outside


@pytest.mark.parametrize("postcode", ["BT1 1AA", "EH1 1BQ"])
def test_a_postcode_of_another_country_is_outside_whatever_area_its_grid_reference_would_lie_in(postcode: str) -> None:
    """Northern Ireland's are on the Irish Grid: read as the National Grid's, Belfast lies in Cheshire."""
    everywhere = Atlas.build("test", 100.0, {"cheshire": shapely.box(0, 0, 700_000, 1_300_000)})
    located = everywhere.locate(Postcode(postcode=postcode))
    assert located is not None
    assert located.outside
    assert not located.candidates


def test_what_is_no_place_is_refused(atlas: Atlas) -> None:
    with pytest.raises(UnusableShape):
        atlas.locate(Point(lat=math.nan, lon=0.0))


def test_areas_that_overlap_share_a_point_and_a_person_is_asked() -> None:
    atlas = Atlas.build("test", 10.0, {"a": WEST, "b": shapely.box(505_000, 200_000, 520_000, 220_000)})
    located = atlas.locate_grid(507_500, 210_000)
    assert [(c.force, c.share) for c in located.candidates] == [("a", 0.5), ("b", 0.5)]
    assert located.too_close
    shared = atlas.locate(circle(507_500, 210_000, 500.0))
    assert shared is not None
    assert [c.share for c in shared.candidates] == pytest.approx([0.5, 0.5])


def test_areas_not_drawn_together_still_have_a_border() -> None:
    apart = shapely.box(510_015, 201_000, 520_000, 219_000)  # 15 m off, no corner in common
    atlas = Atlas.build("test", 100.0, {"west": WEST, "east": apart})
    located = atlas.locate_grid(509_000, 210_000)
    assert located.border_m == pytest.approx(1_000.0, abs=16.0)


def test_one_area_has_no_border() -> None:
    located = Atlas.build("test", 100.0, {"west": WEST}).locate_grid(505_000, 205_000)
    assert (forces(located), located.border_m, located.too_close) == (["west"], None, False)


def test_an_atlas_without_areas_has_everything_outside() -> None:
    assert Atlas.build("test", 100.0, {}).locate_grid(505_000, 205_000).outside


@pytest.mark.parametrize(
    ("area", "accuracy_m"),
    [
        (shapely.Point(0, 0), 100.0),
        (shapely.Polygon(), 100.0),
        (shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), 100.0),
        (WEST, math.nan),
        (WEST, -1.0),
    ],
)
def test_an_atlas_is_not_built_of_what_is_no_area(area: shapely.Geometry, accuracy_m: float) -> None:
    with pytest.raises(ValueError, match=r"area|accuracy_m"):
        Atlas.build("test", accuracy_m, {"somewhere": area})


LAT, LON = st.floats(51.5, 52.1), st.floats(-0.7, -0.1)
LENGTH = st.floats(0.0, 100_000.0) | st.floats(0.0, 10.0)
SHAPES = st.one_of(
    st.builds(Point, lat=LAT, lon=LON),
    st.builds(Circle, lat=LAT, lon=LON, radius_m=LENGTH),
    st.builds(
        Ellipse, lat=LAT, lon=LON, semi_major_m=LENGTH, semi_minor_m=LENGTH, orientation_deg=st.floats(-360.0, 360.0)
    ),
    st.builds(
        ArcBand,
        lat=LAT,
        lon=LON,
        inner_radius_m=LENGTH,
        outer_radius_m=LENGTH,
        start_angle_deg=st.floats(-360.0, 360.0),
        opening_angle_deg=st.floats(0.0, 360.0),
    ),
    st.builds(Polygon, exterior=st.lists(st.tuples(LAT, LON), min_size=3, max_size=6).map(tuple)),
)


@settings(max_examples=300, deadline=None)
@given(shape=SHAPES)
def test_every_shape_gets_shares_that_add_up_or_is_refused(atlas: Atlas, shape: Shape) -> None:
    try:
        located = atlas.locate(shape)
    except UnusableShape:
        return
    assert located is not None
    shares = [candidate.share for candidate in located.candidates]
    assert shares == sorted(shares, reverse=True)
    assert all(0.0 <= share <= 1.0 for share in shares)
    assert sum(shares) <= 1.0 + 1e-5
    assert located.outside == (not shares)
    assert sum(candidate.likelihood for candidate in located.candidates) == pytest.approx(float(bool(shares)), abs=1e-5)
    assert 0.0 <= located.confidence <= 1.0


def star(seed: int, corners: int) -> shapely.Geometry:
    random = np.random.default_rng(seed)
    turn = np.linspace(0.0, 2.0 * math.pi, corners, endpoint=False)
    radius = random.uniform(5_000.0, 60_000.0, corners)
    return shapely.polygons(np.column_stack([450_000 + radius * np.cos(turn), 250_000 + radius * np.sin(turn)]))


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), corners=st.integers(3, 1_500))
def test_the_tree_answers_as_the_areas_do(seed: int, corners: int) -> None:
    area = star(seed, corners)
    other = shapely.box(380_000, 180_000, 520_000, 320_000).difference(area)
    tree = Quadtree([area, other])
    shapely.prepare(area)
    random = np.random.default_rng(seed)
    for easting, northing in random.uniform((380_000, 180_000), (520_000, 320_000), (200, 2)):
        assert tree.owners(easting, northing) == ((0,) if shapely.intersects_xy(area, easting, northing) else (1,))
    disc = shapely.Point(450_000, 250_000).buffer(float(random.uniform(10.0, 60_000.0)))
    within = tree.areas_within(disc)
    assert within.get(0, 0.0) == pytest.approx(shapely.area(area.intersection(disc)), rel=1e-9, abs=1.0)
    assert sum(within.values()) == pytest.approx(shapely.area(disc), rel=1e-9)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_nearest_border_is_the_nearest(seed: int) -> None:
    area = star(seed, 400)
    other = shapely.box(380_000, 180_000, 520_000, 320_000).difference(area)
    atlas = Atlas.build("test", 0.0, {"a": area, "b": other})
    for easting, northing in np.random.default_rng(seed).uniform((300_000, 100_000), (600_000, 400_000), (50, 2)):
        expected = shapely.distance(shapely.boundary(area), shapely.Point(easting, northing))
        assert atlas.locate_grid(easting, northing).border_m == pytest.approx(expected, abs=1e-6)


def test_it_answers_alike_from_every_thread(atlas: Atlas) -> None:
    places = np.random.default_rng(1).uniform((495_000, 195_000), (525_000, 235_000), (2_000, 2))
    alone = [atlas.locate_grid(easting, northing) for easting, northing in places]
    fresh = Atlas.build("test", 100.0, {"west": WEST, "east": EAST, "north": NORTH})
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda place: fresh.locate_grid(*place), places))
    assert together == alone


def spikes(easting: float, northing: float, reach_m: float, corners: int) -> tuple[Polygon, shapely.Polygon]:
    """As a location and on the grid: half of its corners far out, half near the centre."""
    turns = np.linspace(0.0, 2.0 * math.pi, corners, endpoint=False)
    reaches = np.where(np.arange(corners) % 2, reach_m, 0.2 * reach_m)
    drawn = np.column_stack([easting + reaches * np.cos(turns), northing + reaches * np.sin(turns)])
    return Polygon(exterior=tuple(to_wgs84(*corner) for corner in drawn.tolist())), shapely.Polygon(drawn)


@pytest.mark.parametrize("easting", [507_000.0, 509_990.0])
def test_a_star_of_a_thousand_corners_has_its_shares_nearly(atlas: Atlas, easting: float) -> None:
    shape, drawn = spikes(easting, 215_000.0, 9_000.0, 1_000)
    located = atlas.locate(shape)
    assert located is not None
    for candidate in located.candidates:
        area = {"west": WEST, "east": EAST, "north": NORTH}[candidate.force]
        assert candidate.share == pytest.approx(shapely.intersection(area, drawn).area / drawn.area, abs=0.05)
    assert len(located.candidates) == 3


def test_what_is_too_thin_to_be_sampled_is_told_by_its_corners(atlas: Atlas) -> None:
    """A corridor along a winding path: hardly any point of a grid lies in it, and no simpler drawing keeps to it."""
    ups = [(502_000.0 + 5_000.0 * (i % 2) + i, 201_000.0 + 60.0 * i) for i in range(200)]
    corridor = shapely.LineString(ups).buffer(2.0, cap_style="flat", join_style="mitre")
    exterior = tuple(to_wgs84(*corner) for corner in corridor.exterior.coords)
    located = atlas.locate(Polygon(exterior=exterior))
    assert located is not None
    assert forces(located) == ["west"]


def test_no_shape_keeps_everybody_waiting() -> None:
    """A star that reaches over half of the country, on the areas as they are shipped: it took eight seconds."""
    shipped = load_areas()
    atlas = Atlas.build(shipped.generation, shipped.accuracy_m, shipped.areas)
    shape, _ = spikes(500_000.0, 260_000.0, 150_000.0, 1_000)
    began = time.thread_time()  # whatever else the machine does
    assert atlas.locate(shape) is not None
    assert time.thread_time() - began < 1.5
