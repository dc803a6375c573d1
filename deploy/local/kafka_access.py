"""Who may do what on Kafka: derived from the table of topics, and nowhere else.

    python -m deploy.local.kafka_access FORCE…      # as the operator: KAFKA_USERNAME, KAFKA_PASSWORD_FILE, …

Invariant: after `grant` a principal of ours (a service, a force) may do what the table says and nothing else; what it
may do besides, of an older table, is taken away. Where no rule allows, Kafka refuses
(`allow.everyone.if.no.acl.found=false`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from deploy.local.process import Trouble
from deploy.local.topics import READERS, SERVICES, all_topics, principal_of
from libs.events.log.broker import MECHANISM, Broker
from libs.service.settings import KafkaSettings

ITERATIONS = 4096
"""Passwords are random and long, so more would only keep a reconnecting service waiting."""
LIMIT_S = 30.0

_EVERYTHING = AclBindingFilter(
    ResourceType.ANY,
    None,  # type: ignore[arg-type]
    ResourcePatternType.ANY,
    None,  # type: ignore[arg-type]
    None,  # type: ignore[arg-type]
    AclOperation.ANY,
    AclPermissionType.ANY,
)


class Rule(NamedTuple):
    """One thing that a principal may do. On a topic or group, reading and writing imply describing."""

    principal: str
    operation: str
    """READ or WRITE. Writing to a topic is enough for an idempotent producer (KIP-679)."""
    on: str
    """TOPIC or GROUP."""
    name: str
    prefix: bool = False
    """Whatever begins with the name."""


def rules(forces: Iterable[str]) -> set[Rule]:
    """All there are. A reader's group is `<reader>@<source>`, a read model's `<reader>.<generation>@<source>`."""
    forces = list(forces)
    found = set()
    for topic in all_topics(forces):
        found |= {Rule(principal, "WRITE", "TOPIC", topic.name) for principal in topic.written_by}
        found |= {Rule(principal, "READ", "TOPIC", topic.name) for principal in topic.read_by}
    for reader, service in READERS.items():
        found |= {Rule(service, "READ", "GROUP", reader + end, prefix=True) for end in "@."}
    found |= {Rule(principal_of(force), "READ", "GROUP", f"{principal_of(force)}.", prefix=True) for force in forces}
    return found


def principals(forces: Iterable[str]) -> list[str]:
    return [*SERVICES, *map(principal_of, forces)]


def is_ours(principal: str) -> bool:
    return principal in SERVICES or principal.startswith(principal_of(""))


def furnish(broker: Broker, forces: Iterable[str], password: Callable[[str], str]) -> None:
    """Every principal with its password, every rule. `broker` is the operator's. Raises Trouble."""
    forces = list(forces)
    set_passwords(broker, {principal: password(principal) for principal in principals(forces)})
    grant(broker, forces)


def set_passwords(broker: Broker, passwords: Mapping[str, str]) -> None:
    """Make each principal's password this one. Connections that stand go on. Raises Trouble."""
    kind = ScramCredentialInfo(ScramMechanism[MECHANISM.replace("-", "_")], ITERATIONS)
    upserts: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(name, kind, word.encode()) for name, word in passwords.items()
    ]
    admin = _admin(broker)
    _done(broker, admin.alter_user_scram_credentials(upserts).values())


def grant(broker: Broker, forces: Iterable[str]) -> None:
    """Bring Kafka's rules for our principals to what the table says. Raises Trouble."""
    admin, wanted = _admin(broker), {_binding(rule) for rule in rules(forces)}
    [known] = _done(broker, [admin.describe_acls(_EVERYTHING, request_timeout=LIMIT_S)])
    theirs = {acl for acl in known if is_ours(acl.principal.removeprefix("User:"))}
    if missing := wanted - theirs:
        _done(broker, admin.create_acls([*missing], request_timeout=LIMIT_S).values())
    if surplus := theirs - wanted:
        _done(broker, admin.delete_acls([_filter(acl) for acl in surplus], request_timeout=LIMIT_S).values())


def _binding(rule: Rule) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if rule.prefix else ResourcePatternType.LITERAL
    operation = AclOperation[rule.operation]
    return AclBinding(
        ResourceType[rule.on], rule.name, pattern, f"User:{rule.principal}", "*", operation, AclPermissionType.ALLOW
    )


def _filter(acl: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        acl.restype,
        acl.name,
        acl.resource_pattern_type,
        acl.principal,
        acl.host,
        acl.operation,
        acl.permission_type,
    )


def _admin(broker: Broker) -> AdminClient:
    return AdminClient(librdkafka_options(broker))


def librdkafka_options(broker: Broker) -> dict[str, Any]:
    """What librdkafka's clients are told, as `Broker.options` tells aiokafka's."""
    given: dict[str, Any] = {
        "bootstrap.servers": broker.servers,
        "security.protocol": broker.protocol,
        "sasl.mechanism": MECHANISM if broker.username else None,
        "sasl.username": broker.username,
        "sasl.password": broker.current_password(),
        "ssl.ca.location": broker.ca_file and str(broker.ca_file),
        "ssl.certificate.location": broker.certificate_file and str(broker.certificate_file),
        "ssl.key.location": broker.key_file and str(broker.key_file),
        "log_level": 0,
    }
    return {name: value for name, value in given.items() if value is not None}


def _done(broker: Broker, futures: Iterable[Future[Any]]) -> list[Any]:
    try:
        return [future.result(LIMIT_S) for future in futures]
    except (KafkaException, TimeoutError) as error:
        why = error.args[0].str() if isinstance(error, KafkaException) else f"no answer within {LIMIT_S:.0f} s"
        raise Trouble(
            f"Kafka at {broker.servers} did not take principals and ACLs from {broker.username} ({why}): give a "
            "principal that may alter the cluster, as KAFKA_USERNAME and KAFKA_PASSWORD_FILE."
        ) from error


def main() -> None:
    try:
        grant(KafkaSettings.read().broker, sys.argv[1:])
    except Trouble as trouble:
        sys.exit(str(trouble))


if __name__ == "__main__":
    main()
