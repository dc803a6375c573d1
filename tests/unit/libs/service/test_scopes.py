"""To whom a thing shows, by every tie there is and by nothing else."""

import pytest

from libs.service.caller import Caller
from libs.service.scopes import Belongs, Scope, Tie

THING = Belongs.to("owner", presented="presented", answering="answering", handler="handler-1", gateway="gateway-1")
UNOWNED = Belongs.to(None)
QUEUED = Belongs.to("owner", alliances=True)


def caller(*forces: str, subject: str = "somebody", alliance: bool = False, home: str | None = None) -> Caller:
    return Caller(subject=subject, roles=frozenset(), forces=frozenset(forces), alliance=alliance, home_force=home)


TIED = [
    ({Tie.OWNED, Tie.OWNED_AT_HOME}, caller("owner"), THING),
    ({Tie.OWNED}, caller("owner", "essex"), THING),
    ({Tie.OWNED}, caller("owner", home="essex"), THING),
    ({Tie.OWNED, Tie.OWNED_AT_HOME}, caller("owner", "essex", home="owner"), THING),
    ({Tie.PRESENTED, Tie.PRESENTED_AT_HOME}, caller("presented"), THING),
    ({Tie.PRESENTED}, caller("presented", "essex", home="essex"), THING),
    ({Tie.ANSWERED}, caller("answering"), THING),
    ({Tie.HELD}, caller(subject="handler-1"), THING),
    ({Tie.BROUGHT}, caller(subject="gateway-1"), THING),
    ({Tie.ALLIANCE}, caller(alliance=True), UNOWNED),
    ({Tie.ALLIANCE}, caller(alliance=True), QUEUED),
]


@pytest.mark.parametrize(("ties", "who", "thing"), TIED)
def test_who_has_some_ties_has_no_others(ties: set[Tie], who: Caller, thing: Belongs) -> None:
    assert {one for one in Tie if thing.has(one, who)} == ties
    for scope in Scope:
        assert scope.admits(who, thing) == (scope.ties is None or not ties.isdisjoint(scope.ties)), scope


def test_a_home_force_that_is_not_among_the_token_s_opens_nothing() -> None:
    assert caller("essex", home="owner").at_home == []
    assert caller("essex", "owner").at_home == []
    assert caller("essex", "owner", home="owner").at_home == ["owner"]
    assert caller("essex", alliance=True).at_home == ["essex", ""]


@pytest.mark.parametrize("who", [caller(), caller("essex"), caller("essex", alliance=True), caller(subject="")])
def test_who_has_no_tie_is_admitted_by_no_scope_of_ties(who: Caller) -> None:
    assert not any(THING.has(tie, who) for tie in Tie)
    assert not any(scope.admits(who, THING) for scope in Scope if scope.ties is not None)


def test_what_nobody_is_known_to_hold_is_in_nobody_s_hands() -> None:
    """An unknown handler is no handler whose name is unknown: None ties to nobody."""
    assert not any(Belongs.to("owner").has(tie, caller(subject="None")) for tie in Tie)


def test_the_alliance_s_own_is_not_shown_without_the_claim() -> None:
    for thing in (UNOWNED, QUEUED):
        assert not thing.has(Tie.ALLIANCE, caller("essex"))


def test_every_scope_is_a_sentence_of_its_own() -> None:
    assert len({scope.sentence for scope in Scope}) == len(Scope)
    assert all(scope.sentence.endswith(".") for scope in Scope)
