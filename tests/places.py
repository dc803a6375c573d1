"""Places with the force that owns them: real ones from the shared data, and ones from the shipped postcodes."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
from bisect import bisect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from libs.places import postcodes
from libs.places.grid import to_grid_many, to_wgs84

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARED = Path(os.environ.get("SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
"""Beside the checkout, unless SHARED_DATA says where."""
BAND_ENDS_M = (50, 200, 500, 1000, 5000)
BANDS = ("under 50 m", "50–200 m", "200–500 m", "500–1000 m", "1–5 km", "over 5 km")


@dataclass(frozen=True, slots=True)
class Place:
    lat: float
    lon: float
    owner: str
    reported_by: str
    border_m: float


def slug(name: str) -> str:
    return name.lower().replace(" & ", "-").replace(" ", "-")


def real_places(forces: list[str], count: int) -> list[Place]:
    """A fixed sample of the places that the forces own. Raises FileNotFoundError where the shared data is absent."""
    with gzip.open(SHARED / "points" / "caller_points.csv.gz", "rt") as file:
        rows = [row for row in csv.DictReader(file) if slug(row["owning_force"]) in forces]
    chosen = random.Random(1285).sample(rows, count)
    return [
        Place(
            float(row["lat"]),
            float(row["lon"]),
            slug(row["owning_force"]),
            slug(row["reported_by"]),
            float(row["border_m"]),
        )
        for row in chosen
    ]


def real_boundaries() -> dict[str, shapely.Geometry]:
    """The 43 forces' areas, 20 m generalised, in metres. Raises FileNotFoundError where the shared data is absent."""
    with (SHARED / "codes" / "forces43.csv").open(encoding="utf-8") as file:
        slugs = {row["gss"]: row["data_police_uk_slug"] for row in csv.DictReader(file)}
    document = json.loads((SHARED / "boundaries" / "pfa43_bgc.geojson").read_bytes())
    areas = {}
    for feature in document["features"]:
        area = shapely.from_geojson(json.dumps(feature["geometry"]))
        drawn = shapely.transform(area, lambda corners: to_grid_many(corners[:, 1], corners[:, 0]))
        areas[slugs[feature["properties"]["pfa24cd"]]] = drawn
    return areas


def band(border_m: float) -> str:
    """Which of BANDS a distance from the border falls in."""
    return BANDS[bisect(BAND_ENDS_M, border_m)]


def shipped_places(forces: list[str], count: int) -> list[Place]:
    """Postcodes of each force in the shipped directory, the same number of each, with their distance to another's."""
    random_ = random.Random(1285)
    codes_of = _postcodes_of(forces)
    made: list[Place] = []
    for force, (own, others) in codes_of.items():
        chosen = own[sorted(random_.sample(range(len(own)), count // len(forces)))]
        tree = shapely.STRtree(shapely.points(others))
        _, distances = tree.query_nearest(shapely.points(chosen), return_distance=True, all_matches=False)
        for (easting, northing), metres in zip(chosen.tolist(), distances.tolist(), strict=True):
            lat, lon = to_wgs84(easting, northing)
            made.append(Place(lat, lon, force, force, metres / 2))
    random_.shuffle(made)
    return made


def _postcodes_of(forces: list[str]) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Each force's postcodes, and all others within its reach, in metres on the grid."""
    force_of = postcodes.districts()
    points, names = [], []
    for letter in postcodes.LETTERS:
        known = postcodes.read_letter(letter)
        if known is not None:
            points.append(np.column_stack((known.eastings, known.northings)).astype(float))
            names.append(np.array([force_of.get(district) or "" for district in known.districts])[known.district])
    xy, force = np.concatenate(points), np.concatenate(names)
    usable = ~np.isnan(xy).any(axis=1) & (force != "")
    xy, force = xy[usable], force[usable]
    found = {}
    for one in forces:
        own = xy[force == one]
        near = ((xy > own.min(axis=0) - 5000) & (xy < own.max(axis=0) + 5000)).all(axis=1)
        found[one] = (own, xy[near & (force != one)])
    return found
