"""A service believes the tokens of a provider that nobody here wrote, as far as it should and no further: intake with
the real PostgreSQL and Kafka, and the certified `oidc-provider`.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from joserfc.jwk import ECKey

from deploy.local.node import install
from deploy.local.process import Trouble
from libs.events.log.broker import Broker
from libs.service.access import ACCESS, OPEN
from libs.service.caller import Caller
from libs.service.issuer import Issuer
from libs.service.problem import Unauthenticated
from libs.service.tokens import SKEW_S, Verifier
from libs.service.trace import PURPOSE
from tests.conftest import NewDatabase
from tests.integration.intake import CALL, Tokens, a_copy
from tests.integration.oidc.provider import FOLDER, NOT_TAKEN, TAKEN, TTL_S, Provider, key
from tests.unit.libs.service.issuing import sign

AUDIENCE = "hueandcry"
SOMEWHERE: dict[str, Any] = {"of": "caller", "source": "aml", "shape": {"kind": "point", "lat": 52.1, "lon": -0.4}}


@pytest.fixture(scope="module", autouse=True)
def _packages() -> None:
    """Raises in CI, skips elsewhere, where neither Node nor the packages can be had."""
    try:
        install(FOLDER)
    except Trouble as trouble:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(trouble))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("provider")


@pytest.fixture
def provider(folder: Path) -> Iterator[Provider]:
    """Of the test's own: it may rotate its keys and be killed."""
    made = Provider(folder, [key("ES256", "first")])
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def versatile(folder: Path) -> Iterator[Provider]:
    """With a key of every algorithm, of those that are taken and others."""
    made = Provider(folder, [key(alg, "one") for alg in TAKEN + NOT_TAKEN])
    made.start()
    yield made
    made.kill()


@dataclass(frozen=True)
class Foreign(Tokens):
    """The gateway's client of a copy comes with the provider's token."""

    provider: Provider

    def of(self, *roles: str, **_: Any) -> str:
        return self.provider.token("beds-gateway")


@pytest_asyncio.fixture(scope="module")
async def url(database: NewDatabase) -> str:
    return (await database("intake")).url


def intake_with(provider: Provider, url: str, topics: Broker) -> Any:
    """Intake, and a client of it that brings no token by itself."""
    return a_copy(url, topics, Foreign(provider.url, FOLDER, provider))


@pytest_asyncio.fixture
async def intake(provider: Provider, url: str, topics: Broker) -> AsyncIterator[httpx.AsyncClient]:
    async with intake_with(provider, url, topics) as client:
        yield client


@pytest_asyncio.fixture(scope="module")
async def believing(versatile: Provider, url: str, topics: Broker) -> AsyncIterator[httpx.AsyncClient]:
    """Intake that believes the versatile provider."""
    async with intake_with(versatile, url, topics) as client:
        yield client


async def works(intake: httpx.AsyncClient, token: str) -> httpx.Response:
    return await intake.get("/v1/contacts/2222-2223", headers={"Authorization": f"Bearer {token}"})


async def test_each_service_account_may_what_its_token_says_and_nothing_else(
    believing: httpx.AsyncClient, versatile: Provider
) -> None:
    beds, buddy, herts, desk, partner, operator = (
        versatile.headers(name)
        for name in ("beds-gateway", "beds-buddy", "herts-gateway", "beds-desktop", "beds-records", "operator")
    )
    taken = await believing.post("/v1/contacts/telephone", json=CALL | {"callId": "first"}, headers=beds)
    assert taken.status_code == 201, taken.text
    contact = f"/v1/contacts/{taken.json()['id']}"
    # A gateway adds to its own, and further legs to its alliance's; another is told that there is nothing.
    assert (await believing.post(f"{contact}/locations", json=SOMEWHERE, headers=beds)).status_code == 201
    assert (await believing.post(f"{contact}/locations", json=SOMEWHERE, headers=buddy)).status_code == 404
    legs = [
        await believing.post(f"{contact}/legs", json={"callId": "second"}, headers=headers)
        for headers in (buddy, herts)
    ]
    assert [answer.status_code for answer in legs] == [201, 404]
    seen = [
        (await believing.get(contact, headers=headers)).status_code
        for headers in (beds, buddy, herts, desk | {PURPOSE: "quality"})
    ]
    assert seen == [200, 404, 404, 200]
    # A partner has its force's feed and no operation here; an operator no contact.
    for path, item in (await believing.get("/openapi.json")).json()["paths"].items():
        for method, operation in item.items():
            if operation["operationId"] in OPEN:
                continue
            address = path.format(contact_id=taken.json()["id"], id="1", hold_id="1", duty_id="1")
            body = {"json": {}} if method == "post" else {}
            as_partner = await believing.request(method, address, headers=partner, **body)
            assert as_partner.status_code == 403, f"{method} {path}: {as_partner.text}"
            as_operator = await believing.request(method, address, headers=operator, **body)
            may = "administrator" in ACCESS[operation["operationId"]].roles
            assert (as_operator.status_code != 403) == may, f"{method} {path}: {as_operator.text}"
    assert (await believing.get("/v1/parked", headers=operator)).status_code == 200


