"""What is known of a request: its id, its trace, its headers, one line, its metrics."""

import asyncio
import io
import json
import re

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.service import context, health, logs
from libs.service.context import child_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_valid_traceparent_is_continued_with_a_span_of_our_own(flags: str) -> None:
    child = child_of(f"00-{TRACE}-{SPAN}-{flags}")
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-{flags}", child)
    assert SPAN not in child


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "x",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE[:-1]}-{SPAN}-01",
    ],
)
def test_anything_else_begins_a_trace(given: str | None) -> None:
    begun = child_of(given)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", begun)
    assert TRACE not in begun


def test_a_newer_version_is_read_as_far_as_we_know_it() -> None:
    assert child_of(f"01-{TRACE}-{SPAN}-ff-more").startswith(f"00-{TRACE}-")
    assert child_of(f"01-{TRACE}-{SPAN}-ff-more").endswith("-01")


def test_outside_of_a_request_nothing_is_known() -> None:
    assert (context.current_request_id(), context.current_traceparent()) == (None, None)


async def test_every_answer_has_its_id_and_the_headers_that_browsers_need(
    client: httpx.AsyncClient, bearer: dict[str, str]
) -> None:
    for answer in (
        await client.get("/v1/things/1", headers=bearer),
        await client.get("/v1/things/1"),
        await client.get("/nowhere"),
        await client.put("/v1/things/fail/crash", headers=bearer),
        await client.get("/healthz"),
    ):
        assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert "server" not in answer.headers


async def test_no_other_site_s_script_may_read_an_answer(client: httpx.AsyncClient, bearer: dict[str, str]) -> None:
    """No CORS, wildcard or other: neither the preflight nor the request itself is allowed to anybody."""
    origin = {"Origin": "https://evil.example"}
    preflight = origin | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    for answer in (
        await client.options("/v1/things/1", headers=preflight),
        await client.get("/v1/things/1", headers=bearer | origin),
        await client.get("/healthz", headers=origin),
        await client.get("/openapi.json", headers=origin),
    ):
        assert [name for name in answer.headers if name.startswith("access-control-")] == []
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_metrics_are_made_a_few_times_a_second_however_often_they_are_asked_for(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def make() -> bytes:
        made.append(1)
        return b"# the metrics\n"

    monkeypatch.setattr(health, "generate_latest", make)
    monkeypatch.setattr(health, "CACHE_S", 3600.0)
    answers = [await client.get("/metrics") for _ in range(50)]
    assert {answer.text for answer in answers} == {"# the metrics\n"}
    assert len(made) == 1


async def test_a_request_id_of_the_client_s_is_not_believed(client: httpx.AsyncClient) -> None:
    answer = await client.get("/healthz", headers={"X-Request-Id": "mine"})
    assert answer.headers["x-request-id"] != "mine"


async def test_a_request_is_one_line_that_repeats_nothing_of_it(
    client: httpx.AsyncClient, bearer: dict[str, str], logged: io.StringIO
) -> None:
    secret = "07700900123"
    traced = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    await client.get("/v1/things/1?limit=2", headers=bearer | traced | {"User-Agent": secret})
    await client.get(f"/v1/things/1?number={secret}&{secret}=1", headers=bearer)
    await client.post("/v1/things/1", json={"name": secret, secret: secret}, headers=bearer)
    await client.get(f"/{secret}%0D%0Aforged")
    await client.put("/v1/things/fail/crash", headers=bearer)
    await client.get("/healthz")
    await asyncio.sleep(2 * logs.SOON_S)  # a request's line may wait for others
    text = logged.getvalue()
    assert secret not in text
    assert bearer["Authorization"][7:60] not in text
    assert "secret of the house" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["operation"], line["status"]) for line in requests] == [
        ("get_thing", 200),
        ("get_thing", 422),
        ("make_thing", 422),
        ("unmatched", 404),
        ("fail", 500),
    ]  # and health at debug level only
    assert requests[0]["traceId"] == TRACE
    (crash,) = (line for line in lines if line["event"] == "unhandled error")
    assert crash["requestId"] == requests[4]["requestId"]
    assert crash["exception"][0]["type"] == "builtins.RuntimeError"
    assert any("serving.py" in frame for frame in crash["exception"][0]["frames"])


async def test_a_request_is_measured_by_operation_and_status(client: httpx.AsyncClient, bearer: dict[str, str]) -> None:
    def count(operation: str, status: str) -> float:
        labels = {"operation": operation, "status": status}
        return REGISTRY.get_sample_value("hueandcry_http_request_seconds_count", labels) or 0.0

    before = count("get_thing", "200"), count("unmatched", "404")
    await client.get("/v1/things/1", headers=bearer)
    await client.get("/some/address/nobody/has")
    assert (count("get_thing", "200"), count("unmatched", "404")) == (before[0] + 1, before[1] + 1)
    shown = (await client.get("/metrics")).text
    assert 'hueandcry_http_request_seconds_count{operation="get_thing",status="200"}' in shown
    assert "/some/address" not in shown
