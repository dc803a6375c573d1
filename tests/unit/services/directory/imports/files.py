"""Small files of every format: two forces, each ten kilometres square, side by side."""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import pyproj
import shapefile
import shapely

from libs.places.grid import to_wgs84_many
from tests.places import SHARED

DATA = SHARED / "boundaries"
BEDFORDSHIRE = shapely.box(500_000, 240_000, 510_000, 250_000)
HERTFORDSHIRE = shapely.box(510_000, 240_000, 520_000, 250_000)
Areas = Mapping[tuple[str, str], shapely.Geometry]
"""By code and name as ONS has them."""
TWO: Areas = {
    ("E23000026", "Bedfordshire"): BEDFORDSHIRE,
    ("E23000027", "Hertfordshire"): HERTFORDSHIRE,
}


def degrees(area: shapely.Geometry) -> shapely.Geometry:
    return shapely.transform(area, lambda places: to_wgs84_many(places)[:, ::-1])


def geojson(areas: Areas = TWO, crs: str | None = None, **more: Any) -> bytes:
    features = [
        {
            "type": "Feature",
            "properties": {"OBJECTID": 1, "PFA23CD": code, "PFA23NM": name, "Shape__Area": 1.5},
            "geometry": json.loads(shapely.to_geojson(area if crs and "27700" in crs else degrees(area))),
        }
        for (code, name), area in areas.items()
    ]
    document: dict[str, Any] = {"type": "FeatureCollection", "features": features} | more
    if crs:
        document["crs"] = {"type": "name", "properties": {"name": crs}}
    return json.dumps(document).encode()


def kml(areas: Areas = TWO, named: bool = True) -> bytes:
    def ring(kind: str, line: shapely.Geometry) -> str:
        corners = " ".join(f"{x:.7f},{y:.7f},0" for x, y in shapely.get_coordinates(line))
        return f"<{kind}><LinearRing><coordinates>{corners}</coordinates></LinearRing></{kind}>"

    placemarks = []
    for (_, name), area in areas.items():
        polygons = "".join(
            f"<Polygon>{ring('outerBoundaryIs', part.exterior)}"
            f"{''.join(ring('innerBoundaryIs', hole) for hole in part.interiors)}</Polygon>"
            for part in shapely.get_parts(degrees(area))
        )
        title = f"<name>{name.replace('&', '&amp;')}</name>" if named else ""
        placemarks.append(f"<Placemark>{title}<MultiGeometry>{polygons}</MultiGeometry></Placemark>")
    return (
        '<?xml version="1.0" encoding="UTF-8"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
        f"{''.join(placemarks)}</Document></kml>"
    ).encode()


def zipped(entries: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def kmz() -> bytes:
    return zipped({"doc.kml": kml()})


def kml_for_each_force() -> bytes:
    """As data.police.uk: the file alone says whose it is."""
    return zipped(
        {f"force kmls/{name.lower()}.kml": kml({(code, name): area}, named=False) for (code, name), area in TWO.items()}
    )


def geopackage_blob(area: shapely.Geometry, srs: int = 27700, **how: Any) -> bytes:
    return struct.pack("<2sBBi", b"GP", 0, 1, srs) + shapely.to_wkb(area, **how)


def geopackage(areas: Areas = TWO, srs: int = 27700, sql: Sequence[str] = ()) -> bytes:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(
            """
            PRAGMA application_id = 0x47504B47;
            CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT, srs_id INTEGER PRIMARY KEY, organization TEXT,
                organization_coordsys_id INTEGER, definition TEXT, description TEXT);
            CREATE TABLE gpkg_contents (table_name TEXT PRIMARY KEY, data_type TEXT, identifier TEXT, srs_id INTEGER);
            CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, geometry_type_name TEXT,
                srs_id INTEGER, z TINYINT, m TINYINT);
            CREATE TABLE "police areas" (fid INTEGER PRIMARY KEY, "SHAPE" BLOB, PFA24CD TEXT, PFA24NM TEXT, size REAL);
            """
        )
        database.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, 'EPSG', ?, 'undefined', '')", ("a", srs, srs))
        database.execute("INSERT INTO gpkg_contents VALUES ('police areas', 'features', 'x', ?)", (srs,))
        database.execute(
            "INSERT INTO gpkg_geometry_columns VALUES ('police areas', 'SHAPE', 'MULTIPOLYGON', ?, 0, 0)", (srs,)
        )
        for (code, name), area in areas.items():
            blob = geopackage_blob(degrees(area) if srs == 4326 else area, srs)
            database.execute('INSERT INTO "police areas" VALUES (NULL, ?, ?, ?, 1.0)', (blob, code, name))
        for statement in sql:
            database.execute(statement)
        database.commit()
        return database.serialize()


def shapefile_parts(areas: Areas = TWO, crs: int = 27700) -> dict[str, bytes]:
    shp, shx, dbf = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with shapefile.Writer(shp=shp, shx=shx, dbf=dbf, shapeType=shapefile.POLYGON) as writer:
        writer.field("PFA24CD", "C", 9)
        writer.field("PFA24NM", "C", 40)
        writer.field("SIZE", "N", 12, 3)
        for (code, name), area in areas.items():
            drawn = degrees(area) if crs == 4326 else area
            rings = []
            for part in shapely.get_parts(drawn):
                turned = shapely.orient_polygons(part, exterior_cw=True)
                rings += [shapely.get_coordinates(ring).tolist() for ring in (turned.exterior, *turned.interiors)]
            writer.poly(rings)
            writer.record(code, name, 1.5)
    prj = pyproj.CRS.from_epsg(crs).to_wkt("WKT1_ESRI").encode()
    return {"a.shp": shp.getvalue(), "a.shx": shx.getvalue(), "a.dbf": dbf.getvalue(), "a.prj": prj, "a.cpg": b"UTF-8"}


def zipped_shapefile(areas: Areas = TWO, crs: int = 27700) -> bytes:
    return zipped(shapefile_parts(areas, crs))


FILES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "geojson": (geojson, "GeoJSON", "EPSG:4326"),
    "geojson, CRS84": (lambda: geojson(crs="urn:ogc:def:crs:OGC:1.3:CRS84"), "GeoJSON", "EPSG:4326"),
    "geojson, grid": (lambda: geojson(crs="EPSG:27700"), "GeoJSON", "EPSG:27700"),
    "geojson, grid by URN": (lambda: geojson(crs="urn:ogc:def:crs:EPSG::27700"), "GeoJSON", "EPSG:27700"),
    "kml": (kml, "KML", "EPSG:4326"),
    "kmz": (kmz, "KML", "EPSG:4326"),
    "kml a force": (kml_for_each_force, "KML", "EPSG:4326"),
    "geopackage, grid": (geopackage, "GeoPackage", "EPSG:27700"),
    "geopackage": (lambda: geopackage(srs=4326), "GeoPackage", "EPSG:4326"),
    "shapefile, grid": (zipped_shapefile, "Shapefile", "EPSG:27700"),
    "shapefile": (lambda: zipped_shapefile(crs=4326), "Shapefile", "EPSG:4326"),
}
