"""The NENA i3 Policy Store: `/Policies`, `/PolicyEnums`, `/Versions` (NENA-STA-010.3, sections 3.3.1 and E.1).

Addresses, members and statuses are those of NENA's public OpenAPI document (github.com/NENA911/Policy-Store,
i3-policy-store.yaml, version 1.0). Where that leaves a choice: a POST of a policy that is there already makes its next
version (nothing is lost, every version is kept); a PUT must send the policy that its address names; a search that finds
nothing is 404, all policies of nobody are an empty list; `policyLastModificationTime` is in the enumeration, because
putting it into a document would break its signature. Beyond i3: `at` shows what stood then, `reason` is kept with a
change, and a scope that does not hold a policy is told 404, as if it were not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeAlias, TypeVar

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from libs.alliance import Alliance
from libs.events.log.scope import Scope
from libs.policy import NORMAL_NEXT_HOP, ORIGINATION, OTHER, POLICY_TYPES, Kind, Policy, Refused, policy_type
from libs.policy.values import sip_uri
from libs.service import problem
from libs.service.access import Belongs, allow, may_know
from libs.service.bodies import Moment, Name
from libs.service.caller import Caller
from libs.service.context import current_traceparent
from libs.service.problem import Fault, Forbidden, Invalid, NotFound, Problem, responses
from services.directory import policies
from services.directory.moments import Now
from services.directory.policies import Absent, Agency, Envelope, Kept, Said
from services.directory.policy_answers import (
    Jws,
    JwsAnswer,
    PolicyArray,
    PolicyEnum,
    PolicyEnumArray,
    ServiceInfo,
    StoredPolicy,
    Version,
    VersionsArray,
)

router = APIRouter(tags=["policies"])

MAX_PAGE = 100
_PROBLEMS: Mapping[Kind, type[Problem]] = {
    "structure": problem.PolicyStructure,
    "algorithm": problem.PolicyAlgorithm,
    "signature": problem.PolicySignature,
    "type": problem.PolicyType,
    "agency": problem.PolicyAgency,
    "expiration": problem.PolicyExpiration,
    "priority": problem.PolicyPriority,
}
_T = TypeVar("_T")
_Owner = Query(alias="policyOwner", max_length=300, description="As the policies have it: a domain name, or with one.")
_Type = Query(alias="policyType", max_length=64, description=f"One of {', '.join(POLICY_TYPES)}.")
_Queue = Query(alias="policyQueueName", max_length=300, description="A queue's URI.")
_Id = Query(alias="policyId", max_length=300, description=f"Of an {OTHER}.")
Owner: TypeAlias = Annotated[str, _Owner]
AnyOwner: TypeAlias = Annotated[str | None, _Owner]
Type: TypeAlias = Annotated[str, _Type]
AnyType: TypeAlias = Annotated[str | None, _Type]
AnyQueue: TypeAlias = Annotated[str | None, _Queue]
AnyId: TypeAlias = Annotated[str | None, _Id]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=MAX_PAGE, description="The most that one answer holds.")]
Start: TypeAlias = Annotated[int, Query(ge=1, le=2**31 - 1, description="The first of the answer, counting from 1.")]
At: TypeAlias = Annotated[Moment | None, Query(description="As it was then; not later than now.")]
Reason: TypeAlias = Annotated[Name | None, Query(description="Why, kept with the change. It must name nobody.")]


@router.get("/Policies", summary="Retrieve policies", responses=responses(404, 414, 451, 452))
async def retrieve_policies(
    request: Request,
    now: Now,
    caller: Annotated[Caller, Depends(allow("retrieve_policies"))],
    owner: AnyOwner = None,
    kind: AnyType = None,
    queue_name: AnyQueue = None,
    policy_id: AnyId = None,
    limit: Limit = MAX_PAGE,
    start: Start = 1,
    at: At = None,
) -> PolicyArray:
    """Each as its owner sent it, byte for byte. One that has expired is not shown."""
    agency, known = _searched(now, owner, kind, queue_name, policy_id)
    found = list(
        policies.matching(
            await _kept(request, caller, at), force=agency, kind=known, queue_name=queue_name, policy_id=policy_id
        )
    )
    if not found and any(one is not None for one in (owner, kind, queue_name, policy_id)):
        raise NotFound
    page = _page(found, start, limit)
    return PolicyArray(
        count=len(page),
        total_count=len(found),
        policies=[JwsAnswer.model_validate(one.stored) for one in page],
    )


@router.get("/PolicyEnums", summary="Enumerate policies", responses=responses(404, 414, 451, 452))
async def enumerate_policies(
    request: Request,
    now: Now,
    caller: Annotated[Caller, Depends(allow("enumerate_policies"))],
    kind: Type,
    owner: AnyOwner = None,
    queue_name: AnyQueue = None,
    policy_id: AnyId = None,
    updated_since: Annotated[
        Moment | None, Query(alias="policiesUpdatedSince", description="Only what was changed after that.")
    ] = None,
    limit: Limit = MAX_PAGE,
    start: Start = 1,
    at: At = None,
) -> PolicyEnumArray:
    """Which policies there are, and when each was changed last. One that has expired is not shown."""
    agency, known = _searched(now, owner, kind, queue_name, policy_id)
    since = _moment(updated_since, "policiesUpdatedSince")
    found = [
        one
        for one in policies.matching(
            await _kept(request, caller, at), force=agency, kind=known, queue_name=queue_name, policy_id=policy_id
        )
        if since is None or one.at > since
    ]
    if not found:
        raise NotFound
    page = _page(found, start, limit)
    return PolicyEnumArray(count=len(page), total_count=len(found), policy_enums=[_enumerated(one) for one in page])


@router.post(
    "/Policies",
    summary="Store a policy",
    status_code=201,
    responses=responses(409, 414, 434, 436, 437, 438, 451, 452, 459),
)
async def create_policy(
    request: Request,
    now: Now,
    body: Jws,
    caller: Annotated[Caller, Depends(allow("create_policy"))],
    reason: Reason = None,
) -> StoredPolicy:
    """A new policy, or the next version of one that is there. The same again changes nothing."""
    envelope, policy, agency = _accepted(now, body)
    if not may_know("create_policy", caller, _belongs(agency)):
        raise Forbidden(
            "The policy's owner is none of your token's forces: only its owner's administrators may store it."
        )
    return await _store(request, now, caller, reason, envelope, policy, agency, replaces=False)


@router.put(
    "/Policies",
    summary="Update a policy",
    responses=responses(404, 409, 414, 434, 436, 437, 438, 451, 452, 460),
)
async def update_policy(
    request: Request,
    now: Now,
    body: Jws,
    caller: Annotated[Caller, Depends(allow("update_policy"))],
    owner: Owner,
    kind: Type,
    queue_name: AnyQueue = None,
    policy_id: AnyId = None,
    reason: Reason = None,
) -> StoredPolicy:
    """The next version of the policy that the address names. The same again changes nothing."""
    named, name = _named(now, owner, kind, queue_name, policy_id)
    if not may_know("update_policy", caller, _belongs(named)):
        raise NotFound
    envelope, policy, agency = _accepted(now, body, update=True)
    if (agency, policy.key.type, policy.key.name) != (named, policy_type(kind), name):
        raise problem.PolicyStructure("The policy that was sent is another one than the address names.")
    return await _store(request, now, caller, reason, envelope, policy, agency, replaces=True)


@router.delete("/Policies", summary="Withdraw a policy", responses=responses(404, 409, 414, 451, 452))
async def delete_policy(
    request: Request,
    now: Now,
    caller: Annotated[Caller, Depends(allow("delete_policy"))],
    owner: Owner,
    kind: Type,
    queue_name: AnyQueue = None,
    policy_id: AnyId = None,
    reason: Reason = None,
) -> None:
    """It holds no more. What it said, who withdrew it and why are kept."""
    agency, name = _named(now, owner, kind, queue_name, policy_id)
    known = policy_type(kind)
    assert known is not None
    if not may_know("delete_policy", caller, _belongs(agency)):
        raise NotFound
    try:
        await policies.withdraw(
            request.app.state.policy_writer, Scope(caller.visible), agency, known, name, _said(caller, reason)
        )
    except Absent:
        raise NotFound from None


@router.get("/Versions", summary="What this interface is", dependencies=[Depends(allow("retrieve_versions"))])
async def retrieve_versions() -> VersionsArray:
    return VersionsArray(
        versions=[Version(major=1, minor=0, service_info=ServiceInfo(required_algorithms=["EdDSA", "none"]))],
        fingerprint="Hue and Cry",
    )


async def _store(
    request: Request,
    now: Alliance,
    caller: Caller,
    reason: str | None,
    envelope: Envelope,
    policy: Policy,
    agency: Agency,
    *,
    replaces: bool,
) -> StoredPolicy:
    warnings = policies.warnings_of(policy, now)
    try:
        version = await policies.store(
            request.app.state.policy_writer,
            Scope(caller.visible),
            policy,
            agency,
            envelope,
            _said(caller, reason),
            warnings=warnings,
            replaces=replaces,
        )
    except Absent:
        raise NotFound from None
    return StoredPolicy(
        policy_type=policy.key.type,
        policy_owner=policy.owner,
        policy_queue_name=policy.queue_name,
        policy_id=policy.policy_id,
        version=version,
        warnings=list(warnings),
    )


def _accepted(now: Alliance, body: Jws, *, update: bool = False) -> tuple[Envelope, Policy, Agency]:
    """Raises the problem that the policy is, by the status that i3 has for it."""
    envelope = Envelope(body.payload, body.protected, body.signature)
    try:
        return envelope, *policies.accept(envelope, now, datetime.now(UTC))
    except Refused as refusal:
        kind = _PROBLEMS[refusal.kind]
        if update and kind is problem.PolicyExpiration:
            kind = problem.PolicyUpdateExpiration
        faults = [
            Fault(f"{fault.pointer}: {fault.detail}" if fault.pointer else fault.detail, pointer="/payload")
            for fault in refusal.faults
        ]
        raise kind(str(refusal), faults=faults) from None


def _said(caller: Caller, reason: str | None) -> Said:
    return Said(caller.subject, reason, current_traceparent())


def _belongs(agency: Agency) -> Belongs:
    return Belongs.to(agency.force)


async def _kept(request: Request, caller: Caller, at: datetime | None) -> list[Kept]:
    moment = _moment(at, "at")
    if moment is not None and moment > datetime.now(UTC):
        raise _invalid("at", "must not be in the future")
    return await policies.kept(request.app.state.policy_reader, Scope(caller.visible), moment)


def _moment(given: datetime | None, parameter: str) -> datetime | None:
    """In UTC. Raises Invalid for one at the very end of the calendar, which has no time there."""
    try:
        return None if given is None else given.astimezone(UTC)
    except OverflowError:
        raise _invalid(parameter, "is out of range") from None


def _searched(
    now: Alliance, owner: str | None, kind: str | None, queue_name: str | None, policy_id: str | None
) -> tuple[Agency | None, str | None]:
    """Whose, and of which type. Raises Invalid, PolicyType, PolicyAgency for what cannot name a policy."""
    known = None if kind is None else _type(kind)
    if policy_id is not None and known not in (None, OTHER):
        raise _invalid("policyId", f"goes with the policyType {OTHER} alone")
    if queue_name is not None:
        if known == OTHER or policy_id is not None:
            raise _invalid("policyQueueName", f"goes with the policyType {ORIGINATION} or {NORMAL_NEXT_HOP}")
        if (wrong := sip_uri(queue_name)) is not None:
            raise _invalid("policyQueueName", wrong)
    return (None if owner is None else _agency(now, owner)), known


def _named(now: Alliance, owner: str, kind: str, queue_name: str | None, policy_id: str | None) -> tuple[Agency, str]:
    """The one policy that the parameters name: whose, and its queue or id."""
    agency, known = _searched(now, owner, kind, queue_name, policy_id)
    name, parameter = (policy_id, "policyId") if known == OTHER else (queue_name, "policyQueueName")
    if name is None:
        raise _invalid(parameter, f"is required with the policyType {known}")
    assert agency is not None
    return agency, name


def _type(kind: str) -> str:
    known = policy_type(kind)
    if known is None:
        raise problem.PolicyType(f"The policyType must be one of {', '.join(POLICY_TYPES)}.")
    return known


def _agency(now: Alliance, owner: str) -> Agency:
    agency = policies.agency_of(now, owner)
    if agency is None:
        raise problem.PolicyAgency("The policyOwner must be the agency of a force, as GET /v1/forces names it.")
    return agency


def _invalid(parameter: str, detail: str) -> Invalid:
    return Invalid(f"{parameter}: {detail}", faults=[Fault(detail, parameter=parameter)])


def _page(found: Sequence[_T], start: int, limit: int) -> Sequence[_T]:
    return found[start - 1 : start - 1 + limit]


def _enumerated(one: Kept) -> PolicyEnum:
    stored = one.stored
    return PolicyEnum(
        policy_type=stored.policy_type,
        policy_owner=stored.policy_owner,
        policy_queue_name=stored.policy_queue_name,
        policy_id=stored.policy_id,
        policy_expiration_time=stored.policy_expiration_time,
        policy_last_modification_time=one.at,
    )
