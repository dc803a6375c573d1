"""What keeps a policy document from being one (NENA-STA-010.3, sections 3.3.1 to 3.3.3), each fault with its place.

Invariant: a document without a fault can be read into a `Policy`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from libs.policy.refusals import Fault
from libs.policy.refusals import Kind as FaultKind
from libs.policy.values import sip_uri, some_text, text, time_of, timestamp
from libs.policy.vocabulary import (
    ACTIONS,
    CONDITIONS,
    DECIDING,
    NORMAL_NEXT_HOP,
    OTHER,
    POLICY_TYPES,
    Kind,
    agency,
    policy_type,
    spelt,
)

MAX_RULES = 1_000
MAX_OF_A_RULE = 50
"""Conditions, and actions, in one rule."""
MAX_PRIORITY = 2**31 - 1
_POLICY = frozenset(
    {
        *("policyOwner", "policyType", "policyQueueName", "policyId", "policyExpirationTime", "policyRules"),
        *("policyLastModificationTime", "description"),
    }
)
_RULE = frozenset({"id", "priority", "conditions", "actions", "description"})


def faults_of(policy: dict[str, Any], now: datetime) -> Iterator[Fault]:
    """What is wrong with a policy document, one thing after the other."""
    yield from _strangers(policy, _POLICY, "")
    for name in ("policyOwner", "policyType", "policyRules"):
        if name not in policy:
            yield Fault("structure", "is required", f"/{name}")
    if "policyOwner" in policy and (wrong := agency(policy["policyOwner"])):
        yield Fault("agency", wrong, "/policyOwner")
    yield from _identity(policy)
    if "description" in policy and (wrong := text(policy["description"])):
        yield Fault("structure", wrong, "/description")
    yield from _expiration(policy, now)
    rules = policy.get("policyRules", [])
    if not isinstance(rules, list) or len(rules) > MAX_RULES:
        yield Fault("structure", f"must be a list of at most {MAX_RULES} rules", "/policyRules")
        return
    if "policyRules" in policy and not rules:
        yield Fault("structure", "must hold a rule", "/policyRules")
    for number, rule in enumerate(rules):
        yield from _rule_faults(rule, f"/policyRules/{number}")
    yield from _repeated(rules, "id", "structure")
    yield from _repeated(rules, "priority", "priority")


def _identity(policy: dict[str, Any]) -> Iterator[Fault]:
    """Section 3.3.1: a queue's policies have its name, others an id of their own, and none has both."""
    if "policyType" not in policy:
        return
    kind = policy_type(policy["policyType"])
    if kind is None:
        yield Fault("type", f"must be one of {', '.join(POLICY_TYPES)}", "/policyType")
        return
    wanted, other = ("policyId", "policyQueueName") if kind == OTHER else ("policyQueueName", "policyId")
    check = some_text if kind == OTHER else sip_uri
    if wanted not in policy:
        yield Fault("structure", f"is required for {kind}", f"/{wanted}")
    elif wrong := check(policy[wanted]):
        yield Fault("structure", wrong, f"/{wanted}")
    elif len(policy[wanted]) > 300:
        yield Fault("structure", "must have at most 300 characters", f"/{wanted}")
    if other in policy:
        yield Fault("structure", f"must be left out for {kind}", f"/{other}")


def _expiration(policy: dict[str, Any], now: datetime) -> Iterator[Fault]:
    if "policyExpirationTime" not in policy:
        return
    value = policy["policyExpirationTime"]
    if wrong := timestamp(value):
        yield Fault("expiration", wrong, "/policyExpirationTime")
    elif (moment := time_of(value)) is not None and moment <= now:
        yield Fault("expiration", "must be in the future", "/policyExpirationTime")


def _rule_faults(rule: Any, at: str) -> Iterator[Fault]:
    if not isinstance(rule, dict):
        yield Fault("structure", "must be a rule, an object", at)
        return
    yield from _strangers(rule, _RULE, at)
    for name in ("id", "priority", "actions"):
        if name not in rule:
            yield Fault("structure", "is required", f"{at}/{name}")
    if "id" in rule and (wrong := some_text(rule["id"])):
        yield Fault("structure", wrong, f"{at}/id")
    priority = rule.get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool) or not 0 <= priority <= MAX_PRIORITY:
        yield Fault("priority", f"must be an integer from 0 to {MAX_PRIORITY}", f"{at}/priority")
    if "description" in rule and (wrong := text(rule["description"])):
        yield Fault("structure", wrong, f"{at}/description")
    for name, table, discriminator in (
        ("conditions", CONDITIONS, "conditionType"),
        ("actions", ACTIONS, "actionType"),
    ):
        yield from _list_faults(rule.get(name, []), table, discriminator, f"{at}/{name}")
    if rule.get("actions") == []:
        yield Fault("structure", "must hold an action", f"{at}/actions")
    yield from _action_faults(rule, at)


