"""`make bench`: B1, B2 and B6 of the performance goals, and what reads cost, against their peers, on this machine.

    python -m tests.bench [--runs 5] [--only append|intake|reads|places]

Prints one table, draws the plots and writes `build/bench.json`. Exits with 0 whether or not the goals are met: on
another machine, or a busy one, they say less than the counts that `tests/integration/test_counts.py` holds.
"""

from __future__ import annotations

import argparse
import time

from rich.console import Console

from tests.bench import append, intake, measure, places, plots, reads
from tests.bench.parts import ROOT, postgres

BUILD = ROOT / "build"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="of each benchmark; the figures are medians")
    parser.add_argument("--only", choices=["append", "intake", "reads", "places"])
    asked = parser.parse_args()
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    about = measure.machine()
    console.print(
        f"{about['cpu']}, {about['cores']} cores; load {about['load_1_min']} as the benchmark begins", highlight=False
    )
    started = time.monotonic()

    def tell(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:5.0f} s[/]  {line}", highlight=False)

    results: list[measure.Result] = []
    drawn = []
    if asked.only in (None, "places"):
        results += places.run(asked.runs, tell)
    # A server for each: what one leaves behind (a table is vacuumed minutes later) is no burden for another.
    if asked.only in (None, "append"):
        with postgres() as parts:
            results += append.run(parts, asked.runs, tell)
    if asked.only in (None, "reads"):
        with postgres() as parts:
            results += reads.run(parts, asked.runs, tell)
    if asked.only in (None, "intake"):
        with postgres() as parts:
            found, contestants = intake.run(parts, asked.runs, tell)
            results += found
            drawn.append(plots.latencies(contestants, BUILD / "bench-intake.png"))
    if results:
        drawn.append(plots.ratios(results, BUILD / "bench-ratios.png"))
    measure.write(results, about, BUILD / "bench.json")
    measure.show(results, console)
    console.print(f"Written: build/bench.json, {', '.join(f'build/{path.name}' for path in drawn)}", highlight=False)


if __name__ == "__main__":
    main()
