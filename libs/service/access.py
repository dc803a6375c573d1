"""Who may do what: one table for all four services.

`allow(operation_id)` guards an operation by its row here; `check_complete(app)` names operations without one, and
`libs.service.run` refuses to start then. The documents' "Who may call" is made from the same rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from libs.service import metrics, query, tokens
from libs.service.caller import ROLES, Caller
from libs.service.problem import Forbidden

__all__ = ["ACCESS", "OPEN", "ROLES", "Allow", "Caller", "Rule", "allow", "check_complete"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call an operation, and what of it they see."""

    roles: Collection[str]
    scope: str
    """A sentence on the force scope, for the documents: the operation itself applies it."""

    def __post_init__(self) -> None:
        unknown = set(self.roles) - ROLES
        if unknown or not self.roles:
            raise ValueError(f"a rule needs roles, and knows of none called {', '.join(sorted(unknown)) or '(empty)'}")


_OF_THEIRS = (
    "A gateway: what it brought itself. Everybody else: what was presented to, or is owned by, a force of theirs; what "
    "neither is known of, and what the owner has no queue for, with the claim `alliance`."
)
_NOTHING_PERSONAL = "Whatever the token's forces: it is the alliance's, and nothing in it is personal."
_QUEUES = "Queues of the token's forces; the alliance's own with the claim `alliance`."
_ROUTED = (
    "What is owned by, presented to or answered for a force of theirs, or in their own hands; what waits in the "
    "alliance's own queues with the claim `alliance`."
)
_RECORDED = (
    "Contacts owned by, presented to or answered by a force of theirs; those nobody owns yet, or "
    "whose owner has no queue for them, with the claim `alliance`."
)
_INCIDENTS = (
    "Incidents that a force of theirs owns, or whose contacts one of theirs owned; those nobody owns yet with the "
    "claim `alliance`."
)

ACCESS: dict[str, Rule] = {
    # intake
    "receive_telephone": Rule(["gateway"], "None: a contact is taken for whichever force it is."),
    "receive_web": Rule(["gateway"], "None: a contact is taken for whichever force it is."),
    "receive_online": Rule(["gateway"], "None: a contact is taken for whichever force it is."),
    "add_location": Rule(["gateway", "handler", "supervisor"], _OF_THEIRS),
    "add_message": Rule(["gateway", "handler", "supervisor"], _OF_THEIRS),
    "end_contact": Rule(["gateway", "handler", "supervisor"], _OF_THEIRS),
    "show_contact": Rule(["gateway", "handler", "supervisor", "recorder", "registrar"], _OF_THEIRS),
    # router
    "list_queues": Rule(["handler", "recorder", "supervisor", "administrator"], _QUEUES),
    "show_queue": Rule(["handler", "recorder", "supervisor"], _QUEUES),
    "claim_next": Rule(["handler", "recorder", "supervisor"], _QUEUES),
    "show_routing": Rule(["handler", "recorder", "supervisor", "registrar", "auditor"], _ROUTED),
    "release_contact": Rule(["handler", "recorder", "supervisor"], _ROUTED),
    "confirm_owner": Rule(["handler", "recorder", "supervisor"], _ROUTED),
    # directory
    "get_alliance": Rule(sorted(ROLES), _NOTHING_PERSONAL),
    "list_forces": Rule(sorted(ROLES), _NOTHING_PERSONAL),
    "get_force": Rule(sorted(ROLES), _NOTHING_PERSONAL),
    "list_sites": Rule(sorted(ROLES), _NOTHING_PERSONAL),
    "list_queue_definitions": Rule(sorted(ROLES), _NOTHING_PERSONAL),
    "list_lines": Rule(["gateway", "supervisor", "auditor", "administrator"], _NOTHING_PERSONAL),
    "get_boundaries": Rule(sorted(ROLES), _NOTHING_PERSONAL),
    "locate": Rule(sorted(ROLES), "The place asked for is neither kept nor logged. " + _NOTHING_PERSONAL),
    # recording
    "dispose_contact": Rule(["handler", "supervisor", "recorder"], _RECORDED + " Joining one: incidents they may see."),
    "list_owing_contacts": Rule(["handler", "supervisor", "recorder", "registrar", "auditor"], _RECORDED),
    "list_incidents": Rule(["handler", "supervisor", "recorder", "registrar", "auditor"], _INCIDENTS),
    "show_incident": Rule(["handler", "supervisor", "recorder", "registrar"], _INCIDENTS),
    "show_audit": Rule(["supervisor", "auditor"], "No personal data is shown. " + _RECORDED),
    # every service (libs.service.parked)
    "list_parked": Rule(["administrator"], "Parked events of this service, of every force; no personal data is shown."),
    "replay_parked": Rule(["administrator"], "Parked events of this service, of every force."),
}

OPEN = frozenset({"healthz", "readyz", "metrics", "docs", "docs_asset", "openapi"})
"""What anybody may see: health, metrics and documents."""


class Allow(SecurityBase):
    """The guard of one operation, and its entry in the OpenAPI document: a bearer token whose roles may call it."""

    def __init__(self, operation_id: str) -> None:
        self.operation_id = operation_id
        self.model = HTTPBearer(bearerFormat="JWT", description="A JWT of the issuer this service is set to believe.")
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> Caller:
        caller = await authenticate(request)
        rule = ACCESS.get(self.operation_id)
        allowed = rule.roles if rule else ()
        if caller.roles.isdisjoint(allowed):
            metrics.TOKENS_REFUSED.labels("role").inc()
            detail = f"This needs one of the roles: {', '.join(allowed)}."
            raise Forbidden(detail, roles=list(allowed), headers=tokens.challenge("insufficient_scope", detail))
        query.refuse_unknown(request, self.operation_id)
        return caller


def allow(operation_id: str) -> Allow:
    """A FastAPI dependency: the Caller, where its roles may call the operation and its query is one that it knows.

    Raises Unauthenticated (401) saying what is wrong with the token, Forbidden (403) naming the roles that may,
    Unavailable (503) while tokens cannot be checked, Invalid (422) naming unknown query parameters.
    """
    return Allow(operation_id)


async def authenticate(request: Request) -> Caller:
    """The Caller of a request, whatever its roles."""
    given = request.headers.getlist("authorization")
    if not given:
        raise tokens.missing("A bearer token is required: Authorization: Bearer <token>.")
    if len(given) > 1:
        raise tokens.refused("malformed", "There is more than one Authorization header.")
    scheme, _, token = given[0].partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise tokens.missing("The Authorization header must be: Bearer <token>.")
    verifier: tokens.Verifier = request.app.state.verifier
    return await verifier.caller(token)


def check_complete(app: FastAPI) -> list[str]:
    """What is wrong with the table for this application, a sentence each; empty when all is guarded."""
    wrong = []
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        name = str(getattr(route, "name", None) or route)
        if name in OPEN:
            continue
        if name not in ACCESS:
            wrong.append(f"{name} has no row in libs.service.access.ACCESS")
        guards = set(_guards(route.dependant)) if isinstance(route, APIRoute) else set()
        if name not in guards:
            wrong.append(f"{name} does not depend on allow({name!r})")
        wrong += [f"{name} depends on allow({other!r})" for other in sorted(guards - {name})]
    return wrong


def _guards(dependant: Dependant) -> Iterator[str]:
    if isinstance(dependant.call, Allow):
        yield dependant.call.operation_id
    for inner in dependant.dependencies:
        yield from _guards(inner)
