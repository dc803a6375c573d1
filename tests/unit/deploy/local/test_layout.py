from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from deploy.local.layout import Layout, check_port
from deploy.local.process import Trouble, free_port


def test_the_ports_are_the_documented_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT_BASE", raising=False)
    monkeypatch.delenv("VAR", raising=False)
    layout = Layout.of_environment()
    services = [layout.port(service) for service in ("intake", "router", "directory", "recording")]
    assert services == [8001, 8002, 8003, 8004]
    assert (layout.issuer_port, layout.postgres_port, layout.kafka_port, layout.controller_port) == (
        8005,
        8006,
        8007,
        8008,
    )


@pytest.mark.parametrize("base", ["80", "eight", "70000", "-1"])
def test_a_port_base_that_will_not_do_is_refused_with_an_example(monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    monkeypatch.setenv("PORT_BASE", base)
    with pytest.raises(Trouble, match="PORT_BASE=9000"):
        Layout.of_environment()


def test_var_may_stand_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VAR", str(tmp_path))
    assert Layout.of_environment().var == tmp_path.resolve()


def test_a_busy_port_is_told_with_who_has_it_and_the_way_out() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(Trouble) as told:
            check_port(port, "PostgreSQL", "use others.")
    assert f"Port {port}, which PostgreSQL needs, is in use" in str(told.value)
    assert f"process {os.getpid()}" in str(told.value)
    assert str(told.value).endswith("use others.")


def test_a_free_port_is_no_trouble() -> None:
    check_port(free_port(), "PostgreSQL", "")
