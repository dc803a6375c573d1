"""Who may do what: one table for all four services.

A row gives each role that may call an operation its force scope (`libs.service.scopes`), and says as what the
operation leaves a trace (`libs.service.trace`). `allow(operation_id)` guards an operation by its row, `may_know` asks
it whether a thing may be shown; `check_complete(app)` names operations without one, and those that may show a person
without leaving a trace, and `libs.service.run` refuses to start then. The documents' "Who may call" is made from the
same rows, and so is the test that tries every role on every operation in every scope.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from libs.events.types.access import Act
from libs.service import metrics, query, seal, tokens
from libs.service.bodies import personal_members
from libs.service.caller import ROLES, Caller
from libs.service.problem import Forbidden, Unauthenticated
from libs.service.rates import Rates, hold
from libs.service.scopes import Belongs, Scope

__all__ = [
    "ACCESS",
    "OPEN",
    "ROLES",
    "Allow",
    "Belongs",
    "Caller",
    "Rule",
    "Scope",
    "allow",
    "check_complete",
    "may_know",
    "only",
]


class Rule:
    """Who may call an operation, and what of it each role may know of."""

    def __init__(
        self, scopes: Mapping[str, Scope], *, spares_emergencies: bool = False, trace: Act | None = None
    ) -> None:
        """`spares_emergencies`: the operation itself refuses a client that asks too much (`rates.refuse_unless`), once
        it knows that this is no emergency.

        `trace`: as what the operation leaves a trace (`libs.service.trace`) before its answer goes out; None: no
        answer of it says who or where a person is."""
        unknown = set(scopes) - ROLES
        if unknown or not scopes:
            raise ValueError(f"a rule needs roles, and knows of none called {', '.join(sorted(unknown)) or '(empty)'}")
        self.scopes = dict(scopes)
        self.roles = tuple(scopes)
        self.spares_emergencies = spares_emergencies
        self.trace = trace

    def admits(self, caller: Caller, thing: Belongs) -> bool:
        """Whether the caller may know of the thing, by any of its roles."""
        return any(scope.admits(caller, thing) for role, scope in self.scopes.items() if role in caller.roles)

    def sentences(self) -> list[str]:
        """Who may call, and what they are shown: one sentence a scope."""
        return [
            f"{', '.join(role for role in self.roles if self.scopes[role] is scope)}: {scope.sentence}"
            for scope in dict.fromkeys(self.scopes.values())
        ]


def only(scope: Scope, *roles: str) -> dict[str, Scope]:
    return dict.fromkeys(roles, scope)


_ALL = sorted(ROLES - {"partner"})
"""A partner is shown what its force's feed says (Kafka), and nothing here."""
_AGREED = ("supervisor", "finance", "auditor", "data-protection", "registrar", "administrator")
_STAFF = only(Scope.CONTACT, "handler", "supervisor")
_CHANGES = only(Scope.CARRIED, "gateway") | _STAFF
_PROTECTS = only(Scope.PROTECTED, "data-protection", "registrar")

