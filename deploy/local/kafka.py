"""Apache Kafka 4 as one KRaft node on the loopback address: broker and controller in one process.

Invariants: the data folder is either absent or formatted (it is made beside its place and renamed). Nobody is served
without a name and password, and nobody but the broker itself and the operator may do what no ACL allows
(`kafka_access.py`); passwords stand in files of mode 0600 and on no command line.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from deploy.local.jars import kafka_jars
from deploy.local.java import find_java
from deploy.local.process import Child, Trouble, spawn, wait_until
from deploy.local.secret_files import keep_secret
from libs.events.log.broker import MECHANISM, Broker

START_LIMIT_S = 90.0
STOP_LIMIT_S = 20.0
YIELDING = 5
"""Its niceness, where all parts share a machine: a contact is taken first, and carried on then."""

ITSELF, OPERATOR = "kafka", "operator"
"""The principals that may do everything: the broker, towards its controller; and who makes topics, principals, ACLs."""

JVM = (
    "-Xms64m",
    "-Xmx512m",
    # one thread that works and is done: what G1 does beside the broker is taken from PostgreSQL and the services
    "-XX:+UseSerialGC",
    # compiled once and simply: ready in half the processor time
    "-XX:TieredStopAtLevel=1",
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
    "listener.security.protocol.map": "BROKER:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
    # who it is is proved, by SCRAM; a controller takes PLAIN only, which stays on this machine
    "sasl.enabled.mechanisms": MECHANISM,
    "sasl.mechanism.inter.broker.protocol": MECHANISM,
    "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
    "sasl.mechanism.controller.protocol": "PLAIN",
    # a name whose password was taken away is out within the hour (aiokafka then comes anew, with what its file says)
    "connections.max.reauth.ms": "3600000",
    # what no ACL allows is refused
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "false",
    "super.users": f"User:{ITSELF};User:{OPERATOR}",
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
    password: Callable[[str], str] = field(repr=False)
    """Each principal's."""
    settings: Mapping[str, str] = field(default_factory=dict)
    child: Child | None = None
    _java: list[str | Path] = field(default_factory=list, repr=False)

    def broker(self, principal: str = OPERATOR) -> Broker:
        """For a client that comes as this principal."""
        return Broker(f"127.0.0.1:{self.port}", principal, self.password(principal))

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
        properties = self.folder / "server.properties"
        if not self._data.exists():
            self._make_data(self._java)
        elif properties.exists() and "StandardAuthorizer" not in properties.read_text():
            raise Trouble(
                f"{self.folder} was made when Kafka asked nobody for a password, and does not know the passwords that "
                "it asks for now: `make reset` forgets what local runs have stored, and the next run makes it anew."
            )
        keep_secret(self.folder, properties.name, self._properties(self._data))

    def launch(self) -> Child:
        """Start the prepared node, without waiting."""
        command = [*self._java, "kafka.Kafka", self.folder / "server.properties"]
        self.child = spawn("Kafka", command, log=self.log, cwd=self.folder)
        _yield_to_others(self.child.pid)
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
            f"listener.name.broker.{MECHANISM.lower()}.sasl.jaas.config": self._login("scram.Scram"),
            "listener.name.controller.plain.sasl.jaas.config": self._login("plain.Plain", f"user_{ITSELF}"),
            **self.settings,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    def _login(self, kind: str, *more: str) -> str:
        """The broker's own login, and what else has its password."""
        names = " ".join(f'{name}="{self.password(ITSELF)}"' for name in ("password", *more))
        return f'org.apache.kafka.common.security.{kind}LoginModule required username="{ITSELF}" {names};'

    def _make_data(self, java: list[str | Path]) -> None:
        draft = Path(tempfile.mkdtemp(prefix="making-", dir=self.folder))
        try:
            properties = keep_secret(draft, "format.properties", self._properties(draft / "data"))
            cluster = urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")  # as Kafka writes its ids
            # one word: an id may begin with a dash
            command = ["kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id={cluster}"]
            command += ["--config", str(properties)]
            for name in (ITSELF, OPERATOR):
                command += ["--add-scram", f"{MECHANISM}=[name={name},password={self.password(name)}]"]
            # the program and its arguments from a file: on the command line they would stand in the process list
            arguments = keep_secret(draft, "format.arguments", "\n".join(f'"{word}"' for word in command))
            made = subprocess.run([*map(str, java), f"@{arguments}"], capture_output=True, text=True, check=False)
            if made.returncode != 0:
                said = (made.stderr or made.stdout).strip()
                raise Trouble(f"Kafka's data folder could not be made in {self.folder}: {said}")
            (draft / "data").rename(self._data)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _yield_to_others(pid: int) -> None:
    os.setpriority(os.PRIO_PROCESS, pid, YIELDING)
    # Where Linux groups processes by session (sched_autogroup, Debian's default), a niceness counts within its session
    # alone; between sessions counts the group's.
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(YIELDING))


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
