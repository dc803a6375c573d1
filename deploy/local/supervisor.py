"""Keeps the parts of a local run alive, and stops all of them when it stops.

Invariants: one supervisor a `var/` (it holds the lock on `var/lock`, which the kernel frees when it ends, however it
ends); a part is entered in the registry as it is started; a part that dies is started again, later each time; parts
stop in the reverse of their ranks. The watchdog does the last when the supervisor cannot.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import IO

from deploy.local import registry
from deploy.local.layout import ROOT, Layout
from deploy.local.process import Child, Trouble, cut_log, spawn

POLL_S = 0.1
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Between a part's death and its next start: doubled each time, from the first again after a quiet minute."""
QUIET_S = 60.0


class Stopped(BaseException):
    """Somebody asked us to stop (Ctrl-C, SIGTERM, a closed terminal)."""


@dataclass
class Part:
    """Something that runs. `launch` starts it without waiting, `trouble` says what it lacks until it is ready."""

    name: str
    rank: int
    launch: Callable[[], Child]
    trouble: Callable[[], str | None]
    start_limit_s: float = 60.0
    stop_limit_s: float = 15.0
    child: Child | None = None
    launched_at: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    again_at: float | None = None
    """When to start it again; None while it runs."""
    announce: bool = False
    """It died, and its return is to be told."""


