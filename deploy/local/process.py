"""Processes that we start: none outlives us, each is stopped gently and within a limit.

Invariant: a child is in a session of its own, so that Ctrl-C reaches only us and we choose the order of stopping; where
the kernel offers it (Linux), the child gets its stop signal when we die, however we die.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import randrange

LOG_LIMIT_BYTES = 10 * 1024 * 1024
"""A part's log is cut when it is longer; one older piece is kept beside it, as `<name>.log.1`."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Trouble(Exception):
    """Something the person at the terminal can mend. Its message is one sentence that says what and how."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a child runs as, where that is not ours."""

    name: str
    uid: int
    gid: int


@dataclass
class Child:
    """A started process. `stop` is safe to call twice, and after the process has gone."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def stop(self, limit_s: float) -> bool:
        """Ask it to stop, wait, then kill it. True if it went by itself."""
        if self.alive():
            self.popen.send_signal(self.stop_signal)
        try:
            self.popen.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        """Kill it at once, as a crash would."""
        if self.alive():
            self.popen.kill()
        self.popen.wait()

    def last_words(self, lines: int = 5) -> str:
        """The end of its log, for an error message."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 8192))
                return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def spawn(
    name: str,
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    account: Account | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    outlives_us: bool = False,
    stdin: int = subprocess.DEVNULL,
) -> Child:
    """Start a process whose output is appended to `log`.

    Call it from the main thread only: the kernel's death signal is tied to the thread that forked.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("processes are started from the main thread, or they would end with the thread that did")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        popen = subprocess.Popen(
            [str(part) for part in argv],
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=None if outlives_us else dying_with_us(stop_signal),
        )
    return Child(name, popen, log, stop_signal)


def dying_with_us(stop_signal: signal.Signals = signal.SIGTERM) -> Callable[[], None] | None:
    """For a child to run before its program: have the kernel signal it when the thread that forked it ends (Linux)."""
    if _libc is None:
        return None
    libc, parent, number = _libc, os.getpid(), int(stop_signal)

    def set_death_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # we died between the fork and the call
            os.kill(os.getpid(), signal.SIGKILL)

    return set_death_signal


def cut_log(log: Path, limit_bytes: int = LOG_LIMIT_BYTES) -> None:
    """Keep a log within its limit while its writer goes on: it appends, so the file may be emptied under it."""
    try:
        if log.stat().st_size <= limit_bytes:
            return
        with log.open("rb+") as file:
            file.seek(-limit_bytes // 2, os.SEEK_END)
            log.with_name(log.name + ".1").write_bytes(file.read())
            file.truncate(0)
    except FileNotFoundError:
        return


_given: set[int] = set()


def free_port(count: int = 1) -> int:
    """The first of `count` ports in a row that nobody has now on the loopback address.

    They are below those that the system gives to outgoing connections, so that a server that is killed finds its port
    free when it comes back. None is given twice by one process: its server may not listen yet.
    """
    while True:
        first = randrange(10_000, 32_000)  # noqa: S311 (not a secret)
        ports = range(first, first + count)
        if _given.isdisjoint(ports) and all(is_free(port) for port in ports):
            _given.update(ports)
            return first


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a closed connection may linger
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def wait_until(ready: Callable[[], bool], child: Child, limit_s: float) -> None:
    """Wait for a child to be ready. Raises Trouble when it ends first, or takes longer than `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not ready():
        if not child.alive():
            raise Trouble(f"{child.name} ended as it started; the end of {child.log} says:\n{child.last_words()}")
        if time.monotonic() > deadline:
            raise Trouble(
                f"{child.name} was not ready within {limit_s:.0f} s; the end of {child.log} says:\n{child.last_words()}"
            )
        time.sleep(0.05)
