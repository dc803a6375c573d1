"""Whose a policy is, and which may be stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from libs.alliance import NOTHING_KNOWN, Alliance, evolve
from libs.policy import Refused
from services.directory.alliance_file import SHIPPED, read
from services.directory.forces import changes, desired
from services.directory.known import known_forces
from services.directory.policies import Agency, Envelope, accept, agency_of, subject_of
from tests.policies import BEDS, a_policy, unsigned

NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
DOMAIN = "queues.bch.example"
THREE = "bedfordshire-cambridgeshire-hertfordshire"


def alliance() -> Alliance:
    made = NOTHING_KNOWN
    for change in changes(desired(read(SHIPPED / f"{THREE}.toml"), known_forces()), made):
        made = evolve(made, change.fact)
    return made


def accepted(**members: Any) -> Agency:
    return accept(Envelope(**unsigned(a_policy(**members))), alliance(), NOW)[1]


def test_a_policy_owner_is_a_member_or_the_alliance_itself() -> None:
    known = alliance()
    for owner in (BEDS, BEDS.upper(), f"desk@{BEDS}", f"sip:desk@{BEDS}", f"https://{BEDS}/policies"):
        assert agency_of(known, owner) == Agency("bedfordshire", must_sign=False)
    assert agency_of(known, DOMAIN) == Agency(None, must_sign=False)
    for stranger in ("essex.police.example", f"essex.{DOMAIN}", f"x.{BEDS}", f"{BEDS}.test", "bedfordshire", "", "@"):
        assert agency_of(known, stranger) is None
    assert agency_of(NOTHING_KNOWN, BEDS) is None


def test_each_policy_has_a_stream_of_its_own_whatever_it_is_called() -> None:
    names = ["a", "b", "", "\n", "a" * 300, "\N{POLICE CARS REVOLVING LIGHT}"]
    keys = [(force, kind, name) for force in (None, "", "beds") for kind in ("x", "y") for name in names]
    subjects = [subject_of(*key) for key in keys]
    assert len(set(subjects)) == len(keys)
    assert all(subject.isascii() and len(subject) < 60 and subject.startswith("policy/") for subject in subjects)
    assert subjects == [subject_of(*key) for key in keys]


def test_a_policy_is_for_a_queue_of_its_owner_s() -> None:
    assert accepted() == Agency("bedfordshire", must_sign=False)
    assert accepted(policyQueueName=f"sip:nobody-s@{DOMAIN}").force == "bedfordshire"
    assert accepted(policyOwner=DOMAIN, policyQueueName=f"sip:alliance-default@{DOMAIN}").force is None
    for queue in ("hertfordshire-999", "alliance-default"):
        with pytest.raises(Refused) as refusal:
            accepted(policyQueueName=f"sip:{queue}@{DOMAIN}")
        assert refusal.value.faults[0].pointer == "/policyQueueName"
