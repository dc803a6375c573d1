"""What a benchmark yields, and how it is told: one table, one file.

Every figure is the median of its runs, ours and the peer's taken alternately; the ratio is the median of the runs' own
ratios, so that a machine that drifts drifts for both.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Run:
    ours: float
    peer: float

    @property
    def ratio(self) -> float:
        return self.ours / self.peer if self.peer else float("inf")


@dataclass(frozen=True)
class Result:
    name: str
    unit: str
    peer_name: str
    goal: float | None
    """The ratio to reach, or not to exceed; None: for the record."""
    runs: Sequence[Run]
    sense: Literal[">=", "<="] = ">="

    @property
    def ours(self) -> float:
        return statistics.median(run.ours for run in self.runs)

    @property
    def peer(self) -> float:
        return statistics.median(run.peer for run in self.runs)

    @property
    def ratio(self) -> float:
        return statistics.median(run.ratio for run in self.runs)

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.sense == ">=" else self.ratio <= self.goal

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer,
            "peer_name": self.peer_name,
            "ratio": self.ratio,
            "goal": self.goal and f"{self.sense} {self.goal}",
            "met": self.met,
            "runs": [{"ours": run.ours, "peer": run.peer, "ratio": run.ratio} for run in self.runs],
        }


def machine() -> dict[str, object]:
    """Where it was measured; the load says how much else went on."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = next((int(line.split()[1]) // 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_mib": memory,
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_1_min": round(os.getloadavg()[0], 2),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def show(results: Sequence[Result], console: Console) -> None:
    table = Table(title="Ours against each peer (medians)")
    for heading in ("Benchmark", "Peer"):
        table.add_column(heading, overflow="fold")
    for heading in ("Ours", "Peer's", "Unit", "Ratio", "Lowest–highest", "Goal", "Met"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        ratios = [run.ratio for run in result.runs]
        table.add_row(
            result.name,
            result.peer_name,
            _figure(result.ours),
            _figure(result.peer),
            result.unit,
            f"{result.ratio:.2f}×",
            f"{min(ratios):.2f}–{max(ratios):.2f}",
            f"{'≥' if result.sense == '>=' else '≤'} {result.goal:g}×" if result.goal else "",
            {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[result.met],
        )
    console.print(table)


def write(results: Sequence[Result], about: dict[str, object], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"machine": about, "results": [result.as_dict() for result in results]}, indent=2) + "\n"
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
