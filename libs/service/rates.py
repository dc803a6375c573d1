"""How much one client may ask, so that none takes the service from the others; and that an emergency may always.

A client is a token's subject or, where no token was accepted, the peer's address. Promises: a client is held to a rate,
and to a number of requests at a time; what is over that is refused with 429 before its work is done, and told when to
come again. An emergency is never refused, whoever brings it and however much that one has asked: where only the body or
the contact can tell (`access.Rule.spares_emergencies`), the refusal is held until that is read.

A peer's bad tokens are held to the same rate, and none of its good ones is counted among them: an attacker behind the
address of a gateway costs the gateway nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from starlette.types import Scope

from libs.service import metrics
from libs.service.problem import TooMany

MAX_CLIENTS = 20_000
"""That are remembered. The issuer bounds subjects; addresses are anybody's."""
BURST_S = 2.0
"""How many seconds' worth of requests may come in one moment."""

_VISIT, _HELD = "hueandcry.visit", "hueandcry.held"


class Over(NamedTuple):
    """A client has asked for too much."""

    why: str
    detail: str
    retry_after_s: int = 1

    def problem(self) -> TooMany:
        """To be raised: it is counted."""
        metrics.CLIENTS_REFUSED.labels(self.why).inc()
        return TooMany(self.detail, retry_after_s=self.retry_after_s)


class Visit:
    """A request in a service, from its first byte to the last of its answer; whose it is shows on the way."""

    __slots__ = ("_client", "_rates")

    def __init__(self, scope: Scope) -> None:
        self._rates: Rates | None = None
        self._client = ""
        scope[_VISIT] = self

    def is_of(self, client: str, rates: Rates) -> None:
        self._client, self._rates = client, rates

    def end(self) -> None:
        if self._rates is not None:
            self._rates.leave(self._client)


class Rates:
    """Of one process: where several copies stand behind one address, each allows as much."""

    def __init__(self, *, rate_per_s: float, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = 1.0 / rate_per_s
        self._at_once = at_once
        self._clock = clock
        self._due: dict[str, float] = {}
        self._bad: dict[str, float] = {}
        self._here: dict[str, int] = {}
        self._too_fast = f"That is over {rate_per_s:g} requests a second."
        self._too_many = f"You have {at_once} requests here already: wait for an answer."

    def enter(self, client: str, scope: Scope) -> Over | None:
        """Count a request of a client in; it is counted out when its visit ends. What it is over, if anything."""
        here = self._here.get(client, 0)
        self._here[client] = here + 1
        scope[_VISIT].is_of(client, self)
        if here >= self._at_once:
            return Over("at-once", self._too_many)
        late_s = _spend(self._due, client, self._clock(), self._every_s)
        return None if late_s <= 0.0 else Over("rate", self._too_fast, ceil(late_s))

    def leave(self, client: str) -> None:
        here = self._here[client] - 1
        if here:
            self._here[client] = here
        else:
            del self._here[client]

    def bad_token(self, peer: str) -> Over | None:
        """Count a token that was not accepted."""
        late_s = _spend(self._bad, peer, self._clock(), self._every_s)
        return None if late_s <= 0.0 else Over("tokens", "Too many of your tokens were refused.", ceil(late_s))


def _spend(due: dict[str, float], client: str, now: float, every_s: float) -> float:
    """Take one from a client's allowance (the generic cell rate algorithm: `due` is when each would be due who had kept
    to the rate). How many seconds too early that was; then nothing is taken."""
    at = max(due.get(client, now), now)
    late_s = at - now - BURST_S
    if late_s <= 0.0:
        if len(due) >= MAX_CLIENTS and client not in due:
            _forget(due, now)
        due[client] = at + every_s
    return late_s


def _forget(due: dict[str, float], now: float) -> None:
    """Drop whoever has a whole allowance again; where nobody has, whoever is nearest to it."""
    for client in [client for client, at in due.items() if at <= now] or [min(due, key=due.__getitem__)]:
        del due[client]


def hold(scope: Scope, over: Over) -> None:
    """Keep a refusal until it is known whether this is an emergency."""
    scope[_HELD] = over


def refuse_unless(emergency: bool, scope: Scope) -> None:
    """For operations that spare emergencies, once they can tell. Raises the TooMany that was held, if one was."""
    over: Over | None = scope.get(_HELD)
    if over is None:
        return
    if not emergency:
        raise over.problem()
    metrics.EMERGENCIES_SPARED.inc()
