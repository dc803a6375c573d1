from __future__ import annotations

import pytest

from tests.conformance.lost.given import Server, make_ground


@pytest.fixture(scope="package")
def server() -> Server:
    return Server(make_ground())
