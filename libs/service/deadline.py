"""How long a request may take: one timer for all of them, because a timer for each costs more than the rest of it.

Promises what `asyncio.timeout` does, up to SWEEP_S later.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

SWEEP_S = 0.25
"""How often requests past their deadline are looked for."""


class Deadline:
    """A `with` block in the running task that is cancelled when it takes too long, and then raises TimeoutError."""

    __slots__ = ("_at", "_cancelling", "_loop", "_task", "expired")

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._at = self._loop.time() + seconds
        self._task = task
        self._cancelling = task.cancelling()
        self.expired = False

    def lift(self) -> None:
        """From here on the block may take as long as it likes."""
        _running.discard(self)

    def __enter__(self) -> Deadline:
        _running.add(self)
        if _Sweep.timer is None or _Sweep.loop is not self._loop:
            _Sweep.begin(self._loop)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        _running.discard(self)
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire_if_past(self, now: float) -> None:
        if now >= self._at:
            _running.discard(self)
            self.expired = True
            self._task.cancel()


_running: set[Deadline] = set()


class _Sweep:
    """Runs while there is anybody to look for, in the loop that they are in."""

    timer: asyncio.TimerHandle | None = None
    loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def begin(cls, loop: asyncio.AbstractEventLoop) -> None:
        cls.loop = loop
        cls.timer = loop.call_later(SWEEP_S, cls.look)

    @classmethod
    def look(cls) -> None:
        loop = asyncio.get_running_loop()
        cls.timer = None
        for deadline in tuple(_running):
            deadline.expire_if_past(loop.time())
        if _running:
            cls.timer = loop.call_later(SWEEP_S, cls.look)
