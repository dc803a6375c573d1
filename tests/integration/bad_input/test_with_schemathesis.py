"""All four OpenAPI documents, each operation tried by schemathesis with what fits its schemas and with what does not:
no answer is a 5xx, or of a status, media type or form that the document does not tell; what does not fit is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
import requests
import schemathesis
from jsonschema import Draft202012Validator
from schemathesis import BaseSchema, Case, Config

from libs.service.trace import PURPOSE
from tests.integration.bad_input.service import BODIES, OTHERS, Services
from tests.policies import a_policy, unsigned

NEVER = {"replay_parked", "lift_hold", "lift_duty", "place_hold", "place_duty", "rectify_contact"}
"""There is nothing parked, nothing stands that could be lifted, and the contact that is there may have been erased."""
REFUSALS = [400, 401, 403, 404, 405, 406, 409, 414, 415, 422, *range(434, 461)]
"""NENA i3's own for policies among them."""
Attempt: TypeAlias = Callable[[str, Case[Any]], None]
SLUG = {"type": "string", "maxLength": 64, "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"}
UUID = {"type": "string", "format": "uuid"}
POLICY = a_policy()
LISTED = a_policy(policyType="NormalNextHopRoutePolicy")
"""A policy that is there all the time: the other may have been withdrawn."""


CONFIG: dict[str, Any] = {
    "seed": 1285,
    "generation": {"deterministic": True, "no-shrink": True},
    # A schema cannot say all (that a number can be dialled, that a force is known): 422 is right for some of what fits
    # it.
    "checks": {
        "positive_data_acceptance": {"enabled": False},
        # What is longer than it may be can make the address too long.
        "negative_data_rejection": {"expected-statuses": REFUSALS},
    },
    "cache": {"enabled": False},
}


@pytest.fixture
def document(request: pytest.FixtureRequest, services: Services) -> BaseSchema:
    """What the service of the test's name serves at its door."""
    request.node._nodeid = request.node.nodeid  # schemathesis 4.32 looks for it, pytest 9.2 has no such name any more
    service = request.node.originalname.removeprefix("test_")
    # To make a case takes longer than to try it. The corners of every schema, one by one, are six thousand more.
    long = bool(request.config.getoption("--long"))
    generation = CONFIG["generation"] | {"max-examples": 16 if long else 8}
    config = Config.from_dict(CONFIG | {"generation": generation, "phases": {"coverage": {"enabled": long}}})
    return schemathesis.openapi.from_dict(services.documents[service], config=config)


described = schemathesis.pytest.from_fixture("document")
"""Each of its operations."""


@pytest.fixture(scope="module")
def attempt(services: Services, quiet: None) -> Iterator[Attempt]:
    """Send a case and check the answer. In the end, every operation that was tried has answered 2xx."""
    taken: Counter[str] = Counter()
    bearer = services.headers()
    with requests.Session() as session:
        listed = session.post(services.system.url("directory") + "/Policies", json=unsigned(LISTED), headers=bearer)
        assert listed.status_code == 201, listed.text

        def attempt(service: str, case: Case[Any]) -> None:
            point_to_what_is_there(case, services, again=taken[case.operation.definition.raw["operationId"]] > 0)
            said = {name.lower() for name in case.headers or {}}
            headers = {name: value for name, value in bearer.items() if name != PURPOSE or name.lower() not in said}
            answer = case.call_and_validate(services.system.url(service), session, headers)
            taken[case.operation.definition.raw["operationId"]] += 200 <= answer.status_code < 300

        yield attempt
    never = {operation for operation, count in taken.items() if not count}
    assert never <= NEVER, f"no valid request reached {sorted(never - NEVER)}"


def point_to_what_is_there(case: Case[Any], services: Services, *, again: bool) -> None:
    """Ids and forces that have the right form are made those of things that exist: no generator guesses one.

    What this operation has taken before, and costs seconds, it is not given `again`.
    """
    known = services.known
    schemas = {p["name"]: p["schema"] for p in case.operation.definition.raw.get("parameters", ())}
    for name, value in case.path_parameters.items():
        if _fits(value, schemas[name]):
            case.path_parameters[name] = known[name]
    if _fits(case.query.get("contact"), UUID):
        case.query["contact"] = known["contact_id"]
    if case.path == "/v1/boundaries" and case.method == "PUT":
        meant_well = case.meta is None or case.meta.generation.mode.is_positive
        case.body = OTHERS["import_boundaries"][1] if meant_well and not again else b"no file"
    if case.path == "/Policies" or case.path == "/PolicyEnums":
        _point_to_the_policy(case, schemas, services.documents["directory"]["components"]["schemas"]["Jws"])
    if isinstance(case.body, dict):
        for name, value in case.body.items():
            if name == "incidentId" and _fits(value, UUID):
                case.body[name] = known["incident_id"]
            elif name in ("owningForce", "answeringForce", "force") and _fits(value, SLUG):
                case.body[name] = known["force"]


def _point_to_the_policy(case: Case[Any], schemas: dict[str, dict[str, Any]], jws: dict[str, Any]) -> None:
    """Where its parameters and its body have the right form, they are those of one that may be stored. The id goes:
    it would name another."""
    for name in ("policyOwner", "policyType", "policyQueueName"):
        if name in case.query and _fits(case.query[name], schemas[name]):
            case.query[name] = (LISTED if case.path == "/PolicyEnums" else POLICY)[name]
    if "policyId" in case.query and _fits(case.query["policyId"], schemas["policyId"]):
        del case.query["policyId"]
    meant_well = case.meta is None or case.meta.generation.mode.is_positive
    if meant_well and case.method == "DELETE":
        case.query.update({name: POLICY[name] for name in schemas if name in POLICY and name != "policyId"})
    if meant_well and isinstance(case.body, dict) and _fits(case.body, jws):
        case.body.update(BODIES["create_policy"])


def _fits(value: object, schema: dict[str, Any]) -> bool:
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).is_valid(value)


@described.parametrize()
def test_router(case: Case[Any], attempt: Attempt) -> None:
    attempt("router", case)


@described.parametrize()
def test_directory(case: Case[Any], attempt: Attempt) -> None:
    attempt("directory", case)


@described.parametrize()
def test_recording(case: Case[Any], attempt: Attempt) -> None:
    attempt("recording", case)


@described.parametrize()
def test_intake(case: Case[Any], attempt: Attempt) -> None:
    """Last: it ends the contact that the others work with."""
    attempt("intake", case)
