"""Requests that are not what they should be: each is refused with a problem document, and leaves nothing."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from libs.service.access import ACCESS
from tests.integration.bad_input.service import BODIES, SECRET, Operation, Services

TEN_MB = 10_000_000
DEEP = b"[" * 10_000 + b"]" * 10_000

NOT_JSON = {
    "text": f"{SECRET} was here".encode(),
    "half an object": f'{{"words": "{SECRET}"'.encode(),
    "two documents": b"{}{}",
    "comments": b"{/* none */}",
    "invalid UTF-8": b'{"words": "\xff\xfe"}',
    "overlong UTF-8": b'{"words": "\xc0\xaf"}',
    "UTF-16": json.dumps({"words": SECRET}).encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "bare NUL": b'{"words": "a\x00b"}',
    "half a surrogate pair": rb'{"words": "\ud800"}',
    "surrogates the wrong way round": rb'{"words": "\udc00\ud800"}',
    "half a surrogate pair in a name": rb'{"\udfff": 1}',
    "NaN": b'{"lat": NaN}',
    "Infinity": b'{"lat": Infinity}',
    "-Infinity": b'{"lat": -Infinity}',
    "deep": b'{"words": ' + DEEP + b"}",
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "compressed": gzip.compress(b"{}"),
    "a name twice": f'{{"words": "a", "words": "{SECRET}"}}'.encode(),
    "a name twice, written in two ways": rb'{"words": "a", "w\u006frds" : "b"}',
    "a name twice further in": b'{"locations": [{"shape": {"lat": 52, "lat": 53}}]}',
}
NOT_FIT = {
    "escaped NUL": rb'{"words": "a\u0000b"}',
    "escaped NUL in a name": rb'{"wo\u0000rds": 1}',
    "1e400": b'{"lat": 1e400}',
    "an integer of 65 bits": b'{"lat": 18446744073709551616}',
    "an integer of 5,000 digits": b'{"lat": ' + b"9" * 5_000 + b"}",
    "a list": json.dumps([SECRET]).encode(),
    "a string": json.dumps(SECRET).encode(),
    "a number": b"17",
    "true": b"true",
}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("kind", NOT_JSON)
async def test_what_is_not_json_is_refused_everywhere(kind: str, refused: Services, client: httpx.AsyncClient) -> None:
    for operation in refused.posts():
        answer = await client.post(refused.url(operation), content=NOT_JSON[kind], headers=JSON)
        refused.refusal(answer, 400, what=operation)


@pytest.mark.parametrize("kind", NOT_FIT)
async def test_json_that_no_operation_can_hold_is_refused(
    kind: str, refused: Services, client: httpx.AsyncClient
) -> None:
    for operation in refused.posts(with_body=True):
        answer = await client.post(refused.url(operation), content=NOT_FIT[kind], headers=JSON)
        refused.refusal(answer, 422, what=operation)


async def test_a_body_that_is_needed_and_not_there_is_asked_for(refused: Services, client: httpx.AsyncClient) -> None:
    for operation in refused.posts(with_body=True):
        if operation.needs_body:
            for content in (b"", b"null"):
                answer = await client.post(refused.url(operation), content=content, headers=JSON)
                refused.refusal(answer, 400, 422, what=operation)


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense;;;"],
)
async def test_a_body_that_is_not_said_to_be_json_is_refused(
    content_type: str | None, refused: Services, client: httpx.AsyncClient
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    for operation in refused.posts(with_body=True):
        content = json.dumps(BODIES[operation.id]).encode()
        answer = await client.post(refused.url(operation), content=content, headers=headers)
        refused.refusal(answer, 415, what=operation)


async def test_unknown_members_are_named(refused: Services, client: httpx.AsyncClient) -> None:
    for operation in refused.posts(with_body=True):
        for at, body in with_a_stranger_inside(BODIES[operation.id]):
            answer = await client.post(refused.url(operation), json=body)
            document = refused.refusal(answer, 422, what=operation)
            pointers = [fault.get("pointer") for fault in document.get("errors", ())]
            assert pointers == [f"{at}/colour"], f"{operation}: {document}"


async def test_unknown_query_parameters_are_named_and_those_of_the_document_are_known(
    refused: Services, client: httpx.AsyncClient
) -> None:
    for operation in refused.operations("get", "post"):
        if operation.guarded:
            body = BODIES[operation.id] if operation.takes_body else None
            params = dict.fromkeys([*operation.query, "forse"], SECRET)
            answer = await client.request(operation.method, refused.url(operation), json=body, params=params)
            document = refused.refusal(answer, 422, what=operation)
            assert document["errors"] == [{"parameter": "forse", "detail": "is not known here"}], operation


async def test_members_of_wrong_types_are_pointed_at(refused: Services, client: httpx.AsyncClient) -> None:
    for operation in refused.posts(with_body=True):
        for name in BODIES[operation.id]:
            for wrong in ({"who": SECRET}, [SECRET], 17, True, 1.5):
                body = BODIES[operation.id] | {name: wrong}
                answer = await client.post(refused.url(operation), json=body)
                document = refused.refusal(answer, 422, what=f"{operation} {name} {wrong}")
                pointers = [fault.get("pointer", "") for fault in document.get("errors", ())]
                assert all(pointer.startswith(f"/{name}") for pointer in pointers), document
                assert pointers, document


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
async def test_a_body_of_10_mb_is_refused_everywhere(
    chunked: bool, refused: Services, client: httpx.AsyncClient
) -> None:
    body = json.dumps({"words": "x" * TEN_MB}).encode()
    for operation in refused.posts():
        content = in_chunks(body) if chunked else body
        answer = await client.post(refused.url(operation), content=content, headers=JSON)
        refused.refusal(answer, 413, what=operation)


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 16):
        yield body[start : start + (1 << 16)]


ONCE_WITHOUT_A_KEY = {
    *("release_contact", "confirm_owner", "erase_contact", "record_crime", "cancel_crime"),
    *("create_policy", "locate_shape", "review_break_glass", "activate_generation"),
}
"""Operations that are once in effect however often they are sent."""


@pytest.mark.parametrize("key", ["k" * 256, '"' + "k" * 256 + '"', '""', "\x7f", "kl\xe9"])
async def test_a_key_that_is_none_is_refused(key: str, refused: Services, client: httpx.AsyncClient) -> None:
    tried = 0
    for operation in refused.posts(with_body=True):
        if operation.id not in ONCE_WITHOUT_A_KEY:
            headers = {b"Idempotency-Key": key.encode("latin-1")}
            answer = await client.post(refused.url(operation), json=BODIES[operation.id], headers=headers)
            refused.refusal(answer, 400, 422, what=operation)
            tried += 1
    assert tried == 14


@pytest.mark.parametrize(
    "path",
    [
        "/v1/contacts?disposition=none&cursor={}",
        "/v1/incidents?cursor={}",
        "/v1/queues/bedfordshire-101?after={}",
        "/v1/parked?after={}",
    ],
)
@pytest.mark.parametrize("cursor", ["x", "!!!!", "W10", "bnVsbA", "WyJhIl0", "x" * 250, "%C3%A9", "-1", "\U0001f6a8"])
async def test_cursors_that_nobody_gave_are_refused(
    path: str, cursor: str, refused: Services, client: httpx.AsyncClient
) -> None:
    service = "router" if "queues" in path or "parked" in path else "recording"
    refused.refusal(await client.get(refused.system.url(service) + path.format(cursor)), 422)


@pytest.mark.parametrize(
    "value",
    [
        "not-a-uuid",
        "0",
        "-1",
        "x" * 65,
        "x" * 129,
        "%20",
        "%2e%2e%2fhealthz",
        "%00",
        "%ff",
        "%F0%9F%9A%A8",
        "%ed%a0%80",
        "'; DROP TABLE event; --",
        "{contact_id}",
        "0" * 5_000,
        "%0d%0aX-Injected:%20yes",
        "01a20379-d7f8-4569-9982-8f548013302d",
    ],
    ids=lambda value: value[:24],
)
async def test_under_an_id_that_is_none_there_is_nothing(
    value: str, refused: Services, client: httpx.AsyncClient
) -> None:
    for operation in refused.operations("get", "post"):
        if operation.parameters:
            url = refused.url(operation, **dict.fromkeys(operation.parameters, value))
            body = BODIES[operation.id] if operation.takes_body else None
            answer = await client.request(operation.method, url, json=body)
            refused.refusal(answer, 400, 404, 414, 422, what=operation)


async def test_what_is_larger_than_a_request_may_be_is_refused(refused: Services, client: httpx.AsyncClient) -> None:
    async def check(operation: Operation, status: int, **large: Any) -> None:
        body = BODIES[operation.id] if operation.takes_body else None
        answer = await client.request(operation.method, refused.url(operation), json=body, **large)
        refused.refusal(answer, status, what=operation)

    many = {f"X-{number}": "y" * 40 for number in range(900)}
    for operation in refused.operations("get", "post"):
        await asyncio.gather(
            check(operation, 431, headers={"X-Long": SECRET * 1_500}),
            check(operation, 431, headers={"X-Longer": SECRET * 20_000}),
            check(operation, 431, headers=many),
            check(operation, 414, params={"q": SECRET * 300}),
        )


NOT_THEIRS: tuple[dict[str, Any], ...] = (
    {"forces": ["kent"], "alliance": True},
    {"forces": [], "alliance": True},
    {"forces": [], "alliance": False},
    {"forces": ["hertfordshire"], "alliance": False, "roles": ["gateway"]},
)


async def test_a_strangers_contact_is_answered_like_one_that_is_not_there(
    refused: Services, client: httpx.AsyncClient
) -> None:
    """Neither another force's people, nor another gateway, nor somebody of the alliance alone can tell them apart."""

    async def ask(operation: Operation, who: dict[str, Any], id_: str) -> httpx.Response:
        whose = {"contact_id", "incident_id"} & operation.parameters.keys()
        answer = await client.request(
            operation.method,
            refused.url(operation, **dict.fromkeys(whose, id_)),
            params=None if whose else {"contact": id_},
            headers=refused.headers("a-stranger", **who),
            json=BODIES.get(operation.id),
        )
        refused.refusal(answer, 404, what=f"{operation} {who}")
        return answer

    async def compare(operation: Operation, who: dict[str, Any]) -> None:
        there = refused.known["incident_id" if "incident_id" in operation.parameters else "contact_id"]
        theirs, nobodys = await asyncio.gather(ask(operation, who, there), ask(operation, who, str(uuid4())))
        assert theirs.json() | {"requestId": ""} == nobodys.json() | {"requestId": ""}

    tried = [
        compare(operation, who)
        for operation in refused.operations()
        if {"contact_id", "incident_id"} & operation.parameters.keys() or operation.id == "show_audit"
        for who in NOT_THEIRS
        if "roles" not in who or "gateway" in ACCESS[operation.id].roles
    ]
    assert len(tried) >= 34
    await asyncio.gather(*tried)


async def test_a_preference_that_says_nothing_is_ignored(services: Services, client: httpx.AsyncClient) -> None:
    """RFC 7240, section 2: what is not understood is as if it were not there."""
    for prefer in ("wait", "wait=", "wait=soon", "wait=-1", "wait=1e9", "wait=" + "9" * 300, "=", ";;;", "w\xe9it=2"):
        answer = await client.post(
            services.system.url("intake") + "/v1/contacts/telephone",
            json=BODIES["receive_telephone"],
            headers={b"Prefer": prefer.encode("latin-1")},
        )
        assert answer.status_code == 201, answer.text
        assert "preference-applied" not in answer.headers


def with_a_stranger_inside(body: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """The body with a member that nobody knows, in each of its objects in turn, and where that is."""
    if isinstance(body, dict):
        yield at, body | {"colour": SECRET}
    members = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for name, value in members:
        for place, changed in with_a_stranger_inside(value, f"{at}/{name}"):
            whole = copy.copy(body)
            whole[name] = changed
            yield place, whole
