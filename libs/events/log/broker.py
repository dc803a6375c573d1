"""Where Kafka is, and as whom we come to it: one value, which everything that reads or writes is given.

Invariant: what stands in files (the password, certificates) is read when it is needed and never kept, so that it may be
changed under us: the password for each new connection, certificates for each new client.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

log = structlog.get_logger(__name__)

MECHANISM = "SCRAM-SHA-512"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
KNOCK_S = 3.0
WATCH_S = 10.0

_ACLS = "its ACL is missing (`python -m deploy.local.kafka_access` makes all of them), or has not arrived yet"


@dataclass(frozen=True, slots=True)
class Broker:
    """Kafka's addresses, our name and password there, and by which certificates each knows the other (PEM)."""

    servers: str
    """`host:port`, several with commas."""
    username: str | None = None
    password: str | Path | None = field(default=None, repr=False)
    """The password, or the file that it stands in."""
    ca_file: Path | None = None
    """Whose signature the brokers' certificates bear; the system's authorities where it is left out."""
    certificate_file: Path | None = None
    key_file: Path | None = None
    allow_plaintext: bool = False
    """Send a password's proof and all data unencrypted to another machine."""

    @property
    def tls(self) -> bool:
        if self.ca_file is not None or self.certificate_file is not None:
            return True
        hosts = {host for host, _, _ in collect_hosts(self.servers)}
        return self.username is not None and not self.allow_plaintext and not hosts <= LOOPBACK

    @property
    def protocol(self) -> str:
        """As Kafka calls it: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
        secured = "SSL" if self.tls else "PLAINTEXT"
        return secured if self.username is None else f"SASL_{secured}"

    @property
    def open_to_all(self) -> bool:
        """Whether Kafka cannot know who comes: then it cannot refuse anybody either."""
        return self.username is None and self.certificate_file is None

    def options(self) -> dict[str, Any]:
        """What each of aiokafka's clients is told. Raises OSError where a certificate cannot be used."""
        options: dict[str, Any] = {"bootstrap_servers": self.servers, "security_protocol": self.protocol}
        if self.tls:
            options["ssl_context"] = self._certificates()
        if self.username is not None:
            password = _InFile(self.password) if isinstance(self.password, Path) else self.password
            options |= {"sasl_mechanism": MECHANISM, "sasl_plain_username": self.username}
            options["sasl_plain_password"] = password
        return options

    def current_password(self) -> str | None:
        """Raises OSError where its file cannot be read."""
        return _read(self.password).decode() if isinstance(self.password, Path) else self.password

    def _certificates(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    async def knock(self) -> None:
        """Connect as a client would, and go. Raises what keeps us out, which aiokafka's clients only log."""
        options = self.options()
        failed: BaseException = KafkaConnectionError("no address")
        for host, port, _ in collect_hosts(options.pop("bootstrap_servers")):
            try:
                async with asyncio.timeout(KNOCK_S):
                    connection = await create_conn(
                        host, port, client_id="hueandcry-knock", request_timeout_ms=KNOCK_S * 1000, **options
                    )
                    try:
                        await connection.send(MetadataRequest([]))
                        return
                    finally:
                        connection.close()
            except (KafkaError, OSError, TimeoutError) as error:
                failed = error
        raise failed

    async def why(self, error: BaseException) -> str:
        """In a sentence for people who operate this, without an address: why a client failed, and what to mend."""
        if type(error) in (KafkaConnectionError, NodeNotReadyError):
            try:
                await self.knock()
            except (KafkaError, OSError, TimeoutError) as closer:
                error = closer
        return self._sentence(error)

    def _sentence(self, error: BaseException) -> str:
        us = self.username or "a client without a name"
        match error:
            case SaslAuthenticationFailed():
                return (
                    f"Kafka refuses the name {us} or its password: see KAFKA_USERNAME and KAFKA_PASSWORD (or "
                    "KAFKA_PASSWORD_FILE), which the broker must know"
                )
            case UnsupportedSaslMechanismError():
                return f"Kafka does not take {MECHANISM} there: enable it on that listener, or use another one"
            case TopicAuthorizationFailedError():
                return f"Kafka does not let {us} use the topic {_named(error)}: {_ACLS}"
            case GroupAuthorizationFailedError():
                return f"Kafka does not let {us} read as the group {_named(error)}: {_ACLS}"
            case ClusterAuthorizationFailedError():
                return f"Kafka does not let {us} write: {_ACLS}"
            case ssl.SSLCertVerificationError():
                return (
                    f"Kafka's certificate is not believed ({error.verify_message}): see KAFKA_CA_FILE, and that "
                    "KAFKA_BOOTSTRAP_SERVERS names the host as the certificate does"
                )
            case ssl.SSLError():
                return (
                    "Kafka could not agree on TLS with us: see KAFKA_CA_FILE, KAFKA_CERTIFICATE_FILE and the listener"
                )
            case FileNotFoundError() | PermissionError() if error.filename is not None:
                return "a file with Kafka's password or certificates cannot be read: see the KAFKA_…_FILE settings"
            case KafkaConnectionError() if self.protocol == "PLAINTEXT":
                return (
                    "Kafka ends the connection or is not there; it may want a name and password (KAFKA_USERNAME, "
                    "KAFKA_PASSWORD_FILE) or TLS (KAFKA_CA_FILE)"
                )
            case OSError() | TimeoutError() | KafkaConnectionError() | NodeNotReadyError():
                return f"Kafka cannot be reached ({type(error).__name__})"
            case _:
                return type(error).__name__


class Watch:
    """Comes to Kafka anew every ten seconds.

    A client that runs does not say when its reconnection is refused: a password that was changed, a certificate that
    has run out, would be noticed as silence.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._trouble: str | None = None

    def trouble(self) -> str | None:
        """For readiness."""
        if self._trouble is None and self._broker.open_to_all:
            return (
                "Kafka is used without a name, so anybody who reaches it reads and writes everything: set "
                "KAFKA_USERNAME and KAFKA_PASSWORD_FILE"
            )
        return self._trouble

    async def run(self) -> None:
        if self._broker.open_to_all:
            log.warning("kafka_open_to_all", mend="set KAFKA_USERNAME and KAFKA_PASSWORD_FILE")
        while True:
            try:
                await self._broker.knock()
                self._trouble = None
            except (KafkaError, OSError, TimeoutError) as error:
                before, self._trouble = self._trouble, self._broker._sentence(error)
                if self._trouble != before:
                    log.warning("kafka_keeps_us_out", why=self._trouble)
            await asyncio.sleep(WATCH_S if self._trouble is None else 1.0)


class _InFile:
    """A password that aiokafka encodes for each connection it makes: read then, and again for the next."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def encode(self, _encoding: str) -> bytes:
        return _read(self._path)


def _read(path: Path) -> bytes:
    return path.read_bytes().rstrip(b"\r\n")


def _named(error: KafkaError) -> str:
    """What the broker would not let us use. Names of topics and groups are no secrets; they stand in the repository."""
    return str(error.args[0]) if error.args else "that it reads or writes"
