"""Bearer tokens: JWTs (RFC 7519) of one issuer for one audience, verified with `joserfc`.

Promises: a token is accepted only with a signature by one of the issuer's keys under an algorithm of `ALGORITHMS` that
fits that key (a retired one: only what was issued before), and only between its `nbf` and its `exp`, give or take the
skew. A token verified a
moment ago is not verified again: it is known by its SHA-256, for a minute at most, never past its `exp`, and never past
a change of keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from libs.service import metrics
from libs.service.caller import ROLES, Caller
from libs.service.issuer import Issuer, PublicKey
from libs.service.problem import Unauthenticated, Unavailable

ALGORITHMS = frozenset({"EdDSA", "Ed25519", "ES256", "RS256", "PS256"})
"""Signatures by a private key only: never `none`, never an HMAC, whose key would be public."""
SKEW_S = 30.0
"""How far our clock and the issuer's may differ."""
CACHE_S = 60.0
CACHE_SIZE = 10_000
MAX_TOKEN_BYTES = 8 * 1024
TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""`typ` of a token we take, where it has one (RFC 7519 section 5.1, RFC 9068 section 2.1)."""
REALM = "hueandcry"

_FORCE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class _Registry(jws.JWSRegistry):
    max_header_length: ClassVar[int] = 4096  # type: ignore[misc]  # joserfc's default is too small for a header with x5c

    def get_alg(self, name: str) -> Any:
        # Most issuers still say EdDSA for what RFC 9864 calls Ed25519; `issuer` takes keys on that curve only.
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


_REGISTRY = _Registry(algorithms=ALGORITHMS, strict_check_header=False)


class _Header(msgspec.Struct):
    alg: str
    kid: str | None = None
    typ: str | None = None
    crit: Any = None


class _Claims(msgspec.Struct):
    iss: str
    sub: str
    aud: str | list[str]
    exp: float
    nbf: float | None = None
    iat: float | None = None
    roles: list[str] = []
    forces: list[str] = []
    site: str | None = None
    alliance: bool = False
    home_force: str | None = msgspec.field(name="homeForce", default=None)


_header_decoder = msgspec.json.Decoder(_Header)
_claims_decoder = msgspec.json.Decoder(_Claims)


def challenge(error: str, detail: str) -> dict[str, str]:
    """The header that says what a token lacks (RFC 6750, section 3)."""
    return {"WWW-Authenticate": f'Bearer realm="{REALM}", error="{error}", error_description="{detail}"'}


def refused(why: str, detail: str) -> Unauthenticated:
    """A token that is there and not accepted (RFC 6750, section 3.1)."""
    metrics.TOKENS_REFUSED.labels(why).inc()
    return Unauthenticated(detail, headers=challenge("invalid_token", detail))


def missing(detail: str) -> Unauthenticated:
    """No token at all: the challenge then carries no error (RFC 6750, section 3.1)."""
    metrics.TOKENS_REFUSED.labels("none").inc()
    return Unauthenticated(detail, headers={"WWW-Authenticate": f'Bearer realm="{REALM}"'})


class Verifier:
    """Turns tokens into callers."""

    def __init__(self, issuer: Issuer, *, audience: str, clock: Callable[[], float] = time.time) -> None:
        self.issuer = issuer
        self.audience = audience
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._known_with = issuer.generation

    async def caller(self, token: str) -> Caller:
        """Who the token says is calling.

        Raises Unauthenticated saying why it is not accepted, Unavailable where only the issuer could tell.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise refused("malformed", f"The token is over {MAX_TOKEN_BYTES // 1024} KiB.")
        if (remembered := self.remembered(token)) is not None:
            return remembered
        now = self._clock()
        caller, expires_at = await self._verify(token)
        digest = _digest(token)
        self._known[digest] = min(now + CACHE_S, expires_at), caller
        self._known.move_to_end(digest)
        if len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)
        return caller

    def remembered(self, token: str) -> Caller | None:
        """Who the token says is calling, where it was verified a moment ago: most were."""
        if self._known_with != self.issuer.generation:
            self._known.clear()
            self._known_with = self.issuer.generation
        digest = _digest(token)
        known = self._known.get(digest)
        if known is None or self._clock() >= known[0]:
            return None
        self._known.move_to_end(digest)
        return known[1]

    async def _verify(self, token: str) -> tuple[Caller, float]:
        if not _COMPACT.fullmatch(token):
            raise refused("malformed", "The token is not a signed JWT in compact form.")
        header = _decode_header(token)
        for key in (await self._keys_for(header))[:8]:
            payload = _payload_if_signed_by(token, key)
            if payload is not None:
                return self._accept(payload, key)
        raise refused("signature", "The token's signature is wrong.")

    async def _keys_for(self, header: _Header) -> list[PublicKey]:
        found = self._find(header)
        if not found:
            current = await self.issuer.fetch_for_unknown_key(header.kid)
            found = self._find(header)
            if not found and not current:
                raise Unavailable("The token cannot be checked now: its issuer cannot be reached.", retry_after_s=5)
        if not found:
            raise refused("key", "The token is signed with a key that its issuer does not list.")
        fitting = [key for key in found if header.alg in key.algorithms]
        if not fitting:
            raise refused("algorithm", "The token's algorithm does not fit its key.")
        return fitting

    def _find(self, header: _Header) -> list[PublicKey]:
        if header.kid is None:
            return [key for key in self.issuer.usable() if header.alg in key.algorithms]
        return [key for key in self.issuer.usable() if key.kid == header.kid]

    def _accept(self, payload: bytes, key: PublicKey) -> tuple[Caller, float]:
        try:
            claims = _claims_decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise refused(
                "claims", "The token's claims are not complete: iss, sub, aud and exp are required."
            ) from None
        now = self._clock()
        if claims.iss != self.issuer.issuer:
            raise refused("issuer", "The token is of another issuer.")
        if self.audience not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
            raise refused("audience", f"The token is not for the audience {self.audience}.")
        if not claims.sub or len(claims.sub) > 255 or not claims.sub.isprintable():
            raise refused("claims", "The token's subject is not usable.")
        if now >= claims.exp + SKEW_S:
            raise refused("expired", "The token has expired.")
        if max(claims.nbf or 0.0, claims.iat or 0.0) > now + SKEW_S:
            raise refused("early", "The token is not valid yet.")
        if key.retired_at is not None and (claims.iat is None or claims.iat > key.retired_at + SKEW_S):
            raise refused("key", "The token is signed with a key that its issuer lists no more.")
        caller = Caller(
            subject=claims.sub,
            roles=ROLES.intersection(claims.roles),
            forces=frozenset(filter(_is_force, claims.forces)),
            site=claims.site if claims.site and len(claims.site) <= 64 and claims.site.isprintable() else None,
            alliance=claims.alliance,
            home_force=claims.home_force if _is_force(claims.home_force) else None,
        )
        return caller, min(claims.exp, self.issuer.serves_until(key))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _is_force(text: str | None) -> bool:
    return text is not None and len(text) <= 64 and _FORCE.fullmatch(text) is not None


def _decode_header(token: str) -> _Header:
    segment = token.partition(".")[0]
    try:
        header = _header_decoder.decode(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error):
        raise refused("malformed", "The token's header cannot be read.") from None
    if header.alg not in ALGORITHMS:
        raise refused("algorithm", "The token's algorithm is not accepted: use EdDSA, ES256, RS256 or PS256.")
    if header.typ is not None and header.typ.lower() not in TYPES:
        raise refused("malformed", "The token is not an access token: its typ is neither JWT nor at+jwt.")
    if header.crit is not None:
        raise refused("malformed", "The token's header asks for an extension that is not known here.")
    return header


def _payload_if_signed_by(token: str, key: PublicKey) -> bytes | None:
    try:
        return jws.deserialize_compact(token, key.key, registry=_REGISTRY).payload
    except (JoseError, ValueError, TypeError):
        return None
