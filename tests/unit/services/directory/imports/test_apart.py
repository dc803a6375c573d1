"""The work in a process of its own: the same outcome, the same refusals, and an end."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import shapely

from services.directory.alliance_file import Unusable
from services.directory.imports.apart import Job, work_apart
from services.directory.known import known_forces
from tests.unit.services.directory.imports import files

JOB = Job(
    content=files.geopackage(),
    known=known_forces(),
    before={"bedfordshire": files.BEDFORDSHIRE, "hertfordshire": files.HERTFORDSHIRE},
    expected=("bedfordshire", "essex"),
    title="1 to 2",
    attribution="ours",
)


def endless() -> bytes:
    """Two valid combs whose teeth cross each other some 10^10 times."""

    def comb(turned: bool) -> shapely.Geometry:
        at = np.linspace(500_000, 520_000, 200_000)
        out = np.where(np.arange(at.size) // 2 % 2, 520_000.0, 500_000.0)
        corners = np.column_stack([at, out])
        closed = np.vstack([corners, [(520_001, 499_999), (499_999, 499_999)]])
        return shapely.polygons(closed[:, ::-1] if turned else closed)

    return files.geopackage({("E23000026", ""): comb(False), ("E23000027", ""): comb(True)})


async def test_the_outcome_is_handed_over_whole() -> None:
    outcome = await work_apart(JOB)
    assert sorted(outcome.drawn.areas) == ["bedfordshire", "hertfordshire"]
    assert outcome.report.missing == ("essex",)
    assert outcome.picture.startswith(b"\x89PNG")


async def test_a_refusal_is_the_same_sentence() -> None:
    with pytest.raises(Unusable, match="none that is known here"):
        await work_apart(dataclasses.replace(JOB, content=b"hello"))


async def test_what_would_take_for_ever_or_all_memory_is_refused_in_the_end() -> None:
    with pytest.raises(Unusable, match="could not be examined"):
        await work_apart(dataclasses.replace(JOB, content=endless()), max_seconds=3)
