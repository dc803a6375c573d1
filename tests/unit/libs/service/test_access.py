"""Who gets in, who does not, and that no operation is left without a guard."""

from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI

from libs.service.access import ACCESS, Belongs, Rule, Scope, allow, check_complete, only
from libs.service.caller import ROLES, Caller
from tests.unit.libs.service.issuing import LocalIssuer
from tests.unit.libs.service.serving import calling, make_app


async def test_a_role_of_the_rule_gets_in(client: httpx.AsyncClient, bearer: dict[str, str]) -> None:
    answer = await client.get("/v1/things/7", headers=bearer)
    assert (answer.status_code, answer.json()["subject"]) == (200, "handler-1")


async def test_another_role_is_told_which_may(client: httpx.AsyncClient, local: LocalIssuer) -> None:
    for roles in (["gateway"], ["auditor", "finance"], [], ["root"]):
        answer = await client.get("/v1/things/7", headers={"Authorization": f"Bearer {local.token(roles=roles)}"})
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["roles"] == ["handler", "supervisor"]
        assert "handler, supervisor" in answer.json()["detail"]
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]  # RFC 6750, section 3.1


async def test_a_query_parameter_that_nobody_knows_is_refused(
    client: httpx.AsyncClient, bearer: dict[str, str]
) -> None:
    for query, unknown in (("limti=2", ["limti"]), ("limit=2&a=&b=1&a=3", ["a", "b"]), ("Limit=2", ["Limit"])):
        answer = await client.get(f"/v1/things/7?{query}", headers=bearer)
        assert answer.status_code == 422
        assert [fault["parameter"] for fault in answer.json()["errors"]] == unknown
    assert (await client.get("/v1/things/7?limit=2", headers=bearer)).status_code == 200
    assert (await client.post("/v1/things/7?limit=2", headers=bearer, json={"name": "a"})).status_code == 422


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "is required"),
        ([("Authorization", "")], "must be: Bearer"),
        ([("Authorization", "Bearer")], "must be: Bearer"),
        ([("Authorization", "Bearer  ")], "must be: Bearer"),
        ([("Authorization", "Basic YTpi")], "must be: Bearer"),
        ([("X-Forwarded-User", "admin"), ("X-Forwarded-For", "127.0.0.1")], "is required"),
    ],
)
async def test_who_brings_no_token_is_told_to(
    client: httpx.AsyncClient, given: list[tuple[str, str]], says: str
) -> None:
    answer = await client.get("/v1/things/7", headers=given)
    assert answer.status_code == 401
    assert says in answer.json()["detail"]
    assert answer.headers["www-authenticate"] == 'Bearer realm="hueandcry"'  # no error: RFC 6750, section 3.1


async def test_a_token_in_the_address_is_no_token(client: httpx.AsyncClient, local: LocalIssuer) -> None:
    assert (await client.get(f"/v1/things/7?access_token={local.token()}")).status_code == 401


async def test_two_tokens_are_none(client: httpx.AsyncClient, local: LocalIssuer) -> None:
    headers = [("Authorization", f"Bearer {local.token()}"), ("Authorization", f"Bearer {local.token()}")]
    answer = await client.get("/v1/things/7", headers=headers)
    assert answer.status_code == 401
    assert "more than one" in answer.json()["detail"]


async def test_a_bad_token_is_told_what_is_wrong_with_it(client: httpx.AsyncClient, local: LocalIssuer) -> None:
    answer = await client.get("/v1/things/7", headers={"Authorization": f"bearer {local.token(exp=1)}"})
    assert answer.status_code == 401
    assert answer.json()["detail"] == "The token has expired."
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_while_tokens_cannot_be_checked_the_answer_is_come_again(
    local: LocalIssuer, bearer: dict[str, str]
) -> None:
    await local.stop()
    async with calling(make_app(local)) as client:
        answer = await client.get("/v1/things/7", headers=bearer)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert "token issuer" in {part["name"] for part in ready.json()["missing"]}


async def test_health_metrics_and_documents_are_open(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/metrics", "/docs", "/openapi.json"):
        assert (await client.get(path)).status_code == 200


def test_an_operation_without_a_rule_or_a_guard_is_named() -> None:
    unruled, unguarded, misguided = APIRouter(), APIRouter(prefix="/a"), APIRouter()

    @unruled.get("/unruled")
    async def no_row(caller: Annotated[Caller, Depends(allow("no_row"))]) -> None: ...

    @unguarded.get("/unguarded")
    async def no_guard() -> None: ...

    @misguided.get("/misguided")
    async def other_guard(caller: Annotated[Caller, Depends(allow("no_guard"))]) -> None: ...

    ACCESS.update({name: Rule(only(Scope.PUBLIC, "auditor")) for name in ("no_guard", "other_guard")})
    app = FastAPI(docs_url=None, redoc_url=None)
    unruled.include_router(unguarded)
    app.include_router(unruled, prefix="/deep")
    app.include_router(misguided)
    assert check_complete(app) == [
        "no_row has no row in libs.service.access.ACCESS",
        "no_guard does not depend on allow('no_guard')",
        "other_guard does not depend on allow('other_guard')",
        "other_guard depends on allow('no_guard')",
    ]


async def test_a_service_with_an_unguarded_operation_does_not_start(local: LocalIssuer) -> None:
    router = APIRouter()

    @router.get("/open")
    async def open_to_all() -> None: ...

    with pytest.raises(RuntimeError, match="open_to_all"):
        make_app(local, [router])


def test_a_rule_names_roles_that_there_are() -> None:
    with pytest.raises(ValueError, match="king"):
        Rule(only(Scope.PUBLIC, "king"))
    with pytest.raises(ValueError, match="empty"):
        Rule({})


def test_every_row_names_roles_that_there_are_and_every_role_but_a_partner_has_a_row() -> None:
    for name, rule in ACCESS.items():
        assert set(rule.roles) <= ROLES, name
    assert {role for rule in ACCESS.values() for role in rule.roles} == ROLES - {"partner"}


def test_whoever_may_know_of_a_thing_by_one_of_its_roles_may() -> None:
    rule = Rule(only(Scope.BROUGHT, "gateway") | only(Scope.CONTACT, "handler"))
    thing = Belongs.to("bedfordshire", gateway="trunk-1")

    def admits(*roles: str, subject: str = "trunk-1", force: str = "essex") -> bool:
        return rule.admits(Caller(subject, frozenset(roles), frozenset({force})), thing)

    assert admits("gateway")
    assert not admits("gateway", subject="trunk-2", force="bedfordshire")
    assert not admits("handler")
    assert admits("handler", force="bedfordshire")
    assert admits("handler", "gateway")
    assert not admits("auditor", force="bedfordshire")