ACCESS: dict[str, Rule] = {
    # intake
    "receive_telephone": Rule(only(Scope.TAKEN, "gateway"), spares_emergencies=True),
    "receive_web": Rule(only(Scope.TAKEN, "gateway"), spares_emergencies=True),
    "receive_online": Rule(only(Scope.TAKEN, "gateway"), spares_emergencies=True),
    "add_location": Rule(_CHANGES, spares_emergencies=True),
    "add_message": Rule(_CHANGES, spares_emergencies=True),
    "add_leg": Rule(only(Scope.FURTHER_LEG, "gateway"), spares_emergencies=True),
    "end_contact": Rule(_CHANGES, spares_emergencies=True),
    "show_contact": Rule(
        only(Scope.BROUGHT, "gateway") | only(Scope.OPENED, "handler", "supervisor", "recorder", "registrar"),
        trace="read",
    ),
    "erase_contact": Rule(only(Scope.PROTECTED, "data-protection")),
    "show_erasure": Rule(only(Scope.PROTECTED, "data-protection", "registrar", "auditor")),
    "place_hold": Rule(_PROTECTS),
    "lift_hold": Rule(_PROTECTS),
    "place_duty": Rule(_PROTECTS),
    "lift_duty": Rule(_PROTECTS),
    "rectify_contact": Rule(_PROTECTS),
    "list_rectifications": Rule(only(Scope.PROTECTED, "auditor"), trace="read"),
    # router
    "list_queues": Rule(only(Scope.QUEUE, "handler", "recorder", "supervisor", "administrator")),
    "show_queue": Rule(only(Scope.QUEUE, "handler", "recorder", "supervisor")),
    "claim_next": Rule(only(Scope.QUEUE, "handler", "recorder", "supervisor")),
    "show_routing": Rule(only(Scope.ROUTED, "handler", "recorder", "supervisor", "registrar", "auditor")),
    "release_contact": Rule(only(Scope.ROUTED, "handler", "recorder", "supervisor")),
    "confirm_owner": Rule(only(Scope.ROUTED, "handler", "recorder", "supervisor")),
    # directory
    "get_alliance": Rule(only(Scope.PUBLIC, *_ALL)),
    "list_forces": Rule(only(Scope.PUBLIC, *_ALL)),
    "get_force": Rule(only(Scope.PUBLIC, *_ALL)),
    "list_sites": Rule(only(Scope.PUBLIC, *_ALL)),
    "list_queue_definitions": Rule(only(Scope.PUBLIC, *_ALL)),
    "list_lines": Rule(only(Scope.PUBLIC, "gateway", "supervisor", "auditor", "administrator")),
    "list_hours": Rule(only(Scope.PUBLIC, *_ALL)),
    "list_holidays": Rule(only(Scope.PUBLIC, *_ALL)),
    "list_greetings": Rule(only(Scope.PUBLIC, *_ALL)),
    "list_crime_references": Rule(only(Scope.PUBLIC, *_ALL)),
    "list_overlays": Rule(only(Scope.PUBLIC, *_ALL)),
    "list_force_versions": Rule(only(Scope.PUBLIC, *_ALL)),
    "get_agreement": Rule(only(Scope.PUBLIC, *_AGREED)),
    "list_agreements": Rule(only(Scope.PUBLIC, *_AGREED)),
    "get_boundaries": Rule(only(Scope.PUBLIC, *_ALL)),
    "get_areas": Rule(only(Scope.PUBLIC, *_ALL)),
    "import_boundaries": Rule(only(Scope.BOUNDARIES, "administrator")),
    "list_generations": Rule(only(Scope.PUBLIC, *_ALL)),
    "show_generation": Rule(only(Scope.PUBLIC, *_ALL)),
    "show_generation_picture": Rule(only(Scope.PUBLIC, "supervisor", "auditor", "administrator")),
    "activate_generation": Rule(only(Scope.BOUNDARIES, "administrator")),
    "locate": Rule(only(Scope.PLACE, *_ALL)),
    "locate_shape": Rule(only(Scope.PLACE, *_ALL)),
    "retrieve_policies": Rule(only(Scope.POLICY, "supervisor", "auditor", "administrator")),
    "enumerate_policies": Rule(only(Scope.POLICY, "supervisor", "auditor", "administrator")),
    "create_policy": Rule(only(Scope.POLICY, "administrator")),
    "update_policy": Rule(only(Scope.POLICY, "administrator")),
    "delete_policy": Rule(only(Scope.POLICY, "administrator")),
    "retrieve_versions": Rule(only(Scope.PUBLIC, *_ALL)),
    "lost": Rule(only(Scope.PLACE, "gateway", "administrator")),
    # recording
    "dispose_contact": Rule(only(Scope.DISPOSED, "handler", "supervisor", "recorder"), trace="combination"),
    "list_owing_contacts": Rule(only(Scope.RECORDED, "handler", "supervisor", "recorder", "registrar", "auditor")),
    "list_incidents": Rule(only(Scope.INCIDENT, "handler", "supervisor", "recorder", "registrar", "auditor")),
    "show_incident": Rule(only(Scope.INCIDENT_OPENED, "handler", "supervisor", "recorder", "registrar"), trace="read"),
    "record_crime": Rule(only(Scope.CRIMED, "recorder", "registrar")),
    "cancel_crime": Rule(only(Scope.CRIMED, "registrar")),
    "show_audit": Rule(only(Scope.RECORDED, "supervisor", "auditor"), trace="audit"),
    "list_accesses": Rule(
        only(Scope.ACCESSES, "auditor", "data-protection") | only(Scope.ACCESSES_AT_HOME, "supervisor"), trace="audit"
    ),
    "list_break_glass": Rule(only(Scope.ACCESSES_AT_HOME, "supervisor"), trace="audit"),
    "review_break_glass": Rule(only(Scope.ACCESSES_AT_HOME, "supervisor")),
    # every service (libs.service.parked)
    "list_parked": Rule(only(Scope.PARKED, "administrator")),
    "replay_parked": Rule(only(Scope.PARKED, "administrator")),
}
"""Every operation, every role that may call it, and the force scope within which that role does."""


