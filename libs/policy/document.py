"""A policy document, read: what a force says about where its calls go (NENA-STA-010.3, sections 3.3.1 and 3.3.3).

Invariant: a `Policy` is one that the standard allows. What it does not allow is refused whole, with each fault's place;
what it allows and no force will have meant is kept, with a warning.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from libs.policy.faults import faults_of
from libs.policy.refusals import Refused, refused
from libs.policy.values import domain_of, time_of
from libs.policy.vocabulary import ACTIONS, CONDITIONS, DECIDING, OTHER, policy_type, spelt

MAX_FAULTS = 50


class Key(NamedTuple):
    """What tells a policy from all others."""

    domain: str
    """Of its owner."""
    type: str
    name: str
    """Its policyQueueName; for an OtherRoutePolicy its policyId."""


@dataclass(frozen=True)
class Condition:
    kind: str
    members: Mapping[str, Any]
    negated: bool = False


@dataclass(frozen=True)
class Action:
    kind: str
    members: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    id: str
    priority: int
    conditions: tuple[Condition, ...] = ()
    """All must hold; none always do."""
    actions: tuple[Action, ...] = ()

    @property
    def deciding(self) -> Action | None:
        """What says where a call goes; None: the rule only notifies or logs."""
        return next((action for action in self.actions if action.kind in DECIDING), None)


@dataclass(frozen=True)
class Policy:
    owner: str
    """As the document has it."""
    key: Key
    rules: tuple[Rule, ...]
    expires: datetime | None = None
    warnings: tuple[str, ...] = ()

    @property
    def queue_name(self) -> str | None:
        return None if self.key.type == OTHER else self.key.name

    @property
    def policy_id(self) -> str | None:
        return self.key.name if self.key.type == OTHER else None

    def expired(self, now: datetime) -> bool:
        return self.expires is not None and self.expires <= now


def read(document: bytes, now: datetime) -> Policy:
    """The policy that the document states. Raises Refused, with every fault it found (at most `MAX_FAULTS`).

    `now` is for what must not be past: one that has expired is refused (section 3.3.1.2.2).
    """
    value = _decoded(document)
    if not isinstance(value, dict):
        raise refused("structure", "must be a JSON object")
    faults = []
    for fault in faults_of(value, now):
        faults.append(fault)
        if len(faults) == MAX_FAULTS:
            break
    if faults:
        raise Refused(faults)
    return _policy(value)


def _decoded(document: bytes) -> Any:
    """JSON that every reader reads alike. Raises Refused."""
    try:
        msgspec.json.decode(document)  # strict: UTF-8, no NaN, no half of a surrogate pair
        return json.loads(document, object_pairs_hook=_members, parse_int=_whole, parse_float=_finite)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, _Ambiguous) else "must be JSON in UTF-8 (RFC 8259)"
        raise refused("structure", why) from None


class _Ambiguous(ValueError):
    """What one reader takes for one thing and another for another."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Ambiguous("must not have a member twice in one object")
    if any("\0" in name or (isinstance(value, str) and "\0" in value) for name, value in pairs):
        raise _Ambiguous("must not hold a NUL character")
    return members


def _whole(digits: str) -> int:
    if len(digits) > 18:
        raise _Ambiguous("must not hold a number of more than 18 digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _Ambiguous("must not hold a number out of range")
    return number


def _policy(value: dict[str, Any]) -> Policy:
    domain, kind = domain_of(value["policyOwner"]), policy_type(value["policyType"])
    assert domain is not None
    assert kind is not None
    rules = tuple(_rule(rule) for rule in value["policyRules"])
    expires = value.get("policyExpirationTime")
    return Policy(
        owner=value["policyOwner"],
        key=Key(domain, kind, value["policyId"] if kind == OTHER else value["policyQueueName"]),
        rules=rules,
        expires=None if expires is None else time_of(expires),
        warnings=tuple(_warnings(rules)),
    )


def _rule(value: dict[str, Any]) -> Rule:
    conditions = []
    for condition in value.get("conditions", ()):
        kind = spelt(condition["conditionType"], CONDITIONS)
        assert kind is not None
        members = {name: condition[name] for name in CONDITIONS[kind].members if name in condition}
        conditions.append(Condition(kind, members, condition.get("negation", False)))
    actions = []
    for action in value["actions"]:
        kind = spelt(action["actionType"], ACTIONS)
        assert kind is not None
        actions.append(Action(kind, {name: action[name] for name in ACTIONS[kind].members if name in action}))
    return Rule(value["id"], value["priority"], tuple(conditions), tuple(actions))


def _warnings(rules: Sequence[Rule]) -> Iterator[str]:
    """What is allowed and will not be meant. No rule is named by what the force called it: the text may be shown."""
    always = [rule.priority for rule in rules if not rule.conditions and rule.deciding is not None]
    if not always:
        yield (
            "There is no catch-all, a rule without conditions that says where a call goes: where no rule holds, calls "
            "fall to the alliance's default queue."
        )
    elif hidden := sum(rule.priority < max(always) for rule in rules):
        yield f"A rule without conditions has a higher priority than {hidden} others, which can never win."
    if any(rule.priority == 0 and rule.conditions for rule in rules):
        yield "The rule of priority 0 has conditions: the lowest priority is the catch-all's."
    if all(rule.deciding is None for rule in rules):
        yield "No rule says where a call goes: all of them only notify or log."
