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
from services.directory.app import make_app as make_directory
from services.directory.settings import DirectorySettings
from services.intake.app import IntakeSettings
from services.intake.app import make_app as make_intake
from services.recording.app import RecordingSettings
from services.recording.app import make_app as make_recording
from services.router.app import RouterSettings
from services.router.app import make_app as make_router
from tests.conftest import MASTERS
from tests.integration.bad_input.service import BODIES, OTHERS, Services
from tests.policies import a_policy, unsigned

NOWHERE: dict[str, Any] = {
    "database_url": "postgresql://nobody@127.0.0.1:1/nothing",
    "kafka_bootstrap_servers": "127.0.0.1:1",
    "oidc_issuer": "http://127.0.0.1:1",
    "master_keys": MASTERS,
}
APPS = {
    "router": make_router(RouterSettings(**NOWHERE)),
    "directory": make_directory(DirectorySettings(**NOWHERE)),
    "recording": make_recording(RecordingSettings(**NOWHERE)),
    "intake": make_intake(IntakeSettings(**NOWHERE)),  # last: it ends the contact that the others work with
}
"""Not served: their documents are needed before anything runs, to make a test of each operation."""
NEVER = {"replay_parked", "lift_hold", "lift_duty", "place_hold", "place_duty", "rectify_contact"}
"""There is nothing parked, nothing stands that could be lifted, and the contact that is there may have been erased."""
REFUSALS = [400, 401, 403, 404, 405, 406, 409, 414, 415, 422, *range(434, 461)]
"""NENA i3's own for policies among them."""
Attempt: TypeAlias = Callable[[str, Case[Any]], None]
SLUG = {"type": "string", "maxLength": 64, "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"}
UUID = {"type": "string", "format": "uuid"}
JWS = APPS["directory"].openapi()["components"]["schemas"]["Jws"]
POLICY = a_policy()
LISTED = a_policy(policyType="NormalNextHopRoutePolicy")
"""A policy that is there all the time: the other may have been withdrawn."""


def document(service: str) -> BaseSchema:
    config = Config.from_dict(
        {
            "seed": 1285,
            "generation": {"max-examples": 12, "deterministic": True, "no-shrink": True},
            # A schema cannot say all (that a number can be dialled, that a force is known): 422 is right for some
            # of what fits it.
            "checks": {
                "positive_data_acceptance": {"enabled": False},
                # What is longer than it may be can make the address too long.
                "negative_data_rejection": {"expected-statuses": REFUSALS},
            },
            "cache": {"enabled": False},
        }
    )
    return schemathesis.openapi.from_dict(APPS[service].openapi(), config=config)


@pytest.fixture(scope="module")
def attempt(services: Services, quiet: None) -> Iterator[Attempt]:
    """Send a case and check the answer. In the end, every operation that was tried has answered 2xx."""
    taken: Counter[str] = Counter()
    bearer = services.headers()
    with requests.Session() as session:
        listed = session.post(services.system.url("directory") + "/Policies", json=unsigned(LISTED), headers=bearer)
        assert listed.status_code == 201, listed.text

        def attempt(service: str, case: Case[Any]) -> None:
            point_to_what_is_there(case, services.known)
            said = {name.lower() for name in case.headers or {}}
            headers = {name: value for name, value in bearer.items() if name != PURPOSE or name.lower() not in said}
            answer = case.call_and_validate(services.system.url(service), session, headers)
            taken[case.operation.definition.raw["operationId"]] += 200 <= answer.status_code < 300

        yield attempt
    never = {operation for operation, count in taken.items() if not count}
    assert never <= NEVER, f"no valid request reached {sorted(never - NEVER)}"


@pytest.mark.parametrize("service", APPS)
def test_a_service_serves_the_document_that_is_tried(service: str, services: Services) -> None:
    assert services.documents[service] == APPS[service].openapi()


def point_to_what_is_there(case: Case[Any], known: dict[str, str]) -> None:
    """Ids and forces that have the right form are made those of things that exist: no generator guesses one."""
    schemas = {p["name"]: p["schema"] for p in case.operation.definition.raw.get("parameters", ())}
    for name, value in case.path_parameters.items():
        if _fits(value, schemas[name]):
            case.path_parameters[name] = known[name]
    if _fits(case.query.get("contact"), UUID):
        case.query["contact"] = known["contact_id"]
    if case.path == "/v1/boundaries" and case.method == "PUT":
        meant_well = case.meta is None or case.meta.generation.mode.is_positive
        case.body = OTHERS["import_boundaries"][1] if meant_well else b"no file"
    if case.path == "/Policies" or case.path == "/PolicyEnums":
        _point_to_the_policy(case, schemas)
    if isinstance(case.body, dict):
        for name, value in case.body.items():
            if name == "incidentId" and _fits(value, UUID):
                case.body[name] = known["incident_id"]
            elif name in ("owningForce", "answeringForce", "force") and _fits(value, SLUG):
                case.body[name] = known["force"]


def _point_to_the_policy(case: Case[Any], schemas: dict[str, dict[str, Any]]) -> None:
    """Where its parameters and its body have the right form, they are those of one that may be stored. The id goes:
    it would name another."""
    for name in ("policyOwner", "policyType", "policyQueueName"):
        if name in case.query and _fits(case.query[name], schemas[name]):
            case.query[name] = (LISTED if case.path == "/PolicyEnums" else POLICY)[name]
    if "policyId" in case.query and _fits(case.query["policyId"], schemas["policyId"]):
        del case.query["policyId"]
    meant_well = case.meta is None or case.meta.generation.mode.is_positive
    if meant_well and isinstance(case.body, dict) and _fits(case.body, JWS):
        case.body.update(BODIES["create_policy"])


def _fits(value: object, schema: dict[str, Any]) -> bool:
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).is_valid(value)


@document("router").parametrize()
def test_router(case: Case[Any], attempt: Attempt) -> None:
    attempt("router", case)


@document("directory").parametrize()
def test_directory(case: Case[Any], attempt: Attempt) -> None:
    attempt("directory", case)


@document("recording").parametrize()
def test_recording(case: Case[Any], attempt: Attempt) -> None:
    attempt("recording", case)


@document("intake").parametrize()
def test_intake(case: Case[Any], attempt: Attempt) -> None:
    attempt("intake", case)
