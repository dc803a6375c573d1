"""A service as a process: how it starts, what it takes on the wire, and how it stops."""

import asyncio
import json
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from deploy.local.process import Child
from libs.service import observe, run
from tests import nursery
from tests.unit.libs.service.issuing import LocalIssuer


@dataclass
class Running:
    child: Child
    errors: Path
    port: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    """Of its log, as far as it was read; every line is JSON."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def read(self, until: str) -> str:
        """Read its log until a line holds `until`; that line."""
        async with asyncio.timeout(15):
            while not (found := [line for line in self._read() if until in line]):
                assert self.child.alive(), f"it ended without {until!r}: {self.lines}"
                await asyncio.sleep(0.02)
        return found[0]

    async def exit_code(self) -> int:
        code = await asyncio.to_thread(self.child.popen.wait, 15)
        self._read()
        return code

    def _read(self) -> list[str]:
        *lines, _begun = self.child.log.read_text().split("\n")
        self.lines = [json.loads(line) for line in lines]
        return lines

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


@asynccontextmanager
async def running(issuer: str, *, ready: bool = True, **environment: str) -> AsyncIterator[Running]:
    with TemporaryDirectory() as folder:
        log, errors = Path(folder, "log"), Path(folder, "errors")
        settings = {"PATH": os.environ["PATH"], "OIDC_ISSUER": issuer, **environment}
        log.touch()
        child = nursery.start("a service", "tests.unit.libs.service.a_service", log=log, errors=errors, env=settings)
        service = Running(child, errors)
        try:
            if ready:
                found = re.search(r"http://127\.0\.0\.1:(\d+)", await service.read("Uvicorn running"))
                assert found is not None
                service.port = int(found[1])
            yield service
        finally:
            child.kill()


@asynccontextmanager
async def connected(service: Running) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *fields = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields if field)}
    return int(first.split(" ")[1]), headers, await reader.readexactly(int(headers.get("content-length", "0")))


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Running]:
    """One process for the tests that leave it as it was. Its issuer is away."""
    async with running("http://127.0.0.1:1", HEAD_S="1") as started:
        yield started


async def test_told_to_stop_it_finishes_what_it_serves_flushes_and_leaves_with_0(
    local: LocalIssuer, bearer: dict[str, str]
) -> None:
    async with running(local.url) as service, httpx.AsyncClient(base_url=service.url, headers=bearer) as client:
        async with asyncio.timeout(5):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)
        slow = asyncio.create_task(client.put("/v1/things/wait/1"))
        await asyncio.sleep(0.3)
        service.child.popen.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient() as other:
                await other.get(service.url + "/healthz")
        assert (await slow).status_code == 204
        assert await service.exit_code() == 0
        events = service.events()
        assert events.index("stopping") < events.index("flushed")
        assert "request" in events  # the slow one's line, which may wait for others, is not lost
        assert events[-1] == "stopped"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_connection_does_not_keep_it(local: LocalIssuer, number: signal.Signals) -> None:
    async with running(local.url) as service, httpx.AsyncClient(base_url=service.url) as client:
        await client.get("/healthz")
        began = time.monotonic()
        service.child.popen.send_signal(number)
        assert await service.exit_code() == 0
        assert time.monotonic() - began < 3


def test_it_leaves_within_ten_seconds() -> None:
    assert run.FINISH_S < run.EXIT_S < 10


async def test_what_hangs_does_not_keep_it(local: LocalIssuer, bearer: dict[str, str]) -> None:
    hurried = {"FAIL": "stop", "FINISH_S": "1", "EXIT_S": "2.5"}
    async with running(local.url, **hurried) as service, httpx.AsyncClient(base_url=service.url) as client:
        hanging = asyncio.create_task(client.put("/v1/things/wait/60", headers=bearer, timeout=60))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        service.child.popen.send_signal(signal.SIGTERM)
        assert await service.exit_code() == 70
        assert 2 < time.monotonic() - began < 4
        assert service.events()[-1] == "did not stop in time"
        with pytest.raises(httpx.HTTPError):
            (await hanging).raise_for_status()


async def test_a_setting_that_is_missing_is_one_sentence_and_code_2() -> None:
    async with running("ftp://nowhere", ready=False) as service:
        assert await service.exit_code() == 2
        said = service.errors.read_text()
        assert said.startswith("OIDC_ISSUER: must be an https URL")
        assert said.count("\n") == 1


async def test_a_start_that_fails_says_where_and_not_what(local: LocalIssuer) -> None:
    async with running(local.url, ready=False, FAIL="start") as service:
        assert await service.exit_code() == 3
        assert "could not start or stop" in service.events()
        assert "secret" not in json.dumps(service.lines)


async def test_a_port_in_use_ends_it_at_once(local: LocalIssuer, service: Running) -> None:
    async with running(local.url, ready=False, PORT=str(service.port)) as second:
        assert await second.exit_code() == 3
        assert any("address already in use" in line["event"] for line in second.lines if line["level"] == "error")


@pytest.mark.parametrize("chunked", [False, True])
async def test_after_a_body_of_ten_megabytes_the_connection_serves_the_next_request(
    service: Running, chunked: bool
) -> None:
    async with connected(service) as (reader, writer):
        head = b"POST /v1/things/1 HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        block = b" " * 2**20
        if chunked:
            writer.write(head + b"transfer-encoding: chunked\r\n\r\n")
            for _ in range(10):
                writer.write(b"100000\r\n" + block + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(head + b"content-length: %d\r\n\r\n" % (10 * 2**20))
            for _ in range(10):
                writer.write(block)
                await writer.drain()
        status, headers, body = await answer(reader)
        assert (status, json.loads(body)["status"]) == (413, 413)
        assert headers["content-type"] == "application/problem+json"
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await answer(reader))[0] == 200


async def test_what_is_no_http_is_a_problem_too(service: Running) -> None:
    for garbage in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n"):
        async with connected(service) as (reader, writer):
            writer.write(garbage)
            status, headers, body = await answer(reader)
            assert (status, headers["connection"]) == (400, "close")
            assert json.loads(body)["type"].endswith("/malformed-request")
            assert await reader.read() == b""


async def test_headers_without_end_are_cut(service: Running) -> None:
    async with connected(service) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n")
        for i in range(40):
            writer.write(b"x-%d: " % i + b"v" * 1000 + b"\r\n")
            await asyncio.sleep(0.005)
        status, headers, body = await answer(reader)
        assert (status, headers["connection"]) == (431, "close")
        assert json.loads(body)["type"].endswith("/headers-too-large")


async def test_who_does_not_finish_a_request_s_head_is_cut_off(service: Running) -> None:
    async with connected(service) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await answer(reader))[0] == 200
        began = time.monotonic()
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n")
        assert await reader.read() == b""
        assert 0.8 < time.monotonic() - began < 4


@pytest.fixture(scope="module")
async def narrow() -> AsyncIterator[Running]:
    """A process that takes three connections of one address, and drops what is not read for two seconds."""
    async with running("http://127.0.0.1:1", CONNECTIONS_PER_PEER="3", GRACE_S="0.05", UNREAD_S="2") as started:
        async with connected(started) as (reader, writer):  # what comes while it starts has not waited at all
            writer.write(GET)
            await answer(reader)
        yield started


GET = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
BEGUN = b"POST /v1/things/1 HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"


@pytest.mark.parametrize(
    "said", [b"", b"GET / HT", BEGUN, BEGUN + b"{", GET], ids=["nothing", "half", "head", "body", "all"]
)
async def test_an_address_with_all_its_connections_idle_or_dribbling_gets_the_next_and_loses_the_eldest(
    narrow: Running, said: bytes
) -> None:
    async with connected(narrow) as (first, writing), connected(narrow) as (_, w2), connected(narrow) as (_, w3):
        for writer in (writing, w2, w3):
            writer.write(said)
        if said == GET:
            await answer(first)
        await asyncio.sleep(0.3)
        async with connected(narrow) as (reader, writer):
            writer.write(GET)
            assert (await answer(reader))[0] == 200
            assert await first.read() == b"", "the eldest is still open"
            writer.write(GET)
            assert (await answer(reader))[0] == 200


def _waiting(local: LocalIssuer, seconds: float) -> bytes:
    """A request that is answered after so long."""
    head = f"PUT /v1/things/wait/{seconds} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {local.token()}\r\n\r\n"
    return head.encode()


async def test_an_address_with_all_its_connections_busy_is_served_on_another_all_the_same(local: LocalIssuer) -> None:
    """Who it is, and whether it brings an emergency, shows when it speaks."""
    async with running(local.url, CONNECTIONS_PER_PEER="3", GRACE_S="0") as service:
        await service.read("issuer's keys changed")
        async with connected(service) as one, connected(service) as two, connected(service) as three:
            for _, writer in (one, two, three):
                writer.write(_waiting(local, 1.5))
            await asyncio.sleep(0.3)
            for _ in range(2):
                async with connected(service) as (reader, writer):
                    writer.write(GET)
                    assert (await answer(reader))[0] == 200
            assert [(await answer(reader))[0] for reader, _ in (one, two, three)] == [204] * 3


async def test_who_has_come_a_moment_ago_is_not_closed_for_the_next() -> None:
    """The newest of an over-full address has not yet said what it wants: others who knock do not shut it out."""
    async with (
        running("http://127.0.0.1:1", CONNECTIONS_PER_PEER="1", GRACE_S="60") as service,
        connected(service) as (reader, writer),
        connected(service),
        connected(service),
    ):
        await asyncio.sleep(0.2)
        writer.write(GET)
        assert (await answer(reader))[0] == 200


async def test_a_process_that_holds_all_it_can_closes_who_waits_and_refuses_only_where_all_are_busy(
    local: LocalIssuer,
) -> None:
    async with running(local.url, CONNECTIONS="3") as service:
        await service.read("issuer's keys changed")
        async with connected(service) as one, connected(service) as two, connected(service) as idle:
            for _, writer in (one, two):
                writer.write(_waiting(local, 2))
            await asyncio.sleep(0.3)
            async with connected(service) as (reader, writer):
                assert await idle[0].read() == b"", "who waited is closed"
                writer.write(_waiting(local, 2))
                await asyncio.sleep(0.3)
                async with connected(service) as (refused, _):
                    status, headers, body = await answer(refused)
                    assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
                    assert json.loads(body)["type"].endswith("/unavailable")
                assert [(await answer(r))[0] for r in (one[0], two[0], reader)] == [204] * 3
            async with connected(service) as (reader, writer):
                writer.write(GET)
                assert (await answer(reader))[0] == 200


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    async with running("http://127.0.0.1:1", KEEP_ALIVE_S="1") as service, connected(service) as (reader, writer):
        writer.write(GET)
        assert (await answer(reader))[0] == 200
        began = time.monotonic()
        assert await reader.read() == b""
        assert 0.8 < time.monotonic() - began < 10


async def test_what_is_refused_before_any_application_has_the_security_headers_too(service: Running) -> None:
    async with connected(service) as (reader, writer):
        writer.write(b"GET\r\n\r\n")
        _, headers, _ = await answer(reader)
    assert {name: headers[name] for name, _ in _texts(observe.HEADERS)} == dict(_texts(observe.HEADERS))


def _texts(fields: tuple[tuple[bytes, bytes], ...]) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in fields]


async def test_who_does_not_read_its_answer_is_cut_off(narrow: Running) -> None:
    """The answers are more than any buffer holds; afterwards nobody but us knows the connection."""
    unread = socket.socket()
    unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    unread.connect(("127.0.0.1", narrow.port))
    with unread:
        unread.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n" * 1000)
        began = time.monotonic()
        while _kept(unread.getsockname()[1]):
            assert time.monotonic() - began < 15, "the connection is still kept"
            await asyncio.sleep(0.2)
        assert time.monotonic() - began > 1


def _kept(port: int) -> bool:
    """Whether the peer's end of our connection is established."""
    remote = f"0100007F:{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[2] == remote and line.split()[3] == "01" for line in lines)


async def test_requests_in_one_packet_are_answered_in_order(service: Running) -> None:
    async with connected(service) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\nGET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n" * 2)
        assert [(await answer(reader))[0] for _ in range(4)] == [200, 404, 200, 404]


async def test_without_its_issuer_it_serves_and_says_what_it_waits_for(service: Running) -> None:
    async with httpx.AsyncClient(base_url=service.url) as client:
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert {"name": "token issuer", "detail": "the token issuer cannot be reached"} in ready.json()["missing"]
        assert (await client.get("/v1/things/1")).status_code == 401
