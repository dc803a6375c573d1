"""To whom a thing shows, by every tie there is and by nothing else."""

import pytest

from libs.service.caller import Caller
from libs.service.scopes import Belongs, Scope, Tie

THING = Belongs.to("owner", presented="presented", answering="answering", handler="handler-1", gateway="gateway-1")
UNOWNED = Belongs.to(None)
QUEUED = Belongs.to("owner", alliances=True)


def caller(*forces: str, subject: str = "somebody", alliance: bool = False) -> Caller:
    return Caller(subject=subject, roles=frozenset(), forces=frozenset(forces), alliance=alliance)


TIED = [
    (Tie.OWNED, caller("owner"), THING),
    (Tie.PRESENTED, caller("presented"), THING),
    (Tie.ANSWERED, caller("answering"), THING),
    (Tie.HELD, caller(subject="handler-1"), THING),
    (Tie.BROUGHT, caller(subject="gateway-1"), THING),
    (Tie.ALLIANCE, caller(alliance=True), UNOWNED),
    (Tie.ALLIANCE, caller(alliance=True), QUEUED),
]


@pytest.mark.parametrize(("tie", "who", "thing"), TIED)
def test_who_has_one_tie_has_no_other(tie: Tie, who: Caller, thing: Belongs) -> None:
    assert [one for one in Tie if thing.has(one, who)] == [tie]
    for scope in Scope:
        assert scope.admits(who, thing) == (scope.ties is None or tie in scope.ties), scope


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
