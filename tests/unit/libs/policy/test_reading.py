"""Whatever is sent for a policy is read or refused, and nothing else."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.policy import Refused, State, domain_of, evaluate, read
from libs.policy.faults import faults_of
from tests.conformance.policy.test_documents import ACTIONS, CONDITIONS, PERIOD
from tests.policies import BEDS, CATCH_ALL, QUEUE, a_policy, rule

NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
FULL = a_policy(
    description="all of it",
    policyExpirationTime="2115-12-21T12:58:03.01-05:00",
    policyRules=[
        *(rule(f"c{n}", 100 + n, condition) for n, (_, condition, _) in enumerate(CONDITIONS)),
        *({"id": f"a{n}", "priority": 10 + n, "actions": [action]} for n, (_, action, _) in enumerate(ACTIONS)),
        rule("p", 1, PERIOD),
        CATCH_ALL,
    ],
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in members:
        found += places(inner, (*at, name))
    return found


PLACES = [place for place in places(FULL) if place]


def mutated(changes: list[tuple[tuple[Any, ...], Any]]) -> Any:
    """The policy with something else in some of its places, as far as they are there still."""
    value = copy.deepcopy(FULL)
    for place, other in changes:
        at: Any = value
        try:
            for step in place[:-1]:
                at = at[step]
            at[place[-1]] = other
        except (KeyError, IndexError, TypeError):
            continue
    return value


def refusal_of(content: bytes) -> Refused | None:
    """Why it is refused; where it is read, it can be evaluated too."""
    try:
        policy = read(content, NOW)
    except Refused as refusal:
        return refusal
    assert evaluate([policy], State(owner=policy.owner, queue=policy.key.name), NOW).why
    return None


def read_or_refuse(content: bytes) -> None:
    refusal = refusal_of(content)
    assert refusal is None or (str(refusal) and 1 <= len(refusal.faults) <= 50)


def test_the_policy_that_is_mutated_is_one() -> None:
    assert list(faults_of(FULL, NOW)) == []


@given(st.lists(st.tuples(st.sampled_from(PLACES), json_values), min_size=1, max_size=3))
@settings(max_examples=400, deadline=None)
def test_a_policy_with_something_else_in_any_of_its_places_is_read_or_refused(
    changes: list[tuple[tuple[Any, ...], Any]],
) -> None:
    read_or_refuse(json.dumps(mutated(changes)).encode())


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=200, deadline=None)
def test_whatever_the_bytes_they_are_read_or_refused(content: bytes) -> None:
    read_or_refuse(content)


@given(st.text(max_size=400))
@settings(max_examples=200, deadline=None)
def test_a_domain_is_found_in_lower_case_or_not_at_all(text: str) -> None:
    found = domain_of(text)
    assert found is None or (found == found.lower() and found in text.lower() and "." in found)


def test_names_that_are_long_to_match_are_matched_quickly() -> None:
    for owner in ("a" * 300, "a-" * 150, "a@" * 150, "sip:" + ";" * 296, "a." * 150, "%" * 299 + "@"):
        assert domain_of(owner) is None
    for queue in ("sip:" + "a." * 140 + "@", "sip:a@" + "a-" * 140, "sip:" + "%" * 290):
        refusal = refusal_of(json.dumps(a_policy(policyQueueName=queue)).encode())
        assert refusal is None or refusal.faults[0].pointer == "/policyQueueName"
    assert domain_of(BEDS) == BEDS
    assert read(json.dumps(a_policy()).encode(), NOW).key.name == QUEUE
