"""The policy store's web service, by the clauses of NENA-STA-010.3, section 3.3.1, and NENA's OpenAPI document."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from libs.events.log import scope
from libs.events.log.database import Database
from libs.events.log.roles import CONSUMER, READER, WRITER, Login
from libs.events.log.scope import ALLIANCE, Scope
from libs.events.log.store import read_after
from libs.events.types.directory import PolicyStored, PolicyWithdrawn
from tests.conformance.policy.conftest import AUTHORITY, PolicyStore
from tests.policies import BEDS, CATCH_ALL, QUEUE, Signer, a_policy, encoded, rule, unsigned

HERTS, ALLIANCE_DOMAIN = "hertfordshire.queues.bch.example", "queues.bch.example"
FORBIDDEN_CHARACTERS = [f"sip:test@example$.com:{port}" for port in (5060, 65536)]


def other(policy_id: str, **members: Any) -> dict[str, Any]:
    """A policy of its own for each test."""
    return a_policy(policyType="OtherRoutePolicy", policyQueueName=None, policyId=policy_id, **members)


def at(policy_id: str, owner: str = BEDS) -> dict[str, str]:
    return {"policyOwner": owner, "policyType": "OtherRoutePolicy", "policyId": policy_id}


async def stored(store: PolicyStore, policy: dict[str, Any], **rest: Any) -> Any:
    answer = await store.ask("POST", json=unsigned(policy), **rest)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_3_3_1_2_2_what_is_stored_is_retrieved_byte_for_byte(store: PolicyStore) -> None:
    for number, content in enumerate(
        (
            json.dumps(other("bytes"), indent=8).replace("\n", "\r\n").encode(),
            b"\n\n  " + json.dumps(other("bytes")).encode() + b" \t\n",
            json.dumps(other("bytes", description="é\n'(")).encode(),
            json.dumps(
                other("bytes", description="é", policyRules=[rule(f"r{n}", n) for n in range(200)]), ensure_ascii=False
            ).encode(),
        ),
        1,
    ):
        envelope = unsigned(content)
        answer = await store.ask("POST", json=envelope)
        assert answer.status_code == 201, answer.text
        assert answer.json()["version"] == number
        found = (await store.ask("GET", params=at("bytes"))).json()
        assert found == {"count": 1, "totalCount": 1, "policies": [envelope]}


async def test_3_3_1_2_2_a_signed_policy_is_stored_where_its_owner_signed_it(store: PolicyStore) -> None:
    policy = other("signed", policyOwner=HERTS)
    await store.refused(438, "POST", "/Policies", "hertfordshire", json=unsigned(policy))
    for signer in (Signer("essex.test", AUTHORITY), Signer(HERTS), Signer(HERTS, Signer("The Authority", ca=True))):
        await store.refused(434, "POST", "/Policies", "hertfordshire", json=signer.sign(policy))
    owner = Signer(HERTS, AUTHORITY)
    envelope = owner.sign(policy)
    tampered = envelope | {"payload": unsigned(other("signed", policyOwner=HERTS, description="x"))["payload"]}
    await store.refused(434, "POST", "/Policies", "hertfordshire", json=tampered)
    await store.refused(438, "POST", "/Policies", "hertfordshire", json=owner.sign(policy, alg="HS256"))
    await store.refused(404, "GET", "/Policies", "hertfordshire", params=at("signed", HERTS))
    assert (await store.ask("POST", "/Policies", "hertfordshire", json=envelope)).status_code == 201
    assert (await store.ask("GET", "/Policies", "hertfordshire", params=at("signed", HERTS))).json()["policies"] == [
        envelope
    ]


@pytest.mark.parametrize(
    ("clause", "status", "change"),
    [
        ("436 a repeated priority", 436, {"policyRules": [rule("one", 1), rule("two", 1)]}),
        ("436 an invalid priority", 436, {"policyRules": [rule("one", 1) | {"priority": -1}]}),
        ("437 a repeated id", 437, {"policyRules": [rule("one", 1), rule("one", 2)]}),
        ("437 no rules", 437, {"policyRules": None}),
        ("451 an unknown type", 451, {"policyType": "OtherRoutePolicyy"}),
        ("452 a bad owner", 452, {"policyOwner": "tester@@ng911.test"}),
        ("452 an owner that is nobody here", 452, {"policyOwner": "essex.test"}),
        ("459 expired", 459, {"policyExpirationTime": "2015-02-20T12:58:03.01-05:00"}),
        ("459 no time", 459, {"policyExpirationTime": "2115-02-30T12:58:03.01-05:00"}),
    ],
)
async def test_e_1_each_refusal_has_its_status_and_stores_nothing(
    store: PolicyStore, clause: str, status: int, change: dict[str, Any]
) -> None:
    policy = a_policy(**{"policyQueueName": "sip:refused@queues.bch.example"} | change)
    problem = await store.refused(status, "POST", json=unsigned(policy))
    assert problem["errors"][0]["pointer"] == "/payload", clause
    address = {
        "policyOwner": BEDS,
        "policyType": "OriginationRoutePolicy",
        "policyQueueName": policy["policyQueueName"],
    }
    await store.refused(404, "GET", params=address)
    on_update = 460 if status == 459 else status
    await store.refused(on_update, "PUT", params=address, json=unsigned(policy))


@pytest.mark.parametrize(
    ("status", "envelope"),
    [
        (437, {"payload": "AAA", "protected": encoded(b'{"alg":"none"}'), "signature": ""}),
        (437, {"payload": encoded(b"{}"), "protected": encoded(b"[]"), "signature": ""}),
        (437, {"payload": encoded(b"{}"), "protected": encoded(b'{"alg":"none","crit":["x"]}'), "signature": ""}),
        (438, {"payload": encoded(b"{}"), "protected": encoded(b"{}"), "signature": ""}),
        (434, {"payload": encoded(b"{}"), "protected": encoded(b'{"alg":"EdDSA"}'), "signature": "AA"}),
        (422, {"payload": "a b", "protected": "e30", "signature": ""}),
        (422, {"payload": "e30=", "protected": "e30", "signature": ""}),
        (422, {"payload": "e30", "protected": "e30"}),
        (422, {"payload": "e30", "protected": "e30", "signature": "", "header": {}}),
        (422, "e30.e30."),
    ],
)
async def test_5_10_what_is_no_jws_in_the_flattened_serialisation_is_refused(
    store: PolicyStore, status: int, envelope: Any
) -> None:
    await store.refused(status, "POST", json=envelope)


async def test_3_3_1_2_3_an_update_is_of_a_policy_that_is_there_and_the_one_that_is_sent(store: PolicyStore) -> None:
    await store.refused(404, "PUT", params=at("updated"), json=unsigned(other("updated")))
    await stored(store, other("updated"))
    new = unsigned(other("updated", description="new"))
    await store.refused(437, "PUT", params=at("updated"), json=unsigned(other("another")))
    answer = await store.ask("PUT", params=at("updated"), json=new)
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert (await store.ask("PUT", params=at("updated"), json=new)).json()["version"] == 2, (
        "the same again is no change"
    )
    assert (await store.ask("GET", params=at("updated"))).json()["policies"] == [new]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    ("status", "params"),
    [
        (422, {"policyType": "OtherRoutePolicy", "policyId": "x"}),
        (422, {"policyOwner": BEDS, "policyId": "x"}),
        (422, {"policyOwner": BEDS, "policyType": "OtherRoutePolicy"}),
        (422, {"policyOwner": BEDS, "policyType": "OriginationRoutePolicy"}),
        (422, {"policyOwner": BEDS, "policyType": "OriginationRoutePolicy", "policyId": "x"}),
        (422, at("x") | {"policyQueueName": QUEUE}),
        (451, at("x") | {"policyType": "OtherRoutePolicyy"}),
        *[
            (452, at("x", owner))
            for owner in ("te$t@example.com", "testexample", "a@@b.test", ".a@b.test", "essex.test")
        ],
        (422, at("x", "a@b." + "com" * 120)),
        *[
            (422, {"policyOwner": BEDS, "policyType": "OriginationRoutePolicy", "policyQueueName": name})
            for name in ("sip:@example.com:5060", "sip:test@:5060", "zip:test@example.com", *FORBIDDEN_CHARACTERS)
        ],
    ],
)
async def test_3_3_1_2_3_and_4_the_address_names_one_policy(
    store: PolicyStore, method: str, status: int, params: dict[str, str]
) -> None:
    body = {"json": unsigned(other("x"))} if method == "PUT" else {}
    await store.refused(status, method, params=params, **body)


async def test_3_3_1_2_4_a_policy_that_was_withdrawn_is_unknown_and_may_be_stored_again(store: PolicyStore) -> None:
    await store.refused(404, "DELETE", params=at("gone"))
    for odd in ("gone", "\n", "'", "("):
        await stored(store, other(odd))
        answer = await store.ask("DELETE", params=at(odd) | {"reason": "not needed"})
        assert answer.status_code == 200
        await store.refused(404, "GET", params=at(odd))
        await store.refused(404, "DELETE", params=at(odd))
        await store.refused(404, "PUT", params=at(odd), json=unsigned(other(odd)))
    assert (await stored(store, other("gone")))["version"] == 3


@pytest.mark.parametrize(
    ("status", "params"),
    [
        (422, {"policyType": "OriginationRoutePolicy", "policyId": "test123"}),
        (422, {"policyType": "OtherRoutePolicy", "policyQueueName": QUEUE}),
        *[(422, {"limit": wrong}) for wrong in ("test", "", " ", "18446744073709551616", "-9223372036854775809", "0")],
        *[(422, {"start": wrong}) for wrong in ("test", "", " ", "18446744073709551616", "0", "-1")],
        *[(452, {"policyOwner": owner}) for owner in ("te$t@example.com", "testexample", "a@@b.test", ".a@b.test")],
        (451, {"policyType": "OtherRoutePolicyy"}),
        *[(422, {"policyQueueName": name}) for name in ("sip:@example.com:5060", "sip:test@:5060", "zip:a@b.test")],
        *[(404, {"policyId": unknown}) for unknown in ("test", "", " ", "18446744073709551616")],
        (404, {"policyOwner": BEDS, "policyId": "unknown"}),
        (404, {"policyOwner": HERTS}),
        (422, {"policyOwners": BEDS}),
        (422, {"at": "2026-01-01T00:00:00"}),
        (422, {"at": "0.5"}),
        (422, {"at": "1700000000"}),
        (422, {"at": "2999-01-01T00:00:00Z"}),
        (422, {"at": "9999-12-31T23:59:59-12:00"}),
        (422, {"at": "0001-01-01T00:00:00+12:00"}),
        (404, at("bytes") | {"at": "1999-01-01T00:00:00Z"}),
    ],
)
async def test_3_3_1_2_1_a_search_for_what_cannot_be_or_is_not_there_is_refused(
    store: PolicyStore, status: int, params: dict[str, str]
) -> None:
    await store.refused(status, "GET", params=params)


async def test_3_3_1_2_1_policies_are_retrieved_by_page(store: PolicyStore) -> None:
    force = store.administrator("cambridgeshire")
    cambs = "cambridgeshire.queues.bch.example"
    assert (await store.ask("GET", headers=force)).json() == {"count": 0, "totalCount": 0, "policies": []}
    envelopes = [unsigned(other(f"p{number}", policyOwner=f"desk@{cambs}")) for number in range(5)]
    for envelope in envelopes:
        assert (await store.ask("POST", json=envelope, headers=force)).status_code == 201
    for start, limit in ((1, 2), (2, 3), (5, 10), (6, 1)):
        answer = await store.ask("GET", headers=force, params={"policyOwner": cambs, "start": start, "limit": limit})
        expected = envelopes[start - 1 : start - 1 + limit]
        assert answer.json() == {"count": len(expected), "totalCount": 5, "policies": expected}


async def test_3_3_1_3_1_policies_are_enumerated_with_when_they_changed(store: PolicyStore) -> None:
    before = datetime.now(UTC)
    await stored(store, other("listed", policyExpirationTime="2115-12-21T12:58:03.01-05:00"))
    await stored(store, other("listed too"))
    query = {"policyType": "OtherRoutePolicy", "policiesUpdatedSince": before.isoformat()}
    found = (await store.ask("GET", "/PolicyEnums", params=query)).json()
    assert (found["count"], found["totalCount"]) == (2, 2)
    first, second = found["policyEnums"]
    changed = datetime.fromisoformat(first.pop("policyLastModificationTime"))
    assert before < changed < datetime.now(UTC)
    assert first == {
        "policyType": "OtherRoutePolicy",
        "policyOwner": BEDS,
        "policyQueueName": None,
        "policyId": "listed",
        "policyExpirationTime": "2115-12-21T17:58:03.010000Z",
    }
    assert (second["policyId"], second["policyExpirationTime"]) == ("listed too", None)
    await store.refused(422, "GET", "/PolicyEnums")
    await store.refused(451, "GET", "/PolicyEnums", params={"policyType": "LoST"})
    await store.refused(422, "GET", "/PolicyEnums", params=query | {"policiesUpdatedSince": "2026-01-01T00:00:00"})
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    await store.refused(404, "GET", "/PolicyEnums", params=query | {"policiesUpdatedSince": later})


async def test_3_3_1_1_versions_say_which_algorithms_are_taken(store: PolicyStore) -> None:
    versions = (await store.ask("GET", "/Versions")).json()
    assert versions["versions"] == [{"major": 1, "minor": 0, "serviceInfo": {"requiredAlgorithms": ["EdDSA", "none"]}}]


async def test_3_3_an_expired_policy_is_not_served_and_was_while_it_was_not(store: PolicyStore) -> None:
    for seconds in (2, 4, 8, 16, 32):  # as long as this machine takes to store and to ask
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        policy = other("short", policyExpirationTime=expires.isoformat(timespec="microseconds"))
        answer = await store.ask("POST", json=unsigned(policy))
        served = datetime.now(UTC)
        if answer.status_code == 201 and (await store.ask("GET", params=at("short"))).status_code == 200:
            break
    assert answer.status_code == 201
    async with asyncio.timeout(60):
        while (await store.ask("GET", params=at("short"))).status_code != 404:
            await asyncio.sleep(0.1)
    assert datetime.now(UTC) >= expires
    then = await store.ask("GET", params=at("short") | {"at": served.isoformat()})
    assert then.json()["policies"] == [unsigned(policy)]
    query = {"policyType": "OtherRoutePolicy", "policyId": "short"}
    await store.refused(404, "GET", "/PolicyEnums", params=query)
    renewed = await store.ask("PUT", params=at("short"), json=unsigned(other("short")))
    assert renewed.status_code == 200


async def test_history_is_kept_with_who_and_why(store: PolicyStore) -> None:
    first, second = unsigned(other("old")), unsigned(other("old", description="new"))
    assert (await store.ask("POST", json=first, params={"reason": "opening hours"})).status_code == 201
    moments = [datetime.now(UTC)]
    assert (await store.ask("PUT", json=second, params=at("old"))).status_code == 200
    moments.append(datetime.now(UTC))
    assert (await store.ask("DELETE", params=at("old") | {"reason": "merged\u0007"})).status_code == 200
    for moment, envelope in zip(moments, (first, second), strict=True):
        found = await store.ask("GET", params=at("old") | {"at": moment.isoformat()})
        assert found.json()["policies"] == [envelope]
    await store.refused(404, "GET", params=at("old"))

    whole = await Database.connect(store.logins.url, source="/directory", part=CONSUMER)
    try:
        events = [event for _, event in await read_after(whole, 0, 10_000) if event.subject.startswith("policy/")]
    finally:
        await whole.close()
    facts = [event.fact for event in events]
    [opened] = [fact for fact in facts if isinstance(fact, PolicyStored) and fact.reason == "opening hours"]
    said = [fact for fact in facts if fact.id == opened.id]
    assert [type(fact) for fact in said] == [PolicyStored, PolicyStored, PolicyWithdrawn]
    assert {fact.by for fact in said} == {"administrator-of-bedfordshire"}
    assert said[2].reason == "merged\N{REPLACEMENT CHARACTER}"
    assert (opened.force, opened.policy_owner, opened.policy_id) == ("bedfordshire", BEDS, "old")
    assert {"payload": opened.payload, "protected": opened.protected, "signature": opened.signature} == first
    assert {event.force for event in events if event.fact.id == opened.id} == {"bedfordshire"}
    assert all(event.traceparent for event in events)


async def test_only_its_owner_s_administrator_changes_a_policy(store: PolicyStore) -> None:
    await stored(store, other("mine"))
    changed = unsigned(other("mine", description="theirs"))
    for headers in (
        store.administrator("hertfordshire"),
        store.administrator(),
        store.administrator(alliance=True),
    ):
        await store.refused(403, "POST", json=changed, headers=headers)
        for method, body in (("PUT", {"json": changed}), ("DELETE", {}), ("GET", {})):
            there = await store.refused(404, method, params=at("mine"), headers=headers, **body)
            absent = await store.refused(404, method, params=at("no such"), headers=headers, **body)
            assert there | {"requestId": ""} == absent | {"requestId": ""}
        assert (await store.ask("GET", headers=headers)).status_code == 200
    for role in ("handler", "supervisor", "auditor", "partner"):
        headers = store.administrator("bedfordshire", role=role)
        await store.refused(403, "POST", json=changed, headers=headers)
        await store.refused(403, "PUT", json=changed, params=at("mine"), headers=headers)
        await store.refused(403, "DELETE", params=at("mine"), headers=headers)
    for role, status in (("supervisor", 200), ("auditor", 200), ("handler", 403)):
        answer = await store.ask("GET", params=at("mine"), headers=store.administrator("bedfordshire", role=role))
        assert answer.status_code == status
    assert (await store.ask("GET", params=at("mine"))).json()["policies"] == [unsigned(other("mine"))]
    for method in ("GET", "POST", "PUT", "DELETE"):
        await store.refused(
            401, method, headers={"X": "y"}, json=changed, params={} if method == "POST" else at("mine")
        )


async def test_the_alliance_s_own_policies_are_its_administrators(store: PolicyStore) -> None:
    queue = "sip:alliance-default@queues.bch.example"
    policy = a_policy(policyOwner=ALLIANCE_DOMAIN, policyQueueName=queue)
    await store.refused(403, "POST", json=unsigned(policy))
    headers = store.administrator(alliance=True)
    assert (await store.ask("POST", json=unsigned(policy), headers=headers)).status_code == 201
    found = (await store.ask("GET", headers=headers)).json()
    assert found["policies"] == [unsigned(policy)]
    await store.refused(404, "GET", params={"policyOwner": ALLIANCE_DOMAIN})


async def test_a_force_has_policies_for_its_own_queues_alone(store: PolicyStore) -> None:
    theirs = a_policy(policyQueueName="sip:hertfordshire-999@queues.bch.example")
    problem = await store.refused(437, "POST", json=unsigned(theirs))
    assert problem["errors"][0]["detail"].startswith("/policyQueueName: ")
    nobody = await stored(store, a_policy(policyQueueName="sip:nowhere@queues.bch.example"))
    assert "no queue" in nobody["warnings"][0]
    assert (await stored(store, a_policy()))["warnings"] == []
    period = {
        "conditionType": "TimePeriodCondition",
        "dateStart": "2030-01-01T00:00:00+00:00",
        "dateEnd": "2031-01-01T00:00:00+00:00",
    }
    kept = await stored(store, a_policy(policyRules=[rule("night", 1, period)]))
    assert "no catch-all" in kept["warnings"][0]


async def test_two_who_store_one_policy_at_once_both_hear_what_became_of_it(store: PolicyStore) -> None:
    versions = [unsigned(other("raced", description=str(number))) for number in range(12)]
    answers = await asyncio.gather(*(store.ask("POST", json=envelope) for envelope in versions))
    taken = [answer.json()["version"] for answer in answers if answer.status_code == 201]
    assert sorted(taken) == list(range(1, len(taken) + 1))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert taken


async def test_postgresql_shows_a_caller_the_policies_of_his_scope_alone(store: PolicyStore) -> None:
    await stored(store, other("secured"))
    everything = "SELECT DISTINCT coalesce(force, '') FROM event WHERE subject LIKE 'policy/%'"
    for part in (READER, WRITER):
        connection: asyncpg.Connection[Any] = await Login(store.logins.url).connect(part, server_settings={})
        try:
            assert await connection.fetch(everything) == [], "without a scope"
            for seen in ((), ("bedfordshire",), ("hertfordshire", ALLIANCE), ("essex",)):
                async with connection.transaction():
                    await scope.begin(connection, Scope(seen))
                    shown = {row[0] for row in await connection.fetch(everything)}
                    assert shown <= set(seen)
                    assert ("bedfordshire" in shown) == ("bedfordshire" in seen)
                    assert await connection.fetchval("SELECT count(*) FROM event WHERE subject LIKE 'force/%'") == 48
        finally:
            await connection.close()


async def test_a_policy_of_many_rules_is_taken_and_one_of_too_many_refused(store: PolicyStore) -> None:
    many = [rule(f"r{number}", number) for number in range(1_000)]
    assert (await stored(store, other("many", policyRules=many)))["version"] == 1
    await store.refused(437, "POST", json=unsigned(other("more", policyRules=[*many, rule("r", 1_000)])))
    await store.refused(413, "POST", json=unsigned(other("most", description="x" * 300_000)))
    assert CATCH_ALL["priority"] == 0
