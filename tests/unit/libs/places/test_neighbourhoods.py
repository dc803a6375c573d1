"""Areas inside a force: libs/places/neighbourhoods.py, services/directory/neighbourhoods.py."""

import json
from pathlib import Path
from typing import Any

import pytest
import shapely

from libs.places import Atlas, decode_area
from libs.places.grid import to_wgs84
from libs.places.neighbourhoods import Neighbourhood, Neighbourhoods
from services.directory.alliance_file import Unusable
from services.directory.areas import load_areas
from services.directory.boundaries import GenerationChanged, chunk_subject
from services.directory.neighbourhoods import by_force, plan, read_file
from services.directory.stored import read_neighbourhoods
from tests.places import SHARED, slug
from tests.unit.libs.alliance.areas import square

WEST, EAST = Neighbourhood("E1", "West End"), Neighbourhood("E2", "East End")
AREAS = {WEST: shapely.box(500_000, 250_000, 505_000, 260_000), EAST: shapely.box(505_000, 250_000, 510_000, 260_000)}


def test_a_place_has_its_neighbourhood_or_none() -> None:
    known = Neighbourhoods("1", AREAS)
    assert known.at(502_000, 255_000) == WEST
    assert known.at(508_000, 255_000) == EAST
    assert known.at(505_000, 255_000) == WEST  # on the edge
    assert known.at(520_000, 255_000) is None
    assert len(known) == 2


def test_what_is_no_area_is_refused() -> None:
    for area in (shapely.Point(0, 0), shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])):
        with pytest.raises(ValueError, match="E1"):
            Neighbourhoods("1", {WEST: area})


def test_the_pieces_and_the_activation_make_the_neighbourhoods_again() -> None:
    chunks, activation = plan("a", "1", "ours", AREAS, stored=(), in_force=None)
    assert activation is not None
    known = read_neighbourhoods(activation, {chunk.sha256: chunk.content for chunk in chunks})
    assert (known.generation, known.at(502_000, 255_000), known.at(508_000, 255_000)) == ("1", WEST, EAST)
    subjects = {chunk_subject(chunk.sha256) for chunk in chunks}
    assert plan("a", "2", "ours", AREAS, stored=subjects, in_force=activation)[0] == []
    assert plan("a", "1", "ours", AREAS, stored=subjects, in_force=activation) == ([], None)
    with pytest.raises(GenerationChanged):
        plan("a", "1", "ours", {WEST: AREAS[WEST]}, stored=subjects, in_force=activation)


def test_each_goes_to_the_force_it_lies_in() -> None:
    sea = Neighbourhood("E3", "Sea")
    other = Neighbourhood("E4", "Next door")
    areas = {**AREAS, sea: shapely.box(0, 0, 1_000, 1_000), other: shapely.box(511_000, 251_000, 512_000, 252_000)}
    atlas = Atlas.build("test", 20.0, {"a": square(0), "b": square(1)})
    assert {force: set(theirs) for force, theirs in by_force(areas, atlas).items()} == {"a": {WEST, EAST}, "b": {other}}


def feature(**changed: Any) -> dict[str, Any]:
    ring = [(500_000, 250_000), (501_000, 250_000), (501_000, 251_000), (500_000, 250_000)]
    corners = [[lon, lat] for lat, lon in (to_wgs84(*corner) for corner in ring)]
    whole = {"type": "Feature", "properties": {"code": "E1", "name": "West End"}}
    return {**whole, "geometry": {"type": "Polygon", "coordinates": [corners]}, **changed}


def file(folder: Path, document: object) -> Path:
    path = folder / "areas.geojson"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_a_file_is_read_in_metres(tmp_path: Path) -> None:
    [(one, area)] = read_file(file(tmp_path, {"features": [feature()]}), "code", "name").items()
    assert one == WEST
    assert shapely.bounds(area) == pytest.approx((500_000, 250_000, 501_000, 251_000), abs=0.01)
    assert shapely.area(area) == pytest.approx(500_000, rel=1e-4)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ({}, "FeatureCollection"),
        ({"features": []}, "FeatureCollection"),
        ({"features": [None]}, r"features\[0\].*code"),
        ({"features": [feature(properties={"code": "E1"})]}, r"features\[0\].*name"),
        ({"features": [feature(), feature()]}, r"features\[1\].*twice"),
        ({"features": [feature(geometry=None)]}, "geometry"),
        ({"features": [feature(geometry={"type": "Point", "coordinates": [0, 52]})]}, "Polygon"),
        (
            {"features": [feature(geometry=shapely.geometry.mapping(shapely.box(500_000, 250_000, 501_000, 251_000)))]},
            "WGS 84",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_place_and_the_reason(
    tmp_path: Path, document: object, reason: str
) -> None:
    with pytest.raises(Unusable, match=reason):
        read_file(file(tmp_path, document), "code", "name")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="cannot be read"):
        read_file(tmp_path / "nowhere.geojson", "code", "name")


def test_real_wards_are_each_in_their_force_and_found_again() -> None:
    path = SHARED / "boundaries" / "wards2020_six_forces.geojson"
    if not path.exists():
        pytest.skip("the shared data, with real wards, is not here")
    shipped = load_areas()
    atlas = Atlas.build(shipped.generation, shipped.accuracy_m, shipped.areas)
    wards = read_file(path, "WD20CD", "WD20NM")
    assert len(wards) == 895
    found = by_force(wards, atlas)
    truth = {
        entry["properties"]["WD20CD"]: slug(entry["properties"]["pfa24nm"])
        for entry in json.loads(path.read_bytes())["features"]
    }
    for force, theirs in found.items():
        known = Neighbourhoods("wards-2020", theirs)
        for ward, area in theirs.items():
            assert truth[ward.id] == force
            inside = shapely.point_on_surface(area)
            assert known.at(inside.x, inside.y) == ward
    chunks, activation = plan("bedfordshire", "wards-2020", "ONS", found["bedfordshire"], stored=(), in_force=None)
    assert activation is not None
    assert decode_area([chunks[0].content]).is_valid
