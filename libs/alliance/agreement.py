"""Which version of the alliance's agreement is in force, and how its costs are shared. Pure.

Invariant: of versions that `terms` accepts, in whatever order they are given, exactly one is in force at every moment
from the first one's first day until the last one's last. The days are London's.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from libs.events.types.agreement import AgreedService, AgreementMade
from libs.london import LONDON, start_of

SUM_TOLERANCE = 1e-6
"""Of fixed shares, which people write as decimals."""


class Term(NamedTuple):
    """A version, and when it is in force: from `begins` on, before `ends`."""

    version: AgreementMade
    begins: datetime
    ends: datetime | None
    """None: it has no end yet."""


class Inconsistent(Exception):
    """The versions leave a gap, or overlap. Its message is one sentence; `version` is the id of the one to change."""

    def __init__(self, version: str, message: str) -> None:
        super().__init__(message)
        self.version = version


def terms(versions: Iterable[AgreementMade]) -> list[Term]:
    """Each version with when it is in force, the first first. Raises Inconsistent.

    A version without a last day holds until the next one's first. A day between two versions that neither covers is
    refused: who wants to end the alliance gives the last version its last day.
    """
    ordered = sorted(versions, key=lambda one: one.first_day)
    for one in ordered:
        if one.last_day is not None and one.last_day < one.first_day:
            raise Inconsistent(one.id, "its last day is before its first")
    for one, following in pairwise(ordered):
        if one.first_day == following.first_day:
            raise Inconsistent(following.id, f"{one.id} begins on the same day")
        if one.last_day is not None and one.last_day >= following.first_day:
            raise Inconsistent(following.id, f"{one.id} is in force until {one.last_day} still")
        if one.last_day is not None and one.last_day + timedelta(days=1) < following.first_day:
            raise Inconsistent(
                following.id, f"after {one.id} ends on {one.last_day} nothing would be in force until this"
            )
    return spans(ordered)


def spans(versions: Iterable[AgreementMade]) -> list[Term]:
    """The same for versions that were accepted; never raises, whatever they are."""
    ordered = sorted(versions, key=lambda one: (one.first_day, one.id))
    nexts = dict(zip(range(len(ordered)), ordered[1:], strict=False))
    return [Term(one, start_of(one.first_day), _ends(one, nexts.get(n))) for n, one in enumerate(ordered)]


def _ends(one: AgreementMade, following: AgreementMade | None) -> datetime | None:
    if following is not None:
        return start_of(following.first_day)
    return None if one.last_day is None else start_of(one.last_day + timedelta(days=1))


def in_force(versions: Iterable[AgreementMade], moment: datetime) -> AgreementMade | None:
    """The version in force at the moment; None before the first, or after the last has ended."""
    day: date = moment.astimezone(LONDON).date()
    begun = [one for one in versions if one.first_day <= day]
    latest = max(begun, key=lambda one: (one.first_day, one.id), default=None)
    return None if latest is None or (latest.last_day is not None and latest.last_day < day) else latest


def fault_of(service: AgreedService, parties: tuple[str, ...]) -> str | None:
    """What is wrong with how a service is shared among the parties; None: nothing."""
    forces = [figure.force for figure in service.figures]
    amounts = [figure.amount for figure in service.figures]
    if sorted(forces) != sorted(parties):
        return f"the figures must be of every party once: {', '.join(parties)}"
    if min(amounts) < 0:
        return "no figure is below 0"
    if service.shared_by == "fixed" and abs(sum(amounts) - 1) > SUM_TOLERANCE:
        return f"fixed shares must sum to 1, not {round(sum(amounts), 6)}"
    if sum(amounts) == 0:
        return "there must be a figure above 0"
    return None


def shares(service: AgreedService) -> dict[str, float]:
    """Each party's share of the service's cost, from 0 to 1. They sum to 1."""
    whole = sum(figure.amount for figure in service.figures)
    return {figure.force: figure.amount / whole for figure in service.figures}
