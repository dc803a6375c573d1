"""Where a local run keeps its things, and on which ports it listens. Everything else asks here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.local.process import Trouble, is_free

ROOT = Path(__file__).parents[2]
SERVICE_PORTS = {"intake": 1, "router": 2, "directory": 3, "recording": 4}
"""From the base port: 8001 to 8004."""


@dataclass(frozen=True, slots=True)
class Layout:
    """`var` holds all that a run writes; `make reset` removes it."""

    var: Path
    base_port: int

    @classmethod
    def of_environment(cls) -> Layout:
        """`VAR` and `PORT_BASE`, or `var/` and 8000. Raises Trouble for a base that leaves no room for eight ports."""
        given = os.environ.get("PORT_BASE") or "8000"
        if not given.isdecimal() or not 1024 <= int(given) <= 65000:
            raise Trouble(f"PORT_BASE={given} will not do: give a number from 1024 to 65000, as PORT_BASE=9000.")
        return cls((ROOT / (os.environ.get("VAR") or "var")).resolve(), int(given))

    def port(self, service: str) -> int:
        return self.base_port + SERVICE_PORTS[service]

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.port(service)}"

    @property
    def issuer_port(self) -> int:
        return self.base_port + 5

    @property
    def issuer_url(self) -> str:
        return f"http://127.0.0.1:{self.issuer_port}"

    @property
    def postgres_port(self) -> int:
        return self.base_port + 6

    @property
    def kafka_port(self) -> int:
        return self.base_port + 7

    @property
    def controller_port(self) -> int:
        return self.base_port + 8

    @property
    def secrets(self) -> Path:
        return self.var / "secrets"

    @property
    def registry(self) -> Path:
        """What runs, one file a process."""
        return self.var / "run"

    @property
    def lock(self) -> Path:
        return self.var / "lock"

    def log(self, part: str) -> Path:
        return self.var / "log" / f"{part}.log"


def check_port(port: int, whose: str, way_out: str) -> None:
    """Raises Trouble naming who listens on the port, where somebody does."""
    if not is_free(port):
        raise Trouble(f"Port {port}, which {whose} needs, is in use{_listener(port)}: {way_out}")


def _listener(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:2] == (port,)
            if listens and connection.pid is not None:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass  # other users' processes are not ours to see
    return ""
