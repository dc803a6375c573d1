"""What one client may ask, what it gets when it asks more, and what is never refused."""

from typing import Any

import pytest
from prometheus_client import REGISTRY
from starlette.types import Scope

from libs.service import rates
from libs.service.problem import TooMany
from libs.service.rates import BURST_S, Over, Rates, Visit, hold, refuse_unless
from tests.unit.libs.service.issuing import LocalIssuer
from tests.unit.libs.service.serving import calling, make_app

THING = "/v1/things/1"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def enter(some: Rates, client: str = "one") -> Over | None:
    """A request that comes and goes."""
    scope: Scope = {}
    visit = Visit(scope)
    over = some.enter(client, scope)
    visit.end()
    return over


def test_a_client_has_its_rate_and_a_burst_and_is_told_when_to_come_again() -> None:
    clock = Clock()
    some = Rates(rate_per_s=10, at_once=99, clock=clock)
    taken = 0
    while (over := enter(some)) is None:
        taken += 1
        assert taken < 100
    assert taken in (BURST_S * 10, BURST_S * 10 + 1)
    assert (over.why, over.retry_after_s) == ("rate", 1)
    clock.now += over.retry_after_s
    later = [enter(some) is None for _ in range(15)]
    assert 9 <= later.count(True) <= 11
    assert not later[-1]


def test_one_client_s_haste_costs_no_other_anything() -> None:
    some = Rates(rate_per_s=1, at_once=1, clock=Clock())
    assert [enter(some, "hasty") is None for _ in range(10)].count(True) == 3
    assert enter(some, "other") is None
    assert some.bad_token("hasty") is None  # an address is no subject


def test_what_is_refused_is_no_debt() -> None:
    clock = Clock()
    some = Rates(rate_per_s=1, at_once=1, clock=clock)
    for _ in range(1000):
        enter(some)
    clock.now += 3
    assert enter(some) is None


def test_so_many_requests_of_a_client_are_here_at_a_time_and_who_leaves_makes_room() -> None:
    some = Rates(rate_per_s=1000, at_once=2, clock=Clock())
    scopes: list[Scope] = [{} for _ in range(3)]
    visits = [Visit(scope) for scope in scopes]
    assert [some.enter("one", scope) for scope in scopes[:2]] == [None, None]
    over = some.enter("one", scopes[2])
    assert over is not None
    assert over.why == "at-once"
    assert enter(some, "other") is None
    for visit in visits:
        visit.end()
    assert some._here == {}, "somebody is counted who has left"
    assert enter(some) is None


def test_the_clients_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_CLIENTS", 100)
    clock = Clock()
    some = Rates(rate_per_s=1, at_once=1, clock=clock)
    for i in range(1000):
        enter(some, str(i))
        clock.now += 0.001
    assert len(some._due) <= 100
    clock.now += 10
    enter(some, "later")
    assert len(some._due) == 1, "who is owed nothing is forgotten"


def test_a_refusal_that_is_held_falls_on_all_but_emergencies() -> None:
    scope: Scope = {}
    refuse_unless(False, scope)  # none is held
    hold(scope, Over("rate", "Too many.", 7))
    spared = _value("hueandcry_emergencies_spared_total")
    refuse_unless(True, scope)
    assert _value("hueandcry_emergencies_spared_total") == spared + 1
    with pytest.raises(TooMany) as raised:
        refuse_unless(False, scope)
    assert raised.value.headers["Retry-After"] == "7"


async def test_over_the_rate_the_answer_is_429_and_another_subject_s_is_not(local: LocalIssuer) -> None:
    async with calling(make_app(local, client_rate_per_s=2)) as client:
        refused = _value("hueandcry_clients_refused_total", why="rate")
        answers = [await client.get(THING, headers=_bearer(local, "one")) for _ in range(8)]
        statuses = [answer.status_code for answer in answers]
        assert statuses[0] == 200
        assert statuses[-1] == 429
        last = answers[-1]
        assert last.headers["retry-after"] == "1"
        assert last.headers["content-type"] == "application/problem+json"
        assert last.json()["type"].endswith("/too-many-requests")
        assert _value("hueandcry_clients_refused_total", why="rate") == refused + statuses.count(429)
        assert (await client.get(THING, headers=_bearer(local, "another"))).status_code == 200


async def test_a_peer_with_too_many_bad_tokens_is_told_so_and_a_good_one_from_there_is_taken(
    local: LocalIssuer,
) -> None:
    async with calling(make_app(local, client_rate_per_s=2)) as client:
        bad = [await client.get(THING, headers={"Authorization": "Bearer no"}) for _ in range(8)]
        assert [bad[0].status_code, bad[-1].status_code] == [401, 429]
        assert (await client.get(THING, headers=_bearer(local, "one"))).status_code == 200


def _bearer(local: LocalIssuer, subject: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {local.token(sub=subject)}"}


def _value(name: str, **labels: Any) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0
