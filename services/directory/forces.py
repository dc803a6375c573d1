"""What an alliance should be, and the facts that make it so. Pure.

Invariant: the facts are in such an order that after each of them every contact still has a queue to go to: what is new
comes first, then the alliance that uses it, and last what is gone. Where nothing changed there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from libs.alliance import Alliance
from libs.events.types import Fact
from libs.events.types.directory import (
    AllianceDefined,
    EntityWithdrawn,
    ForceDefined,
    ForceKind,
    LineDefined,
    QueueDefined,
    Reach,
    SiteDefined,
)
from libs.events.types.manner import HolidaysDefined
from services.directory.alliance_file import AllianceFile
from services.directory.manner_entries import default_pattern


class KnownForce(NamedTuple):
    """One of the police forces of the United Kingdom."""

    id: str
    name: str
    ons_code: str | None
    pnc_code: str | None
    kind: ForceKind = "territorial"
    reach: tuple[Reach, ...] = ()


class Contradiction(Exception):
    """The file says of a force what is not so. Its message is one sentence for whoever wrote the file."""


class Change(NamedTuple):
    subject: str
    fact: Fact


def desired(
    file: AllianceFile, known: Iterable[KnownForce], holidays: Iterable[HolidaysDefined] = ()
) -> dict[str, Fact]:
    """Every entity as it should be, by subject: the file's, all other known forces as neighbours, and these calendars.

    Raises Contradiction where the file gives a known force another code.
    """
    neighbours = {force.id: force for force in known}
    alliance = file.alliance
    facts: dict[str, Fact] = {}
    for member in file.forces:
        listed = neighbours.pop(member.id, None)
        for code in ("ons_code", "pnc_code"):
            given = getattr(member, code)
            if listed is not None and given not in (None, getattr(listed, code)):
                raise Contradiction(f"forces: the {code} of {member.id} is {getattr(listed, code)}, not {given}.")
        facts[f"force/{member.id}"] = ForceDefined(
            id=member.id,
            name=member.name,
            ons_code=member.ons_code or (listed.ons_code if listed else None),
            pnc_code=member.pnc_code or (listed.pnc_code if listed else None),
            agency=member.agency or f"{member.id}.{alliance.domain}",
            signed_policies=member.signed_policies,
            kind=listed.kind if listed else "territorial",
            reach=listed.reach if listed else (),
        )
    for force in neighbours.values():
        facts[f"force/{force.id}"] = ForceDefined(**force._asdict(), member=False)
    for site in file.sites:
        facts[f"site/{site.id}"] = SiteDefined(**site.model_dump())
    for queue in file.queues:
        uri = queue.uri or f"sip:{queue.id}@{alliance.domain}"
        facts[f"queue/{queue.id}"] = QueueDefined(**queue.model_dump() | {"uri": uri})
    for line in file.lines:
        facts[f"line/{line.id}"] = LineDefined(**line.model_dump())
    facts |= dict(_manners(file, holidays))
    for agreement in file.agreements:
        facts[f"agreement/{agreement.id}"] = agreement.fact()
    facts[f"alliance/{alliance.id}"] = AllianceDefined(
        id=alliance.id,
        name=alliance.name,
        default_queue=alliance.default_queue,
        domain=alliance.domain,
        policy_authorities=alliance.policy_authorities,
    )
    return facts


def _manners(file: AllianceFile, holidays: Iterable[HolidaysDefined]) -> Iterator[tuple[str, Fact]]:
    """How its forces are open, greet and number their crimes."""
    for calendar in (*holidays, *(entry.fact() for entry in file.holidays)):
        yield f"holidays/{calendar.id}", calendar
    owners: dict[str, Mapping[str, str | None]] = {
        "force": {force.id: force.id for force in file.forces},
        "queue": {queue.id: queue.force for queue in file.queues},
        "line": {line.id: line.force for line in file.lines},
    }
    for hours in file.hours:
        fact = hours.fact(None)
        yield f"hours/{hours.id}", msgspec.structs.replace(fact, force=owners[fact.of][fact.subject])
    for greeting in file.greetings:
        yield f"greeting/{greeting.id}", greeting.fact()
    said = {reference.force: reference.fact() for reference in file.crime_references}
    for force in file.forces:
        yield f"crime-reference/{force.id}", said.get(force.id) or default_pattern(force.id, force.pnc_code)


def changes(wanted: Mapping[str, Fact], current: Alliance) -> list[Change]:
    """What must be said so that `current` becomes `wanted`, in the order in which to say it."""
    stored = dict(_stored(current))
    said = [Change(subject, fact) for subject, fact in wanted.items() if stored.get(subject) != fact]
    alliance = next((fact for fact in wanted.values() if isinstance(fact, AllianceDefined)), None)
    reason = f"not in {alliance.name} as it was last loaded" if alliance else "no alliance"
    gone = [subject for subject in stored if subject not in wanted]
    said += [Change(subject, EntityWithdrawn(entity=subject, reason=reason)) for subject in gone]
    return said


def _stored(current: Alliance) -> Iterator[tuple[str, Fact]]:
    """What is there, by subject, in the order in which it may go."""
    tables: Sequence[tuple[str, Mapping[str, Fact]]] = (
        ("line", current.lines),
        ("queue", current.queues),
        ("site", current.sites),
        ("force", current.forces),
        ("agreement", current.agreements),
        ("crime-reference", current.crime_references),
        ("greeting", current.greetings),
        ("hours", current.hours),
        ("holidays", current.holidays),
    )
    for kind, table in tables:
        for name, fact in table.items():
            yield f"{kind}/{name}", fact
    if current.defined is not None:
        yield f"alliance/{current.defined.id}", current.defined
