"""An HTTP/1.1 client for thousands of small requests: a general one costs more than the services that it asks."""

from __future__ import annotations

import asyncio
from json import dumps, loads
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit


class Answer(NamedTuple):
    status_code: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        return loads(self.text) if self.text else None


class Quick:
    """Keeps a few connections to one service, each with one request at a time."""

    def __init__(self, url: str, connections: int) -> None:
        self._address = urlsplit(url)
        self._idle: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter] | None] = asyncio.LifoQueue()
        for _ in range(connections):
            self._idle.put_nowait(None)

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str],
        json: Any = None,
        content: tuple[str, bytes] | None = None,
        params: dict[str, Any] | None = None,
    ) -> Answer:
        """`content`: what to send instead of JSON, with its media type before it."""
        connection = await self._idle.get()
        if connection is None:
            connection = await asyncio.open_connection(self._address.hostname, self._address.port)
        reader, writer = connection
        sent = content or ("application/json", b"" if json is None else dumps(json).encode())
        writer.write(self._written(method, path, headers, sent, params or {}))
        answer = await _read(reader)
        if answer.headers.get("connection") == "close":
            writer.close()
            connection = None
        self._idle.put_nowait(connection)
        return answer

    def _written(
        self, method: str, path: str, headers: dict[str, str], sent: tuple[str, bytes], params: dict[str, Any]
    ) -> bytes:
        media_type, content = sent
        fields = {"host": self._address.netloc, "content-length": str(len(content)), **headers}
        if content:
            fields["content-type"] = media_type
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        target = f"{path}?{urlencode(params)}" if params else path
        return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + content

    async def aclose(self) -> None:
        while not self._idle.empty():
            if (connection := self._idle.get_nowait()) is not None:
                connection[1].close()
                await connection[1].wait_closed()


async def _read(reader: asyncio.StreamReader) -> Answer:
    first, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()[:-1]
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(int(first.split()[1]), headers, content.decode(errors="replace"))
