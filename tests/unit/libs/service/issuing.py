"""A token issuer for these tests: real keys, real HTTP on a free port, which can go away and come back."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

AUDIENCE = "hueandcry"
ED25519 = OKPKey.generate_key("Ed25519", {"kid": "ed", "use": "sig"})
P256 = ECKey.generate_key("P-256", {"kid": "ec"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
STRANGER = OKPKey.generate_key("Ed25519", {"kid": "ed"})
"""Not the issuer's, under the name of one that is."""
EVERYTHING = ["EdDSA", "Ed25519", "ES256", "RS256", "PS256", "RS512", "HS256", "none"]


def public(*keys: Any) -> list[dict[str, Any]]:
    return [dict(key.as_dict(private=False)) for key in keys]


@dataclass
class LocalIssuer:
    """What the issuer says, and how often it was asked. `port` is 0 while it is away."""

    keys: list[dict[str, Any]] = field(default_factory=lambda: public(ED25519, P256, RSA))
    port: int = 0
    answers: dict[str, bytes] = field(default_factory=dict)
    """Whole documents, by path, instead of the right ones."""
    status: str = "200 OK"
    asked: list[str] = field(default_factory=list)
    server: asyncio.Server | None = None
    url: str = ""

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            await self.server.wait_closed()
            self.server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1]
            self.asked.append(path)
            body = self.answers.get(path, json.dumps(self._document(path)).encode())
            writer.write(
                f"HTTP/1.1 {self.status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _document(self, path: str) -> Any:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        return {"keys": self.keys}

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = time.time()
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "handler-1",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "roles": ["handler"],
            "forces": ["bedfordshire"],
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, key: Any = ED25519, alg: str = "EdDSA", header: dict[str, Any] | None = None, **claims: Any) -> str:
        return sign(self.claims(**claims), key, alg, header)


def sign(claims: Any, key: Any = ED25519, alg: str = "EdDSA", header: dict[str, Any] | None = None) -> str:
    protected: dict[str, Any] = {"alg": alg, "typ": "JWT", "kid": key.kid if key else None} | (header or {})
    protected = {name: value for name, value in protected.items() if value is not None}
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    registry = jws.JWSRegistry(algorithms=EVERYTHING, strict_check_header=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # of EdDSA's name, and of what forgers sign with
        return jws.serialize_compact(protected, payload, key, registry=registry)


@asynccontextmanager
async def issuing() -> AsyncIterator[LocalIssuer]:
    local = LocalIssuer()
    await local.start()
    try:
        yield local
    finally:
        await local.stop()
