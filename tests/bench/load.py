"""An open-loop load generator without coordinated omission: `python -m tests.bench.load host:port`.

Every request has a time at which it is due, and its latency counts from then, whether or not a connection was free: a
server that stops answers for all that was due meanwhile. Requests are ready bytes, sockets and timer (a Linux timerfd,
because epoll alone waits whole milliseconds) are asked in one epoll loop, so that a request costs some 15 µs here.

Speaks JSON lines. First in: `{"requests": [...], "connections": n}`. Then each line in is a trial,
`{"rate": per second, "seconds": s}`, or without `rate` a closed loop that keeps every connection busy; each line out is
its outcome (`Outcome`).
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import socket
import struct
import sys
import time
from array import array
from collections import deque
from dataclasses import asdict, dataclass

import msgspec

GRACE_S = 3.0
"""How long after the last request was due answers are waited for."""

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_now = time.perf_counter


class Refused(Exception):
    """The server answered with something else than 200 or 201; the message is the answer's beginning."""


@dataclass(frozen=True)
class Outcome:
    due: int
    answered: int
    seconds: float
    """From the first request's time to the last answer."""
    over_s: float
    """How long after the trial's end the last answer came; GRACE_S where some never came."""
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    cpu_s: float
    """What the generator itself used."""


class _Timer:
    """A timerfd: readable at a moment of `time.perf_counter`'s clock (CLOCK_MONOTONIC)."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.prctl(29, 1, 0, 0, 0)  # PR_SET_TIMERSLACK: one nanosecond, not fifty microseconds
        self.fd: int = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def wake_at(self, moment: float) -> None:
        """Sets it anew, which also takes an expiry back that nobody has read."""
        nanoseconds = max(1, int(moment * 1e9))
        setting = struct.pack("qqqq", 0, 0, nanoseconds // 10**9, nanoseconds % 10**9)
        self._libc.timerfd_settime(self.fd, 1, setting, None)


class Generator:
    def __init__(self, address: tuple[str, int], requests: list[bytes], connections: int) -> None:
        self._requests = requests
        self._next_request = 0
        self._epoll = select.epoll()
        self._timer = _Timer()
        self._epoll.register(self._timer.fd, select.EPOLLIN)
        self._sockets: dict[int, socket.socket] = {}
        self._address = address
        self._received: dict[int, bytes] = {}
        self._due_at: dict[int, float] = {}
        for _ in range(connections):
            self._connect()

    def _connect(self) -> None:
        connection = socket.create_connection(self._address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self._sockets[connection.fileno()] = connection
        self._epoll.register(connection.fileno(), select.EPOLLIN)

    def refresh(self) -> None:
        """Between trials: open again what the server has closed because it was idle."""
        closed = [fd for fd, connection in self._sockets.items() if _is_closed(connection)]
        for fd in closed:
            self._epoll.unregister(fd)
            self._sockets.pop(fd).close()
        for _ in closed:
            self._connect()
        if closed:
            time.sleep(0.3)  # until the server has taken them up

    def trial(self, rate: float | None, seconds: float) -> Outcome:
        """Send what is due in `seconds`, at `rate` a second or as fast as answers come, and wait for the answers."""
        total = int(rate * seconds) if rate else sys.maxsize
        latencies = array("d")
        idle = deque(fd for fd in self._sockets if fd not in self._due_at)  # taken in turn: none grows old
        if len(idle) < len(self._sockets):
            raise RuntimeError("answers of the last trial are still missing")
        cpu = time.process_time()
        start = last = _now() + 0.01
        end = start + seconds
        sent = 0
        while True:
            now = _now()
            if rate:
                due = min(total, int((now - start) * rate) + 1) if now >= start else 0
            else:
                due = sent + len(idle) if start <= now < end else sent
            while sent < due and idle:
                self._send(idle.popleft(), start + sent / rate if rate else now)
                sent += 1
            if (sent >= total or (not rate and now >= end)) and len(idle) == len(self._sockets):
                break
            if now > end + GRACE_S:
                break
            if idle and sent < total and (rate or now < start):
                self._timer.wake_at(start + sent / rate if rate else start)
            for fd, _ in self._epoll.poll(0.1):
                if fd != self._timer.fd and self._answered(fd):
                    last = _now()
                    latencies.append(last - self._due_at.pop(fd))
                    idle.append(fd)
                elif fd == self._timer.fd:
                    self._timer.wake_at(end + 3600)
        missing = sent - len(latencies)
        ordered = sorted(latencies)

        def percentile(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3) if ordered else 0.0

        return Outcome(
            due=total if rate else sent,
            answered=len(latencies),
            seconds=last - start,
            over_s=GRACE_S if missing or (rate and sent < total) else max(0.0, last - end),
            p50_ms=percentile(0.5),
            p90_ms=percentile(0.9),
            p99_ms=percentile(0.99),
            p999_ms=percentile(0.999),
            max_ms=percentile(1.0),
            cpu_s=time.process_time() - cpu,
        )

    def drain(self) -> None:
        """Wait for the answers that a trial has left behind."""
        while self._due_at:
            for fd, _ in self._epoll.poll(1.0):
                if fd != self._timer.fd and self._answered(fd):
                    del self._due_at[fd]

    def _send(self, fd: int, due_at: float) -> None:
        request = self._requests[self._next_request]
        self._next_request = (self._next_request + 1) % len(self._requests)
        self._due_at[fd] = due_at
        if self._sockets[fd].send(request) != len(request):
            raise RuntimeError("a request did not fit into the socket's buffer")

    def _answered(self, fd: int) -> bool:
        """Read; whether the answer is whole. Raises Refused for any answer but 200 or 201."""
        chunk = self._sockets[fd].recv(65536)
        if not chunk:
            raise Refused("the server closed a connection")
        data = self._received.pop(fd, b"") + chunk
        head = data.find(b"\r\n\r\n")
        if head >= 0 and (length := _LENGTH.search(data, 0, head)) and len(data) >= head + 4 + int(length[1]):
            if not data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
                raise Refused(data[:1000].decode(errors="replace"))
            return True
        self._received[fd] = data
        return False


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def main() -> None:
    host, _, port = sys.argv[1].rpartition(":")
    plan = msgspec.json.decode(sys.stdin.readline())
    generator = Generator((host, int(port)), [text.encode() for text in plan["requests"]], plan["connections"])
    for line in sys.stdin:
        trial = msgspec.json.decode(line)
        try:
            generator.refresh()
            outcome = generator.trial(trial.get("rate"), trial["seconds"])
            generator.drain()
        except (Refused, OSError) as error:
            raise SystemExit(f"the load generator gave up: {error}") from None
        print(msgspec.json.encode(asdict(outcome)).decode(), flush=True)


if __name__ == "__main__":
    main()
