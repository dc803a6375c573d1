"""What the router answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import asyncpg
from pydantic import Field

from libs.events.envelope import Event
from libs.events.types.contacts import Channel, Line, Medium
from libs.events.types.directory import QueueDefined
from libs.events.types.routing import Candidate, Cause, ContactRouted
from libs.service.bodies import Answer
from services.router import entries
from services.router.contact import Contact, Status, evolve
from services.router.entries import Length
from services.router.handlers import Taken
from services.router.queue import QueueCondition, condition


class QueueState(Answer):
    """NENA i3 QueueState, and what we add to it."""

    queue_uri: str | None = Field(description="null: the directory no longer knows the queue.")
    queue_length: int
    queue_max_length: int | None
    state: QueueCondition = Field(
        description="`Disabled`: the directory no longer knows it, contacts in it can still be taken."
    )
    id: str
    name: str | None
    force: str | None = Field(description="null: the alliance's own.")
    priority: int | None = Field(description="Of its contacts; 1 is first.")
    oldest_waiting_since: datetime | None

    @classmethod
    def of(cls, queue_id: str, queue: QueueDefined | None, length: Length) -> QueueState:
        return cls(
            queue_uri=queue.uri if queue else None,
            queue_length=length.length,
            queue_max_length=queue.max_length if queue else None,
            state=condition(length.length, queue.max_length if queue else None),
            id=queue_id,
            name=queue.name if queue else None,
            force=queue.force if queue else None,
            priority=queue.priority if queue else None,
            oldest_waiting_since=length.oldest_waiting_since,
        )


class QueueStates(Answer):
    queues: list[QueueState]
    directory_age_seconds: float = Field(
        description="How long ago this copy of the router last knew that it had all of the directory."
    )


class CandidateAnswer(Answer):
    force: str
    share: float = Field(description="Of the location's area, 0 to 1. 0: the location is only near.")
    likelihood: float | None = Field(
        description="How likely the place is this force's, 0 to 1, the drawn border being what it is."
    )

    @classmethod
    def all_of(cls, candidates: Sequence[Candidate]) -> list[CandidateAnswer]:
        return [cls.model_validate(candidate) for candidate in candidates]


class QueueEntry(Answer):
    contact: str
    reference: str | None = Field(description="null: the contact's own facts could not be read.")
    priority: int
    waiting_since: datetime
    channel: Channel | None
    medium: Medium | None
    line: Line | None
    owning_force: str | None
    presented_force: str | None
    incident_force: str | None
    provisional: bool
    cause: Cause
    candidates: list[CandidateAnswer]
    needs_handler: bool = Field(description="false: a report that arrived whole; a recorder reads it.")

    @classmethod
    def of(cls, row: asyncpg.Record) -> QueueEntry:
        plain = {name: value for name, value in row.items() if name != "candidates"}
        return cls(**plain, candidates=CandidateAnswer.all_of(entries.candidates_of(row)))


class QueuePage(QueueState):
    """A queue and the contacts in it, in the order in which they will be taken."""

    entries: list[QueueEntry]
    next: str | None = Field(description="For `after`, to read on; null on the last page.")
    directory_age_seconds: float


class ContactTaken(Answer):
    """A contact that is now in the caller's hands."""

    contact: str
    reference: str | None
    queue: str
    owning_force: str | None
    presented_force: str | None
    incident_force: str | None
    answering_force: str | None
    answering_site: str | None
    provisional: bool = Field(description="Until a handler confirms the owner: ask.")
    cause: Cause
    candidates: list[CandidateAnswer]
    channel: Channel | None
    medium: Medium | None
    line: Line | None
    needs_handler: bool
    waiting_since: datetime
    answered_at: datetime
    waited_seconds: float

    @classmethod
    def of(cls, taken: Taken) -> ContactTaken:
        decision = _decision(taken.state)
        return cls(
            contact=taken.contact,
            reference=decision.reference,
            queue=taken.answered.queue,
            owning_force=decision.owning_force,
            presented_force=decision.presented_force,
            incident_force=decision.incident_force,
            answering_force=taken.answered.answering_force,
            answering_site=taken.answered.answering_site,
            provisional=decision.provisional,
            cause=decision.cause,
            candidates=CandidateAnswer.all_of(decision.candidates),
            channel=decision.channel,
            medium=decision.medium,
            line=decision.line,
            needs_handler=decision.needs_handler,
            waiting_since=decision.waiting_since,
            answered_at=taken.at,
            waited_seconds=taken.answered.waited_s,
        )


