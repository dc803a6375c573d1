"""Services that start quickly: each forked from one process that has imported them all.

Two thirds of a service's start are imports, and the fault tests start services by the dozen. What follows is what
`python -m services.…` does: a process and a session of its own, its own environment and log, killed like any other.
That the services start by themselves too is for `test_local.py` and whoever spawns one. (multiprocessing's fork server
would not do: its children share it, and the directory has one of its own.)
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from functools import cache
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, cast

from deploy.local.layout import ROOT, SERVICE_PORTS
from deploy.local.process import Child, dying_with_us

LOOK_S = 0.02
"""How often one who waits for a child's end asks for it."""


class _Order(NamedTuple):
    module: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    errors: Path


class Nursling:
    """A child of the nursery's: what a `Child` asks of `subprocess.Popen`."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._nursery.ask(self.pid)
        return self._code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            time.sleep(LOOK_S)
        return code


class Nursery:
    """The process that forks; it ends when this one does, and its children with it."""

    def __init__(self) -> None:
        self._connection, its = Pipe()
        self._one_at_a_time = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(its.fileno())], pass_fds=[its.fileno()], cwd=ROOT
        )
        its.close()

    def ask(self, about: _Order | int) -> int | None:
        """Of an order, the new child's process id; of a process id, its exit code, None while it runs."""
        with self._one_at_a_time:
            self._connection.send(about)
            answer: int | None = self._connection.recv()
            return answer

    def close(self) -> None:
        self._connection.close()
        self._process.wait()


@cache
def _nursery() -> Nursery:
    """This process's."""
    made = Nursery()
    atexit.register(made.close)
    return made


def start(
    name: str, module: str, *arguments: str, log: Path, env: Mapping[str, str], errors: Path | None = None
) -> Child:
    """`python -m module arguments`, in the checkout, its output appended to the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    pid = _nursery().ask(_Order(module, arguments, dict(env), log, errors or log))
    assert pid is not None
    return Child(name, cast("subprocess.Popen[bytes]", Nursling(_nursery(), pid)), log)


async def command(module: str, *arguments: str, env: Mapping[str, str], limit_s: float = 60.0) -> tuple[int, str, str]:
    """The same to its end: exit code, output, errors."""
    with TemporaryDirectory() as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        child = start(module, module, *arguments, log=out, errors=errors, env=env)
        code = await asyncio.to_thread(child.popen.wait, limit_s)
        return code, out.read_text(), errors.read_text()


def _serve(connection: Connection) -> _Order | None:
    """Fork for each order; the order, in the child, and None when nobody will ask any more."""
    while True:
        try:
            asked = connection.recv()
        except EOFError:
            return None
        if isinstance(asked, int):
            pid, status = os.waitpid(asked, os.WNOHANG)
            connection.send(os.waitstatus_to_exitcode(status) if pid else None)
            continue
        assert threading.active_count() == 1, "a fork would lose the other threads"
        end_with_us = dying_with_us()
        if (pid := os.fork()) == 0:
            if end_with_us:
                end_with_us()
            connection.close()
            return _Order(*asked)
        connection.send(pid)


def _become(order: _Order) -> None:
    os.setsid()
    append = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    for number, path, how in ((0, os.devnull, os.O_RDONLY), (1, order.log, append), (2, order.errors, append)):
        opened = os.open(path, how, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(order.environment)
    sys.argv = [order.module, *order.arguments]
    runpy.run_module(order.module, run_name="__main__", alter_sys=True)


def main() -> None:
    for service in SERVICE_PORTS:
        importlib.import_module(f"services.{service}.app")
    importlib.import_module("libs.places.postcodes").preload()
    gc.collect()
    gc.freeze()
    order = _serve(Connection(int(sys.argv[1])))
    if order is not None:
        _become(order)


if __name__ == "__main__":
    main()
