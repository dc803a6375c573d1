"""Answers as they go over the wire: any ASGI application behind our protocol, asked over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.server import ServerState

from libs.service.wire import BoundedProtocol

Ask = Callable[[bytes], Awaitable[bytes]]
GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


@asynccontextmanager
async def asked(app: ASGIApp) -> AsyncIterator[Ask]:
    """Asks on one connection: what one packet brings back."""
    config = uvicorn.Config(app, http=BoundedProtocol, lifespan="off", log_config=None)
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedProtocol(config=config, server_state=ServerState(), app_state={}),  # type: ignore[arg-type]
        "127.0.0.1",
        0,
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())

    async def ask(request: bytes) -> bytes:
        writer.write(request)
        async with asyncio.timeout(5):
            return await reader.read(65536)

    try:
        yield ask
    finally:
        writer.close()
        server.close()


async def test_a_whole_answer_is_one_packet_and_the_connection_stays() -> None:
    async with asked(JSONResponse({"a": 1}, 201, {"Location": "/v1/a"})) as ask:
        for _ in range(2):
            answer = await ask(GET)
            assert answer.startswith(b"HTTP/1.1 201 Created\r\n")
            assert answer.endswith(b'\r\n\r\n{"a":1}')
            assert b"\r\nlocation: /v1/a\r\n" in answer
            assert answer.count(b"\r\ncontent-length: 7\r\n") == 1


async def test_to_head_there_is_no_body() -> None:
    async with asked(JSONResponse({"a": 1})) as ask:
        answer = await ask(GET.replace(b"GET", b"HEAD"))
        assert b"\r\ncontent-length: 7\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("says", ["the request", "the answer"])
async def test_where_either_side_says_so_the_connection_is_closed_after_it(says: str) -> None:
    headers = {"Connection": "close"} if says == "the answer" else {}
    async with asked(Response(b"bye", headers=headers)) as ask:
        whole = await ask(GET if headers else GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        while more := await ask(b""):
            whole += more
        assert whole.count(b"connection: close") == 1
        assert whole.endswith(b"\r\n\r\nbye")


async def test_an_answer_in_pieces_is_sent_in_pieces() -> None:
    first_is_read = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        await first_is_read.wait()
        yield b"two"

    async with asked(StreamingResponse(pieces())) as ask:
        whole = await ask(GET)
        while b"one" not in whole:
            whole += await ask(b"")
        first_is_read.set()
        while not whole.endswith(b"0\r\n\r\n"):
            whole += await ask(b"")
        assert b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n" in whole


@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\x1b", "\x7f"])
async def test_no_header_of_an_answer_can_begin_another(character: str) -> None:
    async with asked(Response(b"", headers={"Location": f"/{character}Set-Cookie: planted=1"})) as ask:
        answer = await ask(GET)
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"planted" not in answer


@pytest.mark.parametrize("then", ["it raises", "it ends"])
async def test_a_head_without_its_body_is_an_error_in_full(then: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"2")]}
        await send(start)
        if then == "it raises":
            raise RuntimeError

    async with asked(app) as ask:
        whole = await ask(GET)
        while more := await ask(b""):
            whole += more
        assert whole.startswith(b"HTTP/1.1 500 ")
        assert whole.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("body", [b"", b"a", b"abc"])
async def test_a_body_of_another_length_than_was_said_never_passes_for_a_whole_one(body: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": body})

    async with asked(app) as ask:
        whole = await ask(GET)
        while more := await ask(b""):  # it is closed
            whole += more
        assert len(whole.partition(b"\r\n\r\n")[2]) < 2