class DecisionAnswer(Answer):
    """One decision, as it was made."""

    version: int
    decided_at: datetime
    caused_by: str | None = Field(description="The id of intake's event; null: a handler's word.")
    owning_force: str | None
    provisional: bool
    cause: Cause
    queue: str
    recipient_uri: str
    priority: int
    candidates: list[CandidateAnswer]
    border_m: float | None
    location_id: str | None = Field(description="The location that decided.")
    incident_force: str | None
    generation: str | None = Field(description="Of the boundaries used.")
    contact_version: int
    directory_position: int

    @classmethod
    def of(cls, event: Event, decision: ContactRouted) -> DecisionAnswer:
        return cls(
            version=event.version,
            decided_at=event.time,
            caused_by=str(event.causation_id) if event.causation_id else None,
            owning_force=decision.owning_force,
            provisional=decision.provisional,
            cause=decision.cause,
            queue=decision.queue,
            recipient_uri=decision.recipient_uri,
            priority=decision.priority,
            candidates=CandidateAnswer.all_of(decision.candidates),
            border_m=decision.border_m,
            location_id=decision.location_id,
            incident_force=decision.incident_force,
            generation=decision.generation,
            contact_version=decision.contact_version,
            directory_position=decision.directory_position,
        )


class RoutingState(Answer):
    """Where a contact is now."""

    contact: str
    version: int
    status: Status
    reference: str | None
    channel: Channel | None
    medium: Medium | None
    line: Line | None
    owning_force: str | None
    presented_force: str | None
    incident_force: str | None
    answering_force: str | None
    answering_site: str | None
    handler: str | None
    provisional: bool
    confirmed: bool
    queue: str = Field(description="Where it waits, or would wait if it were given back.")
    priority: int
    waiting_since: datetime
    needs_handler: bool

    @classmethod
    def of(cls, subject: str, contact: Contact) -> RoutingState:
        return cls(**_state(subject, contact))


class ContactRouting(RoutingState):
    decisions: list[DecisionAnswer] = Field(description="Every decision that was made, in order.")

    @classmethod
    def told_by(cls, subject: str, events: Sequence[Event]) -> ContactRouting:
        contact = Contact()
        decisions = []
        for event in events:
            fact = entries.fact_of(event)
            contact = evolve(contact, fact)
            if isinstance(fact, ContactRouted):
                decisions.append(DecisionAnswer.of(event, fact))
        return cls(**_state(subject, contact), decisions=decisions)


def _decision(contact: Contact) -> ContactRouted:
    if contact.decision is None:
        raise LookupError("the contact is not routed")
    return contact.decision


def _state(subject: str, contact: Contact) -> dict[str, object]:
    decision = _decision(contact)
    return {
        "contact": subject,
        "version": contact.version,
        "status": contact.status,
        "reference": decision.reference,
        "channel": decision.channel,
        "medium": decision.medium,
        "line": decision.line,
        "owning_force": decision.owning_force,
        "presented_force": decision.presented_force,
        "incident_force": decision.incident_force,
        "answering_force": contact.answering_force,
        "answering_site": contact.answering_site,
        "handler": contact.handler,
        "provisional": decision.provisional,
        "confirmed": contact.confirmed_owner is not None,
        "queue": decision.queue,
        "priority": decision.priority,
        "waiting_since": decision.waiting_since,
        "needs_handler": decision.needs_handler,
    }


ReleaseReason = Literal["unfinished", "wrong-skill", "shift-end", "technical", "other"]
