"""Makes the railway stations that the product ships: `python -m services.directory.build_stations STATIONS.JSON`.

The file is that of the package uk-railway-stations of npm's registry (`npm pack uk-railway-stations`, unpacked), with
its package.json beside it. The same package makes the same bytes.
"""

import argparse
import csv
import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

from libs.places.grid import on_grid, to_grid

HEAD = """\
# uk-railway-stations-{version}
# Railway stations in Great Britain, from the package uk-railway-stations (Open Database License 1.0), projected and
# reduced. This database is made available under the same licence: https://opendatacommons.org/licenses/odbl/1-0/
"""
COUNTRIES = {"england", "wales", "scotland"}
"""Where British Transport Police is the railway's."""

log = logging.getLogger(__name__)


def written(stations: list[dict[str, Any]], version: str) -> str:
    """The file's content, by station code."""
    out = io.StringIO()
    out.write(HEAD.format(version=version))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("id", "name", "kind", "force", "easting", "northing"))
    for station in sorted(stations, key=lambda one: str(one["crsCode"])):
        lat, lon = station["lat"], station["long"]
        if station["constituentCountry"] in COUNTRIES and on_grid(lat, lon):
            easting, northing = to_grid(lat, lon)
            place = (round(easting), round(northing))
            writer.writerow((station["crsCode"], station["stationName"], "railway", "british-transport", *place))
    return out.getvalue()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(prog="python -m services.directory.build_stations", description=__doc__)
    parser.add_argument("stations", type=Path, help="stations.json of the package, its package.json beside it")
    source: Path = parser.parse_args().stations
    version = json.loads(source.with_name("package.json").read_text("utf-8"))["version"]
    path = Path(__file__).parent / "data/stations.csv"
    path.write_text(written(json.loads(source.read_text("utf-8")), version), encoding="utf-8")
    log.info("%s", path)


if __name__ == "__main__":
    main()
