"""What runs: one small file a process, so that whoever comes after a crash can stop what was left.

Invariant: a process that the registry names by number is only touched when it was also started at the noted moment; a
number that another process has got since is left alone.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

STARTED_TOLERANCE_S = 0.02


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    pid: int
    started: float
    """Seconds since the epoch, as the operating system says."""
    stop_signal: int
    limit_s: float
    """How long it may take to stop by itself."""
    rank: int
    """Higher ranks need lower ones, and are stopped first."""

    def process(self) -> psutil.Process | None:
        """The process, if it is still there and is the one."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > STARTED_TOLERANCE_S:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None


def note(folder: Path, name: str, pid: int, *, stop_signal: signal.Signals, limit_s: float, rank: int) -> None:
    """Enter a process that has just been started."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    folder.mkdir(parents=True, exist_ok=True)
    entry = Entry(name, pid, started, int(stop_signal), limit_s, rank)
    draft = folder / f".{name}"
    draft.write_text(json.dumps(asdict(entry)))
    draft.replace(folder / f"{name}.json")


def strike(folder: Path, name: str) -> None:
    """Remove a process that has ended."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def entries(folder: Path) -> list[Entry]:
    found = []
    for path in folder.glob("*.json"):
        try:
            found.append(Entry(**json.loads(path.read_text())))
        except (OSError, ValueError, TypeError):
            path.unlink(missing_ok=True)  # cut off while it was written
    return found


def sweep(folder: Path) -> list[str]:
    """Stop every process still entered, the dependent first, each within its limit; return the names of those found.

    May run twice at once: a signal to a process that is stopping does no harm.
    """
    left = [(entry, process) for entry in entries(folder) if (process := entry.process()) is not None]
    for rank in sorted({entry.rank for entry, _ in left}, reverse=True):
        _stop((entry, process) for entry, process in left if entry.rank == rank)
    for entry in entries(folder):
        if entry.process() is None and entry in entries(folder):  # the next run may have entered another since
            strike(folder, entry.name)
    return [entry.name for entry, _ in left]


def _stop(pairs: Iterable[tuple[Entry, psutil.Process]]) -> None:
    stopping = []
    for entry, process in pairs:
        try:
            process.send_signal(entry.stop_signal)
        except psutil.NoSuchProcess:
            continue
        stopping.append((process, time.monotonic() + entry.limit_s))
    for process, deadline in stopping:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(5)
        except psutil.NoSuchProcess:
            continue
