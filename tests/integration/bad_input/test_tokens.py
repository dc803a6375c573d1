"""Tokens that are none, not yet, no more, somebody else's or forged, on every operation of every service."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from deploy.local.issuer import ALGORITHM, signing_key
from libs.service.access import ACCESS
from libs.service.caller import ROLES
from tests.integration.bad_input.service import BODIES, SECRET, SERVICES, Operation, Services
from tests.unit.libs.service.issuing import sign

OPEN = {"/healthz", "/readyz", "/metrics"}
STRANGER = ECKey.generate_key("P-256")


class Forge:
    """Makes tokens with what a forger may have: the issuer's public key, and his own."""

    def __init__(self, services: Services) -> None:
        layout = services.system.layout
        now = time.time()
        self.key = signing_key(layout.secrets)
        self.claims: dict[str, Any] = {
            "iss": layout.issuer_url,
            "aud": "hueandcry",
            "sub": SECRET,
            "iat": now - 60,
            "nbf": now - 60,
            "exp": now + 600,
            "roles": sorted(ROLES),
            "forces": services.system.forces,
            "alliance": True,
        }

    def token(self, key: Any = None, alg: str = ALGORITHM, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Signed as the issuer signs, but for what is said otherwise; a claim of None is left out."""
        whole = {name: value for name, value in (self.claims | claims).items() if value is not None}
        return sign(whole, key or self.key, alg, {"kid": self.key.kid} | (header or {}))

    def unsigned(self, alg: str) -> str:
        header, claims = {"alg": alg, "typ": "JWT", "kid": self.key.kid}, self.claims
        return f"{_segment(json.dumps(header).encode())}.{_segment(json.dumps(claims).encode())}."

    def tampered(self) -> str:
        head, payload, signature = self.token(roles=["partner"]).split(".")
        other = self.token(roles=sorted(ROLES)).split(".")[1]
        assert payload != other
        return ".".join((head, other, signature))

    def with_public_key_as_secret(self) -> str:
        text = self.unsigned("HS256").rstrip(".")
        return f"{text}.{_segment(hmac.digest(self.key.as_pem(private=False), text.encode(), 'sha256'))}"

    def with_key_inside(self) -> str:
        """Signed by a stranger whose key the header brings along."""
        return self.token(STRANGER, header={"jwk": STRANGER.as_dict(private=False), "kid": None})

    def bad(self) -> dict[str, list[tuple[str, str]]]:
        """Header fields that no operation may take, by what is wrong with them."""
        now, good = time.time(), self.token()
        tokens = {
            "malformed": "x.y",
            "not base64": "é.é.é",
            "five parts": ".".join(["e30"] * 5),
            "empty parts": "..",
            "alg none": self.unsigned("none"),
            "alg None": self.unsigned("None"),
            "no signature": self.unsigned(ALGORITHM),
            "tampered with": self.tampered(),
            "public key as secret": self.with_public_key_as_secret(),
            "key brought along": self.with_key_inside(),
            "a stranger's signature": self.token(STRANGER),
            "unknown kid": self.token(STRANGER, header={"kid": "nobody's"}),
            "kid that is a path": self.token(STRANGER, header={"kid": "../../etc/passwd"}),
            "expired": self.token(exp=now - 60),
            "without an end": self.token(exp=None),
            "an end that is no number": self.token(exp="tomorrow"),
            "not yet valid": self.token(nbf=now + 120),
            "made in the future": self.token(iat=now + 120),
            "another audience": self.token(aud="another"),
            "no audience": self.token(aud=None),
            "another issuer": self.token(iss="http://127.0.0.1:1"),
            "issuer with a slash": self.token(iss=self.claims["iss"] + "/"),
            "nobody's": self.token(sub=""),
            "an id token": self.token(header={"typ": "logout+jwt"}),
            "too long": self.token(padding="x" * 9_000),
        }
        bearers = {name: [("Authorization", f"Bearer {token}")] for name, token in tokens.items()}
        return bearers | {
            "none": [],
            "empty": [("Authorization", "")],
            "no scheme": [("Authorization", good)],
            "another scheme": [("Authorization", "Basic YTpi")],
            "two headers": [("Authorization", f"Bearer {good}")] * 2,
            "a good one and a bad one": [("Authorization", f"Bearer {good}"), ("Authorization", "Bearer x.y.z")],
            "two in one": [("Authorization", f"Bearer {good}, Bearer {good}")],
            "a cookie": [("Cookie", f"Authorization=Bearer {good}; access_token={good}")],
            "another header": [("X-Authorization", f"Bearer {good}"), ("X-Forwarded-User", "admin")],
        }


def _segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@pytest.fixture(scope="module")
def forge(services: Services) -> Forge:
    return Forge(services)


async def ask(
    client: httpx.AsyncClient, services: Services, operation: Operation, headers: Any, **more: Any
) -> httpx.Response:
    """A request that is right in everything but its token."""
    body = BODIES[operation.id] if operation.takes_body else None
    return await client.request(operation.method, services.url(operation), headers=headers, json=body, **more)


@pytest.fixture
async def nobody(services: Services) -> Any:
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


def guarded(services: Services) -> list[Operation]:
    found = [operation for operation in services.operations() if operation.guarded]
    assert {operation.service for operation in found} == set(SERVICES)
    assert {operation.id for operation in found} == set(ACCESS)
    return found


async def test_bad_tokens_open_no_operation(
    forge: Forge, refused: Services, nobody: httpx.AsyncClient, pytestconfig: pytest.Config
) -> None:
    """In the short run every sixth pair of them: each token on some operations of every service, and each operation."""
    every = 1 if pytestconfig.getoption("--long") else 6
    for i, (why, headers) in enumerate(forge.bad().items()):
        raw = [(name.encode(), value.encode()) for name, value in headers]
        for operation in guarded(refused)[i % every :: every]:
            answer = await ask(nobody, refused, operation, raw)
            refused.refusal(answer, 401, what=f"{operation}: {why}")
            challenge = answer.headers.get("www-authenticate", "")
            assert challenge.startswith('Bearer realm="hueandcry"'), f"{operation}: {why}: {challenge}"


async def test_a_token_in_the_query_or_body_is_no_token(
    forge: Forge, refused: Services, nobody: httpx.AsyncClient
) -> None:
    token = forge.token()
    for operation in guarded(refused):
        for params in ({"access_token": token}, {"token": token}, {"authorization": f"Bearer {token}"}):
            answer = await ask(nobody, refused, operation, {}, params=params)
            refused.refusal(answer, 401, what=operation)
            assert "www-authenticate" in answer.headers
            assert token not in answer.text


async def test_roles_that_may_not_are_told_which_may(
    forge: Forge, refused: Services, nobody: httpx.AsyncClient
) -> None:
    tried = 0
    for operation in guarded(refused):
        allowed = set(ACCESS[operation.id].roles)
        wrong = [[role] for role in sorted(ROLES - allowed)] + [[], ["root"], [r.upper() for r in sorted(allowed)]]
        for roles in [sorted(ROLES - allowed), *wrong]:
            answer = await ask(nobody, refused, operation, {"Authorization": f"Bearer {forge.token(roles=roles)}"})
            document = refused.refusal(answer, 403, what=f"{operation} {roles}")
            assert set(document["roles"]) == allowed
            assert all(role in document["detail"] for role in allowed)
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
            tried += 1
    assert tried > 150


async def test_a_token_that_is_right_is_taken(forge: Forge, services: Services, nobody: httpx.AsyncClient) -> None:
    """So that the others are refused for what is wrong with them, and for nothing else."""
    for operation in guarded(services):
        if operation.method == "get":
            answer = await ask(nobody, services, operation, {"Authorization": f"Bearer {forge.token(sub='right')}"})
            assert answer.status_code not in (401, 403), f"{operation}: {answer.text}"


async def test_nothing_is_open_but_health_metrics_and_documents(services: Services, nobody: httpx.AsyncClient) -> None:
    unguarded = {(operation.service, operation.path) for operation in services.operations() if not operation.guarded}
    assert unguarded == {(service, path) for service in SERVICES for path in OPEN}
    for service in SERVICES:
        for path in (*OPEN, "/docs", "/openapi.json"):
            assert (await nobody.get(services.system.url(service) + path)).status_code == 200
        for path in ("/", "/v1", "/redoc", "/docs/../v1", "/admin", "/debug", "/.env", "/docs/oauth2-redirect"):
            answer = await nobody.get(services.system.url(service) + path)
            a_page = path == "/" and service == "directory"
            assert answer.status_code == (200 if a_page else 404), f"{service}{path}: {answer.text}"
