"""Work in a process apart: whatever it does, its caller goes on."""

import asyncio
import time

import msgspec
import psutil
import pytest

from services.directory.alliance_file import Unusable
from services.directory.apart import Apart, Bounds, Busy, Failed
from tests.unit.services.directory import work_apart
from tests.unit.services.directory.work_apart import Done


@pytest.fixture(scope="module")
def apart() -> Apart:
    return Apart(Bounds(seconds=2.0, memory_bytes=2**30, answer_bytes=2**20))


async def test_what_is_done_comes_back_as_data(apart: Apart) -> None:
    assert await apart.run(Done, work_apart.well, 17) == Done(17, (b"\x00\xff",))


async def test_what_the_work_refuses_is_refused_in_its_words(apart: Apart) -> None:
    with pytest.raises(Unusable, match=r"^it is no map\.$"):
        await apart.run(Done, work_apart.refuse, "it is no map.")


@pytest.mark.parametrize("work", [work_apart.hang, work_apart.burn, work_apart.swell, work_apart.crash])
async def test_work_that_does_not_end_swells_or_crashes_is_ended_and_the_next_is_done(apart: Apart, work) -> None:  # type: ignore[no-untyped-def]
    began, before = time.monotonic(), psutil.Process().memory_info().rss
    with pytest.raises(Unusable, match="generalised"):
        await apart.run(Done, work)
    assert time.monotonic() - began < 20
    assert psutil.Process().memory_info().rss - before < 50 * 2**20
    assert (await apart.run(Done, work_apart.well, 1)).number == 1


async def test_a_mistake_of_ours_is_told_from_a_bad_file(apart: Apart) -> None:
    with pytest.raises(Failed):
        await apart.run(Done, work_apart.fail)
    with pytest.raises(msgspec.ValidationError):
        await apart.run(Done, work_apart.lie)


async def test_one_piece_of_work_at_a_time_though_its_asker_has_gone(apart: Apart) -> None:
    asked = asyncio.create_task(apart.run(Done, work_apart.hang))
    await asyncio.sleep(0.3)
    asked.cancel()
    with pytest.raises(Busy):
        await apart.run(Done, work_apart.well, 1)
    apart.stop()
    async with asyncio.timeout(10):
        while apart.busy:
            await asyncio.sleep(0.02)
    assert (await apart.run(Done, work_apart.well, 1)).number == 1
