from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from deploy.local.process import Trouble, cut_log, spawn, wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


def test_a_child_that_does_not_stop_within_its_limit_is_killed(tmp_path: Path) -> None:
    child = spawn("stubborn", STUBBORN, log=tmp_path / "log")
    wait_until(lambda: "deaf" in child.last_words(), child, 10)
    assert child.stop(0.2) is False
    assert not child.alive()


def test_stopping_twice_is_stopping_once(tmp_path: Path) -> None:
    child = spawn("sleeper", SLEEP, log=tmp_path / "log")
    assert child.stop(5)
    assert child.stop(5)


def test_a_child_is_out_of_reach_of_the_terminals_ctrl_c(tmp_path: Path) -> None:
    child = spawn("sleeper", SLEEP, log=tmp_path / "log")
    try:
        assert os.getsid(child.pid) != os.getsid(0)
    finally:
        child.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from deploy.local.process import spawn;"
        f"child = spawn('sleeper', {SLEEP!r}, log=Path({str(tmp_path / 'log')!r}));"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.05)


def test_a_process_is_not_started_from_a_thread_whose_end_would_end_it(tmp_path: Path) -> None:
    refused: list[BaseException] = []

    def start() -> None:
        try:
            spawn("sleeper", SLEEP, log=tmp_path / "log")
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert refused


def test_waiting_for_a_child_that_ended_says_what_it_said(tmp_path: Path) -> None:
    child = spawn("loser", [sys.executable, "-c", "raise SystemExit('no such luck')"], log=tmp_path / "log")
    with pytest.raises(Trouble, match="no such luck"):
        wait_until(lambda: False, child, 10)


def test_waiting_for_a_child_that_is_never_ready_ends(tmp_path: Path) -> None:
    child = spawn("sleeper", SLEEP, log=tmp_path / "log")
    try:
        with pytest.raises(Trouble, match=r"not ready within 0 s"):
            wait_until(lambda: False, child, 0.1)
    finally:
        child.kill()


def test_a_log_is_cut_under_its_writer_and_keeps_its_latest_lines(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    with log.open("ab") as writer:
        for number in range(100):
            writer.write(b"line %03d\n" % number)
        writer.flush()
        cut_log(log, limit_bytes=500)
        writer.write(b"after the cut\n")
        writer.flush()
    assert log.read_bytes() == b"after the cut\n"
    older = tmp_path / "part.log.1"
    assert older.read_bytes().endswith(b"line 099\n")
    assert older.stat().st_size == 250


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text("short\n")
    cut_log(log, limit_bytes=500)
    assert log.read_text() == "short\n"
    cut_log(tmp_path / "absent.log")


def test_a_stop_signal_of_its_own_is_what_a_child_gets(tmp_path: Path) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGINT, lambda *_: (_ for _ in ()).throw(SystemExit(7)));"
        "print('ready', flush=True); time.sleep(60)"
    )
    child = spawn("picky", [sys.executable, "-c", script], log=tmp_path / "log", stop_signal=signal.SIGINT)
    wait_until(lambda: "ready" in child.last_words(), child, 10)
    assert child.stop(5)
    assert child.popen.returncode == 7
