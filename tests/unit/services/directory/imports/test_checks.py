"""What is wrong with boundaries, and what they change, is found and told."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import shapely

from services.directory.areas import load_areas
from services.directory.imports.checks import EXPECTED_M, examine
from services.directory.imports.reading import Drawn, read_boundaries
from services.directory.imports.report import Report
from services.directory.known import known_forces
from tests.unit.services.directory.imports.files import BEDFORDSHIRE as WEST
from tests.unit.services.directory.imports.files import DATA
from tests.unit.services.directory.imports.files import HERTFORDSHIRE as EAST

NORTH = shapely.box(500_000, 250_000, 520_000, 260_000)
BEFORE = {"west": WEST, "east": EAST, "north": NORTH}


def report(
    after: Mapping[str, shapely.Geometry], before: Mapping[str, shapely.Geometry] | None = None, **more: float
) -> Report:
    drawn = Drawn(dict(after), (), (), "GeoJSON", "EPSG:27700")
    return examine(drawn, before, ("west", "east"), **more)


def one(found: Report, force: str):  # type: ignore[no-untyped-def]
    return next(moved for moved in found.moved if moved.force == force)


def test_the_same_areas_again_change_nothing_and_nothing_is_wrong() -> None:
    found = report(BEFORE, BEFORE)
    assert found.moved == found.gaps == found.overlaps == found.blocking == found.notes == ()


def test_a_member_that_is_missing_forbids_activation_and_another_force_does_not() -> None:
    assert "no area of east" in " ".join(report({"west": WEST, "north": NORTH}).blocking)
    without = report({"west": WEST, "east": EAST}, BEFORE)
    assert without.gone == ("north",)
    assert not without.blocking
    assert "have none now: north" in " ".join(without.notes)


def test_a_gap_is_found_with_whom_it_lies_between() -> None:
    pond = shapely.box(509_800, 249_800, 510_200, 250_100)
    found = report({force: area - pond for force, area in BEFORE.items()})
    [gap] = found.gaps
    assert gap.gap
    assert gap.forces == ("east", "north", "west")
    assert gap.area_m2 == pytest.approx(pond.area)
    assert shapely.equals(gap.polygon, pond)
    assert len(found.blocking) == 1
    assert "nobody" in found.blocking[0]


def test_an_overlap_is_found_with_whose_it_is() -> None:
    found = report({**BEFORE, "west": shapely.box(500_000, 240_000, 510_300, 250_000)})
    [overlap] = found.overlaps
    assert not overlap.gap
    assert overlap.forces == ("east", "west")
    assert overlap.area_m2 == pytest.approx(300 * 10_000)
    assert "several forces" in found.blocking[0]


def test_what_is_thinner_than_the_drawing_is_accurate_is_counted_and_not_listed() -> None:
    found = report({**BEFORE, "west": shapely.box(500_000, 240_000, 510_015, 250_000)})
    assert found.overlaps == ()
    assert found.overlap_slivers == 1
    assert not found.blocking


def test_a_border_that_moves_is_measured_and_told_for_both_sides() -> None:
    after = {
        "west": shapely.box(500_000, 240_000, 510_400, 250_000),
        "east": shapely.box(510_400, 240_000, 520_000, 250_000),
        "north": NORTH,
    }
    found = report(after, BEFORE)
    west, east = one(found, "west"), one(found, "east")
    assert west.gained_m2 == east.lost_m2 == pytest.approx(4_000_000)
    assert west.lost_m2 == east.gained_m2 == west.to_nobody_m2 == 0.0
    assert west.exchanged == {"east": (pytest.approx(4_000_000), 0.0)}
    assert east.exchanged == {"west": (0.0, pytest.approx(4_000_000))}
    assert west.moved_m == pytest.approx(400)
    assert west.share == pytest.approx(0.04)
    assert west.more_than_expected
    assert len(found.blocking) == 2
    assert [moved.force for moved in found.moved] == ["east", "west"]


def test_a_small_place_that_moves_far_is_more_than_expected() -> None:
    village = shapely.box(509_400, 245_000, 510_000, 245_600)
    after = {"west": WEST - village, "east": EAST | village, "north": NORTH}
    moved = one(report(after, BEFORE), "west")
    assert moved.share < 0.01
    assert moved.moved_m > 40 + EXPECTED_M
    assert moved.more_than_expected


def test_a_border_drawn_more_coarsely_is_noise_within_the_accuracies_and_not_beyond() -> None:
    rough = np.random.default_rng(1)
    ys = np.linspace(240_000, 250_000, 200)
    line = np.column_stack([510_000 + rough.uniform(-18, 18, ys.size), ys])
    line[[0, -1], 0] = 510_000
    west = shapely.Polygon([(500_000, 240_000), *line, (500_000, 250_000)])
    east = shapely.Polygon([*line, (520_000, 250_000), (520_000, 240_000)])
    after = {"west": west, "east": east, "north": NORTH}
    found = report(after, BEFORE)
    moved = one(found, "west")
    assert not found.blocking
    assert moved.gained_m2 == moved.lost_m2 == 0.0
    assert moved.slivers > 50
    assert one(report(after, BEFORE, accuracy_m=1.0, accuracy_before_m=1.0), "west").gained_m2 > 0


def test_a_force_merged_into_another_is_gone_and_its_whole_area_gained() -> None:
    found = report({"west": WEST | NORTH, "east": EAST}, BEFORE)
    west = one(found, "west")
    assert found.gone == ("north",)
    assert west.gained_m2 == pytest.approx(NORTH.area)
    assert west.moved_m >= 10_000
    assert west.more_than_expected


def test_what_goes_to_nobody_at_the_edge_is_told_as_such() -> None:
    found = report({**BEFORE, "east": shapely.box(510_000, 240_000, 518_000, 250_000)}, BEFORE)
    east = one(found, "east")
    assert east.to_nobody_m2 == pytest.approx(2_000 * 10_000)
    assert east.exchanged == {}
    assert east.more_than_expected
    assert "would be nobody's" in found.blocking[0]


def test_many_gaps_are_bounded_and_the_largest_are_told() -> None:
    holes = [
        shapely.box(x, y, x + 30, y + 30) for x in range(501_000, 509_000, 300) for y in range(241_000, 249_000, 300)
    ]
    largest = shapely.box(509_300, 245_000, 509_500, 245_200)
    found = report({**BEFORE, "west": WEST - shapely.union_all([*holes, largest])})
    assert len(found.gaps) == 200
    assert found.gaps[0].area_m2 == pytest.approx(largest.area)


def test_the_real_areas_against_those_that_are_shipped() -> None:
    path = DATA / "pfa43_bgc.geojson"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    shipped = load_areas()
    members = ("bedfordshire", "cambridgeshire", "hertfordshire")
    around = ("essex", "lincolnshire", "metropolitan", "norfolk", "northamptonshire", "suffolk", "thames-valley")
    drawn = read_boundaries(path.read_bytes(), [force for force in known_forces() if force.id in members + around])
    assert len(drawn.unknown) == 43 - len(members + around)
    before = {force: shipped.areas[force] for force in members + around}
    found = examine(drawn, before, members, accuracy_before_m=shipped.accuracy_m)
    assert found.missing == found.gone == found.overlaps == found.gaps == ()
    for moved in found.moved:
        gained, lost = moved.gained_m2 - moved.lost_m2, moved.after_m2 - moved.before_m2
        assert abs(gained - lost) <= moved.slivers_m2 + 1.0
        if moved.force in members:
            assert moved.to_nobody_m2 == 0.0
            assert 0.01 < moved.share < 0.05
    assert len(found.blocking) == 3
