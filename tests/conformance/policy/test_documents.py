"""What a policy document may be, by the clauses of NENA-STA-010.3; those of section 3.3.1.2.2 are what the public
conformance tests of NG911 (TD_PS_002, TD_PS_007) try."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.policy import Key, Policy, Refused, read
from tests.policies import BEDS, CATCH_ALL, QUEUE, a_policy, rule

NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
PERIOD: dict[str, Any] = {
    "conditionType": "TimePeriodCondition",
    "dateStart": "2030-01-30T12:58:03.01-05:00",
    "dateEnd": "2030-03-30T12:58:03.01-05:00",
}


def taken(value: dict[str, Any] | bytes) -> Policy:
    return read(value if isinstance(value, bytes) else json.dumps(value).encode(), NOW)


def refused(value: dict[str, Any] | bytes) -> Refused:
    with pytest.raises(Refused) as refusal:
        taken(value)
    return refusal.value


def with_condition(**members: Any) -> dict[str, Any]:
    condition = {name: value for name, value in members.items() if value is not None}
    return a_policy(policyRules=[rule("one", 1, condition), CATCH_ALL])


def with_actions(*actions: dict[str, Any]) -> dict[str, Any]:
    return a_policy(policyRules=[{"id": "one", "priority": 1, "actions": list(actions)}])


OTHER = {"policyType": "OtherRoutePolicy", "policyQueueName": None, "policyId": "night"}


@pytest.mark.parametrize(
    ("clause", "change", "kind", "pointer"),
    [
        ("3.3.1 policyOwner is mandatory", {"policyOwner": None}, "structure", "/policyOwner"),
        ("3.3.1 policyOwner: a domain name", {"policyOwner": "tester@ng911.te$t"}, "agency", "/policyOwner"),
        ("3.3.1 policyOwner: one @", {"policyOwner": "tester@@ng911.test"}, "agency", "/policyOwner"),
        ("3.3.1 policyOwner: no dot first", {"policyOwner": ".tester@ng911.test"}, "agency", "/policyOwner"),
        ("3.3.1 policyOwner: not too long", {"policyOwner": "a@b." + "test" * 62 + "t"}, "agency", "/policyOwner"),
        ("3.3.1 policyOwner: text", {"policyOwner": 17}, "agency", "/policyOwner"),
        ("3.3.1 policyType is mandatory", {"policyType": None}, "structure", "/policyType"),
        ("10.33 policyType is of the registry", {"policyType": "OtherRoutePolicyy"}, "type", "/policyType"),
        ("3.3.1 policyRules is mandatory", {"policyRules": None}, "structure", "/policyRules"),
        ("3.3.1 policyRules: an array", {"policyRules": {}}, "structure", "/policyRules"),
        ("3.3.1 policyId for OtherRoutePolicy", OTHER | {"policyId": None}, "structure", "/policyId"),
        ("3.3.1 policyId: text", OTHER | {"policyId": 123}, "structure", "/policyId"),
        ("3.3.1 policyId for no other type", {"policyId": "test_123"}, "structure", "/policyId"),
        ("3.3.1 policyQueueName for a queue's", {"policyQueueName": None}, "structure", "/policyQueueName"),
        ("3.3.1 no policyQueueName beside an id", OTHER | {"policyQueueName": QUEUE}, "structure", "/policyQueueName"),
        (
            "4.2.1.2 a queue's name: a user",
            {"policyQueueName": "sip:@example.com:5060"},
            "structure",
            "/policyQueueName",
        ),
        ("4.2.1.2 a queue's name: a host", {"policyQueueName": "sip:test@:5060"}, "structure", "/policyQueueName"),
        ("4.2.1.2 a queue's name: a port", {"policyQueueName": "sip:a@b.test:65536"}, "structure", "/policyQueueName"),
        ("4.2.1.2 a queue's name: a scheme", {"policyQueueName": "zip:a@b.test"}, "structure", "/policyQueueName"),
        ("4.2.1.2 a queue's name: characters", {"policyQueueName": "sip:a@b$.test"}, "structure", "/policyQueueName"),
        ("3.3.1 description: text", {"description": 123}, "structure", "/description"),
        ("3.3.1 no other member", {"policyOwners": BEDS}, "structure", "/policyOwners"),
    ],
)
def test_what_is_no_policy_is_refused_with_its_place(
    clause: str, change: dict[str, Any], kind: str, pointer: str
) -> None:
    refusal = refused(a_policy(**change))
    assert (refusal.kind, refusal.faults[0].pointer) == (kind, pointer), clause


@pytest.mark.parametrize(
    "time",
    [
        "21155-08-21T12:58:03.01-05:00",
        "2115-13-21T12:58:03.01-05:00",
        "2115-12-32T12:58:03.01-05:00",
        "2115-12-21T24:58:03.01-05:00",
        "2115-12-21T12:60:03.01-05:00",
        "2115-12-21T12:58:61.01-05:00",
        "2115-12-21T12:58:03.01-13:00",
        "2115-02-30T12:58:03.01-05:00",
        "2115-02-20T12:58:03",
        "2115-02-20T12:58:03Z",
        "2115-02-20T12:58:03-00:00",
        "2115-02-20T12:58:03+14:30",
        "2115-02-20T12:58:03+01:07",
        "2115-02-20 12:58:03+01:00",
        "٢١١٥-02-20T12:58:03+01:00",
        17,
        None,
    ],
)
def test_2_3_a_time_is_one_that_there_is_at_an_offset_that_there_is(time: Any) -> None:
    policy = a_policy() | {"policyExpirationTime": time}
    assert refused(policy).kind == "expiration"
    assert refused(with_condition(**PERIOD | {"dateEnd": time or 17})).faults[0].pointer.endswith("/dateEnd")


def test_3_3_1_2_2_the_expiration_is_in_the_future() -> None:
    for past in ("2015-04-30T12:58:03.01-05:00", "2026-11-26T06:00:00+01:00"):
        refusal = refused(a_policy(policyExpirationTime=past))
        assert (refusal.kind, refusal.faults[0].pointer) == ("expiration", "/policyExpirationTime")
    policy = taken(a_policy(policyExpirationTime="2026-11-26T05:00:00.1+00:00"))
    assert not policy.expired(NOW)
    assert policy.expired(datetime(2026, 11, 26, 5, 1, tzinfo=UTC))


def test_3_3_1_2_2_each_rule_has_an_id_of_its_own() -> None:
    refusal = refused(a_policy(policyRules=[rule("one", 1), rule("one", 2)]))
    assert (refusal.kind, refusal.faults[0].pointer) == ("structure", "/policyRules/1/id")


def test_3_3_3_each_rule_has_a_priority_of_its_own() -> None:
    refusal = refused(a_policy(policyRules=[rule("one", 1), rule("two", 2), rule("three", 1)]))
    assert (refusal.kind, refusal.faults[0].pointer) == ("priority", "/policyRules/2/priority")
    for wrong in (-1, 1.5, "1", True, 2**31):
        refusal = refused(a_policy(policyRules=[rule("one", 1) | {"priority": wrong}]))
        assert (refusal.kind, refusal.faults[0].pointer) == ("priority", "/policyRules/0/priority")


@pytest.mark.parametrize("member", ["id", "priority", "actions"])
def test_3_3_3_a_rule_has_an_id_a_priority_and_actions(member: str) -> None:
    whole = rule("one", 1)
    del whole[member]
    refusal = refused(a_policy(policyRules=[whole]))
    assert (refusal.kind, refusal.faults[0].pointer) == ("structure", f"/policyRules/0/{member}")


@pytest.mark.parametrize(
    ("clause", "change", "member"),
    [
        ("3.3.3.1.1 dateStart is mandatory", {"dateStart": None}, "dateStart"),
        ("3.3.3.1.1 dateEnd is mandatory", {"dateEnd": None}, "dateEnd"),
        ("3.3.3.1.1 dateEnd after dateStart", {"dateEnd": "2030-01-01T00:00:00-05:00"}, "dateEnd"),
        ("3.3.3.1.1 hour 24 is the day's end", {"timeStart": "24:10:00", "timeEnd": "20:24:12"}, "timeStart"),
        ("3.3.3.1.1 minutes", {"timeStart": "12:61:00", "timeEnd": "20:24:12"}, "timeStart"),
        ("3.3.3.1.1 seconds", {"timeStart": "12:10:61", "timeEnd": "20:24:12"}, "timeStart"),
        ("3.3.3.1.1 hour 24 is the day's end", {"timeStart": "12:10:00", "timeEnd": "24:24:12"}, "timeEnd"),
        ("3.3.3.1.1 minutes", {"timeStart": "12:11:00", "timeEnd": "20:61:12"}, "timeEnd"),
        ("3.3.3.1.1 seconds", {"timeStart": "12:10:11", "timeEnd": "20:24:61"}, "timeEnd"),
        ("3.3.3.1.1 timeEnd after timeStart", {"timeStart": "12:00:00", "timeEnd": "12:00:00"}, "timeEnd"),
        ("3.3.3.1.1.1 weekdays", {"weekdayList": "test"}, "weekdayList"),
        ("3.3.3.1.1.1 weekdays", {"weekdayList": ["MO"]}, "weekdayList"),
        (
            "3.3.3.1.1 one offset for times of day",
            {"dateEnd": "2030-04-01T00:00:00-04:00", "weekdayList": "MO"},
            "dateEnd",
        ),
        ("3.3.3.1.1 no other member", {"timeStrat": "09:00:00"}, "timeStrat"),
        ("3.3.3.1 negation is a boolean", {"negation": "true"}, "negation"),
        ("3.3.3.1 description is text", {"description": 1}, "description"),
    ],
)
def test_3_3_3_1_1_a_store_rejects_a_period_with_an_invalid_value(
    clause: str, change: dict[str, Any], member: str
) -> None:
    refusal = refused(with_condition(**PERIOD | change))
    assert (refusal.kind, refusal.faults[0].pointer) == ("structure", f"/policyRules/0/conditions/0/{member}"), clause


CONDITIONS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "3.3.3.1.2",
        {"conditionType": "SipHeaderCondition", "field": "From", "operator": "IS", "content": "missing"},
        {"operator": "NE", "content": "gone", "field": None},
    ),
    (
        "3.3.3.1.3",
        {"conditionType": "AdditionalDataCondition", "type": "EmergencyCallData.Comment", "operator": "exists"},
        {"operator": "EQ", "content": "x", "type": None},
    ),
    ("3.3.3.1.4", {"conditionType": "MimeBodyCondition", "mimeList": ["application/sdp"]}, {"mimeList": []}),
    (
        "3.3.3.1.5",
        {
            "conditionType": "LocationCondition",
            "location": {"lo": "<gml:Point/>", "profile": "geodetic", "label": "here", "lang": "en"},
        },
        {"location": {"lo": "<gml:Point/>", "profile": "astral", "label": "here", "lang": "en"}},
    ),
    (
        "3.3.3.1.6",
        {"conditionType": "CallSuspicionCondition", "scoreFrom": 0, "scoreTo": 100},
        {"scoreFrom": 60, "scoreTo": 50},
    ),
    (
        "3.3.3.1.7",
        {"conditionType": "SecurityPostureCondition", "service": "a.test", "condition": "EQ", "value": "Red"},
        {"value": "Purple", "condition": "SS"},
    ),
    (
        "3.3.3.1.8",
        {"conditionType": "QueueStateCondition", "queue": QUEUE, "condition": "NE", "value": "Active"},
        {"value": "Asleep", "queue": "somewhere"},
    ),
    (
        "3.3.3.1.10",
        {"conditionType": "ServiceStateCondition", "service": "PSAP", "condition": "EQ", "value": "Normal"},
        {"value": "Tired"},
    ),
    (
        "3.3.3.1.11",
        {"conditionType": "CallSourceCondition", "operator": "SS", "content": "bt.test"},
        {"operator": "GT"},
    ),
    (
        "3.3.3.1.12",
        {"conditionType": "BodyPartCondition", "contentType": "text/plain", "element": "a", "operator": "missing"},
        {"operator": "SS"},
    ),
    (
        "3.3.3.1.13",
        {"conditionType": "RequestUriCondition", "operator": "EQ", "content": "urn:service:sos"},
        {"content": None},
    ),
    ("3.3.3.1.14", {"conditionType": "NormalNextHopCondition", "operator": "EQ", "content": QUEUE}, {"operator": None}),
    ("3.3.3.1.15", {"conditionType": "IncomingQueueCondition", "operator": "EQ", "content": QUEUE}, {"content": ""}),
    (
        "3.3.3.1.16",
        {"conditionType": "SdpOfferCondition", "video": True, "langVideo": ["bfi"]},
        {"video": False, "langVideo": None},
    ),
    (
        "3.3.3.1.17",
        {"conditionType": "CapCondition", "tag": "Sender", "operator": "EQ", "content": "x"},
        {"operator": None},
    ),
    (
        "3.3.3.1.18",
        {
            "conditionType": "CallingNumberVerificationStatusCondition",
            "operator": "EQ",
            "content": "TN-Validation-Passed",
        },
        {"content": "Passed"},
    ),
]


@pytest.mark.parametrize(("clause", "right", "wrong"), CONDITIONS, ids=[f"{c[0]}" for c in CONDITIONS])
def test_each_condition_is_taken_in_either_spelling_and_refused_with_an_invalid_value(
    clause: str, right: dict[str, Any], wrong: dict[str, Any]
) -> None:
    kind = right["conditionType"]
    for spelling in (kind, kind[0].lower() + kind[1:]):
        policy = taken(with_condition(**right | {"conditionType": spelling, "negation": True, "description": "'\n("}))
        assert policy.rules[0].conditions[0].kind == kind
        assert policy.rules[0].conditions[0].negated
    refusal = refused(with_condition(**right | wrong))
    assert refusal.kind == "structure"
    assert all(fault.pointer.startswith("/policyRules/0/conditions/0") for fault in refusal.faults), clause
    assert refused(with_condition(**right | {"colour": 1})).faults[0].pointer.endswith("/colour")


def test_3_3_3_1_a_condition_is_one_that_there_is() -> None:
    for kind in ("MoonCondition", "TIMEPERIODCONDITION", "", 7, None):
        refusal = refused(a_policy(policyRules=[rule("one", 1, {"conditionType": kind})]))
        assert refusal.faults[0].pointer == "/policyRules/0/conditions/0/conditionType"


ACTIONS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "3.3.3.2.1",
        {"actionType": "RouteAction", "recipientUri": "sip:a@b.test", "rnaTimer": 20, "cause": "x"},
        {"rnaTimer": 0},
    ),
    ("3.3.3.2.1", {"actionType": "RouteAction", "recipientUri": "sip:a@b.test"}, {"recipientUri": "somewhere else"}),
    ("3.3.3.2.2", {"actionType": "BusyAction"}, {"recipientUri": "sip:a@b.test"}),
    (
        "3.3.3.2.3",
        {"actionType": "NotifyAction", "eventCode": "x", "urgency": 100, "recipient": "urn:service:sos"},
        {"urgency": 101},
    ),
    ("3.3.3.2.4", {"actionType": "LogAction", "message": ""}, {"message": None}),
    (
        "3.3.3.2.5",
        {"actionType": "InvokePolicyAction", "policyType": "OtherRoutePolicy", "policyId": "night"},
        {"policyQueueName": QUEUE},
    ),
    (
        "3.3.3.2.5",
        {"actionType": "InvokePolicyAction", "policyType": "NormalNexthopRoutePolicy"},
        {"policyId": "night"},
    ),
]


@pytest.mark.parametrize(("clause", "right", "wrong"), ACTIONS)
def test_each_action_is_taken_in_either_spelling_and_refused_with_an_invalid_value(
    clause: str, right: dict[str, Any], wrong: dict[str, Any]
) -> None:
    kind = right["actionType"]
    for spelling in (kind, kind[0].lower() + kind[1:]):
        assert taken(with_actions(right | {"actionType": spelling})).rules[0].actions[0].kind == kind
    refusal = refused(with_actions(right | wrong))
    assert refusal.kind == "structure"
    assert refusal.faults[0].pointer.startswith("/policyRules/0/actions/0"), clause


def test_3_3_3_2_a_rule_has_no_more_than_one_action_that_decides() -> None:
    route, busy = {"actionType": "RouteAction", "recipientUri": "sip:a@b.test"}, {"actionType": "busyAction"}
    invoke = {"actionType": "InvokePolicyAction", "policyType": "OtherRoutePolicy", "policyId": "night"}
    log = {"actionType": "LogAction", "message": "x"}
    for pair in ((route, route), (route, busy), (busy, invoke)):
        assert refused(with_actions(*pair)).faults[0].pointer == "/policyRules/0/actions"
    assert len(taken(with_actions(log, route, log)).rules[0].actions) == 3


def test_4_2_1_5_who_asks_lost_invokes_the_policy_of_its_answer() -> None:
    asks = {"conditionType": "LostServiceUrnCondition", "urn": "urn:service:sos.police"}
    assert refused(a_policy(policyRules=[rule("one", 1, asks)])).faults[0].pointer == "/policyRules/0/actions"
    invoke = {"actionType": "InvokePolicyAction", "policyType": "NormalNexthopRoutePolicy"}
    assert taken(a_policy(policyRules=[rule("one", 1, asks, **invoke)])).rules[0].conditions[0].members == {
        "urn": "urn:service:sos.police"
    }


def test_3_3_1_a_policy_is_told_by_owner_type_and_queue_or_id() -> None:
    assert taken(a_policy()).key == Key(BEDS, "OriginationRoutePolicy", QUEUE)
    for policy_id in ("\n", "'", "("):
        policy = taken(a_policy(**OTHER | {"policyId": policy_id, "policyOwner": f"Desk@{BEDS.upper()}"}))
        assert policy.key == Key(BEDS, "OtherRoutePolicy", policy_id)
        assert (policy.policy_id, policy.queue_name) == (policy_id, None)
    assert taken(a_policy(policyOwner=f"sip:desk@{BEDS}:5060")).key.domain == BEDS


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([rule("one", 1, PERIOD)], ["no catch-all"]),
        ([rule("one", 5), rule("two", 3), CATCH_ALL], ["2 others"]),
        ([rule("one", 0, PERIOD), rule("two", 1)], ["1 others", "priority 0"]),
        ([rule("one", 1, actionType="LogAction", message="x")], ["no catch-all", "only notify or log"]),
        ([rule("one", 1, PERIOD), CATCH_ALL], []),
    ],
)
def test_what_no_force_will_have_meant_is_kept_with_a_warning(rules: list[dict[str, Any]], words: list[str]) -> None:
    warnings = taken(a_policy(policyRules=rules)).warnings
    assert len(warnings) == len(words)
    for warning, word in zip(warnings, words, strict=True):
        assert word in warning


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'"policy"',
        b"{",
        b"\xff\xfe{}",
        b'{"policyOwner": NaN}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\u0000"}',
        b'{"a": 1, "a": 1}',
        b'{"a": 1e400}',
        b'{"a": 99999999999999999999999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    ],
    ids=range(14),
)
def test_3_3_1_a_document_is_json_that_every_reader_reads_alike(content: bytes) -> None:
    assert refused(content).kind == "structure"


def test_what_is_wrong_is_told_all_at_once_and_structure_first() -> None:
    value = a_policy(
        policyType="x",
        policyExpirationTime="never",
        policyRules=[rule("one", 1), rule("one", 1, {"conditionType": "x"})],
    )
    kinds = [fault.kind for fault in refused(value).faults]
    assert kinds == ["structure", "structure", "type", "expiration", "priority"]
    assert "x" not in str(refused(a_policy(policyOwner="Zebedee Nightingale"))).split()
    assert len(refused(a_policy(policyRules=[{"a": 1}] * 900)).faults) == 50
