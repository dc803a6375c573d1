"""The police forces there are, how they are reached, and the nations' holidays, from the lists shipped beside."""

import csv
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from functools import cache
from importlib import resources

import msgspec

from libs.events.types.directory import Reach
from libs.events.types.manner import Holiday, HolidaysDefined
from services.directory.forces import KnownForce

_NATIONS = {
    "england-and-wales": "England and Wales",
    "scotland": "Scotland",
    "northern-ireland": "Northern Ireland",
}


def _rows(name: str) -> Iterator[dict[str, str]]:
    with resources.files("services.directory").joinpath(f"data/{name}").open(encoding="utf-8") as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))


@cache
def known_forces() -> tuple[KnownForce, ...]:
    """The 43 forces of England and Wales, and those that own no area here."""
    reach: dict[str, list[Reach]] = defaultdict(list)
    for row in _rows("reach.csv"):
        reach[row.pop("force")].append(msgspec.convert(row, Reach))
    territorial = (
        KnownForce(row["id"], row["name"], row["ons_code"], row["pnc_code"], "territorial", tuple(reach[row["id"]]))
        for row in _rows("forces.csv")
    )
    others = (
        KnownForce(row["id"], row["name"], None, None, row["kind"], tuple(reach[row["id"]]))  # type: ignore[arg-type]
        for row in _rows("other_forces.csv")
    )
    return (*territorial, *others)


@cache
def known_holidays() -> tuple[HolidaysDefined, ...]:
    """The bank holidays of each nation, as far as the list goes."""
    days: dict[str, list[Holiday]] = {nation: [] for nation in _NATIONS}
    source = ""
    for row in _rows("holidays.csv"):
        days[row["calendar"]].append(Holiday(date=date.fromisoformat(row["date"]), name=row["name"]))
        source = row["source"] or source
    return tuple(
        HolidaysDefined(
            id=nation,
            name=_NATIONS[nation],
            days=tuple(of),
            until=date(max(day.date for day in of).year, 12, 31),
            source=source,
        )
        for nation, of in days.items()
    )
