"""A file that a request brings: taken in by the operation itself, once it knows who sends it, and never into memory.

Promises: a file over the limit is refused with 413 without being kept, by its Content-Length or while it arrives; it
is gone from the disk when the block ends, however it ends.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.requests import ClientDisconnect, Request

from libs.service.problem import BadRequest, TooLarge

_CLOSE = {"Connection": "close"}
"""What the client still sends of a refused file is not read."""
_WRITTEN_BYTES = 1024 * 1024


@asynccontextmanager
async def uploaded(request: Request, most_bytes: int) -> AsyncIterator[Path]:
    """Where the request's body lies while the block runs. Raises TooLarge, and BadRequest where it ends early."""
    too_large = TooLarge(f"The file is over {most_bytes // 2**20} MiB.", headers=_CLOSE)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most_bytes:
        raise too_large
    with tempfile.NamedTemporaryFile(prefix="hueandcry-") as file:
        size = written = 0
        waiting: list[bytes] = []
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > most_bytes:
                    raise too_large
                waiting.append(chunk)
                if size - written >= _WRITTEN_BYTES:
                    await asyncio.to_thread(file.writelines, waiting)
                    waiting, written = [], size
        except ClientDisconnect:
            raise BadRequest("The request ended before its body did.", headers=_CLOSE) from None
        file.writelines(waiting)
        file.flush()
        yield Path(file.name)
