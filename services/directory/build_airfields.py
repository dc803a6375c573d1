"""Makes the airfields that the product ships: `python -m services.directory.build_airfields`.

Needs the group `data` (`python3 deploy/local/bootstrap.py --group data`). The same package makes the same bytes.
"""

import csv
import io
import logging
import re
import sys
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from libs.places.grid import on_grid, to_grid

HEAD = """\
# airportsdata-{version}
# Airfields in Great Britain with an ICAO code and either a IATA code or a military name, from the package airportsdata
# (MIT licence), projected and reduced.
"""
MILITARY = re.compile(r"\b(RAF|RNAS|MOD|MoD|Royal Marines)\b")
NORTHERN_IRELAND = "EGA"
"""Its ICAO codes begin so; its places have no owner here."""

log = logging.getLogger(__name__)


def written(airports: dict[str, dict[str, Any]], version: str) -> str:
    """The file's content. Military ones suggest the Ministry of Defence Police, others the place's own force."""
    out = io.StringIO()
    out.write(HEAD.format(version=version))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("id", "name", "kind", "force", "easting", "northing"))
    for code, airport in sorted(airports.items()):
        military = MILITARY.search(airport["name"]) is not None
        named = airport["country"] == "GB" and code.startswith("EG") and (airport["iata"] or military)
        if not named or code.startswith(NORTHERN_IRELAND) or not on_grid(airport["lat"], airport["lon"]):
            continue
        easting, northing = to_grid(airport["lat"], airport["lon"])
        kind, force = ("defence", "ministry-of-defence") if military else ("airport", "")
        writer.writerow((code, airport["name"], kind, force, round(easting), round(northing)))
    return out.getvalue()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    path = Path(__file__).parent / "data/airfields.csv"
    airports = import_module("airportsdata").load("ICAO")
    path.write_text(written(airports, metadata.version("airportsdata")), encoding="utf-8")
    log.info("%s", path)


if __name__ == "__main__":
    main()
