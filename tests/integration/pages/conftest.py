"""A directory as a process of its own, with neighbourhoods loaded and Kafka away, and a real browser that visits it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from deploy.local.browser import chromium
from deploy.local.node import install
from deploy.local.parts import what_is_missing
from deploy.local.process import Trouble, free_port
from services.directory.map_api import FOLDER
from tests import nursery
from tests.conftest import NewDatabase
from tests.integration.intake import Tokens, an_issuer
from tests.integration.test_directory_api import NOBODY, THREE, command

WARD = "Planted Ward"
"""A neighbourhood around Bedford."""


def _neighbourhoods(path: Path) -> Path:
    ring = [[-0.52, 52.11], [-0.42, 52.11], [-0.42, 52.16], [-0.52, 52.16], [-0.52, 52.11]]
    ward = {
        "type": "Feature",
        "properties": {"id": "W1", "name": WARD},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [ward]}))
    return path


@pytest.fixture(scope="session")
def browser_path() -> str:
    """Raises in CI, skips elsewhere, where neither a browser nor the map's library can be had."""
    try:
        install(FOLDER)
        return chromium()
    except Trouble as trouble:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(trouble))


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    with an_issuer(tmp_path_factory.mktemp("issuer")) as issued:
        yield issued


@dataclass(frozen=True)
class Served:
    url: str
    log: Path


@pytest_asyncio.fixture(scope="module")
async def served(
    browser_path: str, database: NewDatabase, tokens: Tokens, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    folder, url, port = tmp_path_factory.mktemp("directory"), (await database("directory")).url, free_port()
    file = str(_neighbourhoods(folder / "wards.json"))
    named = ("--generation", "planted", "--source", "nobody", "--id", "id", "--name", "name")
    for arguments in (("load", THREE), ("neighbourhoods", file, *named)):
        code, out, err = await command(url, *arguments)
        assert code == 0, out + err
    settings = {
        "DATABASE_URL": url,
        "KAFKA_BOOTSTRAP_SERVERS": NOBODY,
        "OIDC_ISSUER": tokens.issuer_url,
        "PORT": str(port),
    }
    log = folder / "directory.log"
    child = nursery.start("directory", "services.directory", log=log, env={"PATH": os.environ["PATH"], **settings})
    try:
        deadline = time.monotonic() + 60
        while (missing := what_is_missing(f"http://127.0.0.1:{port}/readyz")) is not None:
            assert child.alive(), child.last_words(20)
            assert time.monotonic() < deadline, missing
            time.sleep(0.1)
        yield Served(f"http://127.0.0.1:{port}", log)
    finally:
        child.kill()


@pytest_asyncio.fixture(scope="module")
async def browser(browser_path: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        yield started
        await started.close()


@dataclass
class Visit:
    """A visitor's page, and what his browser complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def elsewhere(self, origin: str) -> list[str]:
        return [one for one in self.addresses if not one.startswith(origin + "/")]

    def queries(self) -> list[str]:
        return [query for one in self.addresses if (query := urlsplit(one).query)]


async def visit(browser: Browser, url: str, *, width: int = 1280, height: int = 800, scheme: str = "light") -> Visit:
    """A new visitor at the page, whom nobody knows yet."""
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = await context.new_page()
    page.set_default_timeout(20_000)
    made = Visit(page)
    page.on("console", lambda said: made.complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: made.complaints.append(str(error)))
    page.on("request", lambda request: made.addresses.append(request.url))
    await page.add_init_script(
        "addEventListener('securitypolicyviolation', (event) => console.error('policy: ' + event.violatedDirective))"
    )
    await page.goto(url + "/")
    return made


async def sign_in(page: Page, token: str) -> None:
    await page.get_by_label("Access token").fill(token)
    await page.locator("#sign-in-form").get_by_role("button", name="Sign in").click()
