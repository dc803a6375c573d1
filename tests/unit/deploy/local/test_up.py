from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from rich.console import Console

from deploy.local.layout import Layout
from deploy.local.process import Trouble, free_port
from deploy.local.up import Run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    return Run(Layout(tmp_path, free_port() - 9), Console(quiet=True))


def test_a_full_disk_is_told_before_anything_starts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=10 * 1024 * 1024))
    with pytest.raises(Trouble, match=r"less than 1 GB free.*VAR="):
        run.check_machine()


def test_too_little_memory_is_told_before_anything_starts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=300 * 1024 * 1024))
    with pytest.raises(Trouble, match=r"less than 1 GB of memory.*KAFKA_BOOTSTRAP_SERVERS"):
        run.check_machine()


def test_given_servers_are_used_and_their_ports_are_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody@db.example/postgres")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092")
    asked: list[int] = []
    monkeypatch.setattr("deploy.local.up.check_port", lambda port, *_: asked.append(port))
    layout = Layout(tmp_path, 9000)
    given = Run(layout, Console(quiet=True))
    given.check_machine()
    assert given.broker().servers == "kafka.example:9092"
    assert not {layout.postgres_port, layout.kafka_port, layout.controller_port} & set(asked)
