"""What a request may be, in-process: counted, refused, and answered in time."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.service import limits, problem
from libs.service.limits import Limits
from libs.service.problem import BadRequest, Invalid
from tests.unit.libs.service.issuing import LocalIssuer
from tests.unit.libs.service.serving import calling, make_app

KIB = 1024


async def chunks(size: int, of: int = 16 * KIB) -> AsyncIterator[bytes]:
    for _ in range(size // of):
        yield b" " * of


async def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_not(
    client: httpx.AsyncClient, bearer: dict[str, str]
) -> None:
    headers = bearer | {"Content-Type": "application/json"}
    thing = b'{"name":"a"}'
    fits = await client.post("/v1/things/1", content=thing + b" " * (256 * KIB - len(thing)), headers=headers)
    assert fits.status_code == 201
    over = await client.post("/v1/things/1", content=thing + b" " * (256 * KIB - len(thing) + 1), headers=headers)
    assert (over.status_code, over.json()["type"]) == (413, problem.BASE + "too-large")


async def test_a_chunked_body_is_counted_while_it_arrives(client: httpx.AsyncClient, bearer: dict[str, str]) -> None:
    headers = bearer | {"Content-Type": "application/json"}
    answer = await client.post("/v1/things/1", content=chunks(320 * KIB), headers=headers)
    assert answer.status_code == 413
    assert "connection" not in answer.headers  # what was left of it was read: the connection can go on


async def test_what_is_absurdly_large_costs_the_connection(client: httpx.AsyncClient, bearer: dict[str, str]) -> None:
    headers = bearer | {"Content-Type": "application/json", "Content-Length": str(2**40)}
    answer = await client.post("/v1/things/1", content=b"", headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


async def test_a_refused_body_is_not_waited_for_where_the_client_asks_first(
    client: httpx.AsyncClient, bearer: dict[str, str]
) -> None:
    headers = bearer | {"Expect": "100-continue", "Content-Length": str(300 * KIB)}
    answer = await client.post("/v1/things/1", content=b"", headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "", "9" * 30, "1, 1"])
async def test_a_length_that_is_none_is_refused(client: httpx.AsyncClient, length: str) -> None:
    answer = await client.post("/v1/things/1", content=b"", headers={"Content-Length": length})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/things/%00", 400),
        ("/v1/things/1?limit=%00", 400),
        ("/v1/things/%ff", 400),
        ("/v1/things/1?limit=%C3%28", 400),
        ("/v1/things/1?" + "x" * 5000, 414),
        ("/" + "y" * 5000, 414),
        ("/v1/things/%C3%A9", 422),
    ],
)
async def test_an_address_that_no_text_can_hold_is_refused(
    client: httpx.AsyncClient, bearer: dict[str, str], path: str, status: int
) -> None:
    answer = await client.get(path, headers=bearer)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_headers_over_the_limit_are_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/healthz", headers={f"x-{i}": "v" * 1000 for i in range(30)})
    assert (answer.status_code, answer.json()["type"]) == (431, problem.BASE + "headers-too-large")


async def test_an_answer_that_does_not_begin_in_time_is_503(local: LocalIssuer, bearer: dict[str, str]) -> None:
    async with calling(make_app(local, request_timeout_s=0.1)) as client:
        answer = await client.put("/v1/things/wait/5", headers=bearer)
        assert (answer.status_code, answer.json()["type"]) == (503, problem.BASE + "overdue")
        assert "retry-after" in answer.headers
        assert (await client.put("/v1/things/wait/0.01", headers=bearer)).status_code == 204


async def call(app: Any, received: list[dict[str, Any]], headers: list[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
    """Call an ASGI application with these messages from the client; its own."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not received:
            await asyncio.sleep(60)
        return received.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def test_a_stream_that_has_begun_is_not_cut_by_the_deadline() -> None:
    async def streaming(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(5):
            await asyncio.sleep(0.05)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    sent = await call(Limits(streaming, deadline_s=0.1), [], [])
    assert b"".join(message.get("body", b"") for message in sent) == b"xxxxx"


async def test_a_timeout_of_the_operation_s_own_is_not_taken_for_the_deadline() -> None:
    async def failing(_: Any, __: Any, ___: Any) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await call(Limits(failing, deadline_s=5), [], [])


async def test_a_body_that_dawdles_is_not_waited_for() -> None:
    async def unreached(*_: Any) -> None:
        raise AssertionError("an operation saw half a body")

    first = {"type": "http.request", "body": b"{", "more_body": True}
    sent = await call(Limits(unreached, deadline_s=0.1), [first], [(b"content-length", b"10")])
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


async def test_a_client_that_leaves_while_it_sends_reaches_no_operation() -> None:
    async def unreached(*_: Any) -> None:
        raise AssertionError("an operation saw half a body")

    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    assert await call(Limits(unreached), messages, [(b"content-length", b"10")]) == []


async def test_the_operation_gets_the_whole_body_once_and_then_what_the_server_says() -> None:
    seen: list[dict[str, Any]] = []

    async def reading(_: Any, receive: Any, send: Any) -> None:
        seen.extend([await receive(), await receive()])
        await send({"type": "http.response.start", "status": 204, "headers": []})

    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"ab", "more_body": True},
        {"type": "http.request", "body": b"cd", "more_body": False},
        {"type": "http.disconnect"},
    ]
    await call(Limits(reading), messages, [(b"transfer-encoding", b"chunked")])
    assert seen == [{"type": "http.request", "body": b"abcd", "more_body": False}, {"type": "http.disconnect"}]


