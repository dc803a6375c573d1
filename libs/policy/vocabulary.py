"""The conditions and actions of routing policies: their members, and what goes with what (NENA-STA-010.3, 3.3.3).

One table each, after NENA's schema (Policy-Store, i3-policy-store.yaml, version 1.0). Names are taken in either
spelling of their first letter: examples write `routeAction`, the schema `RouteAction`. A member that no table knows is
refused: a misspelt `timeStart` must not open a queue all day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from libs.policy.values import (
    DAY_S,
    Check,
    boolean,
    domain_of,
    integer,
    location,
    one_of,
    partial_time,
    preference,
    second_of_day,
    sip_uri,
    some_text,
    text,
    texts,
    time_of,
    timestamp,
    uri,
    urn,
    weekdays,
)

ORIGINATION, NORMAL_NEXT_HOP, OTHER = "OriginationRoutePolicy", "NormalNextHopRoutePolicy", "OtherRoutePolicy"
POLICY_TYPES = (ORIGINATION, NORMAL_NEXT_HOP, OTHER)
"""Of the registry of policy types (section 10.33), those that route. Access rights of services are not kept here."""

QUEUE_STATES = ("Active", "Inactive", "Disabled", "Full", "Standby", "Unreachable")
"""Section 10.17."""
SERVICE_STATES = (
    "Normal",
    "Unstaffed",
    "ScheduledMaintenanceDown",
    "ScheduledMaintenanceAvailable",
    "MajorIncidentInProgress",
    "Partial",
    "Overloaded",
    "GoingDown",
    "Down",
    "Unreachable",
)
"""Section 10.12."""
POSTURES = ("Green", "Yellow", "Orange", "Red")
"""Section 10.18."""

Wrong: TypeAlias = Iterator[tuple[str, str]]
"""The member, and what would be right."""
Members: TypeAlias = Mapping[str, Any]


class Member(NamedTuple):
    check: Check
    required: bool = True


def _optional(check: Check) -> Member:
    return Member(check, required=False)


class Kind(NamedTuple):
    """A kind of condition or action."""

    members: Mapping[str, Member]
    together: Callable[[Members], Wrong] | None = None
    """What no member shows alone; asked where each member is right."""


def _period(members: Members) -> Wrong:
    start, end = time_of(members["dateStart"]), time_of(members["dateEnd"])
    assert start is not None
    assert end is not None
    if end <= start:
        yield "dateEnd", "must be later than dateStart"
    daily = members.keys() & {"timeStart", "timeEnd", "weekdayList"}
    if daily and start.utcoffset() != end.utcoffset():
        yield "dateEnd", "must have the offset of dateStart: times of day and weekdays are at that offset"
    opens = second_of_day(members.get("timeStart", "00:00:00"))
    closes = second_of_day(members.get("timeEnd", "24:00:00"))
    if (opens or 0) >= (closes or DAY_S):
        yield "timeEnd", "must be later than timeStart"


def _header(members: Members) -> Wrong:
    if members["operator"] == "IS" and members["content"] not in ("missing", "erroneous"):
        yield "content", "must be missing or erroneous where the operator is IS"


def _compared(*names: str) -> Callable[[Members], Wrong]:
    """These members say what is compared with what, and have no place where nothing is compared."""

    def together(members: Members) -> Wrong:
        alone = members["operator"] in ("exists", "missing")
        for name in names:
            if alone and name in members:
                yield name, "must be left out where the operator is exists or missing"
            elif not alone and name not in members:
                yield name, "is required with this operator"

    return together


def _scores(members: Members) -> Wrong:
    if members["scoreTo"] < members["scoreFrom"]:
        yield "scoreTo", "must not be less than scoreFrom"


def _alert(members: Members) -> Wrong:
    if ("operator" in members) != ("content" in members):
        yield "operator", "goes with content: give both or neither"
    elif not members.keys() & {"content", "nonInteractive"}:
        yield "content", "is required with its operator, or nonInteractive"


def _offer(members: Members) -> Wrong:
    if not any(members.get(name) for name in members.keys() - {"conditionType", "negation", "description"}):
        yield "", "must name a medium or a language to look for"


def _invoked(members: Members) -> Wrong:
    if policy_type(members["policyType"]) == OTHER:
        if "policyId" not in members:
            yield "policyId", f"is required for {OTHER}"
        if "policyQueueName" in members:
            yield "policyQueueName", f"must be left out for {OTHER}"
    elif "policyId" in members:
        yield "policyId", f"must be left out but for {OTHER}"


def policy_type(value: Any) -> str | None:
    """The policy type as the registry spells it, of which the standard itself writes one in two ways."""
    if value == "NormalNexthopRoutePolicy":
        return NORMAL_NEXT_HOP
    return value if isinstance(value, str) and value in POLICY_TYPES else None


def _type(value: Any) -> str | None:
    return None if policy_type(value) else f"must be one of {', '.join(POLICY_TYPES)}"


_EQUALS = one_of("EQ", "NE")
_LIKE = one_of("EQ", "SS", "NE")
_ANY = one_of("exists", "missing", "EQ", "SS", "NE", "GT", "LT", "GE", "LE")
_NAMED = Kind({"operator": Member(_LIKE), "content": Member(some_text)})


def _state(values: tuple[str, ...], of: str, check: Check) -> Kind:
    return Kind({of: Member(check), "condition": Member(_EQUALS), "value": Member(one_of(*values))})


CONDITIONS: Mapping[str, Kind] = {
    "TimePeriodCondition": Kind(  # 3.3.3.1.1
        {
            "dateStart": Member(timestamp),
            "dateEnd": Member(timestamp),
            "timeStart": _optional(partial_time),
            "timeEnd": _optional(partial_time),
            "weekdayList": _optional(weekdays),
        },
        _period,
    ),
    "SipHeaderCondition": Kind(  # 3.3.3.1.2
        {"field": Member(some_text), "operator": Member(one_of("EQ", "SS", "IS")), "content": Member(some_text)},
        _header,
    ),
    "AdditionalDataCondition": Kind(  # 3.3.3.1.3
        {
            "type": Member(some_text),
            "element": _optional(some_text),
            "operator": Member(_ANY),
            "content": _optional(text),
        },
        _compared("element", "content"),
    ),
    "MimeBodyCondition": Kind({"mimeList": Member(texts)}),  # 3.3.3.1.4
    "LocationCondition": Kind(  # 3.3.3.1.5
        {"location": Member(location), "extension": _optional(lambda value: None)}
    ),
    "CallSuspicionCondition": Kind(  # 3.3.3.1.6
        {"scoreFrom": Member(integer(0, 100)), "scoreTo": Member(integer(0, 100))}, _scores
    ),
    "SecurityPostureCondition": _state(POSTURES, "service", some_text),  # 3.3.3.1.7
    "QueueStateCondition": _state(QUEUE_STATES, "queue", sip_uri),  # 3.3.3.1.8
    "LostServiceUrnCondition": Kind({"urn": Member(urn)}),  # 3.3.3.1.9
    "ServiceStateCondition": _state(SERVICE_STATES, "service", some_text),  # 3.3.3.1.10
    "CallSourceCondition": _NAMED,  # 3.3.3.1.11
    "BodyPartCondition": Kind(  # 3.3.3.1.12
        {
            "contentType": Member(some_text),
            "element": Member(some_text),
            "operator": Member(_ANY),
            "content": _optional(text),
        },
        _compared("content"),
    ),
    "RequestUriCondition": _NAMED,  # 3.3.3.1.13
    "NormalNextHopCondition": _NAMED,  # 3.3.3.1.14
    "IncomingQueueCondition": _NAMED,  # 3.3.3.1.15
    "SdpOfferCondition": Kind(  # 3.3.3.1.16
        {
            **{medium: _optional(boolean) for medium in ("video", "audio", "rtt", "im", "text")},
            **{f"lang{medium}": _optional(texts) for medium in ("Video", "Audio", "Rtt", "Im", "Text")},
            **{f"lang{medium}Pref": _optional(preference) for medium in ("Video", "Audio", "Rtt", "Im", "Text")},
        },
        _offer,
    ),
    "CapCondition": Kind(  # 3.3.3.1.17
        {
            "tag": Member(one_of("Identifier", "Sender", "Address", "InfoEventCode", "InfoValueName")),
            "operator": _optional(_LIKE),
            "content": _optional(some_text),
            "nonInteractive": _optional(boolean),
        },
        _alert,
    ),
    "CallingNumberVerificationStatusCondition": Kind(  # 3.3.3.1.18
        {
            "operator": Member(_EQUALS),
            "content": Member(one_of("TN-Validation-Passed", "TN-Validation-Failed", "No-TN-Validation")),
        }
    ),
}

ACTIONS: Mapping[str, Kind] = {
    "RouteAction": Kind(  # 3.3.3.2.1
        {"recipientUri": Member(uri), "rnaTimer": _optional(integer(1, 3600)), "cause": _optional(some_text)}
    ),
    "BusyAction": Kind({}),  # 3.3.3.2.2
    "NotifyAction": Kind(  # 3.3.3.2.3
        {
            "recipient": _optional(uri),
            "eventCode": Member(some_text),
            "urgency": Member(integer(0, 100)),
            "comment": _optional(text),
        }
    ),
    "LogAction": Kind({"message": Member(text)}),  # 3.3.3.2.4
    "InvokePolicyAction": Kind(  # 3.3.3.2.5
        {"policyType": Member(_type), "policyQueueName": _optional(sip_uri), "policyId": _optional(some_text)}, _invoked
    ),
}
DECIDING = frozenset({"RouteAction", "BusyAction", "InvokePolicyAction"})
"""A rule has at most one of these (section 3.3.3.2)."""


def spelt(name: Any, table: Mapping[str, Kind]) -> str | None:
    """The name as the table has it; None where there is no such kind."""
    if not isinstance(name, str) or not name:
        return None
    known = name[0].upper() + name[1:]
    return known if known in table else None


def agency(value: Any) -> str | None:
    """A policyOwner, checked."""
    if isinstance(value, str) and domain_of(value) is not None:
        return None
    return "must be a domain name, or an address or URI with one, as beds.example or desk@beds.example"