def test_no_operation_of_any_service_is_open_to_a_partner() -> None:
    assert [name for name, rule in ACCESS.items() if "partner" in rule.roles] == []


@pytest.mark.parametrize("alg", TAKEN)
async def test_a_foreign_token_of_each_algorithm_of_the_list_is_taken(
    alg: str, believing: httpx.AsyncClient, versatile: Provider
) -> None:
    answer = await works(believing, versatile.token("beds-gateway", f"urn:hueandcry:{alg}"))
    assert answer.status_code == 404, answer.text  # the token is good, and there is no such contact


@pytest.mark.parametrize(
    ("resource", "why"),
    [
        *((f"urn:hueandcry:{alg}", "algorithm is not accepted") for alg in (*NOT_TAKEN, "HS256")),
        ("urn:hueandcry:opaque", "not a signed JWT"),
        ("urn:another", "not for the audience"),
    ],
)
async def test_a_foreign_token_that_is_not_for_here_is_refused(
    resource: str, why: str, believing: httpx.AsyncClient, versatile: Provider
) -> None:
    answer = await works(believing, versatile.token("beds-gateway", resource))
    assert (answer.status_code, why in answer.json()["detail"]) == (401, True), answer.text


async def test_another_provider_is_not_believed_though_it_has_the_very_keys(
    believing: httpx.AsyncClient, versatile: Provider, folder: Path
) -> None:
    other = Provider(folder, versatile.keys)
    other.start()
    try:
        answer = await works(believing, other.token("beds-gateway"))
    finally:
        other.kill()
    assert (answer.status_code, answer.json()["detail"]) == (401, "The token is of another issuer.")


@pytest.mark.parametrize(
    ("clock_s", "why"),
    [(TTL_S + SKEW_S - 5, None), (TTL_S + SKEW_S + 5, "expired"), (5 - SKEW_S, None), (-5 - SKEW_S, "not valid yet")],
)
async def test_a_foreign_token_holds_from_its_beginning_to_its_end_and_half_a_minute_around(
    versatile: Provider, clock_s: float, why: str | None
) -> None:
    issuer = Issuer(versatile.url)
    assert await issuer.fetch()
    verifier = Verifier(issuer, audience=AUDIENCE, clock=lambda: time.time() + clock_s)
    token = versatile.token("beds-desktop")
    if why is None:
        assert await verifier.caller(token) == Caller(
            "beds-desktop", frozenset({"handler"}), frozenset({"bedfordshire"}), "north"
        )
    else:
        with pytest.raises(Unauthenticated, match=why):
            await verifier.caller(token)


async def test_while_the_provider_rotates_its_keys_tokens_of_old_and_new_are_taken(
    intake: httpx.AsyncClient, provider: Provider
) -> None:
    [old], new = provider.keys, key("ES256", "second")
    before = [provider.token("beds-gateway") for _ in range(3)]
    assert (await works(intake, before[0])).status_code == 404
    provider.restart(new, old)
    assert (await works(intake, provider.token("beds-gateway"))).status_code == 404, "by a key that is seconds old"
    assert (await works(intake, before[1])).status_code == 404
    provider.restart(new)
    stranger = sign({}, ECKey.generate_key("P-256", {"kid": "nobody's"}), "ES256")
    assert (await works(intake, stranger)).status_code == 401  # which had the keys fetched anew
    assert (await works(intake, before[2])).status_code == 404, "it was signed while the key was listed"


async def test_contacts_are_taken_on_while_the_provider_is_down(intake: httpx.AsyncClient, provider: Provider) -> None:
    known, unseen = provider.headers("beds-gateway"), provider.headers("beds-gateway")
    assert (await intake.post("/v1/contacts/telephone", json=CALL, headers=known)).status_code == 201
    provider.kill()
    for headers in (known, unseen):
        answer = await intake.post("/v1/contacts/telephone", json=CALL, headers=headers)
        assert answer.status_code == 201, answer.text
    ready = await intake.get("/readyz")
    assert ready.status_code == 200, ready.text
    strange = sign({}, ECKey.generate_key("P-256", {"kid": "newer"}), "ES256")
    answer = await works(intake, strange)
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, "5")
    provider.start()
    assert (await works(intake, provider.token("beds-gateway"))).status_code == 404
