"""The issuer's keys, by OIDC discovery: fetched, kept, and kept on through an outage of the issuer.

Invariants: keys once fetched serve until a later fetch *succeeds*. A key that a successful fetch no longer lists is
retired: it verifies tokens issued before, and none after `retired_key_s`. Only public keys of the kinds in
`tokens.ALGORITHMS` are taken.

Why retired keys serve on: an issuer should list a key until what it signed has expired (OpenID Connect Core 1.0,
section 10.1.1), not each does, and a gateway whose calls are refused for that is worse. Why not for long: to list a key
no more is also how an issuer revokes one that was stolen, and a thief dates his tokens as he likes. Zero revokes at
once.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Never
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from libs.service import metrics
from libs.service.settings import LOOPBACK

logger = structlog.get_logger(__name__)

REFRESH_S = 300.0
"""How often the keys are fetched again."""
MIN_INTERVAL_S = 5.0
"""The least time between two fetches that tokens with an unknown key set off."""
RETIRED_KEY_S = 3600.0
"""How long a key that is listed no more verifies what it signed before: over the usual life of an access token."""
MAX_BYTES = 512 * 1024
MAX_KEYS = 100
MAX_ABSENT = 1000
MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class PublicKey:
    kid: str | None
    algorithms: frozenset[str]
    """JWS `alg` values this key may verify."""
    key: RSAKey | ECKey | OKPKey
    retired_at: float | None = None
    """When a fetch first did not list it any more, Unix time; None: it is listed."""


class Unfit(Exception):
    """What the issuer sent cannot be used; the message says what is wrong with it."""


class Issuer:
    """One issuer's keys. `generation` changes whenever they do."""

    def __init__(
        self,
        issuer: str,
        *,
        allow_http: bool = False,
        min_interval_s: float = MIN_INTERVAL_S,
        retired_key_s: float = RETIRED_KEY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self.keys: tuple[PublicKey, ...] = ()
        """As the issuer lists them."""
        self.retired: tuple[PublicKey, ...] = ()
        self.retired_key_s = retired_key_s
        self._clock = clock
        self.generation = 0
        self._allow_http = allow_http
        self._min_interval_s = min_interval_s
        self._fetching: asyncio.Task[bool] | None = None
        self._tried_at: float | None = None
        self._trouble: str | None = None
        self._next: asyncio.Task[bool] | None = None
        self._absent: set[str] = set()
        """Key ids that tokens have named and the last fetch did not list."""

    def trouble(self) -> str | None:
        """For readiness: a service without keys can let nobody in. One with keys goes on without its issuer."""
        if self.keys:
            return None
        return self._trouble or "the issuer's keys have not been fetched yet"

    def usable(self) -> list[PublicKey]:
        """Those listed, then those retired that still serve."""
        now = self._clock()
        return [*self.keys, *(key for key in self.retired if self._serves(key, now))]

    def serves_until(self, key: PublicKey) -> float:
        """Unix time; infinite while the key is listed."""
        return math.inf if key.retired_at is None else key.retired_at + self.retired_key_s

    def _serves(self, key: PublicKey, now: float) -> bool:
        return now < self.serves_until(key)

    @property
    def reachable(self) -> bool:
        """Whether the last fetch succeeded."""
        return self._trouble is None and self._tried_at is not None

    async def keep(self) -> Never:
        """Fetch the keys, and again every five minutes; every second, then slower, while that fails."""
        wait_s = 0.5
        while True:
            if await self.fetch():
                wait_s = 0.5
                await asyncio.sleep(REFRESH_S)
            else:
                wait_s = min(wait_s * 2, 5.0 if not self.keys else 60.0)
                await asyncio.sleep(wait_s)

    async def fetch_for_unknown_key(self, kid: str | None) -> bool:
        """Fetch, or where that was tried a moment ago wait until it may be tried again, together with who else waits:
        an issuer may sign with a key as soon as it lists it. For a key that was looked for in vain a moment ago, and
        one without a name, nobody waits. Whether the keys are as the issuer has them now, or nearly.
        """
        tried_s_ago = math.inf if self._tried_at is None else time.monotonic() - self._tried_at
        wait_s = self._min_interval_s - tried_s_ago
        if wait_s > 0 and self._fetching is None:
            if kid is None or kid in self._absent or len(self._absent) >= MAX_ABSENT or not self.reachable:
                return self.reachable
            if self._next is None:
                self._next = asyncio.create_task(self._fetch_after(wait_s))
            current = await asyncio.shield(self._next)
        else:
            current = await self.fetch()
        if kid is not None and len(self._absent) < MAX_ABSENT and all(key.kid != kid for key in self.keys):
            self._absent.add(kid)
        return current

    async def _fetch_after(self, wait_s: float) -> bool:
        try:
            await asyncio.sleep(wait_s)
        finally:
            self._next = None
        return await self.fetch()

    async def fetch(self) -> bool:
        """Fetch the keys once, whoever asks meanwhile. Whether it succeeded; the keys stay as they were if not."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        return await asyncio.shield(self._fetching)

    def _fetched(self, _: asyncio.Task[bool]) -> None:
        self._fetching = None

    async def _fetch(self) -> bool:
        try:
            async with httpx.AsyncClient(timeout=2.0, verify=_trust(), trust_env=False) as client:
                async with asyncio.timeout(5.0):
                    base = self.issuer.removesuffix("/")
                    discovered = await _get(client, base + "/.well-known/openid-configuration")
                    jwks = await _get(client, self._keys_address(discovered))
            keys = read_keys(jwks)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, Unfit) as error:
            # An Unfit's message is ours; the others' name addresses, which the log may know and readiness need not.
            self._trouble = str(error) if isinstance(error, Unfit) else "the token issuer cannot be reached"
            self._tried_at = time.monotonic()
            metrics.ISSUER_FETCHES.labels("failed").inc()
            logger.warning("issuer's keys not fetched", reason=self._trouble, error=type(error).__name__)
            return False
        listed = {key.key.thumbprint() for key in keys}
        if listed != {key.key.thumbprint() for key in self.keys}:
            logger.info("issuer's keys changed", keys=len(keys))
            self.generation += 1
        now = self._clock()
        gone = [replace(key, retired_at=now) for key in self.keys if key.key.thumbprint() not in listed]
        kept = [key for key in self.retired if self._serves(key, now) and key.key.thumbprint() not in listed]
        self.retired = tuple([*gone, *kept][:MAX_KEYS])
        self.keys = keys
        self._absent.clear()
        self._trouble = None
        self._tried_at = time.monotonic()
        metrics.ISSUER_FETCHES.labels("fetched").inc()
        metrics.ISSUER_FETCHED_AT.set_to_current_time()
        return True

    def _keys_address(self, discovered: Mapping[str, Any]) -> str:
        """OpenID Connect Discovery 1.0, section 4.3: the document must name the very issuer it was asked of."""
        if discovered.get("issuer") != self.issuer:
            raise Unfit("the issuer's discovery document names another issuer")
        address = discovered.get("jwks_uri")
        if not isinstance(address, str):
            raise Unfit("the issuer's discovery document has no jwks_uri")
        try:
            parts = urlsplit(address)
        except ValueError:
            raise Unfit("the issuer's jwks_uri is not a URL") from None
        if parts.scheme != "https" and not (
            parts.scheme == "http" and (self._allow_http or parts.hostname in LOOPBACK)
        ):
            raise Unfit("the issuer's jwks_uri is not https")
        return address


@cache
def _trust() -> ssl.SSLContext:
    """Made once, because it takes tens of milliseconds. SSL_CERT_FILE names other authorities than certifi's."""
    return httpx.create_ssl_context()


async def _get(client: httpx.AsyncClient, address: str) -> dict[str, Any]:
    content = bytearray()
    async with client.stream("GET", address, headers={"Accept": "application/json"}) as response:
        if response.status_code != 200:
            raise Unfit(f"the issuer answered with status {response.status_code}")
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MAX_BYTES:
                raise Unfit(f"the issuer's answer is over {MAX_BYTES // 1024} KiB")
    try:
        document = msgspec.json.decode(bytes(content))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unfit("the issuer's answer is not JSON") from None
    if not isinstance(document, dict):
        raise Unfit("the issuer's answer is not a JSON object")
    return document


def read_keys(jwks: Mapping[str, Any]) -> tuple[PublicKey, ...]:
    """The usable keys of a JWK Set (RFC 7517, section 5: others are ignored). Raises Unfit where there is none."""
    listed = jwks.get("keys")
    if not isinstance(listed, list):
        raise Unfit("the issuer's key set has no keys")
    keys = tuple(key for jwk in listed[:MAX_KEYS] if isinstance(jwk, dict) and (key := _read_key(jwk)) is not None)
    if not keys:
        raise Unfit("the issuer's key set has no key that can be used")
    return keys


def _read_key(jwk: dict[str, Any]) -> PublicKey | None:
    kid = jwk.get("kid")
    if jwk.get("use", "sig") != "sig" or not isinstance(kid, str | None):
        return None
    operations = jwk.get("key_ops")
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        return None
    key: RSAKey | ECKey | OKPKey
    try:
        match jwk.get("kty"), jwk.get("crv"):
            case "RSA", _:
                algorithms = {"RS256", "PS256"}
                key = RSAKey.import_key({"kty": "RSA", "n": jwk["n"], "e": jwk["e"]})
                if key.raw_value.key_size < MIN_RSA_BITS:
                    return None
            case "EC", "P-256":
                algorithms = {"ES256"}
                key = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"]})
            case "OKP", "Ed25519":
                algorithms = {"EdDSA", "Ed25519"}
                key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": jwk["x"]})
            case _:
                return None
    except (KeyError, ValueError, TypeError, JoseError):
        return None
    named = jwk.get("alg")
    if named is not None:
        # RFC 9864 renames EdDSA on this curve to Ed25519: the same algorithm.
        algorithms &= {"EdDSA", "Ed25519"} if named in ("EdDSA", "Ed25519") else {str(named)}
    return PublicKey(kid, frozenset(algorithms), key) if algorithms else None
