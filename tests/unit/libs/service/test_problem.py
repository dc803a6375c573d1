"""Problem documents: their tree, and that whatever goes wrong is answered with one that gives nothing away."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.service import problem
from libs.service.problem import TREE, Fault, Invalid, Problem, Unavailable, responses
from libs.service.refusals import pointer


def subclasses(kind: type[Problem]) -> set[type[Problem]]:
    return {sub for direct in kind.__subclasses__() for sub in {direct, *subclasses(direct)}}


def test_the_tree_holds_every_problem_once_with_a_name_of_its_own() -> None:
    assert set(TREE) == {kind for kind in subclasses(Problem) if kind.__module__ == problem.__name__}
    assert len({kind.slug for kind in TREE}) == len(TREE)
    for kind in TREE:
        assert kind.__doc__
        assert f"{kind.__name__} " in (problem.__doc__ or "")
        assert kind.slug == kind.slug.lower()


def test_a_document_is_as_rfc_9457_has_it() -> None:
    document = json.loads(Invalid("a is wrong", faults=[Fault("is wrong", pointer="/a")], extra=1).body())
    assert document == {
        "type": "https://hueandcry.uk/problems/invalid",
        "title": "The request is not valid",
        "status": 422,
        "detail": "a is wrong",
        "errors": [{"detail": "is wrong", "pointer": "/a"}],
        "extra": 1,
    }


def test_a_thousand_faults_are_cut_to_fifty() -> None:
    document = Invalid("much", faults=[Fault(str(i)) for i in range(1000)]).document()
    assert len(document["errors"]) == problem.MAX_FAULTS


def test_no_text_keeps_a_document_from_being_sent() -> None:
    body = Invalid("x", faults=[Fault("f", pointer="/\ud800\x00\u2028")]).body()
    assert json.loads(body)["errors"][0]["pointer"] == "/\ud800\x00\u2028"
    assert body.isascii()


def test_unavailable_says_when_to_come_again() -> None:
    assert Unavailable("away", retry_after_s=7).headers == {"Retry-After": "7"}


def test_responses_describe_the_problems_of_a_status() -> None:
    documented = responses(404, 422)
    assert list(documented) == [404, 422]
    assert "idempotency-mismatch" in documented[422]["description"]
    with pytest.raises(LookupError):
        responses(299)


@pytest.mark.parametrize(
    ("how", "status", "slug", "header"),
    [
        ("crash", 500, "internal", None),
        ("group", 500, "internal", None),
        ("not-found", 404, "not-found", None),
        ("conflict", 409, "conflict", None),
        ("log-unavailable", 503, "unavailable", "retry-after"),
        ("log-conflict", 409, "conflict", None),
        ("log-claim", 409, "conflict", None),
        ("log-too-large", 413, "too-large", None),
    ],
)
async def test_whatever_an_operation_raises_is_a_problem_that_leaks_nothing(
    client: httpx.AsyncClient, bearer: dict[str, str], how: str, status: int, slug: str, header: str | None
) -> None:
    answer = await client.put(f"/v1/things/fail/{how}", headers=bearer)
    document = answer.json()
    assert answer.status_code == document["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["type"] == problem.BASE + slug
    assert document["requestId"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text
    assert header is None or header in answer.headers
    if how == "conflict":
        assert document["expected"] == 3


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/name"]),
        ({"name": 7}, ["/name"]),
        ({"name": "Mrs Secret" * 9}, ["/name"]),
        ({"name": "unsayable"}, ["/name"]),
        ({"name": "a", "Secret": 1, "number": "Secret"}, ["/Secret", "/number"]),
        ({"name": "a", "places": [{"kind": "circle"}]}, ["/places/0/radiusM"]),
        ({"name": "a", "places": [{"kind": "Secret"}]}, ["/places/0"]),
        (
            {"name": "a", "places": [{"kind": "point", "lat": 1}, {"kind": "circle", "radiusM": -1}]},
            ["/places/1/radiusM"],
        ),
        ({"name": "a", "places": ["Secret"]}, ["/places/0"]),
        ({"name": "a", "either": ["x"]}, ["/either", "/either/0"]),
        ({"name": "a", "a/b~c": 1}, ["/a~1b~0c"]),
        ({"name": "a", "number": 10**400}, ["/number"]),
        ({"name": "a", "number": 2**63}, ["/number"]),
        ({"name": "a", "either": [1, -(2**63) - 1]}, ["/either/1"]),
        ({"name": "a", "places": [{"x/y": "\x00"}]}, ["/places/0/x~1y"]),
        ([], [""]),
        ("Secret", [""]),
        (None, [""]),
    ],
)
async def test_each_error_of_a_body_has_its_place_and_repeats_nothing(
    client: httpx.AsyncClient, bearer: dict[str, str], body: Any, pointers: list[str]
) -> None:
    answer = await client.post("/v1/things/1", json=body, headers=bearer)
    assert answer.status_code == 422, answer.text
    document = answer.json()
    assert document["type"] == problem.BASE + "invalid"
    assert sorted(fault["pointer"] for fault in document["errors"]) == sorted(pointers)
    told = json.dumps([{**fault, "pointer": ""} for fault in document["errors"]])
    assert "Secret" not in told
    assert "Secret" not in document["detail"].partition(": ")[2]


async def test_an_error_of_a_parameter_names_it(client: httpx.AsyncClient, bearer: dict[str, str]) -> None:
    answer = await client.get("/v1/things/Secret?limit=999", headers=bearer)
    assert answer.status_code == 422
    assert {fault["parameter"] for fault in answer.json()["errors"]} == {"number", "limit"}
    assert "Secret" not in answer.text
    assert "999" not in answer.text


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b'{"name": "\xff"}', 400),
        (b'{"name": "\\ud800"}', 400),
        (b'{"name": "a", "number": NaN}', 400),
        (b'{"name": "a", "number": Infinity}', 400),
        (b'{"name": "a", "number": 1e999}', 422),
        (b'{"name": "a", "number": ' + b"9" * 5000 + b"}", 422),
        (b'{"name": "a\\u0000"}', 422),
        (b'{"na\\u0000me": "a"}', 422),
        (b'{"name": "a\x00"}', 400),
        (b"[" * 10_000, 400),
        (b"\xef\xbb\xbf{}", 400),
        (b"\xff\xfe{\x00}\x00", 400),
    ],
)
async def test_a_body_that_is_not_json_as_the_standard_has_it_is_refused(
    client: httpx.AsyncClient, bearer: dict[str, str], content: bytes, status: int
) -> None:
    headers = bearer | {"Content-Type": "application/json"}
    answer = await client.post("/v1/things/1", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_backslash_before_u0000_is_text_like_any_other(
    client: httpx.AsyncClient, bearer: dict[str, str]
) -> None:
    answer = await client.post("/v1/things/1", json={"name": r"\u0000"}, headers=bearer)
    assert answer.json()["name"] == r"\u0000"


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/xml", "nonsense", "application/x-www-form-urlencoded"]
)
async def test_a_body_that_is_not_said_to_be_json_is_415(
    client: httpx.AsyncClient, bearer: dict[str, str], kind: str | None
) -> None:
    headers = bearer | ({"Content-Type": kind} if kind else {})
    answer = await client.post("/v1/things/1", content=b'{"name":"a"}', headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (415, problem.BASE + "unsupported-media-type")


async def test_404_and_405_are_problems(client: httpx.AsyncClient, bearer: dict[str, str]) -> None:
    unknown = await client.get("/v2/things", headers=bearer)
    assert (unknown.status_code, unknown.json()["type"]) == (404, problem.BASE + "not-found")
    method = await client.patch("/v1/things/1", headers=bearer)
    assert (method.status_code, method.json()["type"]) == (405, problem.BASE + "method-not-allowed")
    assert method.headers["allow"]
    assert (await client.get("/v1/things/1/", headers=bearer)).status_code == 404  # no redirect elsewhere


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(),
        lambda j: (
            st.lists(j, max_size=4)
            | st.dictionaries(
                st.text() | st.sampled_from(["name", "places", "either", "kind", "number"]), j, max_size=4
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
async def test_no_body_at_all_makes_a_500(client: httpx.AsyncClient, bearer: dict[str, str], content: bytes) -> None:
    headers = bearer | {"Content-Type": "application/json"}
    answer = await client.post("/v1/things/1", content=content, headers=headers)
    assert answer.status_code in (201, 400, 422)


@pytest.mark.parametrize(
    ("location", "missing", "expected"),
    [
        (("a", 0, "b"), False, "/a/0/b"),
        (("a", 0, "circle", "b"), False, "/a/0/b"),
        (("a", 0, "circle", "c"), True, "/a/0/c"),
        (("a", 9), False, "/a"),
        (("a", "function-after[f(), int]"), False, "/a"),
        (("x" * 100,), False, "/" + "x" * 64 + "…"),
        ((), False, ""),
    ],
)
def test_a_pointer_leads_somewhere(location: tuple[str | int, ...], missing: bool, expected: str) -> None:
    assert pointer(location, {"a": [{"b": 1}], "x" * 100: 1}, missing=missing) == expected
