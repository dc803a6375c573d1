"""GeoPackage (OGC 12-128): a SQLite database, opened in memory, where nothing but reading of plain tables is allowed.

Invariant: no statement of the file's own runs: views, triggers, functions, recursion and attached databases are refused
by the authorizer, and whatever takes too long is interrupted.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

from services.directory.alliance_file import Unusable
from services.directory.imports import crs
from services.directory.imports.shapes import Counter, Feature, Layer, texts
from services.directory.imports.wkb import NotWkb, read_polygons

FORMAT = "GeoPackage"
MAGIC = b"SQLite format 3\0"
MAX_SECONDS = 30.0
_ENVELOPE_BYTES = (0, 32, 48, 48, 64)
_READING = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)


def read(content: bytes) -> Layer:
    """The one layer of areas that the file has. Raises Unusable."""
    if content[18:20] == b"\2\2":  # written with a write-ahead log, which a file that is given away has not
        content = content[:18] + b"\1\1" + content[20:]
    try:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
            database.text_factory = lambda text: text.decode("utf-8", "replace")
            _restrict(database, content)
            return _read(database)
    except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError, MemoryError) as error:
        raise Unusable(f"This is no GeoPackage that can be read: {error}.") from None


def _restrict(database: sqlite3.Connection, content: bytes) -> None:
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA cell_size_check = ON")
    database.execute("PRAGMA mmap_size = 0")
    database.deserialize(content)
    database.execute("PRAGMA query_only = ON")
    for limit, most in (
        (sqlite3.SQLITE_LIMIT_LENGTH, 128 * 1024 * 1024),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 100_000),
        (sqlite3.SQLITE_LIMIT_COLUMN, 500),
        (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 50),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    ):
        database.setlimit(limit, most)
    database.set_authorizer(lambda act, *_: sqlite3.SQLITE_OK if act in _READING else sqlite3.SQLITE_DENY)
    until = time.monotonic() + MAX_SECONDS
    database.set_progress_handler(lambda: time.monotonic() > until, 10_000)


def _read(database: sqlite3.Connection) -> Layer:
    tables = {
        name
        for name, sql in database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        if isinstance(sql, str) and sql.lstrip().upper().startswith("CREATE TABLE")
    }
    missing = {"gpkg_contents", "gpkg_geometry_columns", "gpkg_spatial_ref_sys"} - tables
    if missing:
        raise Unusable(f"This is a SQLite file and no GeoPackage: it has no table {min(missing)}.")
    layers = [
        layer
        for layer in database.execute("SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns")
        if layer[0] in tables
    ]
    if len(layers) != 1:
        raise Unusable(f"The GeoPackage must have one layer of areas; it has {len(layers)}.")
    table, column, srs_id = layers[0]
    system = _crs(database, srs_id)
    return Layer(FORMAT, system, list(_features(database, table, column)))


def _crs(database: sqlite3.Connection, srs_id: object) -> str:
    found = database.execute(
        "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?",
        (srs_id,),
    ).fetchone()
    if found is None:
        raise Unusable(f"The GeoPackage does not say what its coordinate system {srs_id!r} is.")
    organization, code, definition = found
    if isinstance(organization, str) and organization.upper() == "EPSG" and isinstance(code, int):
        return crs.by_code(code)
    return crs.by_definition(str(definition))


def _features(database: sqlite3.Connection, table: str, column: str) -> Iterator[Feature]:
    counter = Counter()
    rows = database.execute(f"SELECT * FROM {_quoted(table)}")
    columns = [description[0] for description in rows.description]
    if column not in columns:
        raise Unusable(f"The GeoPackage's layer has no column {column!r}.")
    place = columns.index(column)
    for number, row in enumerate(rows, 1):
        counter.feature()
        where = f"Row {number}"
        blob = row[place]
        properties = texts(dict(zip(columns, row, strict=True)))
        if not isinstance(blob, bytes):
            raise Unusable(f"{where}: it has no geometry.")
        try:
            yield Feature(where, properties, read_polygons(_wkb(blob), where, counter))
        except NotWkb as error:
            raise Unusable(f"{where}: its geometry cannot be read: {error}.") from None


def _wkb(blob: bytes) -> memoryview:
    """What follows the header (clause 2.1.3). Raises NotWkb."""
    if len(blob) < 8 or blob[:2] != b"GP":
        raise NotWkb("it does not begin as a GeoPackage's does")
    flags = blob[3]
    envelope = flags >> 1 & 7
    if envelope >= len(_ENVELOPE_BYTES) or flags & 0x20:
        raise NotWkb("its header is none of a plain geometry")
    return memoryview(blob)[8 + _ENVELOPE_BYTES[envelope] :]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
