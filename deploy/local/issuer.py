"""The local OIDC issuer, for this machine only: a discovery document (OpenID Connect Discovery 1.0) and a key set.

It hands out no token: `make token` signs them with the key in `var/secrets`, which only its owner can read. It binds to
the loopback address and nothing else, whatever it is told, and neither serves nor signs where there are marks of a
deployment around it: whoever can read that key is everybody.
"""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import ECKey

from deploy.local.process import Trouble
from deploy.local.secret_files import secret_file
from libs.service.settings import LOOPBACK

AUDIENCE = "hueandcry"
ALGORITHM = "ES256"


DEPLOYED = {
    "KUBERNETES_SERVICE_HOST": "this is a pod",
    "OIDC_ISSUER_FILE": "an issuer is set",
    "DATABASE_URL_FILE": "a database is set",
}
"""Variables of an environment that is no developer's, and what each says."""


def refuse_outside_local_use(environment: Mapping[str, str]) -> None:
    """Raises Trouble naming the mark of a deployment."""
    marks = [f"{name}: {what}" for name, what in DEPLOYED.items() if environment.get(name)]
    issuer = environment.get("OIDC_ISSUER", "")
    if issuer and urlsplit(issuer).hostname not in LOOPBACK:
        marks.append("OIDC_ISSUER: the services here believe another issuer")
    if marks:
        raise Trouble(f"The local issuer is for this machine alone, and this is no local run ({'; '.join(marks)}).")


def signing_key(secrets: Path) -> ECKey:
    """The issuer's P-256 key, made at the first call."""

    def make() -> str:
        return json.dumps(ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, auto_kid=True).as_dict(True))

    return ECKey.import_key(json.loads(secret_file(secrets, "issuer.jwk", make).read_text()))


def make_token(
    secrets: Path,
    issuer_url: str,
    *,
    roles: Iterable[str],
    forces: Iterable[str],
    subject: str,
    site: str | None = None,
    alliance: bool = False,
    home: str | None = None,
    lifetime_s: int = 12 * 60 * 60,
) -> str:
    """A token of the local issuer, valid from now on."""
    key = signing_key(secrets)
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": issuer_url,
        "aud": AUDIENCE,
        "sub": subject,
        "iat": now,
        "nbf": now,
        "exp": now + lifetime_s,
        "jti": str(uuid4()),
        "roles": sorted(roles),
        "forces": sorted(forces),
    }
    if site is not None:
        claims["site"] = site
    if alliance:
        claims["alliance"] = True
    if home is not None:
        claims["homeForce"] = home
    return jwt.encode({"alg": ALGORITHM, "kid": key.kid, "typ": "at+jwt"}, claims, key, algorithms=[ALGORITHM])


def documents(issuer_url: str, key: ECKey) -> dict[str, dict[str, Any]]:
    """What the issuer serves, by path."""
    return {
        "/.well-known/openid-configuration": {
            "issuer": issuer_url,
            "jwks_uri": f"{issuer_url}/jwks",
            "response_types_supported": ["none"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        },
        "/jwks": {"keys": [key.as_dict(private=False)]},
        "/healthz": {"status": "ok"},
    }


def server(host: str, port: int, secrets: Path) -> ThreadingHTTPServer:
    """The issuer, bound and ready to serve. Raises Trouble for an address that is not this machine's own."""
    refuse_outside_local_use(os.environ)
    if not ipaddress.ip_address(host).is_loopback:
        raise Trouble(f"The local issuer does not listen on {host}: it is for this machine alone (127.0.0.1).")
    served = documents(f"http://{host}:{port}", signing_key(secrets))
    answers = {path: json.dumps(document).encode() for path, document in served.items()}

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

    return ThreadingHTTPServer((host, port), Handler)


def main() -> None:
    host, port, secrets = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    try:
        running = server(host, port, secrets)
    except Trouble as trouble:
        raise SystemExit(str(trouble)) from None

    def stop(_signal: int, _frame: FrameType | None) -> None:
        os._exit(0)  # nothing is kept, so nothing is to be finished

    signal.signal(signal.SIGTERM, stop)
    running.serve_forever()


if __name__ == "__main__":
    main()
