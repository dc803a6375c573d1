"""Whose a thing is, and to whom that shows it: the force scopes that `libs.service.access` gives to roles.

A scope is a set of ties: who has one of them to a thing may know of it. What may be known and what the documents say
are made from the same members.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from libs.service.caller import Caller


class Tie(Enum):
    """How a thing may belong to a caller."""

    BROUGHT = "brought"
    """The caller is the gateway that brought it."""
    LEG = "leg"
    """The caller is a gateway that brought a further leg of it."""
    OWNED = "owned"
    """By a force of the token."""
    PRESENTED = "presented"
    """To a force of the token."""
    ANSWERED = "answered"
    """For a force of the token."""
    HELD = "held"
    """It is in the caller's own hands, or was when it ended."""
    OWNED_AT_HOME = "owned-at-home"
    """By the caller's home force."""
    PRESENTED_AT_HOME = "presented-at-home"
    """To the caller's home force."""
    ALLIANCE = "alliance"
    """It is nobody's yet, or waits in the alliance's own queue; and the token has the claim `alliance`."""


@dataclass(frozen=True, slots=True)
class Belongs:
    """Whose a thing is, as far as the service that asks knows."""

    owners: frozenset[str | None] = frozenset()
    """Forces; None among them: it is nobody's yet, and so the alliance's."""
    presented: str | None = None
    answering: str | None = None
    handler: str | None = None
    gateway: str | None = None
    legs: frozenset[str] = frozenset()
    """The gateways of its further legs."""
    alliances: bool = False
    """It waits in a queue of the alliance's own, whoever owns it."""

    @classmethod
    def to(cls, *owners: str | None, **rest: str | bool | frozenset[str] | None) -> Belongs:
        return cls(frozenset(owners), **rest)  # type: ignore[arg-type]

    def has(self, tie: Tie, caller: Caller) -> bool:
        match tie:
            case Tie.OWNED:
                return not self.owners.isdisjoint(caller.forces)
            case Tie.PRESENTED:
                return self.presented in caller.forces
            case Tie.ANSWERED:
                return self.answering in caller.forces
            case Tie.HELD:
                return self.handler is not None and self.handler == caller.subject
            case Tie.BROUGHT:
                return self.gateway is not None and self.gateway == caller.subject
            case Tie.OWNED_AT_HOME:
                return not self.owners.isdisjoint(filter(None, caller.at_home))
            case Tie.PRESENTED_AT_HOME:
                return self.presented is not None and self.presented in caller.at_home
            case Tie.LEG:
                return caller.subject in self.legs
            case Tie.ALLIANCE:
                return caller.alliance and (self.alliances or None in self.owners)


_BY_BREAK_GLASS = "What else is of a force of theirs, by break-glass alone."
_ALLIANCES = "nobody's yet, or whose owner has no queue for them."


