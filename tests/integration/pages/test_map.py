"""The directory's page in Chromium: what an operator sees, clicks, types and is told."""

from __future__ import annotations

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.integration.intake import Tokens
from tests.integration.pages.conftest import WARD, Served, Visit, sign_in, visit

MEMBERS = ["Bedfordshire", "Cambridgeshire", "Hertfordshire"]
BEDFORD = (52.1356, -0.4685)
CLOSE = (52.0482, -0.0243)
"""In Royston, 1.7 km from Cambridgeshire."""
ANSWERED = "#answer[aria-busy=false] .owner"


@pytest.fixture(scope="module")
def token(tokens: Tokens) -> str:
    return tokens.of("handler", "supervisor", subject="jo", forces=("bedfordshire",))


@pytest_asyncio.fixture(scope="module")
async def operator(browser: Browser, served: Served, token: str) -> Visit:
    """Signed in, the areas drawn."""
    made = await visit(browser, served.url)
    await sign_in(made.page, token)
    await made.page.wait_for_selector(".of-town span")
    return made


async def find(page: Page, text: str) -> None:
    await page.get_by_role("search").get_by_role("textbox").fill(text)
    await page.get_by_role("button", name="Find").click()


async def click_at(page: Page, lat: float, lon: float) -> None:
    """Bring the place to the middle of the map by a search, forget that answer, and click there."""
    await find(page, f"{lat}, {lon}")
    await page.wait_for_selector(ANSWERED)
    await page.evaluate("document.getElementById('said').replaceChildren()")
    box = await page.locator("#map").bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await page.wait_for_selector(ANSWERED)


async def test_every_area_is_drawn_members_apart_and_named_with_whose_it_is(operator: Visit) -> None:
    page = operator.page
    for number in range(len(MEMBERS)):
        assert await page.locator(f"path.area.member-{number}").count() >= 1
    assert await page.locator("path.area.neighbour").count() >= 40
    fills = await page.evaluate(
        "[0, 1, 2].map((n) => getComputedStyle(document.querySelector(`path.member-${n}`)).fill)"
        ".concat(getComputedStyle(document.querySelector('path.neighbour')).fill)"
    )
    assert len(set(fills)) == 4, fills
    assert set(await page.locator(".of-member span").all_text_contents()) == set(MEMBERS)
    credit = await page.locator("#credit").text_content() or ""
    assert "onspd-2026.1.1" in credit
    assert "Open Government Licence" in credit
    assert "250\u00a0m" in credit


async def test_a_click_answers_with_owner_neighbourhood_border_and_its_queues(operator: Visit) -> None:
    page = operator.page
    await click_at(page, *BEDFORD)
    await expect(page.locator(".owner")).to_have_text("Bedfordshire")
    said = await page.locator("#said").inner_text()
    for part in ("owns this place; a party to this alliance", WARD, "onspd-2026.1.1", "Nearest border", "100\u00a0%"):
        assert part in said, said
    await expect(page.locator("#heard[role=status]")).to_contain_text("Bedfordshire, confidence 100")
    await expect(page.locator("#forces")).to_have_value("bedfordshire")
    await expect(page.locator("#queues")).to_contain_text("999 by telephone; emergencies of any kind")
    await expect(page.locator("#lines")).to_contain_text("example-999-bedfordshire-1")
    assert await page.locator("path.area.member-0.chosen").count() == 1


async def test_an_uncertain_place_near_a_border_asks_with_a_question_and_shares(operator: Visit) -> None:
    page = operator.page
    await find(page, f"{CLOSE[0]}, {CLOSE[1]}")
    await page.wait_for_selector(ANSWERED)
    await page.locator("#radius").focus()
    for _ in range(8):
        await page.keyboard.press("ArrowRight")
    await expect(page.locator("#radius-words")).to_have_text("give or take 2.5\u00a0km")
    await expect(page.locator(".ask")).to_contain_text("Are you nearer Royston or Bassingbourn?")
    assert await page.locator("path.uncertain").count() == 1
    await expect(page.locator("#said tbody tr")).to_have_count(2)
    await expect(page.locator("#heard[role=status]")).to_contain_text("Too close to say. Are you nearer Royston")
    await page.locator("#radius").fill("0")


async def test_postcodes_and_grid_references_are_found_and_shown_on_the_map(operator: Visit) -> None:
    page = operator.page
    await find(page, "sg8 6na")
    await expect(page.locator(".owner")).to_have_text("Cambridgeshire")
    await expect(page.locator("#said")).to_contain_text("Postcode SG8 6NA")
    assert await page.locator("path.place").count() == 1
    await find(page, "TL 04 49")
    await expect(page.locator(".owner")).to_have_text("Bedfordshire")
    await find(page, "48.5, -10")
    await expect(page.locator(".owner")).to_have_text("No force")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("ZZ99 9ZZ", "no such postcode"),
        ("hello", "Not a British postcode"),
        ("TL 123", "even number"),
        ("95, 0", "latitude"),
        ("", "Type a postcode"),
    ],
)
async def test_what_is_no_place_is_said_and_leaves_no_older_answer(operator: Visit, typed: str, said: str) -> None:
    page, before = operator.page, len(operator.complaints)
    await find(page, typed)
    await expect(page.locator("#place-wrong")).to_contain_text(said)
    await expect(page.locator("#place")).to_have_attribute("aria-invalid", "true")
    await expect(page.locator(".owner")).to_have_count(0)
    # The browser itself notes that a request was refused; nothing else may be noted.
    assert all("Failed to load resource" in one for one in operator.complaints[before:])
    del operator.complaints[before:]


