"""PostGIS asked whose a place is: areas under a GiST index, `ST_Contains`.

Measured as kindly as can be: the processor time of its backend alone, so that neither the way there nor its client nor
what else the machine does counts.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import psutil
import psycopg
import shapely

from deploy.local.postgres import SUPERUSER, Postgres
from deploy.local.process import Trouble, free_port

BINARIES = Path("/usr/lib/postgresql/15/bin")
EXTENSION = Path("/usr/share/postgresql/15/extension/postgis.control")
PACKAGE = "postgresql-15-postgis-3"

LOOKUP = "SELECT force FROM area WHERE ST_Contains(geom, ST_SetSRID(ST_MakePoint(%s, %s), 27700))"
JOIN = "SELECT count(area.force) FROM place JOIN area ON ST_Contains(area.geom, place.geom)"


class _Debian(Postgres):
    """The machine's own PostgreSQL 15, which PostGIS is packaged for."""

    @cached_property
    def binaries(self) -> Path:
        return BINARIES

    def _make_data(self) -> None:
        self.data.mkdir(mode=0o700)
        if self.account is not None:
            shutil.chown(self.data, self.account.uid, self.account.gid)
        made = subprocess.run(
            [self.binaries / "initdb", "-D", self.data, "-U", SUPERUSER, "--auth=trust", "-E", "UTF8", "--locale=C"],
            capture_output=True,
            text=True,
            cwd="/",
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
            check=False,
        )
        if made.returncode != 0:
            raise Trouble(f"PostgreSQL's data folder could not be made: {made.stderr.strip()}")


class PostGIS:
    def __init__(self, connection: psycopg.Connection):
        self._connection = connection
        self._backend = psutil.Process(connection.info.backend_pid)

    def load(self, areas: Mapping[str, shapely.Geometry], places: Sequence[tuple[float, float]]) -> None:
        """The areas (EPSG:27700) under their index, and the places that `join` looks for."""
        with self._connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS postgis")
            cursor.execute("DROP TABLE IF EXISTS area, place")
            cursor.execute("CREATE TABLE area (force text, geom geometry(Geometry, 27700))")
            cursor.execute("CREATE TABLE place (geom geometry(Point, 27700))")
            cursor.executemany(
                "INSERT INTO area VALUES (%s, ST_GeomFromWKB(%s, 27700))",
                [(force, shapely.to_wkb(area, output_dimension=2)) for force, area in areas.items()],
            )
            cursor.executemany("INSERT INTO place VALUES (ST_SetSRID(ST_MakePoint(%s, %s), 27700))", places)
            cursor.execute("CREATE INDEX ON area USING gist (geom)")
            cursor.execute("ANALYZE area")
            cursor.execute("ANALYZE place")

    def lookups(self, places: Sequence[tuple[float, float]]) -> tuple[float, list[str | None]]:
        """A prepared statement for each place: seconds of the backend's time, and whose they are."""
        started, found = self._seconds(), []
        with self._connection.cursor() as cursor:
            for place in places:
                row = cursor.execute(LOOKUP, place, prepare=True).fetchone()
                found.append(None if row is None else row[0])
        return self._seconds() - started, found

    def join(self) -> float:
        """All places at once: seconds of the backend's time."""
        started = self._seconds()
        with self._connection.cursor() as cursor:
            cursor.execute(JOIN)
        return self._seconds() - started

    def _seconds(self) -> float:
        times = self._backend.cpu_times()
        return float(times.user + times.system)


@contextmanager
def postgis() -> Iterator[PostGIS | None]:
    """A server of its own on a free port; None where the machine has no PostGIS."""
    if not EXTENSION.exists() or not (BINARIES / "postgres").exists():
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="hueandcry-postgis-"))
    folder.chmod(0o711)
    one_process = {"max_parallel_workers_per_gather": "0"}  # so that its backend's time is all of it
    server = _Debian(folder / "postgres", free_port(), "", folder / "postgres.log", one_process)
    try:
        server.start()
        with psycopg.connect(
            f"host=127.0.0.1 port={server.port} user={SUPERUSER} dbname=postgres", autocommit=True
        ) as connection:
            yield PostGIS(connection)
    finally:
        server.stop()
        server.forget()
        shutil.rmtree(folder, ignore_errors=True)