class Scope(Enum):
    """What of a kind of thing a role may know of: a sentence for the documents, and the ties of which one is needed."""

    sentence: str
    ties: frozenset[Tie] | None
    """None: whatever the token's forces."""

    def __init__(self, sentence: str, ties: frozenset[Tie] | None) -> None:
        self.sentence = sentence
        self.ties = ties

    TAKEN = "a contact is taken for whichever force it is.", None
    PUBLIC = "whatever the token's forces: it is the alliance's, and nothing in it is personal.", None
    PLACE = "whatever the token's forces; the place asked for is neither kept nor logged.", None
    PARKED = "this service's parked events, of every force; no personal data is shown.", None

    BROUGHT = (
        "contacts that it brought itself, or that are in its own hands.",
        frozenset({Tie.BROUGHT, Tie.HELD}),
    )
    CARRIED = (
        "contacts that it brought itself, or brought a leg of, or that are in its own hands.",
        frozenset({Tie.BROUGHT, Tie.LEG, Tie.HELD}),
    )
    FURTHER_LEG = (
        "calls that it brought, whole or a leg of, or has in its own hands, and without being shown them those that a "
        "force of the token owns or was presented with; with the claim `alliance` also those that are " + _ALLIANCES,
        frozenset({Tie.BROUGHT, Tie.LEG, Tie.HELD, Tie.OWNED, Tie.PRESENTED, Tie.ALLIANCE}),
    )
    CONTACT = (
        "contacts that a force of theirs owns or was presented with; with the claim `alliance` also those that are "
        + _ALLIANCES,
        frozenset({Tie.OWNED, Tie.PRESENTED, Tie.ALLIANCE}),
    )
    OPENED = (
        "contacts that their home force owns or was presented with, that are in their own hands, or that they brought "
        "themselves; with the claim `alliance` also those that are " + _ALLIANCES + " " + _BY_BREAK_GLASS,
        frozenset({Tie.OWNED_AT_HOME, Tie.PRESENTED_AT_HOME, Tie.HELD, Tie.BROUGHT, Tie.ALLIANCE}),
    )
    QUEUE = (
        "queues of the token's forces; with the claim `alliance` also the alliance's own.",
        frozenset({Tie.OWNED, Tie.ALLIANCE}),
    )
    ROUTED = (
        "contacts that a force of theirs owns, was presented with or answers, or that are in their own hands; with the "
        "claim `alliance` also those that are " + _ALLIANCES,
        frozenset({Tie.OWNED, Tie.PRESENTED, Tie.ANSWERED, Tie.HELD, Tie.ALLIANCE}),
    )
    RECORDED = (
        "contacts that a force of theirs owns, was presented with or answered; with the claim `alliance` also those "
        "that are " + _ALLIANCES,
        frozenset({Tie.OWNED, Tie.PRESENTED, Tie.ANSWERED, Tie.ALLIANCE}),
    )
    DISPOSED = (
        "contacts that a force of theirs owns, was presented with or answered, or that they answered themselves, and "
        "incidents they may see; with the claim `alliance` also those that are " + _ALLIANCES,
        frozenset({Tie.OWNED, Tie.PRESENTED, Tie.ANSWERED, Tie.HELD, Tie.ALLIANCE}),
    )
    INCIDENT = (
        "incidents that a force of theirs owns, or whose contacts one did; with the claim `alliance` also nobody's.",
        frozenset({Tie.OWNED, Tie.ALLIANCE}),
    )
    PROTECTED = (
        "contacts that a force of theirs owns; with the claim `alliance` also those that are " + _ALLIANCES,
        frozenset({Tie.OWNED, Tie.ALLIANCE}),
    )
    CRIMED = (
        "incidents that a force of theirs owns; with the claim `alliance` also nobody's.",
        frozenset({Tie.OWNED, Tie.ALLIANCE}),
    )
    INCIDENT_OPENED = (
        "incidents that their home force owns, or whose contacts one did, or to which a contact in their own hands "
        "led; with the claim `alliance` also nobody's. " + _BY_BREAK_GLASS,
        frozenset({Tie.OWNED_AT_HOME, Tie.HELD, Tie.ALLIANCE}),
    )
    ACCESSES = (
        "who has looked at data of forces of theirs; with the claim `alliance` also at nobody's.",
        frozenset({Tie.OWNED, Tie.ALLIANCE}),
    )
    ACCESSES_AT_HOME = (
        "who has looked at data of their home force; with the claim `alliance` also at nobody's.",
        frozenset({Tie.OWNED_AT_HOME, Tie.ALLIANCE}),
    )

    POLICY = (
        "policies of the token's forces; with the claim `alliance` also the alliance's own.",
        frozenset({Tie.OWNED, Tie.ALLIANCE}),
    )

    BOUNDARIES = (
        "the boundaries, which are all forces' alike: the claim `alliance` is needed.",
        frozenset({Tie.ALLIANCE}),
    )

    def admits(self, caller: Caller, thing: Belongs) -> bool:
        return self.ties is None or any(thing.has(tie, caller) for tie in self.ties)
