from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import registry
from deploy.local.layout import Layout
from deploy.local.process import Child, Trouble, spawn
from deploy.local.supervisor import Part, Stopped, Supervisor, holder

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "var", 9000)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The signals' handlers as they were."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def part(layout: Layout, name: str = "sleeper", rank: int = 0, argv: list[str] = SLEEP) -> Part:
    def launch() -> Child:
        return spawn(name, argv, log=layout.log(name))

    return Part(name, rank, launch, lambda: None, stop_limit_s=2.0)


def test_a_part_that_dies_is_started_again_later_each_time_and_that_is_said(layout: Layout) -> None:
    said: list[str] = []
    supervisor = Supervisor(layout, said.append)
    sleeper = part(layout)
    with supervisor.running():
        supervisor.start(sleeper)
        pauses = []
        for _ in range(3):
            assert sleeper.child is not None
            died = sleeper.child.pid
            sleeper.child.kill()
            began = time.monotonic()
            supervisor.stay(until=lambda died=died: sleeper.child is not None and sleeper.child.pid != died)  # type: ignore[misc]
            pauses.append(time.monotonic() - began)
            supervisor.stay(until=lambda: not sleeper.announce)
        assert all(pause >= least for pause, least in zip(pauses, (0.5, 1.0, 2.0), strict=True)), pauses
    assert "sleeper died (killed by SIGKILL): starting it again in 0.5 s." in said
    assert sum("is ready again" in sentence for sentence in said) == 3
    assert sleeper.child is not None
    assert not sleeper.child.alive()


def test_a_part_that_ends_as_it_starts_is_told_with_its_last_words(layout: Layout) -> None:
    supervisor = Supervisor(layout, print)
    loser = part(layout, "loser", argv=[sys.executable, "-c", "raise SystemExit('the port is taken')"])
    loser.trouble = lambda: "it does not answer yet"
    with pytest.raises(Trouble, match="the port is taken"), supervisor.running():
        supervisor.start(loser)


def test_a_part_that_is_never_ready_is_told_with_what_it_lacks(layout: Layout) -> None:
    supervisor = Supervisor(layout, print)
    waiting = part(layout)
    waiting.trouble = lambda: "kafka: not reached"
    waiting.start_limit_s = 0.3
    with pytest.raises(Trouble, match="kafka: not reached"), supervisor.running():
        supervisor.start(waiting)
    assert waiting.child is not None
    assert not waiting.child.alive()


def test_a_second_supervisor_is_told_who_is_up(layout: Layout) -> None:
    with Supervisor(layout, print).running():
        assert holder(layout) == {"pid": os.getpid(), "base_port": 9000}
        with pytest.raises(Trouble, match=f"process {os.getpid()}"), Supervisor(layout, print).running():
            pass
    assert holder(layout) is None


def test_what_a_crash_left_is_stopped_before_anything_starts(layout: Layout) -> None:
    left = spawn("kafka", SLEEP, log=layout.log("kafka"))
    registry.note(layout.registry, "kafka", left.pid, stop_signal=signal.SIGTERM, limit_s=2, rank=1)
    said: list[str] = []
    with Supervisor(layout, said.append).running():
        assert not left.alive()
    assert said == ["Stopped what an earlier run had left: kafka."]


def test_a_signal_stops_everything_and_a_second_one_breaks_nothing_off(layout: Layout) -> None:
    said: list[str] = []
    supervisor = Supervisor(layout, said.append)
    script = (
        "import os, signal, time\n"
        "def stop(*_):\n"
        "    os.kill(os.getppid(), signal.SIGTERM)\n"  # the impatient second signal, while we stop
        "    time.sleep(0.3)\n"
        "    raise SystemExit\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    slow = part(layout, "slow", argv=[sys.executable, "-c", script])
    slow.trouble = lambda: None if slow.child and "ready" in slow.child.last_words() else "not yet"

    def run() -> None:
        with supervisor.running():
            supervisor.start(slow)
            os.kill(os.getpid(), signal.SIGTERM)
            supervisor.stay()

    with pytest.raises(Stopped):
        run()
    assert slow.child is not None
    assert slow.child.popen.returncode == 0
    assert "Stopping already: every part gets the time to finish what it is doing." in said
    assert registry.entries(layout.registry) == []


def test_a_signal_while_a_part_is_being_started_waits_until_it_is_entered(layout: Layout) -> None:
    supervisor = Supervisor(layout, print)

    def launch() -> Child:
        os.kill(os.getpid(), signal.SIGTERM)
        return spawn("sleeper", SLEEP, log=layout.log("sleeper"))

    sleeper = Part("sleeper", 0, launch, lambda: None, stop_limit_s=2.0)
    with pytest.raises(Stopped), supervisor.running():
        supervisor.start(sleeper)
    assert sleeper.child is not None
    assert not sleeper.child.alive()
