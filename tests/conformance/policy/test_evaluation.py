"""When each condition holds, and which rule wins, by the clauses of NENA-STA-010.3."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.policy import ORIGINATION, Evaluation, Key, Policy, State, evaluate, read
from tests.policies import BEDS, CATCH_ALL, QUEUE, a_policy, rule

NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)  # a Thursday
ELSEWHERE = "sip:elsewhere@queues.bch.example"
HERTS = "hertfordshire.queues.bch.example"
WINTER = {"conditionType": "TimePeriodCondition", "dateStart": "2026-11-01T00:00:00+00:00",
          "dateEnd": "2026-11-30T00:00:00+00:00"}  # fmt: skip


def policy(*rules: dict[str, Any], **members: Any) -> Policy:
    return read(json.dumps(a_policy(policyRules=list(rules), **members)).encode(), NOW)


def other(id_: str, *rules: dict[str, Any], **members: Any) -> Policy:
    return policy(*rules, policyType="OtherRoutePolicy", policyQueueName=None, policyId=id_, **members)


def decide(*policies: Policy, now: datetime = NOW, **state: Any) -> Evaluation:
    return evaluate(policies, State(**{"owner": BEDS, "queue": QUEUE} | state), now)


def holds(condition: dict[str, Any], now: datetime = NOW, **state: Any) -> bool | None:
    """Whether it does; that its negation does not, and that what is not known is not known negated."""
    said = []
    for negation in (False, True):
        evaluation = decide(policy(rule("one", 1, condition | {"negation": negation}), CATCH_ALL), now=now, **state)
        [judged] = evaluation.considered[0].conditions
        assert judged.why
        assert (evaluation.rule == "one") == (judged.holds is True)
        said.append(judged.holds)
    assert said in ([True, False], [False, True], [None, None])
    return said[0]


@pytest.mark.parametrize(
    ("change", "now", "expected"),
    [
        ({}, "2026-11-26T05:00:00+00:00", True),
        ({}, "2026-11-01T00:00:00+00:00", True),
        ({}, "2026-10-31T23:59:59+00:00", False),
        ({}, "2026-11-30T00:00:00+00:00", True),
        ({}, "2026-11-30T00:00:01+00:00", False),
        ({"weekdayList": "mo, TH"}, "2026-11-26T05:00:00+00:00", True),
        ({"weekdayList": "MO,TU,WE"}, "2026-11-26T05:00:00+00:00", False),
        ({"timeStart": "09:00:00"}, "2026-11-26T08:59:59+00:00", False),
        ({"timeStart": "09:00:00"}, "2026-11-26T09:00:00+00:00", True),
        ({"timeStart": "09:00:00"}, "2026-11-26T23:59:59.999+00:00", True),
        ({"timeEnd": "17:00:00"}, "2026-11-26T17:00:00+00:00", True),
        ({"timeEnd": "17:00:00"}, "2026-11-26T17:00:01+00:00", False),
        ({"timeStart": "22:00:00", "timeEnd": "24:00:00"}, "2026-11-26T23:59:59.9+00:00", True),
    ],
)
def test_3_3_3_1_1_a_period_holds_between_its_dates_on_its_days_within_its_times(
    change: dict[str, Any], now: str, expected: bool
) -> None:
    assert holds(WINTER | change, datetime.fromisoformat(now)) is expected


def test_3_3_3_1_1_times_of_day_are_at_the_offset_of_the_dates() -> None:
    there = WINTER | {"dateStart": "2026-11-01T00:00:00-05:00", "dateEnd": "2026-11-30T00:00:00-05:00"}
    assert holds(there | {"timeStart": "00:00:00", "timeEnd": "00:30:00"}) is True  # 05:00 UTC is midnight there
    assert holds(there | {"timeStart": "05:00:00"}) is False
    assert holds(there | {"weekdayList": "WE"}, NOW - timedelta(minutes=1)) is True


BLOCK = "EmergencyCallData.SubscriberInfo"
CASES: list[tuple[str, dict[str, Any], dict[str, Any], bool | None]] = [
    (
        "2",
        {"conditionType": "SipHeaderCondition", "field": "From", "operator": "EQ", "content": "a"},
        {"headers": {"from": ["b", "a"]}},
        True,
    ),
    (
        "2",
        {"conditionType": "SipHeaderCondition", "field": "From", "operator": "SS", "content": "example"},
        {"headers": {"from": ["x@example.org"]}},
        True,
    ),
    (
        "2",
        {"conditionType": "SipHeaderCondition", "field": "From", "operator": "EQ", "content": "a"},
        {"headers": {}},
        False,
    ),
    (
        "2",
        {"conditionType": "SipHeaderCondition", "field": "From", "operator": "IS", "content": "missing"},
        {"headers": {}},
        True,
    ),
    (
        "2",
        {"conditionType": "SipHeaderCondition", "field": "From", "operator": "IS", "content": "erroneous"},
        {"headers": {"from": ["?"]}, "erroneous_headers": {"from"}},
        True,
    ),
    ("2", {"conditionType": "SipHeaderCondition", "field": "From", "operator": "IS", "content": "missing"}, {}, None),
    (
        "3",
        {"conditionType": "AdditionalDataCondition", "type": BLOCK, "operator": "exists"},
        {"additional_data": {BLOCK: {}}},
        True,
    ),
    (
        "3",
        {"conditionType": "AdditionalDataCondition", "type": BLOCK, "operator": "missing"},
        {"additional_data": {}},
        True,
    ),
    (
        "3",
        {"conditionType": "AdditionalDataCondition", "type": BLOCK, "element": "n", "operator": "GE", "content": "9"},
        {"additional_data": {BLOCK: {"n": "10"}}},
        True,
    ),
    (
        "3",
        {"conditionType": "AdditionalDataCondition", "type": BLOCK, "element": "n", "operator": "NE", "content": "9"},
        {"additional_data": {BLOCK: {}}},
        False,
    ),
    ("3", {"conditionType": "AdditionalDataCondition", "type": BLOCK, "operator": "exists"}, {}, None),
    (
        "4",
        {"conditionType": "MimeBodyCondition", "mimeList": ["a/b", "Text/Plain"]},
        {"body_types": {"text/plain"}},
        True,
    ),
    ("4", {"conditionType": "MimeBodyCondition", "mimeList": ["a/b"]}, {"body_types": {"text/plain"}}, False),
    ("4", {"conditionType": "MimeBodyCondition", "mimeList": ["a/b"]}, {}, None),
    (
        "5",
        {"conditionType": "LocationCondition", "location": {"lo": "x", "profile": "civic"}},
        {"lies_within": lambda profile, lo: (profile, lo) == ("civic", "x")},
        True,
    ),
    (
        "5",
        {
            "conditionType": "LocationCondition",
            "location": [{"lo": "x", "profile": "civic"}, {"lo": "y", "profile": "civic"}],
        },
        {"lies_within": lambda _, lo: None if lo == "x" else False},
        None,
    ),
    ("5", {"conditionType": "LocationCondition", "location": {"lo": "x", "profile": "civic"}}, {}, None),
    ("6", {"conditionType": "CallSuspicionCondition", "scoreFrom": 50, "scoreTo": 70}, {"suspicion": 70}, True),
    ("6", {"conditionType": "CallSuspicionCondition", "scoreFrom": 50, "scoreTo": 70}, {"suspicion": 71}, False),
    ("6", {"conditionType": "CallSuspicionCondition", "scoreFrom": 0, "scoreTo": 100}, {}, None),
    (
        "7",
        {"conditionType": "SecurityPostureCondition", "service": "s", "condition": "EQ", "value": "Red"},
        {"postures": {"s": "Red"}},
        True,
    ),
    (
        "8",
        {"conditionType": "QueueStateCondition", "queue": QUEUE, "condition": "NE", "value": "Active"},
        {"queues": {QUEUE: "Full"}},
        True,
    ),
    (
        "8",
        {"conditionType": "QueueStateCondition", "queue": QUEUE, "condition": "NE", "value": "Active"},
        {"queues": {ELSEWHERE: "Full"}},
        None,
    ),
    (
        "10",
        {"conditionType": "ServiceStateCondition", "service": "s", "condition": "EQ", "value": "Down"},
        {"services": {"s": "Normal"}},
        False,
    ),
    (
        "11",
        {"conditionType": "CallSourceCondition", "operator": "NE", "content": "a.test"},
        {"call_source": "b.test"},
        True,
    ),
    (
        "12",
        {"conditionType": "BodyPartCondition", "contentType": "A/b", "element": "n", "operator": "LT", "content": "b"},
        {"body_parts": {"a/b": {"n": "a"}}},
        True,
    ),
    (
        "12",
        {"conditionType": "BodyPartCondition", "contentType": "a/b", "element": "n", "operator": "missing"},
        {"body_parts": {}},
        True,
    ),
    (
        "13",
        {"conditionType": "RequestUriCondition", "operator": "SS", "content": "sos"},
        {"request_uri": "urn:service:sos"},
        True,
    ),
    ("14", {"conditionType": "NormalNextHopCondition", "operator": "EQ", "content": "a"}, {}, False),
    ("15", {"conditionType": "IncomingQueueCondition", "operator": "EQ", "content": QUEUE}, {}, True),
    (
        "16",
        {"conditionType": "SdpOfferCondition", "video": True, "langVideo": ["bfi"]},
        {"media": {"video": ["bfi"]}},
        True,
    ),
    ("16", {"conditionType": "SdpOfferCondition", "video": True, "audio": True}, {"media": {"video": []}}, False),
    ("16", {"conditionType": "SdpOfferCondition", "text": True}, {"media": {"im": []}}, True),
    (
        "16",
        {"conditionType": "SdpOfferCondition", "langAudioPref": {"langList": "cy, en", "langTest": "cy"}},
        {"media": {"audio": ["pl", "cy", "en"]}},
        True,
    ),
    (
        "16",
        {"conditionType": "SdpOfferCondition", "langAudioPref": {"langList": "cy, en", "langTest": "cy"}},
        {"media": {"audio": ["en", "cy"]}},
        False,
    ),
    (
        "17",
        {"conditionType": "CapCondition", "tag": "Sender", "operator": "EQ", "content": "a"},
        {"alert": {"Sender": "a"}},
        True,
    ),
    (
        "17",
        {"conditionType": "CapCondition", "tag": "Sender", "nonInteractive": True},
        {"alert": {}, "alert_non_interactive": False},
        False,
    ),
    (
        "18",
        {
            "conditionType": "CallingNumberVerificationStatusCondition",
            "operator": "NE",
            "content": "TN-Validation-Passed",
        },
        {"number_verification": "No-TN-Validation"},
        True,
    ),
    (
        "18",
        {
            "conditionType": "CallingNumberVerificationStatusCondition",
            "operator": "NE",
            "content": "TN-Validation-Passed",
        },
        {},
        None,
    ),
]


@pytest.mark.parametrize(("clause", "condition", "state", "expected"), CASES, ids=lambda value: str(value)[:40])
def test_3_3_3_1_a_condition_holds_as_its_clause_says_and_never_by_what_nobody_knows(
    clause: str, condition: dict[str, Any], state: dict[str, Any], expected: bool | None
) -> None:
    assert holds(condition, **state) is expected, f"3.3.3.1.{clause}"


def test_3_3_3_all_conditions_of_a_rule_must_hold() -> None:
    queue = {"conditionType": "QueueStateCondition", "queue": QUEUE, "condition": "EQ", "value": "Full"}
    both = policy(rule("both", 2, WINTER, queue), CATCH_ALL)
    assert decide(both, queues={QUEUE: "Full"}).rule == "both"
    assert decide(both, queues={QUEUE: "Active"}).rule == "last"
    assert decide(both).rule == "last"


def test_3_3_3_the_highest_priority_wins_and_the_others_say_why_not() -> None:
    summer = WINTER | {"dateEnd": "2026-11-02T00:00:00+00:00"}
    full = {"conditionType": "QueueStateCondition", "queue": QUEUE, "condition": "EQ", "value": "Full"}
    evaluation = decide(
        policy(CATCH_ALL, rule("low", 1), rule("summer", 9, summer), rule("middle", 5, WINTER), rule("full", 7, full))
    )
    assert (evaluation.outcome, evaluation.rule) == ("route", "middle")
    assert evaluation.recipient_uri == "sip:middle@queues.bch.example"
    assert [(one.rule, one.verdict) for one in evaluation.considered] == [
        ("summer", "did-not-hold"),
        ("full", "not-known"),
        ("middle", "won"),
        ("low", "outranked"),
        ("last", "outranked"),
    ]
    assert list(evaluation.explain()) == [
        f"It goes to sip:middle@queues.bch.example, by rule middle of {BEDS}.",
        "Rule summer (priority 9): it is after the period.",
        f"Rule full (priority 7): the state of {QUEUE} is not known.",
        "Rule middle (priority 5): all its conditions hold.",
        "Rule low (priority 1): a rule of higher priority won.",
        "Rule last (priority 0): a rule of higher priority won.",
    ]


def test_3_3_an_expired_policy_is_never_used() -> None:
    expiring = policy(CATCH_ALL, policyExpirationTime="2026-11-27T00:00:00+00:00")
    assert decide(expiring).outcome == "route"
    after = decide(expiring, now=NOW + timedelta(days=2))
    assert (after.outcome, after.considered) == ("default", ())
    assert [one.why for one in after.passed_over] == ["it has expired"]


def test_4_2_1_6_where_no_rule_holds_it_falls_to_the_default() -> None:
    summer = WINTER | {"dateEnd": "2026-11-02T00:00:00+00:00"}
    nothing = decide(policy(rule("summer", 1, summer)))
    assert (nothing.outcome, nothing.rule, nothing.recipient_uri) == ("default", None, None)
    assert nothing.why == "No rule won: it falls to the alliance's default."
    assert decide().why == "No policy says where this queue's contacts go: it falls to the alliance's default."
    assert decide(policy(CATCH_ALL), queue=ELSEWHERE).outcome == "default"


def test_4_2_1_7_a_rule_that_led_nowhere_counts_as_not_satisfied() -> None:
    two = policy(rule("first", 2), CATCH_ALL)
    again = decide(two, failed=frozenset({(two.key, "first")}))
    assert (again.rule, again.considered[0].verdict) == ("last", "tried-before")


def test_3_3_3_2_1_a_route_says_where_how_long_and_why() -> None:
    action = {"actionType": "RouteAction", "recipientUri": ELSEWHERE, "rnaTimer": 15, "cause": "x"}
    evaluation = decide(policy(rule("one", 1, **action)))
    assert (evaluation.recipient_uri, evaluation.rna_timer_s, evaluation.cause) == (ELSEWHERE, 15, "x")


def test_3_3_3_2_2_busy_is_an_answer() -> None:
    assert decide(policy(rule("one", 1, actionType="BusyAction"))).outcome == "busy"


def test_3_3_3_2_4_a_rule_that_only_tells_does_not_end_the_search() -> None:
    log = {"actionType": "LogAction", "message": "winter"}
    routes = rule("route", 1)
    routes["actions"].insert(0, {"actionType": "NotifyAction", "eventCode": "x", "urgency": 1})
    evaluation = decide(policy(rule("tells", 2, **log), routes))
    assert evaluation.rule == "route"
    assert [action.kind for action in evaluation.tell] == ["LogAction", "NotifyAction"]
    assert evaluation.considered[0].verdict == "told"


def test_3_3_3_2_5_an_invoked_policy_decides_and_one_in_which_no_rule_wins_does_not() -> None:
    def invoke(id_: str, priority: int) -> dict[str, Any]:
        return rule(id_, priority, actionType="InvokePolicyAction", policyType="OtherRoutePolicy", policyId=id_)

    summer = WINTER | {"dateEnd": "2026-11-02T00:00:00+00:00"}
    first = policy(invoke("gone", 9), invoke("empty", 8), invoke("night", 7), CATCH_ALL)
    evaluation = decide(first, other("empty", rule("never", 1, summer)), other("night", rule("yes", 1)))
    assert (evaluation.rule, evaluation.policy) == ("yes", Key(BEDS, "OtherRoutePolicy", "night"))
    assert [(one.rule, one.verdict) for one in evaluation.considered] == [
        ("gone", "invoked-in-vain"),
        ("empty", "invoked-in-vain"),
        ("never", "did-not-hold"),
        ("night", "won"),
        ("yes", "won"),
        ("last", "outranked"),
    ]


def test_4_2_2_3_policies_that_invoke_each_other_end() -> None:
    def invoke(id_: str, priority: int) -> dict[str, Any]:
        name = f"{id_}-{priority}"
        return rule(name, priority, actionType="InvokePolicyAction", policyType="OtherRoutePolicy", policyId=id_)

    ring = [other(str(n), *(invoke(str((n + step) % 40), step) for step in (1, 2, 3))) for n in range(40)]
    evaluation = decide(policy(invoke("0", 1), CATCH_ALL), *ring)
    assert evaluation.rule == "last"
    assert len(evaluation.considered) == 40 * 3 + 2


def test_3_3_3_1_9_what_lost_answers_is_the_next_hop_whose_owner_s_policy_is_invoked() -> None:
    urn, hop = "urn:service:sos.police", "sip:hertfordshire-999@queues.bch.example"
    asks = rule(
        "asks",
        5,
        {"conditionType": "LostServiceUrnCondition", "urn": urn},
        actionType="InvokePolicyAction",
        policyType="NormalNexthopRoutePolicy",
    )
    after = rule("after", 1, {"conditionType": "NormalNextHopCondition", "operator": "EQ", "content": hop})
    theirs = {"policyType": "NormalNextHopRoutePolicy", "policyQueueName": hop}
    mine = policy(asks, after, CATCH_ALL)
    herts = policy(rule("herts", 1), policyOwner=HERTS, **theirs)
    stranger = policy(rule("hijack", 1), policyOwner="essex.test", **theirs)
    known = {"next_hops": {urn: hop}, "queue_owners": {hop: HERTS}}
    assert decide(mine, herts, **known).rule == "herts"
    hijacked = decide(mine, stranger, **known)
    assert hijacked.rule == "after"
    assert [one.why for one in hijacked.passed_over] == ["its owner is not whose queue it is"]
    assert decide(mine, herts, next_hops={urn: None}).rule == "last"
    assert decide(mine, herts).considered[0].verdict == "not-known"


def test_nobody_s_policy_decides_for_another_s_queue() -> None:
    evaluation = decide(policy(rule("hijack", 1), policyOwner=HERTS))
    assert evaluation.outcome == "default"
    assert [one.policy.domain for one in evaluation.passed_over] == [HERTS]
    assert decide(policy(CATCH_ALL), owner=f"sip:desk@{BEDS}").outcome == "route"
    assert decide(policy(CATCH_ALL), owner="nobody").outcome == "default"
    assert decide(policy(CATCH_ALL)).policy == Key(BEDS, ORIGINATION, QUEUE)
