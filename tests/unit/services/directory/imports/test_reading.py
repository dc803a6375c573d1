"""Every format that ONS and data.police.uk publish says the same."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import shapely

from services.directory.alliance_file import Unusable
from services.directory.imports.reading import Drawn, read_boundaries
from services.directory.imports.shapes import Counter
from services.directory.imports.wkb import read_polygons
from services.directory.known import known_forces
from tests.unit.services.directory.imports import files
from tests.unit.services.directory.imports.files import BEDFORDSHIRE, DATA, FILES, HERTFORDSHIRE


def read(content: bytes) -> Drawn:
    return read_boundaries(content, known_forces())


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_areas(name: str) -> None:
    make, format_, crs = FILES[name]
    drawn = read(make())
    assert (drawn.format, drawn.crs, drawn.unknown, drawn.repaired) == (format_, crs, (), ())
    assert sorted(drawn.areas) == ["bedfordshire", "hertfordshire"]
    for force, area in (("bedfordshire", BEDFORDSHIRE), ("hertfordshire", HERTFORDSHIRE)):
        assert shapely.get_type_id(drawn.areas[force]) == 6
        assert shapely.hausdorff_distance(drawn.areas[force], area) < 0.05


HOLED = shapely.MultiPolygon(
    [
        shapely.box(500_000, 240_000, 510_000, 250_000) - shapely.box(502_000, 242_000, 504_000, 244_000),
        shapely.box(502_500, 242_500, 503_000, 243_000),
        shapely.box(512_000, 240_000, 513_000, 241_000),
    ]
)


@pytest.mark.parametrize(
    "make", [files.geojson, files.kml, files.geopackage, files.zipped_shapefile], ids=["geojson", "kml", "gpkg", "shp"]
)
def test_holes_islands_and_islands_in_holes_stay(make) -> None:  # type: ignore[no-untyped-def]
    area = read(make({("E23000026", "Bedfordshire"): HOLED})).areas["bedfordshire"]
    assert shapely.area(shapely.symmetric_difference(area, HOLED)) < 5_000
    assert len(area.geoms) == 3


@pytest.mark.parametrize("how", [{"flavor": "iso"}, {"flavor": "extended"}, {"byte_order": 0}])
def test_heights_are_left_out_and_either_byte_order_is_read(how: dict[str, Any]) -> None:
    high = shapely.force_3d(BEDFORDSHIRE, 12.0)
    [[ring]] = read_polygons(shapely.to_wkb(high, **how), "here", Counter())
    assert ring.tolist() == shapely.get_coordinates(BEDFORDSHIRE).tolist()


@pytest.mark.parametrize(
    ("properties", "force"),
    [
        ({"pfa24cd": "E23000001", "pfa24nm": "Surrey"}, "metropolitan"),
        ({"PFA15CD": "w15000004"}, "dyfed-powys"),
        ({"PFA24NM": "Devon & Cornwall"}, "devon-and-cornwall"),
        ({"PFA24NM": "Devon and Cornwall"}, "devon-and-cornwall"),
        ({"Name": "London, City of"}, "city-of-london"),
        ({"name": "City of London Police"}, "city-of-london"),
        ({"name": "Metropolitan Police Service"}, "metropolitan"),
        ({"name": "avon-and-somerset"}, "avon-and-somerset"),
        ({"name": "Bedfordshire Police", "pfa24cd": "E99999999"}, "bedfordshire"),
    ],
)
def test_a_force_is_known_by_code_then_name_then_slug(properties: dict[str, str], force: str) -> None:
    document = json.loads(files.geojson({("", ""): BEDFORDSHIRE}))
    document["features"][0]["properties"] = properties
    assert list(read(json.dumps(document).encode()).areas) == [force]


def test_several_features_of_a_force_are_united_and_strangers_are_named() -> None:
    west, east = shapely.box(500_000, 240_000, 505_000, 250_000), shapely.box(505_000, 240_000, 510_000, 250_000)
    document = json.loads(files.geojson({("E23000026", "W"): west, ("S12000036", "Edinburgh"): HERTFORDSHIRE}))
    document["features"] += json.loads(files.geojson({("E23000026", "E"): east}))["features"]
    drawn = read(json.dumps(document).encode())
    assert shapely.area(shapely.symmetric_difference(drawn.areas["bedfordshire"], BEDFORDSHIRE)) < 1_000
    assert drawn.unknown == ("S12000036",)


def test_an_outline_that_crosses_itself_a_little_is_put_right_and_told() -> None:
    corners = shapely.get_coordinates(BEDFORDSHIRE).tolist()
    spiked = shapely.Polygon([*corners[:2], (505_000, 250_001), (505_001, 249_999), (505_002, 250_001), *corners[2:]])
    assert not shapely.is_valid(spiked)
    drawn = read(files.geopackage({("E23000026", ""): spiked}))
    assert drawn.repaired == ("bedfordshire",)
    assert shapely.is_valid(drawn.areas["bedfordshire"])


def test_an_outline_of_which_nobody_knows_what_is_inside_is_refused() -> None:
    bow = shapely.Polygon([(500_000, 240_000), (510_000, 250_000), (510_000, 240_000), (500_000, 250_000)])
    with pytest.raises(Unusable, match="crosses itself"):
        read(files.geopackage({("E23000026", ""): bow}))


def test_a_write_ahead_logged_geopackage_is_read() -> None:
    content = bytearray(files.geopackage())
    content[18:20] = b"\2\2"
    assert len(read(bytes(content)).areas) == 2


def test_the_real_areas_of_all_43_forces_are_read() -> None:
    path = DATA / "pfa43_bgc.geojson"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    drawn = read(path.read_bytes())
    assert sorted(drawn.areas) == sorted(force.id for force in known_forces())
    assert drawn.unknown == drawn.repaired == ()
    assert all(shapely.is_valid(area) for area in drawn.areas.values())


def test_a_full_resolution_area_is_read_and_one_of_a_million_corners_more_is_refused() -> None:
    def round_(corners: int) -> bytes:
        turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
        ring = np.column_stack([np.cos(turn), np.sin(turn)]) * 20_000 + (505_000, 245_000)
        return files.geopackage({("E23000026", ""): shapely.polygons(ring)})

    assert shapely.get_num_coordinates(read(round_(400_000)).areas["bedfordshire"]) == 400_001
    with pytest.raises(Unusable, match="over 1000000 corners"):
        read(round_(1_000_001))