async def test_a_lifespan_passes_untouched() -> None:
    seen = []

    async def app(scope: Any, _: Any, __: Any) -> None:
        seen.append(scope["type"])

    await Limits(app)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan"]


trees = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('\\":a{}', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('\\":a{}', max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(
    tree=trees, number=st.integers(-(2**70), 2**70), around=st.sampled_from(["{}", "[{}]", '{{"a":{{"b":[1,{}]}}}}'])
)
@example(tree=None, number=2**63, around="{}")
@example(tree=None, number=2**63 - 1, around="[{}]")
@example(tree=None, number=-(2**63) - 1, around="[{}]")
def test_a_number_out_of_64_bits_is_found_wherever_it_stands(tree: object, number: int, around: str) -> None:
    for body in (around.format(number), f"[{json.dumps(tree)},{around.format(number)}]"):
        if -(2**63) <= number < 2**63:
            limits.check_json(body.encode())
        else:
            with pytest.raises(Invalid):
                limits.check_json(body.encode())


@given(tree=trees, indent=st.none() | st.integers(0, 2), separators=st.sampled_from([(",", ":"), (" ,", "\r\n\t :  ")]))
def test_names_are_found_twice_where_they_are_and_nowhere_else(
    tree: object, indent: int | None, separators: tuple[str, str]
) -> None:
    whole = json.dumps({"tree": tree, 'a":': 1}, indent=indent, separators=separators)
    limits.check_json(whole.encode())
    for twice in (whole.replace('"tree"', r'"a\":"', 1), f'[{whole}, {{"\\u0061": 1, "b": {whole}, "a": 2}}]'):
        with pytest.raises(BadRequest, match="stands twice"):
            limits.check_json(twice.encode())


def test_what_is_nested_deeper_than_anybody_reads_is_refused() -> None:
    at_most = limits.MAX_DEPTH
    limits.check_json(b"[" * at_most + b"]" * at_most)
    for body in (b"[" * (at_most + 1) + b"]" * (at_most + 1), b'{"a":' * at_most + b'["\\u0000"]' + b"}" * at_most):
        with pytest.raises(BadRequest, match="nested too deeply"):
            limits.check_json(body)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ([0] * limits.MAX_ITEMS, True),
        ([0] * (limits.MAX_ITEMS + 1), False),
        ({"a": [{"b": [[]] * (limits.MAX_ITEMS + 1)}]}, False),
        ({str(i): 0 for i in range(limits.MAX_ITEMS)}, True),
        ({str(i): 0 for i in range(limits.MAX_ITEMS + 1)}, False),
        ("x" * limits.MAX_TEXT, True),
        (["é" * limits.MAX_TEXT], True),
        ({"a": [{"b": "x" * (limits.MAX_TEXT + 1)}]}, False),
        ({"x" * (limits.MAX_TEXT + 1): 1}, False),
    ],
)
def test_lists_objects_and_texts_are_taken_up_to_their_size_wherever_they_stand(value: Any, fits: bool) -> None:
    body = json.dumps(value, ensure_ascii=False).encode()
    if fits:
        limits.check_json(body)
    else:
        with pytest.raises(BadRequest, match="over"):
            limits.check_json(body)
