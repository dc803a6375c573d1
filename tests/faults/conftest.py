"""One running system for all of these tests, one after the other: a start costs more than most of them.

Each finds every service ready and may leave contacts in the queues; those that were there before it are not its own
(`Load.before`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system import System, system


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with system(tmp_path_factory.mktemp("faults"), "bedfordshire-cambridgeshire-hertfordshire") as made:
        yield made


@pytest.fixture(autouse=True)
def _everything_is_up(running: System) -> None:
    """Also after a test that failed in the middle."""
    for name in running.parts:
        if not running.child(name).alive():
            running.restart(name)
    running.wait(*running.parts)
