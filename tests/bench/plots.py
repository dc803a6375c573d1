"""The benchmarks' pictures, as PNG files under `build/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from tests.bench.intake import Contestant
from tests.bench.measure import Result

OURS, PEER = "#1b5e8c", "#b8b8b8"


def ratios(results: Sequence[Result], path: Path) -> Path:
    """Each run's ratio against its goal."""
    figure, axes = pyplot.subplots(1, len(results), figsize=(3.2 * len(results), 4), layout="constrained")
    for axis, result in zip(axes, results, strict=True):
        axis.plot([0] * len(result.runs), [run.ratio for run in result.runs], "o", color=OURS, alpha=0.5)
        axis.plot(0, result.ratio, "_", color=OURS, markersize=40, markeredgewidth=2)
        if result.goal:
            axis.axhline(result.goal, color="#c0392b", linewidth=1)
            goal = f"goal {'≥' if result.sense == '>=' else '≤'} {result.goal:g}×"
            axis.annotate(goal, (0.05, result.goal), fontsize=8)
        axis.set_title(f"{result.name}\nagainst {result.peer_name.partition(':')[0].partition(',')[0]}", fontsize=8)
        axis.set_ylim(bottom=0)
        axis.set_xticks([])
    axes[0].set_ylabel("ours ÷ peer's, each run and the median")
    return _save(figure, path)


def latencies(contestants: Mapping[str, Contestant], path: Path) -> Path:
    """Latency from when a request was due, over the rate offered: where a line turns upwards is the peak."""
    figure, axis = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for (name, contestant), colour in zip(contestants.items(), (OURS, "#7fb685", "#c0392b"), strict=False):
        trials = sorted(contestant.trials, key=lambda trial: trial[0])
        rates = [rate for rate, _ in trials]
        axis.plot(rates, [outcome.p50_ms for _, outcome in trials], ".", color=colour, alpha=0.4)
        axis.plot(rates, [outcome.p99_ms for _, outcome in trials], "o", color=colour, label=f"{name}: p99 (dots: p50)")
        axis.axvline(contestant.peak, color=colour, linewidth=1, linestyle=":")
    axis.set_yscale("log")
    axis.set_xlabel("requests a second, open loop (dotted: the last peak)")
    axis.set_ylabel("ms from when it was due")
    axis.legend()
    return _save(figure, path)


def _save(figure: pyplot.Figure, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path
