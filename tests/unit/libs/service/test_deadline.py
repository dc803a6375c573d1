import asyncio

import pytest

from libs.service.deadline import Deadline


async def test_what_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError), Deadline(0.05) as deadline:
        await asyncio.Event().wait()
    assert deadline.expired
    await asyncio.sleep(0)  # and nothing of it is left to meet what comes after


async def test_what_is_done_in_time_is_left_alone() -> None:
    with Deadline(0.01) as deadline:
        await asyncio.sleep(0)
    await asyncio.sleep(0.4)
    assert not deadline.expired


async def test_a_lifted_deadline_never_comes() -> None:
    with Deadline(0.01) as deadline:
        deadline.lift()
        await asyncio.sleep(0.4)
    assert not deadline.expired


async def test_who_is_cancelled_by_somebody_else_is_cancelled() -> None:
    async def wait() -> None:
        with Deadline(30):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_each_of_many_has_a_deadline_of_its_own() -> None:
    async def wait(seconds: float) -> bool:
        try:
            with Deadline(seconds):
                await asyncio.sleep(0.6)
        except TimeoutError:
            return False
        return True

    assert await asyncio.gather(*(wait(seconds) for seconds in (0.05, 30, 0.1, 60))) == [False, True, False, True]
