"""Loops beside the requests: started by name, started again when they end by themselves, stopped in reverse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from libs.service import metrics
from libs.service.health import Health

logger = structlog.get_logger(__name__)

FIRST_WAIT_S = 0.1
LAST_WAIT_S = 5.0
STEADY_S = 10.0
"""A loop that has run this long is well again: its next crash waits the first wait."""
STOP_S = 2.0
"""How long a loop may take to end when it is told to."""


@dataclass(slots=True)
class _Loop:
    name: str
    run: Callable[[], Awaitable[Any]]
    task: asyncio.Task[None] = field(init=False)
    started_at: float = 0.0
    running: bool = False
    crashes: int = 0
    last: str = ""

    def trouble(self) -> str | None:
        if not self.running:
            return f"ended by itself ({self.last}), starts again in a moment" if self.last else "not started yet"
        if self.crashes and time.monotonic() - self.started_at < FIRST_WAIT_S * 2**self.crashes:
            return f"started again a moment ago ({self.last})"
        return None


class Background:
    """The loops of one process. Each is in readiness under its name."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._loops: list[_Loop] = []

    def start(self, name: str, run: Callable[[], Awaitable[Any]], *, required: bool = True) -> None:
        """Run `run()` until `stop`. When it ends by itself it is called again: first 0.1 s later, at most 5 s.

        A loop that the service can do its work without for a while is not `required`: without it, it is degraded.
        """
        loop = _Loop(name, run)
        self._loops.append(loop)
        self._health.add(name, loop.trouble, required=required)
        loop.task = asyncio.create_task(self._supervise(loop), name=name)

    async def _supervise(self, loop: _Loop) -> None:
        while True:
            loop.started_at, loop.running = time.monotonic(), True
            try:
                await loop.run()
                loop.last = "it returned"
                logger.error("a background loop returned", loop=loop.name)
            except Exception as error:
                loop.last = type(error).__name__
                logger.exception("a background loop crashed", loop=loop.name)
            finally:
                loop.running = False
            loop.crashes = 1 if time.monotonic() - loop.started_at > STEADY_S else min(loop.crashes + 1, 10)
            metrics.BACKGROUND_RESTARTS.labels(loop.name).inc()
            await asyncio.sleep(min(FIRST_WAIT_S * 2 ** (loop.crashes - 1), LAST_WAIT_S))

    async def stop(self) -> None:
        """Cancel the loops, the last started first, each after the one before it has ended (or two seconds)."""
        while self._loops:
            loop = self._loops.pop()
            loop.task.cancel()
            done, _ = await asyncio.wait({loop.task}, timeout=STOP_S)
            if not done:
                logger.error("a background loop did not end when told to", loop=loop.name)
