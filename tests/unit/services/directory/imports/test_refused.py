"""What is sent to do harm, or by mistake, is refused with the reason."""

from __future__ import annotations

import json
import struct

import pytest
import shapely

from services.directory.alliance_file import Unusable
from services.directory.imports.reading import read_boundaries
from services.directory.known import known_forces
from tests.unit.services.directory.imports import files
from tests.unit.services.directory.imports.files import BEDFORDSHIRE


def changed(old: str, new: str, content: bytes | None = None) -> bytes:
    content = files.geojson() if content is None else content
    assert old.encode() in content
    return content.replace(old.encode(), new.encode())


def with_corner(corner: str) -> bytes:
    document = json.loads(files.geojson())
    document["features"][0]["geometry"]["coordinates"][0][1] = "CORNER"
    return json.dumps(document).replace('"CORNER"', corner).encode()


def zip_bomb() -> bytes:
    return files.zipped({"a.kml": b" " * (64 * 1024 * 1024)})


def laughs() -> bytes:
    lol = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE kml [<!ENTITY l0 "lol">{lol}]><kml>&l9;</kml>'.encode()


def nested_collections() -> bytes:
    deep = struct.pack("<BII", 1, 7, 1) * 200_000
    blob = struct.pack("<2sBBi", b"GP", 0, 1, 27700) + deep
    return files.geopackage(sql=[f"""UPDATE "police areas" SET "SHAPE" = X'{blob.hex()}'"""])


def nested_multipolygons() -> bytes:
    blob = struct.pack("<2sBBi", b"GP", 0, 1, 27700) + struct.pack("<BII", 1, 6, 1) * 200_000
    return files.geopackage(sql=[f"""UPDATE "police areas" SET "SHAPE" = X'{blob.hex()}'"""])


ENDLESS = (
    "CREATE VIEW endless AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS SHAPE FROM n"
)


def endless_view() -> bytes:
    return files.geopackage(sql=[ENDLESS, "UPDATE gpkg_geometry_columns SET table_name = 'endless'"])


def endless_view_in_place_of_a_table() -> bytes:
    return files.geopackage(
        sql=[
            "DROP TABLE gpkg_spatial_ref_sys",
            ENDLESS.replace("VIEW endless", "VIEW gpkg_spatial_ref_sys"),
        ]
    )


REFUSED = {
    "nothing": (lambda: b"", "none that is known here"),
    "text": (lambda: b"hello", "none that is known here"),
    "no JSON": (lambda: b"{", "no GeoJSON FeatureCollection"),
    "deep JSON": (lambda: b'{"a":' * 100_000, "nested too deeply|no GeoJSON"),
    "deep properties": (
        lambda: changed('"OBJECTID": 1', f'"OBJECTID": {"[" * 100_000}{"]" * 100_000}'),
        "nested too deeply",
    ),
    "no features": (lambda: b'{"type":"FeatureCollection","features":[]}', "has no areas"),
    "a point": (lambda: changed('"Polygon"', '"Point"'), "no area of GeoJSON"),
    "NaN": (lambda: with_corner("[NaN, 52]"), "no GeoJSON|no area of GeoJSON"),
    "infinity": (lambda: with_corner("[1e999, 52]"), "no finite number|no area of GeoJSON|out of range"),
    "latitude first": (lambda: with_corner("[52.1, -0.4]"), "longitude comes first"),
    "off the grid": (
        lambda: files.geojson({("E23000026", ""): shapely.box(2e6, 2e6, 3e6, 3e6)}, crs="EPSG:27700"),
        "easting comes first",
    ),
    "one number": (lambda: with_corner("[1]"), "not two or three numbers"),
    "Web Mercator": (lambda: files.geojson(crs="EPSG:3857"), r"Pseudo-Mercator \(EPSG:3857\)"),
    "no such CRS": (lambda: files.geojson(crs="EPSG:999999"), "not known here, EPSG:999999"),
    "a CRS of words": (lambda: files.geojson(crs="my own"), "not known here, 'my own'"),
    "nobody known": (lambda: files.geojson({("S12000036", "Edinburgh"): BEDFORDSHIRE}), "It names S12000036"),
    "a flat ring": (
        lambda: files.geopackage({("E23000026", ""): shapely.Polygon([(5e5, 2e5), (5e5, 2.1e5), (5e5, 2.2e5)])}),
        "not clear what is inside",
    ),
    "laughs": (laughs, "document type declaration"),
    "laughs in UTF-16": (lambda: laughs().decode().encode("utf-16"), "none that is known here|UTF-8 alone"),
    "deep XML": (lambda: b"<kml>" * 1_000 + b"</kml>" * 1_000, "nested too deeply|not well-formed"),
    "many elements": (lambda: b"<kml>" + b"<a/>" * 2_100_000 + b"</kml>", "too many elements"),
    "HTML": (lambda: b"<html></html>", "its root element is 'html'"),
    "KML of words": (
        lambda: changed("<coordinates>", "<coordinates>here ", files.kml()),
        "longitude,latitude with spaces",
    ),
    "zip bomb": (zip_bomb, "unpacks to too much"),
    "empty zip": (lambda: files.zipped({"a.txt": b"a"}), "neither a Shapefile nor KML"),
    "zip of many": (lambda: files.zipped({f"{n}.txt": b"" for n in range(5_001)}), "over 5000 entries"),
    "two shapefiles": (
        lambda: files.zipped({"b.shp": b"", **files.shapefile_parts()}),
        "must hold one Shapefile; it holds 2",
    ),
    "no .prj": (
        lambda: files.zipped({name: one for name, one in files.shapefile_parts().items() if name != "a.prj"}),
        r"\.prj",
    ),
    "no .dbf": (
        lambda: files.zipped({name: one for name, one in files.shapefile_parts().items() if name != "a.dbf"}),
        r"\.dbf",
    ),
    "SQLite": (lambda: b"SQLite format 3\0" + b"\0" * 4_000, "no GeoPackage"),
    "no GeoPackage": (lambda: files.geopackage(sql=["DROP TABLE gpkg_contents"]), "no table gpkg_contents"),
    "nested collections": (nested_collections, "neither a polygon nor a multipolygon"),
    "nested multipolygons": (nested_multipolygons, "is no polygon"),
    "an endless view": (endless_view, "it has 0"),
    "an endless view in place of a table": (endless_view_in_place_of_a_table, "no table gpkg_spatial_ref_sys"),
    "a function in a column": (
        lambda: files.geopackage(
            sql=['ALTER TABLE "police areas" ADD COLUMN big BLOB AS (zeroblob(1000000000)) VIRTUAL']
        ),
        "no GeoPackage that can be read",
    ),
    "two layers": (
        lambda: files.geopackage(
            sql=["INSERT INTO gpkg_geometry_columns VALUES ('gpkg_contents', 'SHAPE', 'POLYGON', 27700, 0, 0)"]
        ),
        "it has 2",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_the_reason(name: str) -> None:
    make, reason = REFUSED[name]
    with pytest.raises(Unusable, match=reason) as refusal:
        read_boundaries(make(), known_forces())
    assert str(refusal.value).endswith(".")
    assert len(str(refusal.value)) < 600


def test_a_zip_entry_that_lies_about_its_size_is_refused() -> None:
    content = bytearray(zip_bomb())
    for signature, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        struct.pack_into("<I", content, content.index(signature) + offset, 100)
    with pytest.raises(Unusable):
        read_boundaries(bytes(content), known_forces())