@dataclass
class Supervisor:
    layout: Layout
    say: Callable[[str], None]
    """Tells the person at the terminal."""
    parts: list[Part] = field(default_factory=list)
    _lock: IO[str] | None = None
    _watchdog: Child | None = None
    _unbroken: int = 0
    _asked_to_stop: bool = False
    _logs_cut_at: float = 0.0

    @contextmanager
    def running(self) -> Iterator[Supervisor]:
        """Take the lock, clear what a crash left, and in the end stop all parts. Raises Trouble where one runs."""
        self._take_lock()
        try:
            for signal_ in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(signal_, self._asked)
            left = registry.sweep(self.layout.registry)
            if left:
                self.say(f"Stopped what an earlier run had left: {', '.join(left)}.")
            self._watch()
            yield self
        finally:
            for signal_ in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(signal_, self._asked_again)
            self._stop()

    def start(self, *parts: Part) -> None:
        """Start parts side by side and wait until all are ready.

        Raises Trouble where one ends as it starts, or lacks something for longer than its limit.
        """
        self.launch(*parts)
        self.wait_for(*parts)

    def launch(self, *parts: Part) -> None:
        """Start parts without waiting."""
        for part in parts:
            self._launch(part)

    def wait_for(self, *parts: Part) -> None:
        """Wait until parts that were launched are ready. Raises Trouble as `start` does."""
        for part in parts:
            while (trouble := part.trouble()) is not None:
                self.tend(spare=parts)
                self._check_start(part, trouble)
                time.sleep(POLL_S)

    def tend(self, spare: tuple[Part, ...] = ()) -> None:
        """One round: notice who died, start again who is due, cut the logs."""
        now = time.monotonic()
        for part in self.parts:
            if part not in spare:
                self._tend_part(part, now)
        if self._watchdog is not None and not self._watchdog.alive():
            self._watch()
        if now - self._logs_cut_at > 5:
            self._logs_cut_at = now
            for log in (self.layout.var / "log").glob("*.log"):
                cut_log(log)

    def stay(self, until: Callable[[], bool] = lambda: False) -> None:
        """Tend until `until` says so; ends by Stopped otherwise."""
        while not until():
            self.tend()
            time.sleep(POLL_S)

    @contextmanager
    def unbroken(self) -> Iterator[None]:
        """What happens inside is not broken off by a signal; Stopped is raised at the end of it."""
        self._unbroken += 1
        try:
            yield
        finally:
            self._unbroken -= 1
            if self._asked_to_stop and not self._unbroken:
                raise Stopped

    def _launch(self, part: Part) -> None:
        with self.unbroken():
            part.child = part.launch()
            part.launched_at, part.again_at = time.monotonic(), None
            registry.note(
                self.layout.registry,
                part.name,
                part.child.pid,
                stop_signal=part.child.stop_signal,
                limit_s=part.stop_limit_s,
                rank=part.rank,
            )
            if part not in self.parts:
                self.parts.append(part)

    def _check_start(self, part: Part, trouble: str) -> None:
        child = part.child
        if child is not None and not child.alive():
            raise Trouble(
                f"{part.name} ended as it started ({_how(child)}); the end of {child.log} says:\n{child.last_words()}"
            )
        if time.monotonic() - part.launched_at > part.start_limit_s:
            raise Trouble(
                f"{part.name} was not ready within {part.start_limit_s:.0f} s ({trouble}); "
                f"its log is {self.layout.log(part.name)}."
            )

    def _tend_part(self, part: Part, now: float) -> None:
        if part.again_at is not None:
            if now >= part.again_at:
                self._relaunch(part, now)
        elif part.child is not None and not part.child.alive():
            if now - part.launched_at > QUIET_S:
                part.pause_s = FIRST_PAUSE_S
            self.say(f"{part.name} died ({_how(part.child)}): starting it again in {part.pause_s:g} s.")
            registry.strike(self.layout.registry, part.name)
            part.again_at, part.announce = now + part.pause_s, True
            part.pause_s = min(part.pause_s * 2, LONGEST_PAUSE_S)
        elif part.announce and part.trouble() is None:
            part.announce = False
            self.say(f"{part.name} is ready again, {now - part.launched_at:.1f} s after its start.")

    def _relaunch(self, part: Part, now: float) -> None:
        try:
            self._launch(part)
        except OSError as error:  # for instance no room for its log
            self.say(f"{part.name} cannot be started ({error.strerror}): trying again in {part.pause_s:g} s.")
            part.again_at = now + part.pause_s

    def _stop(self) -> None:
        """All parts, the dependent first; those of one rank side by side."""
        for rank in sorted({part.rank for part in self.parts}, reverse=True):
            stopping = [part for part in self.parts if part.rank == rank and part.child is not None]
            for part in stopping:
                if part.child is not None and part.child.alive():
                    part.child.popen.send_signal(part.child.stop_signal)
            deadline = time.monotonic()
            for part in stopping:
                if part.child is None:
                    continue
                try:
                    part.child.popen.wait(max(0.0, deadline + part.stop_limit_s - time.monotonic()))
                except subprocess.TimeoutExpired:
                    self.say(f"{part.name} did not stop within {part.stop_limit_s:.0f} s and was killed.")
                    part.child.kill()
                registry.strike(self.layout.registry, part.name)
        if self._watchdog is not None:
            self._end_watchdog(self._watchdog)
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()

    def _watch(self) -> None:
        if self._watchdog is not None:
            self._end_watchdog(self._watchdog)
        with self.unbroken():
            self._watchdog = spawn(
                "watchdog",
                [sys.executable, "-m", "deploy.local.watchdog", self.layout.registry],
                log=self.layout.log("watchdog"),
                cwd=ROOT,
                outlives_us=True,
                stdin=subprocess.PIPE,
            )

    @staticmethod
    def _end_watchdog(watchdog: Child) -> None:
        watchdog.kill()
        if watchdog.popen.stdin is not None:
            watchdog.popen.stdin.close()

    def _take_lock(self) -> None:
        self.layout.var.mkdir(parents=True, exist_ok=True)
        self._lock = self.layout.lock.open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = holder(self.layout)
            self._lock.close()
            where = f" (process {running['pid']}, ports from {running['base_port']})" if running else ""
            raise Trouble(
                f"It is up already{where}: stop it with `make stop`, or play contacts with `make demo`."
            ) from None
        self._lock.truncate(0)
        self._lock.write(json.dumps({"pid": os.getpid(), "base_port": self.layout.base_port}))
        self._lock.flush()

    def _asked(self, _signal: int, _frame: FrameType | None) -> None:
        self._asked_to_stop = True
        if not self._unbroken:
            raise Stopped

    def _asked_again(self, _signal: int, _frame: FrameType | None) -> None:
        self.say("Stopping already: every part gets the time to finish what it is doing.")


def holder(layout: Layout) -> dict[str, int] | None:
    """Who holds the lock: its process and base port; None where nobody does."""
    try:
        with layout.lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                said: dict[str, int] = json.loads(file.read())
                return said
    except (FileNotFoundError, ValueError):
        pass
    return None


def layout_of_the_run() -> Layout:
    """The environment's layout, on the ports of the run that is up there, if one is. Raises Trouble."""
    layout = Layout.of_environment()
    running = holder(layout)
    return Layout(layout.var, running["base_port"]) if running else layout


def _how(child: Child) -> str:
    code = child.popen.returncode
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
