"""The police forces there are, from the list shipped beside."""

import csv
from functools import cache
from importlib import resources

from services.directory.forces import KnownForce


@cache
def known_forces() -> tuple[KnownForce, ...]:
    """The 43 forces of England and Wales."""
    with resources.files("services.directory").joinpath("data/forces.csv").open(encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return tuple(KnownForce(row["id"], row["name"], row["ons_code"], row["pnc_code"]) for row in rows)
