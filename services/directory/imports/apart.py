"""A file read, examined and drawn in a process of its own: whatever is in it, this process goes on answering.

Invariant: the work takes at most `MAX_MEMORY` and `MAX_SECONDS`, and what breaks, breaks there. Geometry is other
people's C++, which cannot be interrupted from within: corners can be chosen so that their crossings take it for ever.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import resource
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import shapely

from services.directory.alliance_file import Unusable
from services.directory.forces import KnownForce
from services.directory.imports.checks import ACCURACY_M, examine
from services.directory.imports.picture import draw
from services.directory.imports.reading import Drawn, read_boundaries
from services.directory.imports.report import Report

MAX_MEMORY = 4 * 1024**3
"""Address space, bytes."""
MAX_SECONDS = 240
"""Two million corners take some thirty; the limit on corners, on a slow machine, some two hundred."""
TOO_MUCH = (
    f"The file could not be examined within {MAX_SECONDS} seconds and {MAX_MEMORY // 1024**3} GiB of memory: give "
    "boundaries that are generalised, and whose outlines do not cross."
)


@dataclass(frozen=True, eq=False)
class Job:
    content: bytes
    known: tuple[KnownForce, ...]
    before: Mapping[str, shapely.Geometry] | None
    """The areas in force."""
    expected: Collection[str]
    title: str
    attribution: str
    accuracy_m: float = ACCURACY_M
    accuracy_before_m: float = ACCURACY_M


@dataclass(frozen=True, eq=False)
class Outcome:
    drawn: Drawn
    report: Report
    picture: bytes
    """PNG."""


def work(job: Job) -> Outcome:
    """In this process. Raises Unusable."""
    drawn = read_boundaries(job.content, job.known)
    report = examine(
        drawn, job.before, job.expected, accuracy_m=job.accuracy_m, accuracy_before_m=job.accuracy_before_m
    )
    picture = draw(
        drawn.areas, job.before, report, title=job.title, attribution=job.attribution, focus=tuple(job.expected)
    )
    return Outcome(drawn, report, picture)


async def work_apart(job: Job, *, max_seconds: float = MAX_SECONDS, max_memory: int = MAX_MEMORY) -> Outcome:
    """In a process of its own, which is gone when this returns or is cancelled. Raises Unusable."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.directory.imports.apart",
        str(int(max_seconds) + 1),
        str(max_memory),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
    )
    try:
        async with asyncio.timeout(max_seconds):
            answer, _ = await process.communicate(pickle.dumps(job))
    except TimeoutError:
        raise Unusable(TOO_MUCH) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise Unusable(TOO_MUCH)
    found = pickle.loads(answer)  # noqa: S301 (our own process wrote it)
    if isinstance(found, Unusable):
        raise found
    assert isinstance(found, Outcome)
    return found


def _main() -> None:
    seconds, memory = map(int, sys.argv[1:3])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Under the name that the other side knows these classes by.
    from services.directory.imports import apart

    job = pickle.load(sys.stdin.buffer)  # noqa: S301 (from the process that started this one)
    try:
        found: object = apart.work(job)
    except Unusable as error:
        found = error
    sys.stdout.buffer.write(pickle.dumps(found))


if __name__ == "__main__":
    _main()
