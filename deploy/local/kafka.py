"""Apache Kafka 4 as one KRaft node on the loopback address: broker and controller in one process.

Invariant: the data folder is either absent or formatted (it is made beside its place and renamed).
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.jars import kafka_jars
from deploy.local.java import find_java
from deploy.local.process import Child, Trouble, spawn, wait_until

START_LIMIT_S = 90.0
STOP_LIMIT_S = 20.0
YIELDING = 5
"""Its niceness, where all parts share a machine: a contact is taken first, and carried on then."""

JVM = (
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dkafka.logs.dir=/dev/null",
    f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}",
)

SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "BROKER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # one node
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "12",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    # a group comes back within 3 s after a copy was killed, and at once when it starts
    "group.min.session.timeout.ms": "3000",
    "group.initial.rebalance.delay.ms": "0",
    # a broker that was killed is taken back within 3 s, not 9
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # topics are made from one table (topics.py), never by a typing error
    "auto.create.topics.enable": "false",
    "delete.topic.enable": "true",
    "message.max.bytes": "1048588",
    # small, for a developer's machine
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.segment.bytes": "67108864",
    "log.index.size.max.bytes": "1048576",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "metadata.log.segment.bytes": "16777216",
    "metadata.max.idle.interval.ms": "0",
}


@dataclass
class Kafka:
    """One Kafka node. `start` may be called again after `stop` or `kill`: the data stays."""

    folder: Path
    port: int
    controller_port: int
    log: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    child: Child | None = None
    _java: list[str | Path] = field(default_factory=list, repr=False)

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Fetch the jars where they are missing, format the folder where it is new, start, wait until it answers.

        Raises Trouble.
        """
        self.prepare()
        wait_until(self.ready, self.launch(), START_LIMIT_S)

    def prepare(self) -> None:
        """Fetch the jars where they are missing and format the folder where it is new. Raises Trouble."""
        self._java = [find_java(), *JVM, "-cp", os.pathsep.join(str(jar) for jar in kafka_jars())]
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._data.exists():
            self._make_data(self._java)
        (self.folder / "server.properties").write_text(self._properties(self._data))

    def launch(self) -> Child:
        """Start the prepared node, without waiting."""
        command = [*self._java, "kafka.Kafka", self.folder / "server.properties"]
        self.child = spawn("Kafka", command, log=self.log, cwd=self.folder)
        os.setpriority(os.PRIO_PROCESS, self.child.pid, YIELDING)
        return self.child

    def ready(self) -> bool:
        """Whether it answers requests (it listens a little earlier)."""
        return answers(self.port)

    def stop(self, limit_s: float = STOP_LIMIT_S) -> None:
        if self.child is not None:
            self.child.stop(limit_s)

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self.child is not None:
            self.child.kill()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _properties(self, data: Path) -> str:
        at = f"BROKER://127.0.0.1:{self.port}"
        controller = f"127.0.0.1:{self.controller_port}"
        settings = {
            **SETTINGS,
            "listeners": f"{at},CONTROLLER://{controller}",
            "advertised.listeners": f"{at},CONTROLLER://{controller}",
            "controller.quorum.bootstrap.servers": controller,
            "log.dirs": str(data),
            **self.settings,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    def _make_data(self, java: list[str | Path]) -> None:
        draft = Path(tempfile.mkdtemp(prefix="making-", dir=self.folder))
        tool = [str(part) for part in (*java, "kafka.tools.StorageTool")]
        try:
            properties = draft / "format.properties"
            properties.write_text(self._properties(draft / "data"))
            cluster = subprocess.run([*tool, "random-uuid"], capture_output=True, text=True, check=False)
            command = ["format", "--standalone", "--cluster-id", cluster.stdout.strip(), "--config", str(properties)]
            made = subprocess.run([*tool, *command], capture_output=True, text=True, check=False)
            if made.returncode != 0:
                said = (made.stderr or made.stdout or cluster.stderr).strip()
                raise Trouble(f"Kafka's data folder could not be made in {self.folder}: {said}")
            (draft / "data").rename(self._data)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def answers(port: int) -> bool:
    """Whether a broker there answers ApiVersions (request 18, version 0), which needs nothing but a started broker."""
    client = b"hueandcry"
    request = struct.pack(">hhih", 18, 0, 1, len(client)) + client
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            return len(connection.recv(8)) == 8
    except OSError:
        return False
