"""Towns and villages by name, and those near a place: where an address with nothing but a town lies, and what to ask a
caller about ("Are you nearer Royston or Bassingbourn?").

Settlements of 500 people and more in England and Wales, with a place for each that is a kilometre out at worst. Made
from GeoNames (https://www.geonames.org), licensed under CC BY 4.0, by `services.directory.build_settlements`.
"""

import csv
import math
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely

from libs.places.outline import Outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

PEOPLE_PER_KM2 = 3_000.0
"""Of a town as it is built: so large a disc stands for it."""
MIN_RADIUS_M = 500.0
_MAX_TYPED = 200
_WORDS = re.compile(r"[a-z0-9]+")
_SPELT = {"saint": "st", "and": ""}


class Settlement(NamedTuple):
    name: str
    easting: float
    northing: float
    population: int
    """0: not known; a village."""

    @property
    def radius_m(self) -> float:
        return max(MIN_RADIUS_M, math.sqrt(self.population / PEOPLE_PER_KM2 / math.pi) * 1_000.0)


@cache
def settlements() -> tuple[Settlement, ...]:
    """All of them, by name and place."""
    with resources.files(__package__).joinpath("settlements.csv").open(encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if line[0] != "#")
        return tuple(
            Settlement(row["name"], float(row["easting"]), float(row["northing"]), int(row["population"]))
            for row in rows
        )


def named(name: str) -> tuple[Settlement, ...]:
    """Every settlement of that name, however it is spelt and spaced; empty where there is none."""
    return _by_name().get(_key(name), ()) if len(name) <= _MAX_TYPED else ()


def extent_of(town: str) -> Outline | None:
    """Where somebody in the town may be: a disc for each settlement of that name. None where none has it.

    The centre is that of the largest.
    """
    found = named(town)
    if not found:
        return None
    largest = max(found, key=lambda one: one.population)
    discs = [shapely.Point(one.easting, one.northing).buffer(one.radius_m, quad_segs=8) for one in found]
    return Outline(largest.easting, largest.northing, shapely.union_all(discs))


def nearest(easting: float, northing: float, within_m: float) -> Iterator[tuple[Settlement, float]]:
    """Settlements from the nearest on, each with its distance in metres."""
    away = np.hypot(*(_places() - (easting, northing)).T)
    for at in np.argsort(away, kind="stable").tolist():
        if away[at] > within_m:
            return
        yield settlements()[at], float(away[at])


@cache
def _places() -> "NDArray[np.float64]":
    return np.array([(one.easting, one.northing) for one in settlements()])


@cache
def _by_name() -> dict[str, tuple[Settlement, ...]]:
    by_name: dict[str, tuple[Settlement, ...]] = {}
    for one in settlements():
        key = _key(one.name)
        by_name[key] = (*by_name.get(key, ()), one)
    return by_name


def _key(name: str) -> str:
    """`Bury St. Edmunds`, `bury saint edmunds` and `BURY ST EDMUND'S` are one name."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower().replace("'", "")
    return " ".join(filter(None, (_SPELT.get(word, word) for word in _WORDS.findall(plain))))
