from __future__ import annotations

import asyncio

import pytest

from libs.service import metrics
from libs.service.abreast import CROWD, abreast


async def _steps() -> list[str]:
    steps: list[str] = []

    async def work(name: str) -> None:
        for part in (1, 2, 3):
            steps.append(f"{name}{part}")
            await abreast()

    await asyncio.gather(work("a"), work("b"), work("c"))
    return steps


async def test_a_crowd_goes_through_a_part_before_any_goes_through_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "requests_now", CROWD)
    assert await _steps() == ["a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3"]


async def test_few_are_served_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "requests_now", CROWD - 1)
    assert await _steps() == ["a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2", "c3"]
