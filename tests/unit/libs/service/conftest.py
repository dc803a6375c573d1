import io
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from libs.service.access import ACCESS
from tests import capturing
from tests.unit.libs.service.issuing import LocalIssuer, issuing
from tests.unit.libs.service.serving import calling, make_app


@pytest.fixture
async def local() -> AsyncIterator[LocalIssuer]:
    """A token issuer on a free port."""
    async with issuing() as started:
        yield started


@pytest.fixture
def bearer(local: LocalIssuer) -> dict[str, str]:
    """A handler's Authorization header."""
    return {"Authorization": f"Bearer {local.token()}"}


@pytest.fixture
async def client(local: LocalIssuer) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the tests' service."""
    async with calling(make_app(local)) as started:
        yield started


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What is logged during the test."""
    with capturing.logged() as stream:
        yield stream


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    """Rows that a test adds to the table of access are gone after it."""
    before = dict(ACCESS)
    yield
    ACCESS.clear()
    ACCESS.update(before)
