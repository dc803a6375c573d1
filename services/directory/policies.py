"""The policy store: each force's routing policies, every version of them, and who may change them.

Invariants
  * A policy is kept byte for byte as its owner wrote it, in the envelope that it came in.
  * Of what is stored nothing is changed: a new version, or the withdrawal, is the next event of the policy's stream,
    with who said so and why.
  * What a caller reads, and what a change of his is decided on, is read under his scope (schema.sql).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import msgspec
import structlog
from cryptography.x509 import Certificate

from libs.alliance import Alliance
from libs.events.envelope import Event, Malformed, events_of
from libs.events.log import scope
from libs.events.log.database import Database
from libs.events.log.scope import Scope
from libs.events.log.store import Append, append, event_of, load
from libs.events.types.directory import PolicyStored, PolicyWithdrawn
from libs.policy import NORMAL_NEXT_HOP, OTHER, Fault, Policy, Refused, authorities, domain_of, open_envelope, read

log = structlog.get_logger(__name__)

_IN_SCOPE = "SELECT * FROM policies_in_scope($1, $2, $3)"


class Agency(msgspec.Struct, frozen=True):
    """Whose a policyOwner is."""

    force: str | None
    """None: the alliance's own."""
    must_sign: bool


class Envelope(msgspec.Struct, frozen=True):
    """A policy as it comes and goes: a JWS in the flattened JSON serialisation."""

    payload: str
    protected: str
    signature: str


@dataclass(frozen=True)
class Said:
    """Who changes a policy, and why."""

    by: str
    reason: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True)
class Kept:
    """A policy as it stands, or stood."""

    stored: PolicyStored
    version: int
    at: datetime


class Absent(Exception):
    """There is no such policy, or none that the asker may know of."""


def agency_of(alliance: Alliance, owner: str) -> Agency | None:
    """Whose policies a policyOwner's are; None: nobody's here."""
    domain = domain_of(owner)
    if domain is None:
        return None
    if alliance.defined is not None and domain == alliance.defined.domain:
        return Agency(None, must_sign=False)
    force = next((one for one in alliance.members if one.agency == domain), None)
    return None if force is None else Agency(force.id, force.signed_policies)


def subject_of(force: str | None, kind: str, name: str) -> str:
    """The stream of a policy. A queue's name may be longer than a stream's, and an id anything at all."""
    digest = hashlib.sha256(msgspec.json.encode((force, kind, name))).hexdigest()[:32]
    return f"policy/{digest}"


def accept(envelope: Envelope, alliance: Alliance, now: datetime) -> tuple[Policy, Agency]:
    """The policy in the envelope, if it may be stored. Raises libs.policy.Refused.

    A signature that is there is verified before anything is read; whether there must be one depends on whose policy it
    says it is.
    """
    trusted = _trusted(alliance.defined.policy_authorities if alliance.defined else None)
    opened = open_envelope(*msgspec.structs.astuple(envelope), trusted=trusted, now=now, signed=False)
    policy = read(opened.document, now)
    agency = agency_of(alliance, policy.owner)
    if agency is None:
        right = "must be the agency of a force of this alliance, as GET /v1/forces names it, or the alliance's domain"
        raise Refused([Fault("agency", right, "/policyOwner")])
    if agency.must_sign and opened.names is None:
        raise Refused([Fault("algorithm", "must be signed with EdDSA (Ed448): its force takes no unsigned policies")])
    if opened.names is not None and not opened.signed_by(policy.owner, policy.key.domain):
        raise Refused([Fault("signature", "must be signed by its owner: the certificate names somebody else")])
    for queue in alliance.queues.values():
        if queue.uri == policy.queue_name and queue.force != agency.force:
            raise Refused([Fault("structure", "must be a queue of its owner's", "/policyQueueName")])
    return policy, agency


@lru_cache(maxsize=4)
def _trusted(pem: str | None) -> tuple[Certificate, ...]:
    return () if pem is None else tuple(authorities(pem))


def warnings_of(policy: Policy, alliance: Alliance) -> tuple[str, ...]:
    """What the policy's own warnings cannot know: whether there is such a queue."""
    if policy.key.type not in (OTHER, NORMAL_NEXT_HOP) and policy.queue_name not in {
        queue.uri for queue in alliance.queues.values()
    }:
        return (*policy.warnings, "The alliance has no queue of this policyQueueName: nothing comes in on it.")
    return policy.warnings


