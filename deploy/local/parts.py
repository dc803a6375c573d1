"""The parts of a local run: how each is started, and what each lacks until it is ready.

Ranks say who needs whom: PostgreSQL 0, Kafka 1, the issuer 2, the services 3. They stop in the reverse of that.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from deploy.local import kafka, postgres
from deploy.local.databases import Logins
from deploy.local.kafka import Kafka
from deploy.local.layout import ROOT, Layout
from deploy.local.postgres import Postgres
from deploy.local.process import Child, spawn
from deploy.local.secret_files import keep_secret, password_file, secret, secret_file
from deploy.local.supervisor import Part
from libs.events.log.broker import Broker
from libs.events.log.keyring import new_master

SERVICE_STOP_LIMIT_S = 12.0
"""A service goes by itself within ten seconds (libs.service.run)."""


def postgres_server(layout: Layout) -> Postgres:
    return Postgres(
        layout.var / "postgres",
        layout.postgres_port,
        secret(layout.secrets, "postgres.password"),
        layout.log("postgres"),
    )


def kafka_node(layout: Layout) -> Kafka:
    """Kafka, with the passwords of this run."""
    return Kafka(
        layout.var / "kafka", layout.kafka_port, layout.controller_port, layout.log("kafka"), kafka_password(layout)
    )


def kafka_password(layout: Layout) -> Callable[[str], str]:
    """Of each principal."""
    return lambda principal: kafka_password_file(layout, principal).read_text()


def kafka_password_file(layout: Layout, principal: str) -> Path:
    return password_file(layout.secrets, f"kafka-{principal}.password")


def masters_file(layout: Layout) -> Path:
    """The master keys, of all services."""
    return secret_file(layout.secrets, "master.keys", lambda: new_master().line())


def postgres_part(server: Postgres) -> Part:
    def trouble() -> str | None:
        return None if server.ready() else "it does not take connections yet"

    return Part("postgres", 0, server.launch, trouble, postgres.START_LIMIT_S, postgres.STOP_LIMIT_S)


def kafka_part(node: Kafka) -> Part:
    def trouble() -> str | None:
        return None if node.ready() else "it does not answer yet"

    return Part("kafka", 1, node.launch, trouble, kafka.START_LIMIT_S, kafka.STOP_LIMIT_S)


def issuer_part(layout: Layout) -> Part:
    def launch() -> Child:
        return spawn(
            "issuer",
            [sys.executable, "-m", "deploy.local.issuer", "127.0.0.1", str(layout.issuer_port), layout.secrets],
            log=layout.log("issuer"),
            cwd=ROOT,
        )

    return Part("issuer", 2, launch, lambda: what_is_missing(layout.issuer_url + "/healthz"), 30.0, 5.0)


def service_part(layout: Layout, service: str, environment: dict[str, str]) -> Part:
    def launch() -> Child:
        command = [sys.executable, "-m", f"services.{service}"]
        return spawn(service, command, log=layout.log(service), cwd=ROOT, env=environment)

    return Part(
        service, 3, launch, lambda: what_is_missing(layout.url(service) + "/readyz"), 90.0, SERVICE_STOP_LIMIT_S
    )


def service_environment(layout: Layout, logins: Logins, broker: Broker) -> dict[str, str]:
    """A service's settings. Its passwords stand in files, not in its environment. `broker` is the operator's: the
    service comes by a name of its own there, where that Kafka asks for names."""
    steered = {"DATABASE_URL", "MIGRATION_DATABASE_URL", "MASTER_KEYS", "HOST", "SOURCE", "OIDC_AUDIENCE"}
    if broker.username is not None:  # the operator's are nobody else's
        steered |= {"KAFKA_PASSWORD", "KAFKA_USERNAME", "KAFKA_CERTIFICATE_FILE", "KAFKA_KEY_FILE"}
    environment = {name: value for name, value in os.environ.items() if name not in steered}
    if broker.username is not None:
        environment["KAFKA_USERNAME"] = logins.service
        environment["KAFKA_PASSWORD_FILE"] = str(kafka_password_file(layout, logins.service))
    return environment | {
        "HOST": "127.0.0.1",
        "PORT": str(layout.port(logins.service)),
        "SOURCE": f"/{logins.service}",
        "DATABASE_URL_FILE": str(_address_file(layout.secrets, logins)),
        "MASTER_KEYS_FILE": str(masters_file(layout)),
        "KAFKA_BOOTSTRAP_SERVERS": broker.servers,
        "OIDC_ISSUER": layout.issuer_url,
    }


def what_is_missing(url: str) -> str | None:
    """What a part says it lacks; None when it is ready."""
    try:
        with urllib.request.urlopen(url, timeout=3):  # noqa: S310 (our own address)
            return None
    except urllib.error.HTTPError as error:
        try:
            missing = json.loads(error.read())["missing"]
            return "; ".join(f"{part['name']}: {part['detail']}" for part in missing)
        except (ValueError, KeyError, TypeError, OSError):
            return f"it answers with status {error.code}"
    except OSError:
        return "it does not answer yet"


def _address_file(secrets: Path, logins: Logins) -> Path:
    return keep_secret(secrets, f"{logins.service}.url", logins.url)