def _list_faults(items: Any, table: Mapping[str, Kind], discriminator: str, at: str) -> Iterator[Fault]:
    if not isinstance(items, list) or len(items) > MAX_OF_A_RULE:
        yield Fault("structure", f"must be a list of at most {MAX_OF_A_RULE}", at)
        return
    for number, item in enumerate(items):
        yield from _item_faults(item, table, discriminator, f"{at}/{number}")


def _item_faults(item: Any, table: Mapping[str, Kind], discriminator: str, at: str) -> Iterator[Fault]:
    if not isinstance(item, dict):
        yield Fault("structure", "must be an object", at)
        return
    name = spelt(item.get(discriminator), table)
    if name is None:
        yield Fault("structure", f"must be one of {', '.join(table)}", f"{at}/{discriminator}")
        return
    kind = table[name]
    own = {discriminator, "description"} | ({"negation"} if table is CONDITIONS else set())
    yield from _strangers(item, own | kind.members.keys(), at)
    if "description" in item and (wrong := text(item["description"])):
        yield Fault("structure", wrong, f"{at}/description")
    if "negation" in item and table is CONDITIONS and not isinstance(item["negation"], bool):
        yield Fault("structure", "must be true or false", f"{at}/negation")
    sound = True
    for member, (check, required) in kind.members.items():
        wrong = check(item[member]) if member in item else "is required" if required else None
        if wrong:
            sound = False
            yield Fault("structure", wrong, f"{at}/{member}")
    if sound and kind.together is not None:
        for member, wrong in kind.together(item):
            yield Fault("structure", wrong, f"{at}/{member}" if member else at)


def _action_faults(rule: dict[str, Any], at: str) -> Iterator[Fault]:
    """What a rule's actions may be together (section 3.3.3.2), and with its conditions (section 4.2.1.5)."""
    actions = [action for action in _listed(rule, "actions") if isinstance(action, dict)]
    names = [spelt(action.get("actionType"), ACTIONS) for action in actions]
    if sum(name in DECIDING for name in names) > 1:
        yield Fault("structure", "must hold only one action that routes, is busy or invokes a policy", f"{at}/actions")
    conditions = [condition for condition in _listed(rule, "conditions") if isinstance(condition, dict)]
    asks = any(spelt(one.get("conditionType"), CONDITIONS) == "LostServiceUrnCondition" for one in conditions)
    invokes = any(
        name == "InvokePolicyAction" and policy_type(action.get("policyType")) == NORMAL_NEXT_HOP
        for name, action in zip(names, actions, strict=True)
    )
    if asks and not invokes:
        yield Fault("structure", f"must invoke the {NORMAL_NEXT_HOP} of what the URN leads to", f"{at}/actions")


def _listed(rule: dict[str, Any], name: str) -> list[Any]:
    items = rule.get(name)
    return items if isinstance(items, list) else []


def _repeated(rules: Sequence[Any], name: str, kind: FaultKind) -> Iterator[Fault]:
    seen: set[Any] = set()
    for number, rule in enumerate(rules):
        value = rule.get(name) if isinstance(rule, dict) else None
        if isinstance(value, str | int) and not isinstance(value, bool):
            if value in seen:
                yield Fault(kind, "must be unlike that of every other rule", f"/policyRules/{number}/{name}")
            seen.add(value)


def _strangers(value: dict[str, Any], known: Collection[str], at: str) -> Iterator[Fault]:
    for name in value:
        if name not in known:
            yield Fault("structure", "is not known here", f"{at}/{_step(name)}")


def _step(name: str) -> str:
    """One step of a JSON Pointer (RFC 6901, section 3), cut where a name is long."""
    return (name if len(name) <= 64 else name[:64] + "…").replace("~", "~0").replace("/", "~1")
