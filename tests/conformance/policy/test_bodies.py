"""Ten thousand random and mutated bodies at /Policies: each is answered, none by a mistake of ours, and nothing piles
up. `make test` sends a few hundred of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.policy.conftest import AUTHORITY, PolicyStore
from tests.policies import BEDS, Signer, encoded, unsigned
from tests.unit.libs.policy.test_reading import PLACES, json_values, mutated

AT_ONCE = 20
PATIENCE_S = 240.0
MOST_MORE_BYTES = 256 * 1024 * 1024
OWNER = Signer(BEDS, AUTHORITY)
JSON = {"Content-Type": "application/json"}

documents = st.lists(st.tuples(st.sampled_from(PLACES), json_values), max_size=3).map(
    lambda changes: json.dumps(mutated(changes)).encode()
)
cut = st.tuples(documents, st.integers(0, 4000), st.binary(max_size=8)).map(
    lambda given: given[0][: given[1]] + given[2] + given[0][given[1] + 1 :]
)
contents = documents | cut | st.binary(max_size=300)
headers = st.dictionaries(st.sampled_from(["alg", "x5c", "crit", "x5u", "b64", "typ"]), json_values, max_size=3)
envelopes = st.one_of(
    contents.map(unsigned),
    contents.map(OWNER.sign),
    st.builds(lambda content, header: OWNER.sign(content, **header), contents, headers),
    st.builds(
        lambda content, member, other: unsigned(content) | {member: other},
        contents,
        st.sampled_from(["payload", "protected", "signature", "header"]),
        json_values | st.binary(max_size=60).map(encoded),
    ),
    json_values,
).map(lambda envelope: json.dumps(envelope).encode())
bodies = envelopes | st.binary(max_size=300) | st.tuples(envelopes, st.integers(0, 3000)).map(lambda of: of[0][: of[1]])
requests = st.lists(st.tuples(st.sampled_from(["POST", "PUT"]), bodies), min_size=AT_ONCE, max_size=AT_ONCE)
QUERY = {"policyOwner": BEDS, "policyType": "OriginationRoutePolicy", "policyQueueName": "sip:a@b.test"}


async def answered(store: PolicyStore, sent: list[tuple[str, bytes]]) -> None:
    """All at once: each has its answer in time, which is no 500 and, where it is a refusal, says why. A machine that is
    busy with other things may be told to come again (503)."""
    administrator = store.administrator("bedfordshire")

    async def send(method: str, body: bytes) -> Any:
        params = QUERY if method == "PUT" else {}
        return await store.http.request(
            method, "/Policies", content=body, params=params, headers=administrator | JSON, timeout=PATIENCE_S
        )

    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*(send(method, body) for method, body in sent))
    for answer, (_, body) in zip(answers, sent, strict=True):
        assert answer.status_code < 500 or "retry-after" in answer.headers, (answer.text, body)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", body
            assert answer.json()["detail"], body


@pytest.fixture(scope="module")
def flat() -> Iterator[None]:
    """What was sent has not been kept, by the one process that is both client and service here."""
    process = psutil.Process()
    before = process.memory_info().rss
    yield
    assert process.memory_info().rss - before < MOST_MORE_BYTES


@given(sent=requests)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
async def test_whatever_is_sent_for_a_policy_is_taken_or_refused(
    store: PolicyStore, flat: None, sent: list[tuple[str, bytes]]
) -> None:
    await answered(store, sent)


@pytest.mark.long
@given(sent=requests)
@settings(max_examples=10_000 // AT_ONCE, deadline=None, suppress_health_check=list(HealthCheck))
async def test_ten_thousand_bodies_are_taken_or_refused(
    store: PolicyStore, flat: None, sent: list[tuple[str, bytes]]
) -> None:
    await answered(store, sent)
