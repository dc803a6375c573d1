"""A provider of tokens that nobody here wrote: `oidc-provider` of the npm registry, a process of its own on loopback.

It is used as its documentation has it: service accounts by the client-credentials grant (RFC 6749, section 4.4), what a
token is for by a resource indicator (RFC 8707), access tokens as JWTs (RFC 9068), discovery, a key set.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import httpx
from joserfc.jwk import ECKey, OKPKey, RSAKey

from deploy.local.node import node
from deploy.local.parts import what_is_missing
from deploy.local.process import Child, free_port, spawn

FOLDER = Path(__file__).parent
DISCOVERY = "/.well-known/openid-configuration"
TAKEN = ("ES256", "RS256", "PS256", "EdDSA")
"""Algorithms that services accept."""
NOT_TAKEN = ("ES384", "RS512")
TTL_S = 600

ACCOUNTS: dict[str, dict[str, Any]] = {
    "beds-gateway": {"roles": ["gateway"], "forces": ["bedfordshire"]},
    "beds-buddy": {"roles": ["gateway"], "forces": ["bedfordshire"]},
    "herts-gateway": {"roles": ["gateway"], "forces": ["hertfordshire"]},
    "beds-records": {"roles": ["partner"], "forces": ["bedfordshire"]},
    "operator": {"roles": ["administrator"], "forces": [], "alliance": True},
    "beds-desktop": {"roles": ["handler"], "forces": ["bedfordshire"], "site": "north"},
}
"""Service accounts, and what the provider says of each in its tokens."""


def key(alg: str, name: str) -> dict[str, Any]:
    """A new private key of one algorithm."""
    about: dict[str, Any] = {"kid": f"{name}-{alg}", "alg": alg, "use": "sig"}
    match alg[:2], alg[2:]:
        case (("RS" | "PS"), _):
            made: Any = RSAKey.generate_key(2048, about)
        case "ES", "256":
            made = ECKey.generate_key("P-256", about)
        case "ES", _:
            made = ECKey.generate_key("P-384", about)
        case _:
            made = OKPKey.generate_key("Ed25519", about)
    return dict(made.as_dict(private=True))


def resources() -> dict[str, dict[str, Any]]:
    """What tokens may be asked for, by resource indicator."""
    ours = {f"urn:hueandcry:{alg}": {"audience": "hueandcry", "alg": alg, "ttl": TTL_S} for alg in TAKEN + NOT_TAKEN}
    return ours | {
        "urn:hueandcry:HS256": {"audience": "hueandcry", "alg": "HS256", "ttl": TTL_S, "secret": "s" * 32},
        "urn:hueandcry:opaque": {"audience": "hueandcry", "ttl": TTL_S},
        "urn:another": {"audience": "another", "alg": "ES256", "ttl": TTL_S},
    }


@dataclass
class Provider:
    """`keys` may be changed, and hold from the next start."""

    folder: Path
    keys: list[dict[str, Any]]
    port: int = field(default_factory=free_port)
    secrets: dict[str, str] = field(default_factory=lambda: {name: token_urlsafe(24) for name in ACCOUNTS})
    child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        settings = self.folder / f"provider-{self.port}.json"
        accounts = [{"id": name, "secret": self.secrets[name], "claims": claims} for name, claims in ACCOUNTS.items()]
        settings.write_text(json.dumps({"keys": self.keys, "accounts": accounts, "resources": resources()}))
        command = [node().command, FOLDER / "provider.mjs", str(self.port), settings]
        self.child = spawn("provider", command, log=self.folder / f"provider-{self.port}.log", cwd=FOLDER)
        deadline = time.monotonic() + 60
        while (missing := what_is_missing(self.url + DISCOVERY)) is not None:
            assert self.child.alive(), f"it ended:\n{self.child.last_words(20)}"
            assert time.monotonic() < deadline, f"{missing}\n{self.child.last_words(20)}"
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9."""
        if self.child is not None:
            self.child.kill()

    def restart(self, *keys: dict[str, Any]) -> None:
        """With these keys."""
        self.kill()
        self.keys = list(keys)
        self.start()

    def token(self, account: str, resource: str = "urn:hueandcry:ES256") -> str:
        """As the account gets one: asked for at the address that discovery names."""
        address = httpx.get(self.url + DISCOVERY).json()["token_endpoint"]
        form = {"grant_type": "client_credentials", "resource": resource}
        answer = httpx.post(address, data=form, auth=(account, self.secrets[account]))
        assert answer.status_code == 200, f"{answer.text}\n{self.child and self.child.last_words(20)}"
        return str(answer.json()["access_token"])

    def headers(self, account: str, resource: str = "urn:hueandcry:ES256") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(account, resource)}"}
