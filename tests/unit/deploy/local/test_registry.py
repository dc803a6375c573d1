from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from deploy.local import registry
from deploy.local.process import spawn

ORDER = """
import signal, sys, time
def stop(*_):
    with open(sys.argv[1], "a") as file:
        file.write(sys.argv[2] + "\\n")
    raise SystemExit
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_sweep_stops_the_dependent_first(tmp_path: Path) -> None:
    order = tmp_path / "order"
    children = []
    for rank, name in enumerate(("postgres", "kafka", "router")):
        child = spawn(name, [sys.executable, "-c", ORDER, order, name], log=tmp_path / f"{name}.log")
        children.append(child)
        while "ready" not in child.last_words():
            pass
        registry.note(tmp_path / "run", name, child.pid, stop_signal=signal.SIGTERM, limit_s=5, rank=rank)
    assert sorted(registry.sweep(tmp_path / "run")) == ["kafka", "postgres", "router"]
    assert order.read_text().split() == ["router", "kafka", "postgres"]
    assert registry.entries(tmp_path / "run") == []
    assert not any(child.alive() for child in children)


def test_a_process_that_got_the_number_since_is_left_alone(tmp_path: Path) -> None:
    child = spawn("stranger", [sys.executable, "-c", "import time; time.sleep(60)"], log=tmp_path / "log")
    try:
        registry.note(tmp_path, "kafka", child.pid, stop_signal=signal.SIGTERM, limit_s=1, rank=1)
        [entry] = registry.entries(tmp_path)
        (tmp_path / "kafka.json").write_text(json.dumps({**asdict(entry), "started": entry.started - 60}))
        assert registry.sweep(tmp_path) == []
        assert child.alive()
    finally:
        child.kill()


def test_a_process_that_does_not_stop_is_killed_after_its_limit(tmp_path: Path) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    child = spawn("deaf", [sys.executable, "-c", script], log=tmp_path / "log")
    while "ready" not in child.last_words():
        pass
    registry.note(tmp_path, "deaf", child.pid, stop_signal=signal.SIGTERM, limit_s=0.2, rank=1)
    assert registry.sweep(tmp_path) == ["deaf"]
    assert not child.alive()


def test_an_entry_cut_off_while_it_was_written_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "kafka.json").write_text('{"name": "kaf')
    assert registry.sweep(tmp_path) == []
    assert not list(tmp_path.glob("*.json"))