async def store(
    database: Database,
    seen: Scope,
    policy: Policy,
    agency: Agency,
    envelope: Envelope,
    said: Said,
    *,
    warnings: tuple[str, ...],
    replaces: bool,
) -> int:
    """Keep the policy as the next version of itself; its number. What stands already is not said again.

    `replaces`: there must be one. Raises Absent, and Conflict where somebody else was quicker.
    """
    subject = subject_of(agency.force, policy.key.type, policy.key.name)
    fact = PolicyStored(
        id=subject.partition("/")[2],
        force=agency.force,
        policy_owner=policy.owner,
        policy_type=policy.key.type,
        policy_queue_name=policy.queue_name,
        policy_id=policy.policy_id,
        policy_expiration_time=None if policy.expires is None else policy.expires.astimezone(UTC),
        payload=envelope.payload,
        protected=envelope.protected,
        signature=envelope.signature,
        warnings=warnings,
        by=said.by,
        reason=said.reason,
    )
    async with database.transaction() as connection:
        await scope.begin(connection, seen)
        events = await load(connection, subject)
        standing = _standing(events)
        if replaces and standing is None:
            raise Absent
        if standing is not None and _same(standing, envelope):
            return len(events)
        await append(connection, [_next(database, subject, len(events), fact, agency.force, said)])
    return len(events) + 1


async def withdraw(database: Database, seen: Scope, agency: Agency, kind: str, name: str, said: Said) -> None:
    """The policy holds no more. Raises Absent, and Conflict where somebody else was quicker."""
    subject = subject_of(agency.force, kind, name)
    fact = PolicyWithdrawn(id=subject.partition("/")[2], force=agency.force, by=said.by, reason=said.reason)
    async with database.transaction() as connection:
        await scope.begin(connection, seen)
        events = await load(connection, subject)
        if _standing(events) is None:
            raise Absent
        await append(connection, [_next(database, subject, len(events), fact, agency.force, said)])


async def kept(database: Database, seen: Scope, at: datetime | None = None) -> list[Kept]:
    """Every policy of the scope that is stored (at a moment: was), those left out that have expired by then."""
    rows = await database.fetch(_IN_SCOPE, *seen, at)
    moment = at or datetime.now(UTC)
    found = []
    for event in (event_of(row, database.source) for row in rows):
        stored = _fact(event)
        if isinstance(stored, PolicyStored) and not _expired(stored, moment):
            found.append(Kept(stored, event.version, event.time))
    return sorted(found, key=_by_name)


def _by_name(one: Kept) -> tuple[str, str, str]:
    stored = one.stored
    return stored.force or "", stored.policy_type, stored.policy_queue_name or stored.policy_id or ""


def _next(
    database: Database, subject: str, after: int, fact: PolicyStored | PolicyWithdrawn, force: str | None, said: Said
) -> Append:
    events = events_of(
        [fact], source=database.source, subject=subject, after=after, force=force, traceparent=said.traceparent
    )
    return Append(subject, after, events)


def _standing(events: list[Event]) -> PolicyStored | None:
    latest = _fact(events[-1]) if events else None
    return latest if isinstance(latest, PolicyStored) else None


def _fact(event: Event) -> object:
    try:
        return event.fact
    except Malformed as error:
        log.error("own_event_malformed", event_id=str(event.id), type=event.type, error=str(error))
        return None


def _same(stored: PolicyStored, envelope: Envelope) -> bool:
    return Envelope(stored.payload, stored.protected, stored.signature) == envelope


def _expired(stored: PolicyStored, now: datetime) -> bool:
    return stored.policy_expiration_time is not None and stored.policy_expiration_time <= now


def matching(
    policies: list[Kept], *, force: Agency | None, kind: str | None, queue_name: str | None, policy_id: str | None
) -> Iterator[Kept]:
    """Those of an owner, a type, a queue, an id; None: of any."""
    for one in policies:
        stored = one.stored
        if (
            (force is None or stored.force == force.force)
            and kind in (None, stored.policy_type)
            and queue_name in (None, stored.policy_queue_name)
            and policy_id in (None, stored.policy_id)
        ):
            yield one