def may_know(operation_id: str, caller: Caller, thing: Belongs) -> bool:
    """Whether the operation shows the thing to the caller: who has no tie to it is answered as if it were not there."""
    return ACCESS[operation_id].admits(caller, thing)


OPEN = frozenset({"healthz", "readyz", "metrics", "docs", "docs_asset", "openapi", "page", "page_file"})
"""What anybody may see: health, metrics, documents, and the files of a page, which hold no data."""


class Allow(SecurityBase):
    """The guard of one operation, and its entry in the OpenAPI document: a bearer token whose roles may call it."""

    def __init__(self, operation_id: str) -> None:
        self.operation_id = operation_id
        self.model = HTTPBearer(bearerFormat="JWT", description="A JWT of the issuer this service is set to believe.")
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> Caller:
        caller = await authenticate(request)
        rates: Rates = request.app.state.rates
        over = rates.enter(caller.subject, request.scope)
        rule = ACCESS.get(self.operation_id)
        allowed = rule.roles if rule else ()
        if caller.roles.isdisjoint(allowed):
            metrics.TOKENS_REFUSED.labels("role").inc()
            detail = f"This needs one of the roles: {', '.join(allowed)}."
            raise Forbidden(detail, roles=list(allowed), headers=tokens.challenge("insufficient_scope", detail))
        if rule is not None and rule.trace is not None:
            seal.owed(request).operation = self.operation_id
        if over is not None:
            if rule is None or not rule.spares_emergencies:
                raise over.problem()
            hold(request.scope, over)
        query.refuse_unknown(request)
        return caller


def allow(operation_id: str) -> Allow:
    """A FastAPI dependency: the Caller, where its roles may call the operation and its query is one that it knows.

    Raises Unauthenticated (401) saying what is wrong with the token, Forbidden (403) naming the roles that may, TooMany
    (429), Unavailable (503) while tokens cannot be checked, Invalid (422) naming unknown query parameters.
    """
    return Allow(operation_id)


async def authenticate(request: Request) -> Caller:
    """The Caller of a request, whatever its roles. Raises Unauthenticated, or TooMany where a peer makes a habit of it.

    A good token is always verified, whoever else is behind its address.
    """
    try:
        token = _bearer(request)
        verifier: tokens.Verifier = request.app.state.verifier
        return verifier.remembered(token) or await verifier.caller(token)
    except Unauthenticated:
        rates: Rates = request.app.state.rates
        if (over := rates.bad_token(request.client.host if request.client else "")) is not None:
            raise over.problem() from None
        raise


def _bearer(request: Request) -> str:
    """The token of a request. Raises Unauthenticated where there is none."""
    given = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if not given:
        raise tokens.missing("A bearer token is required: Authorization: Bearer <token>.")
    if len(given) > 1:
        raise tokens.refused("malformed", "There is more than one Authorization header.")
    header: str = given[0].decode("latin-1")
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise tokens.missing("The Authorization header must be: Bearer <token>.")
    return token


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
        elif ACCESS[name].trace is None and (shown := sorted(_shown(route))):
            wrong.append(f"{name} may show {', '.join(shown)} and its row says of no trace")
        guards = set(_guards(route.dependant)) if isinstance(route, APIRoute) else set()
        if name not in guards:
            wrong.append(f"{name} does not depend on allow({name!r})")
        wrong += [f"{name} depends on allow({other!r})" for other in sorted(guards - {name})]
    return wrong


def _shown(route: object) -> set[str]:
    """The members of a route's answers that say who or where a person is."""
    models = [getattr(route, "response_model", None)]
    models += [answer.get("model") for answer in getattr(route, "responses", {}).values()]
    return {member for model in models for member in personal_members(model)}


def _guards(dependant: Dependant) -> Iterator[str]:
    if isinstance(dependant.call, Allow):
        yield dependant.call.operation_id
    for inner in dependant.dependencies:
        yield from _guards(inner)