async def test_the_keyboard_alone_moves_the_map_and_asks_about_its_middle(operator: Visit) -> None:
    page = operator.page
    await find(page, f"{BEDFORD[0]}, {BEDFORD[1]}")
    await page.wait_for_selector(ANSWERED)
    await page.evaluate("document.getElementById('said').replaceChildren()")
    await page.locator("#map").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator(".owner")).to_have_text("Bedfordshire")


async def test_nothing_is_asked_elsewhere_no_place_or_token_is_in_an_address_and_nobody_complains(
    operator: Visit, served: Served, token: str
) -> None:
    assert operator.elsewhere(served.url) == []
    assert set(operator.queries()) <= {"tolerance_m=100", "tolerance_m=20"}
    assert "tolerance_m=20" in operator.queries(), "closer lines were not asked for near a border"
    assert operator.complaints == []
    log = served.log.read_text()
    assert '"locate_shape"' in log
    assert token[:20] not in log
    assert "52.1356" not in log


async def test_a_token_that_is_not_accepted_is_said_and_shows_nothing(browser: Browser, served: Served) -> None:
    visitor = await visit(browser, served.url)
    await sign_in(visitor.page, "no.token.at-all")
    await expect(visitor.page.locator("#sign-in-why")).to_contain_text("The token was not accepted.")
    await expect(visitor.page.locator("#work")).to_be_hidden()
    assert await visitor.page.evaluate("sessionStorage.length") == 0


async def test_who_signs_out_leaves_neither_token_nor_answer(browser: Browser, served: Served, tokens: Tokens) -> None:
    visitor = await visit(browser, served.url)
    await sign_in(visitor.page, tokens.of("handler", subject="sam", forces=("bedfordshire",)))
    await find(visitor.page, "MK41 0XQ")
    await visitor.page.wait_for_selector(ANSWERED)
    await expect(visitor.page.locator("#lines")).to_contain_text("Your role is not shown the lines.")
    await visitor.page.get_by_role("button", name="Sign out").click()
    await expect(visitor.page.get_by_label("Access token")).to_be_focused()
    assert await visitor.page.evaluate("sessionStorage.length") == 0
    assert await visitor.page.locator(".owner").count() == 0


async def test_a_phone_shows_all_of_it_without_scrolling_sideways_and_in_the_dark(
    browser: Browser, served: Served, token: str
) -> None:
    phone = await visit(browser, served.url, width=360, height=740, scheme="dark")
    await sign_in(phone.page, token)
    await find(phone.page, f"{CLOSE[0]}, {CLOSE[1]}")
    await phone.page.wait_for_selector(ANSWERED)
    assert await phone.page.evaluate("document.documentElement.scrollWidth") <= 360
    await expect(phone.page.locator(".owner")).to_be_in_viewport()
    await expect(phone.page.locator("#map")).to_be_in_viewport()
    ground = await phone.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(17, 23, 29)"
    assert phone.complaints == []


async def test_without_its_map_library_the_page_says_so_and_still_answers(
    browser: Browser, served: Served, token: str
) -> None:
    visitor = await visit(browser, served.url)
    await visitor.page.route("**/pages/leaflet.js", lambda route: route.fulfill(status=503, body="{}"))
    await sign_in(visitor.page, token)
    await expect(visitor.page.locator("#map-trouble")).to_contain_text("npm ci")
    await find(visitor.page, "MK41 0XQ")
    await expect(visitor.page.locator(".owner")).to_have_text("Bedfordshire")


async def test_the_page_may_run_and_load_its_own_files_alone_and_no_path_leads_to_another(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url) as client:
        page = await client.get("/")
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-content-type-options"] == "nosniff"
        again = await client.get("/", headers={"If-None-Match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await client.get("/pages/map.js")).headers["content-type"].startswith("text/javascript")
        for path in ("package.json", "..%2fapp.py", "%2e%2e/app.py", "node_modules/leaflet/package.json", "", "MAP.JS"):
            assert (await client.get(f"/pages/{path}")).status_code == 404, path


async def test_the_areas_are_geojson_for_display_packed_and_tagged(served: Served, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=30) as client:
        plain = await client.get("/v1/boundaries/areas", headers={"Accept-Encoding": "identity"})
        assert plain.headers["content-type"] == "application/geo+json"
        document = plain.json()
        assert (document["generation"], document["toleranceMetres"]) == ("onspd-2026.1.1", 100)
        assert "display" in document["note"]
        assert len(document["features"]) == 43
        for coding in ("br", "gzip"):
            packed = await client.get("/v1/boundaries/areas", headers={"Accept-Encoding": coding})
            assert packed.headers["content-encoding"] == coding
            assert packed.json() == document
            assert packed.headers["etag"] == plain.headers["etag"]
        same = await client.get("/v1/boundaries/areas", headers={"If-None-Match": plain.headers["etag"]})
        assert same.status_code == 304
        finer = await client.get("/v1/boundaries/areas", params={"tolerance_m": 20})
        assert finer.headers["etag"] != plain.headers["etag"]
        assert (await client.get("/v1/boundaries/areas", params={"tolerance_m": 7})).status_code == 422
