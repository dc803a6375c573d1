"""Work on what comes from outside, in a process apart: bounded in time and memory, and gone with all it took.

Invariants
  * Whatever the work does, runs for ever, takes all the memory it can get or crashes, the service answers on, and is
    as large afterwards as it was before.
  * What comes back is read as data of the type that was asked for, and is never code.

The processes are forked from one that has the geometry's libraries loaded already (`multiprocessing`'s fork server,
which ends with the service).
"""

from __future__ import annotations

import asyncio
import os
import resource
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TypeAlias, TypeVar

import msgspec
import structlog

from services.directory.alliance_file import Unusable

log = structlog.get_logger(__name__)

LOADED = ["services.directory.checking", __name__]
"""All that a piece of work needs: what is missing here each process would load for itself, for half a second."""
_T = TypeVar("_T")
Work: TypeAlias = Callable[..., msgspec.Struct | bytes]
_DONE, _UNUSABLE, _MEMORY, _FAILED = b"done", b"unusable", b"memory", b"failed"
_KIND_BYTES = 8


@dataclass(frozen=True)
class Bounds:
    seconds: float = 240.0
    """Of the clock on the wall, and of the processor: two million corners take some thirty."""
    memory_bytes: int = 4 * 2**30
    """Of addresses, the libraries' own among them."""
    answer_bytes: int = 512 * 2**20


class Busy(Exception):
    """Another piece of work is being done."""


class Failed(Exception):
    """The work broke, and it was not the file's fault as far as we know. Its traceback is logged."""


class Apart:
    """Does one piece of work at a time."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(LOADED)
        self._one = threading.Lock()
        self._running: BaseProcess | None = None

    @property
    def busy(self) -> bool:
        return self._one.locked()

    async def run(self, answers: type[_T], work: Work, *args: object) -> _T:
        """What `work(*args)` returns in a process of its own, which both are sent to.

        Raises Busy; Unusable, as the work does, or where it takes more time or memory than there is; Failed.
        """
        if not self._one.acquire(blocking=False):
            raise Busy
        loop = asyncio.get_running_loop()
        # Whoever waits may be cancelled; the work holds its place until its process is gone.
        answer = await loop.run_in_executor(None, self._run, work, args)
        return answer if isinstance(answer, answers) else msgspec.msgpack.decode(answer, type=answers)

    def stop(self) -> None:
        """End the work that is being done, if any: it is as if it had broken."""
        if (running := self._running) is not None:
            running.kill()

    def _run(self, work: Work, args: tuple[object, ...]) -> bytes:
        try:
            ours, theirs = self._context.Pipe(duplex=False)
            with ours:
                with theirs:
                    process = self._context.Process(target=_work, args=(theirs, self._bounds, work, args), daemon=True)
                    process.start()
                    self._running = process
                try:
                    return self._answer(ours)
                finally:
                    self._running = None
                    process.kill()
                    process.join()
                    process.close()
        finally:
            self._one.release()

    def _answer(self, pipe: Connection) -> bytes:
        bounds = self._bounds
        try:
            answer = pipe.recv_bytes(bounds.answer_bytes) if pipe.poll(bounds.seconds) else b""
        except (EOFError, OSError):  # it was ended by a limit, or crashed
            log.error("work_apart_ended")
            raise Unusable(
                f"The file took more than {bounds.seconds:g} s of the processor or {bounds.memory_bytes // 2**30} GiB "
                "of memory to read, or broke whoever read it: give boundaries that are generalised."
            ) from None
        kind, rest = answer[:_KIND_BYTES].rstrip(), answer[_KIND_BYTES:]
        if kind == _DONE:
            return rest
        if kind == _UNUSABLE:
            raise Unusable(rest.decode())
        if kind == _FAILED:
            log.error("work_apart_failed", exception=rest.decode())
            raise Failed
        if kind == _MEMORY:
            raise Unusable(
                f"The file takes more than {bounds.memory_bytes // 2**30} GiB of memory to read: give boundaries that "
                "are generalised."
            )
        raise Unusable(f"The file takes more than {bounds.seconds:g} s to read: give boundaries that are generalised.")


def _work(pipe: Connection, bounds: Bounds, work: Work, args: tuple[object, ...]) -> None:
    """In the process apart."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(bounds.seconds), int(bounds.seconds) + 1))
    resource.setrlimit(resource.RLIMIT_AS, (bounds.memory_bytes, bounds.memory_bytes))
    os.nice(10)  # who calls for help comes first
    try:
        done = work(*args)
        answer = _DONE, done if isinstance(done, bytes) else msgspec.msgpack.encode(done)
    except Unusable as refusal:
        answer = _UNUSABLE, str(refusal).encode()
    except (MemoryError, RecursionError):
        answer = _MEMORY, b""
    except BaseException:
        answer = _FAILED, traceback.format_exc().encode()
    pipe.send_bytes(answer[0].ljust(_KIND_BYTES) + answer[1])
