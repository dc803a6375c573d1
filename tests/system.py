"""The whole system in processes of its own, on free ports, by the code that `make run` uses; for tests that use it as
its users do, and kill it as a bad day does.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from deploy.local import parts
from deploy.local.databases import Logins, make_databases, migrate_all
from deploy.local.issuer import make_token
from deploy.local.kafka_access import furnish
from deploy.local.layout import SERVICE_PORTS, Layout
from deploy.local.process import Child, free_port
from deploy.local.secret_files import secret
from deploy.local.supervisor import Part
from deploy.local.topics import create_topics
from libs.events.log.broker import Broker
from libs.service.trace import PURPOSE
from services.directory import alliance_file
from tests import nursery

PORTS = 9
"""What a layout takes from its base port on."""


def end(child: Child) -> None:
    """End a process of which nothing is kept. PostgreSQL is told to go at once, and takes its shared memory along."""
    if child.name == "PostgreSQL":
        child.stop_signal = signal.SIGQUIT
        child.stop(10.0)
    else:
        child.kill()


class System:
    """PostgreSQL, Kafka, the issuer and the four services, under a folder of their own."""

    def __init__(self, folder: Path, alliance: str) -> None:
        folder.chmod(0o711)  # PostgreSQL does not run as root, and must be able to enter
        self.layout = Layout(folder, free_port(PORTS))
        self.alliance = alliance_file.find(alliance)
        self.forces = [force.id for force in alliance_file.read(self.alliance).forces]
        self.parts: dict[str, Part] = {}
        self._copies: dict[str, str] = {}
        self.logins: dict[str, Logins] = {}

    def start(self) -> None:
        """Everything up, the alliance loaded."""
        server, node = parts.postgres_server(self.layout), parts.kafka_node(self.layout)
        server.prepare()
        node.prepare()
        self.launch(parts.postgres_part(server), parts.kafka_part(node), parts.issuer_part(self.layout))
        self.wait("postgres", "kafka")
        self.logins = _elsewhere(lambda: asyncio.run(self._furnish(server.admin_url)))
        environments = {
            name: parts.service_environment(self.layout, self.logins[name], self.broker()) for name in SERVICE_PORTS
        }
        loading = nursery.start(
            "load",
            "services.directory",
            "load",
            str(self.alliance),
            log=self.layout.log("load"),
            env=environments["directory"],
        )
        assert loading.popen.wait() == 0, loading.last_words(20)
        self.launch(*(_service_part(self.layout, name, environments[name]) for name in SERVICE_PORTS))
        self.wait("issuer", *SERVICE_PORTS)

    async def _furnish(self, admin_url: str) -> dict[str, Logins]:
        await create_topics(self.broker(), self.forces)
        furnish(self.broker(), self.forces, parts.kafka_password(self.layout))
        logins = await make_databases(admin_url, lambda role: secret(self.layout.secrets, f"{role}.password"))
        await migrate_all(logins)
        return logins

    def second_copy(self, service: str) -> str:
        """Start another copy of a service on a port of its own; its part's name. Its address: `url(name)`."""
        part = self.parts[service]
        other = replace(self.layout, base_port=free_port(PORTS))
        environment = parts.service_environment(self.layout, self.logins[service], self.broker())
        copy = _service_part(other, service, environment | {"PORT": str(other.port(service))})
        copy.name = f"{part.name}-2"
        self._copies[copy.name] = other.url(service)
        self.launch(copy)
        return copy.name

    def retire(self, copy: str) -> None:
        """Stop a second copy, for good."""
        part = self.parts.pop(copy)
        assert part.child is not None
        part.child.stop(part.stop_limit_s)
        del self._copies[copy]

    def broker(self) -> Broker:
        """Kafka, as its operator."""
        return parts.kafka_node(self.layout).broker()

    def url(self, name: str) -> str:
        return self._copies.get(name) or self.layout.url(name)

    def launch(self, *started: Part) -> None:
        for part in started:
            part.child = part.launch()
            self.parts[part.name] = part

    def child(self, name: str) -> Child:
        child = self.parts[name].child
        assert child is not None
        return child

    def kill(self, name: str) -> None:
        """kill -9."""
        self.child(name).kill()

    def restart(self, name: str) -> None:
        """Start it again after it was killed; it need not be ready yet."""
        self.launch(self.parts[name])

    def wait(self, *names: str, patience_s: float = 90.0) -> None:
        """Until they are ready."""
        deadline = time.monotonic() + patience_s
        for name in names:
            while (trouble := self.parts[name].trouble()) is not None:
                child = self.child(name)
                assert child.alive(), f"{name} ended:\n{child.last_words(20)}"
                assert time.monotonic() < deadline, f"{name}: {trouble}\n{child.last_words(20)}"
                time.sleep(0.1)

    def end(self) -> None:
        """All parts, at once: nothing of them is kept. (How they stop is for `test_local.py`.)"""
        for part in sorted(self.parts.values(), key=lambda part: -part.rank):
            if part.child is not None:
                end(part.child)

    def headers(self, role: str, *forces: str, subject: str | None = None, home: str | None = None) -> dict[str, str]:
        """Headers of a caller who says for what he opens what is not in his hands; without forces, for all of the
        alliance and its default queue."""
        token = make_token(
            self.layout.secrets,
            self.layout.issuer_url,
            roles=[role],
            forces=forces or self.forces,
            subject=subject or f"test-{role}",
            alliance=not forces,
            home=home,
        )
        return {"Authorization": f"Bearer {token}", PURPOSE: "quality"}

    def client(self, service: str, role: str, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url(service),
            headers=self.headers(role, subject=options.pop("subject", None)),
            timeout=options.pop("timeout", 20.0),
            limits=httpx.Limits(max_connections=64),
        )


@contextmanager
def system(folder: Path, alliance: str) -> Iterator[System]:
    """The system while the block runs; afterwards no process of it is left."""
    made = System(folder, alliance)
    try:
        made.start()
        yield made
    finally:
        made.end()


def _elsewhere(run: Callable[[], Any]) -> Any:
    """In a thread: the test's own event loop runs in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def _service_part(layout: Layout, name: str, environment: dict[str, str]) -> Part:
    """As `make run` has it, from the nursery."""
    part = parts.service_part(layout, name, environment)
    part.launch = lambda: nursery.start(name, f"services.{name}", log=layout.log(name), env=environment)
    return part
