"""What holds of every evaluation, whatever the rules are, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.policy import ORIGINATION, OTHER, Action, Condition, Evaluation, Key, Policy, Rule, State, evaluate

NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
OWNER, QUEUE = "beds.test", "sip:a@beds.test"
STATES = {"sip:full@beds.test": "Full", "sip:active@beds.test": "Active"}


def queue_is(queue: str, value: str, negated: bool) -> Condition:
    members = {"queue": f"sip:{queue}@beds.test", "condition": "EQ", "value": value}
    return Condition("QueueStateCondition", members, negated)


def truth(condition: Condition) -> bool | None:
    state = STATES.get(condition.members["queue"])
    return None if state is None else (state == condition.members["value"]) != condition.negated


conditions = st.builds(
    queue_is, st.sampled_from(["full", "active", "unheard-of"]), st.sampled_from(["Full", "Active"]), st.booleans()
)
deciding = st.one_of(
    st.builds(lambda n: Action("RouteAction", {"recipientUri": f"sip:{n}@beds.test"}), st.integers(0, 9)),
    st.just(Action("BusyAction")),
)
telling = st.builds(lambda text: Action("LogAction", {"message": text}), st.text(max_size=3))


@st.composite
def rule_sets(draw: st.DrawFn, action: st.SearchStrategy[Action] = deciding) -> tuple[Rule, ...]:
    priorities = draw(st.lists(st.integers(0, 1000), unique=True, min_size=1, max_size=8))
    return tuple(
        Rule(
            f"rule-{priority}",
            priority,
            tuple(draw(st.lists(conditions, max_size=3))),
            (*draw(st.lists(telling, max_size=2)), *draw(st.lists(action, max_size=1))) or (Action("BusyAction"),),
        )
        for priority in priorities
    )


def policy(rules: tuple[Rule, ...], kind: str = ORIGINATION, name: str = QUEUE) -> Policy:
    return Policy(OWNER, Key(OWNER, kind, name), rules)


def decide(*policies: Policy, **state: Any) -> Evaluation:
    return evaluate(policies, State(**{"owner": OWNER, "queue": QUEUE, "queues": STATES} | state), NOW)


@given(rules=rule_sets(), data=st.data())
@settings(max_examples=300, deadline=None)
def test_the_highest_priority_whose_conditions_hold_wins_in_whatever_order_the_rules_stand(
    rules: tuple[Rule, ...], data: st.DataObject
) -> None:
    evaluation = decide(policy(rules))
    can = [rule for rule in rules if rule.deciding and all(truth(one) is True for one in rule.conditions)]
    winner = max(can, key=lambda rule: rule.priority, default=None)
    assert evaluation.rule == (winner.id if winner else None)
    assert (evaluation.outcome == "default") == (winner is None)
    if winner is not None and winner.deciding is not None:
        assert evaluation.recipient_uri == winner.deciding.members.get("recipientUri")
    assert decide(policy(tuple(data.draw(st.permutations(rules))))) == evaluation


@given(rules=rule_sets())
@settings(max_examples=100, deadline=None)
def test_every_rule_says_why_it_won_or_did_not(rules: tuple[Rule, ...]) -> None:
    evaluation = decide(policy(rules))
    assert [one.rule for one in evaluation.considered] == [
        rule.id for rule in sorted(rules, key=lambda rule: rule.priority, reverse=True)
    ]
    by_id = {rule.id: rule for rule in rules}
    for one in evaluation.considered:
        held = [truth(condition) for condition in by_id[one.rule].conditions]
        expected = {
            "did-not-hold": False in held,
            "not-known": None in held and False not in held,
            "won": all(held) and one.rule == evaluation.rule,
            "told": all(held) and by_id[one.rule].deciding is None,
            "outranked": evaluation.rule is not None and one.priority < by_id[evaluation.rule].priority,
        }
        assert expected[one.verdict], one
        assert one.why
    assert len(list(evaluation.explain())) == len(rules) + 1


@given(rules=rule_sets())
@settings(max_examples=100, deadline=None)
def test_tried_again_and_again_each_rule_that_holds_has_its_turn_and_then_the_default(rules: tuple[Rule, ...]) -> None:
    only = policy(rules)
    failed: frozenset[tuple[Key, str]] = frozenset()
    turns = []
    while (evaluation := decide(only, failed=failed)).rule is not None:
        turns.append(evaluation.rule)
        failed |= {(only.key, evaluation.rule)}
    held = [rule for rule in rules if rule.deciding and all(truth(one) for one in rule.conditions)]
    assert turns == [rule.id for rule in sorted(held, key=lambda rule: -rule.priority)]


invoking = st.one_of(
    deciding,
    st.builds(
        lambda n: Action("InvokePolicyAction", {"policyType": OTHER, "policyId": str(n)}),
        st.integers(0, 5),
    ),
)


@given(first=rule_sets(invoking), others=st.lists(rule_sets(invoking), max_size=5), data=st.data())
@settings(max_examples=200, deadline=None)
def test_policies_that_invoke_each_other_come_to_an_end_in_whatever_order_they_are_given(
    first: tuple[Rule, ...], others: list[tuple[Rule, ...]], data: st.DataObject
) -> None:
    policies = [policy(first), *(policy(rules, OTHER, str(n)) for n, rules in enumerate(others))]
    evaluation = decide(*policies)
    assert len(evaluation.considered) <= sum(len(one.rules) for one in policies)
    assert decide(*data.draw(st.permutations(policies))) == evaluation
    won = [one for one in evaluation.considered if one.verdict == "won"]
    assert (evaluation.policy, evaluation.rule) == ((won[-1].policy, won[-1].rule) if won else (None, None))


def test_two_policies_of_one_key_are_a_mistake_of_the_caller() -> None:
    one = policy((Rule("a", 1, (), (Action("BusyAction"),)),))
    with pytest.raises(ValueError, match="two policies"):
        decide(one, one)
