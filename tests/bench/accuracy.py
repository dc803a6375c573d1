"""How good the shipped areas are, and how fast they are asked: `python -m tests.bench.accuracy`.

Reads real places whose force is known from `../shared/data` beside the checkout, which is no part of the product and no
input to the areas. Exits with 1 when a goal is missed, and says so and exits with 0 when the data is absent.
"""

import csv
import gzip
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from libs.events.types.shapes import Circle, Point
from libs.places import Atlas
from libs.places.grid import to_grid
from libs.places.postcodes import lookup
from services.directory.areas import load_areas
from tests.places import SHARED

DATA = SHARED
BANDS = ((0, 20), (20, 50), (50, 200), (200, 500), (500, 1_000), (1_000, 5_000), (5_000, 1_000_000))
GOAL_ALL = 0.998
GOAL_200_500 = 0.99
GOAL_LOOKUP_US = 20.0
SAME_PLACE_M = 30.0
"""A postcode that moved further than this since it was given to a force is no witness."""


class Place(NamedTuple):
    lat: float
    lon: float
    force: str
    border_m: float
    """To the nearest border of the two alliances' six forces, by the 20 m generalised boundaries."""
    postcode: str | None = None


def caller_points() -> list[Place]:
    slugs = _slugs()
    with gzip.open(DATA / "points" / "caller_points.csv.gz", "rt", encoding="utf-8") as file:
        return [
            Place(float(row["lat"]), float(row["lon"]), slugs[row["owning_force"]], float(row["border_m"]))
            for row in csv.DictReader(file)
        ]


def border_postcodes() -> list[Place]:
    slugs = _slugs()
    with gzip.open(DATA / "points" / "border_postcodes.csv.gz", "rt", encoding="utf-8") as file:
        return [
            Place(float(row["lat"]), float(row["lon"]), slugs[row["pfa_by_lad2014"]], float(row["border_m"]), row["pc"])
            for row in csv.DictReader(file)
            if row["moved_m"] and float(row["moved_m"]) < SAME_PLACE_M and row["pfa_by_lad2014"] in slugs
        ]


def _slugs() -> dict[str, str]:
    with (DATA / "codes" / "forces43.csv").open(encoding="utf-8") as file:
        return {row["name"]: row["data_police_uk_slug"] for row in csv.DictReader(file)}


def share(right: Sequence[bool]) -> str:
    return f"{sum(right) / len(right):9.3%}" if right else "        –"


def table(title: str, places: Sequence[Place], answers: dict[str, list[bool]]) -> None:
    print(f"\n{title}")
    print(f"{'from the border':>18} {'places':>8}" + "".join(f"{name:>14}" for name in answers))
    for low, high in BANDS:
        within = [at for at, place in enumerate(places) if low <= place.border_m < high]
        if within:
            shares = "".join(f"{share([right[at] for at in within]):>14}" for right in answers.values())
            print(f"{f'{low}–{high} m' if high < 1_000_000 else f'over {low} m':>18} {len(within):8}{shares}")
    print(f"{'all':>18} {len(places):8}" + "".join(f"{share(right):>14}" for right in answers.values()))


def microseconds(ask: Callable[[], object], times: int) -> float:
    """A call, the median of five runs, in time of this thread: what else the machine does is not counted."""
    runs = []
    for _ in range(5):
        started = time.thread_time()
        ask()
        runs.append((time.thread_time() - started) / times * 1e6)
    return statistics.median(runs)


def accuracy(atlas: Atlas, places: Sequence[Place]) -> list[str]:
    """Print the table of the callers' places; return the goals that were missed."""
    located = [atlas.locate_grid(*to_grid(place.lat, place.lon)) for place in places]
    first = [
        bool(answer.candidates) and answer.candidates[0].force == place.force
        for answer, place in zip(located, places, strict=True)
    ]
    table("Callers' places, by the shipped areas", places, {"largest share": first})
    asked = [answer.too_close for answer in located]
    named = [
        any(candidate.force == place.force for candidate in answer.candidates)
        for answer, place in zip(located, places, strict=True)
        if answer.too_close
    ]
    unasked = sum(not right and not answer.too_close for right, answer in zip(first, located, strict=True))
    print(f"too close to say (within {atlas.accuracy_m:.0f} m of a drawn border): {share(asked).strip()} of all;")
    print(f"  the right force is among the candidates of {share(named).strip()} of those;")
    print(f"  wrong without being too close: {unasked} of {len(places)}")
    middle = [right for right, place in zip(first, places, strict=True) if 200 <= place.border_m < 500]
    missed = []
    if sum(first) / len(first) < GOAL_ALL:
        missed.append(f"of all places at least {GOAL_ALL:.1%} must be right")
    if sum(middle) / len(middle) < GOAL_200_500:
        missed.append(f"of the places 200–500 m from a border at least {GOAL_200_500:.0%} must be right")
    return missed


def postcodes_by_lookup(atlas: Atlas, places: Sequence[Place]) -> None:
    by_code, by_area = [], []
    for place in places:
        found = lookup(place.postcode or "")
        by_code.append(found is not None and found.force == place.force)
        answer = atlas.locate_grid(*to_grid(place.lat, place.lon))
        by_area.append(bool(answer.candidates) and answer.candidates[0].force == place.force)
    table("Border postcodes, by the directory and by the areas", places, {"by postcode": by_code, "by area": by_area})


def speed(atlas: Atlas, places: Sequence[Place]) -> list[str]:
    """Print what a lookup takes; return the goal if it was missed."""
    some = places[:: max(1, len(places) // 20_000)]
    points = [Point(lat=place.lat, lon=place.lon) for place in some]
    grid = [to_grid(place.lat, place.lon) for place in some]
    circles = [Circle(lat=place.lat, lon=place.lon, radius_m=500.0) for place in some[::20]]
    timings = {
        "degrees to the grid": microseconds(lambda: [to_grid(place.lat, place.lon) for place in some], len(some)),
        "a grid place": microseconds(lambda: [atlas.locate_grid(*place) for place in grid], len(grid)),
        "a point in degrees": microseconds(lambda: [atlas.locate(point) for point in points], len(points)),
        "a circle of 500 m": microseconds(lambda: [atlas.locate(circle) for circle in circles], len(circles)),
    }
    print("\nA lookup, microseconds (median of 5 runs)")
    for name, value in timings.items():
        print(f"{name:>24} {value:8.1f}")
    over = timings["a grid place"] > GOAL_LOOKUP_US
    return [f"a lookup must take at most {GOAL_LOOKUP_US:.0f} µs"] if over else []


def main() -> int:
    if not (DATA / "points").is_dir():
        print("skipped: ../shared/data, the places whose force is known, is not here")
        return 0
    shipped = load_areas()
    started = time.perf_counter()
    atlas = Atlas.build(shipped.generation, shipped.accuracy_m, shipped.areas)
    print(f"{shipped.generation}: {len(shipped.areas)} areas, atlas built in {time.perf_counter() - started:.2f} s")
    places = caller_points()
    missed = accuracy(atlas, places)
    postcodes_by_lookup(atlas, border_postcodes())
    missed += speed(atlas, places)
    for goal in missed:
        print(f"MISSED: {goal}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
