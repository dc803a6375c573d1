"""What the policy store takes and says, as NENA's OpenAPI document has it; `null` where i3 leaves a member out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from libs.service.bodies import Answer, Body

_BASE64URL = r"^[A-Za-z0-9_-]*$"


class Jws(Body):
    """A policy in its envelope: a JWS in the flattened JSON serialisation (RFC 7515, section 7.2.2)."""

    payload: Annotated[str, Field(min_length=1, max_length=250_000, pattern=_BASE64URL)]
    """base64url of the policy document."""
    protected: Annotated[str, Field(min_length=1, max_length=60_000, pattern=_BASE64URL)]
    """base64url of the header: `alg` EdDSA with `x5c`, or none."""
    signature: Annotated[str, Field(max_length=1_000, pattern=_BASE64URL)]
    """base64url; empty where `alg` is none."""


class JwsAnswer(Answer):
    payload: str
    protected: str
    signature: str


class PolicyArray(Answer):
    count: int
    """In this answer."""
    total_count: int
    policies: list[JwsAnswer]


class PolicyEnum(Answer):
    policy_type: str
    policy_owner: str
    policy_queue_name: str | None
    policy_id: str | None
    policy_expiration_time: datetime | None
    """Null: it does not expire."""
    policy_last_modification_time: datetime


class PolicyEnumArray(Answer):
    count: int
    """In this answer."""
    total_count: int
    policy_enums: list[PolicyEnum]


class StoredPolicy(Answer):
    policy_type: str
    policy_owner: str
    policy_queue_name: str | None
    policy_id: str | None
    version: int
    """Counts every change of this policy."""
    warnings: list[str]
    """What is allowed and will not have been meant."""


class ServiceInfo(Answer):
    required_algorithms: list[str]
    """JWS algorithms that are taken; a force may take signed policies alone."""


class Version(Answer):
    major: int
    minor: int
    service_info: ServiceInfo


class VersionsArray(Answer):
    versions: list[Version]
    fingerprint: str
