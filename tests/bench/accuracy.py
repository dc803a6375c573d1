"""How often the right force is named, by the shipped areas and by the 20 m boundaries: `make accuracy`.

Reads real places whose force is known from `../shared/data` beside the checkout (or where SHARED_DATA says), which is
no part of the product and no input to the areas. Prints a table by distance and draws it (`build/accuracy.png`). Exits
with 1 when a goal is missed, and says so and exits with 0 when the data is absent. How fast: `make bench`.
"""

import csv
import gzip
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from libs.places import Atlas, Located
from libs.places.grid import to_grid
from libs.places.postcodes import lookup
from services.directory.areas import load_areas
from tests.places import SHARED, real_boundaries

DATA = SHARED
PICTURE = Path(__file__).parents[2] / "build" / "accuracy.png"
SIX = {"bedfordshire", "cambridgeshire", "hertfordshire", "leicestershire", "northamptonshire", "nottinghamshire"}
BANDS = ((0, 20), (20, 50), (50, 200), (200, 500), (500, 1_000), (1_000, 5_000), (5_000, 1_000_000))
BGC_ACCURACY_M = 25.0
"""Of boundaries generalised to 20 m: no place whose force is known lies further than this on a border's wrong side."""
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


class Answers(NamedTuple):
    """What one generation says of the places."""

    located: list[Located]
    right: list[bool]
    """The owning force is the place's."""

    def named(self, places: Sequence[Place]) -> list[bool]:
        """The place's force is among the candidates."""
        return [
            any(candidate.force == place.force for candidate in answer.candidates)
            for answer, place in zip(self.located, places, strict=True)
        ]


def answers(atlas: Atlas, places: Sequence[Place]) -> Answers:
    located = [atlas.locate_grid(*to_grid(place.lat, place.lon)) for place in places]
    right = [
        bool(answer.candidates) and answer.candidates[0].force == place.force
        for answer, place in zip(located, places, strict=True)
    ]
    return Answers(located, right)


def share(right: Sequence[bool]) -> float:
    return sum(right) / len(right) if right else math.nan


def between(places: Sequence[Place], right: Sequence[bool], low: float, high: float = math.inf) -> list[bool]:
    return [one for one, place in zip(right, places, strict=True) if low <= place.border_m < high]


def band(low: float, high: float) -> str:
    return f"{low}–{high} m" if high < 1_000_000 else f"over {low} m"


def table(title: str, places: Sequence[Place], columns: dict[str, list[bool]]) -> None:
    print(f"\n{title}")
    print(f"{'from the border':>18} {'places':>8}" + "".join(f"{name:>24}" for name in columns))
    for low, high in BANDS:
        count = len(between(places, [True] * len(places), low, high))
        if count:
            shares = "".join(f"{share(between(places, right, low, high)):24.3%}" for right in columns.values())
            print(f"{band(low, high):>18} {count:8}{shares}")
    print(f"{'all':>18} {len(places):8}" + "".join(f"{share(right):24.3%}" for right in columns.values()))


def asking(name: str, atlas: Atlas, places: Sequence[Place], said: Answers) -> None:
    """Print what too close to say comes to."""
    asked = [answer.too_close for answer in said.located]
    named = [one for one, too_close in zip(said.named(places), asked, strict=True) if too_close]
    unasked = sum(not right and not too_close for right, too_close in zip(said.right, asked, strict=True))
    print(f"{name}: too close to say (within {atlas.accuracy_m:.0f} m of a drawn border): {share(asked):.2%} of all;")
    print(f"  the right force is among the candidates of {share(named):.3%} of those;")
    print(f"  wrong without being too close: {unasked} of {len(places)}")


def missed(
    shipped: Answers, real: Answers, places: Sequence[Place], codes: Sequence[Place], real_codes: Answers
) -> list[str]:
    """The goals that were missed, a sentence each."""
    own = [place.force in SIX for place in places]
    ours = [one for one, mine in zip(real.right, own, strict=True) if mine]
    our_places = [place for place, mine in zip(places, own, strict=True) if mine]
    goals = (
        (share(real.right) >= 0.9997, "by the 20 m boundaries at least 99.97 % of all places must be right"),
        (all(between(our_places, ours, 200)), "by the 20 m boundaries every place of the six forces beyond 200 m"),
        (all(between(codes, real_codes.right, 20)), "by the 20 m boundaries every border postcode beyond 20 m"),
        (share(shipped.right) >= 0.998, "by the shipped areas at least 99.8 % of all places must be right"),
        (share(between(places, shipped.right, 200, 500)) >= 0.99, "by the shipped areas 99 % at 200–500 m"),
    )
    return [sentence for met, sentence in goals if not met]


def draw(places: Sequence[Place], columns: dict[str, list[bool]], path: Path) -> Path:
    """The share of wrong answers by distance, for each generation."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for at, ((name, right), colour) in enumerate(zip(columns.items(), ("#b8b8b8", "#1b5e8c"), strict=True)):
        shares = [share(between(places, right, low, high)) * 100 for low, high in BANDS]
        bars = axis.bar([x + 0.4 * at for x in range(len(BANDS))], shares, width=0.38, color=colour, label=name)
        axis.bar_label(bars, [f"{one:.4g}" for one in shares], fontsize=8)
    axis.set_xticks([x + 0.2 for x in range(len(BANDS))], [band(*limits) for limits in BANDS], fontsize=8)
    axis.set_ylim(0, 108)
    axis.set_xlabel("from the nearest border of the two alliances' six forces")
    axis.set_ylabel("% of the places with the right force")
    axis.set_title(f"{len(places):,} real places")
    axis.legend(loc="lower right")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def main() -> int:
    if not (DATA / "points").is_dir():
        print("skipped: ../shared/data, the places whose force is known, is not here")
        return 0
    drawn = load_areas()
    shipped_atlas = Atlas.build(drawn.generation, drawn.accuracy_m, drawn.areas)
    real_atlas = Atlas.build("pfa43-bgc", BGC_ACCURACY_M, real_boundaries())
    places, codes = caller_points(), border_postcodes()
    shipped, real = answers(shipped_atlas, places), answers(real_atlas, places)
    columns = {"shipped areas": shipped.right, "20 m boundaries": real.right}
    table("Callers' places: the right force, by each generation", places, columns)
    asking("shipped", shipped_atlas, places, shipped)
    asking("20 m boundaries", real_atlas, places, real)
    by_code = [(found := lookup(place.postcode or "")) is not None and found.force == place.force for place in codes]
    shipped_codes, real_codes = answers(shipped_atlas, codes), answers(real_atlas, codes)
    table(
        "Border postcodes: the right force, by the place of the postcode, and by the postcode itself",
        codes,
        {"shipped": shipped_codes.right, "20 m boundaries": real_codes.right, "the postcode": by_code},
    )
    print(f"\nDrawn: {draw(places, columns, PICTURE)}")
    wrong = missed(shipped, real, places, codes, real_codes)
    for goal in wrong:
        print(f"MISSED: {goal}")
    print("Every goal is met." if not wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
