from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from deploy.local.issuer import documents, make_token, server, signing_key
from deploy.local.layout import ROOT
from deploy.local.process import Trouble

URL = "http://127.0.0.1:8005"


def published_by(secrets: Path) -> KeySet:
    jwks: Any = documents(URL, signing_key(secrets))["/jwks"]
    return KeySet.import_key_set(jwks)


def test_a_token_says_who_may_what_for_how_long_and_verifies_with_the_published_key(tmp_path: Path) -> None:
    token = make_token(
        tmp_path,
        URL,
        roles=["handler"],
        forces=["hertfordshire", "bedfordshire"],
        subject="ann",
        site="north",
        home="hertfordshire",
        lifetime_s=60,
    )
    published = published_by(tmp_path)
    claims = jwt.decode(token, published, algorithms=["ES256"]).claims
    assert claims["iss"] == URL
    assert claims["aud"] == "hueandcry"
    assert claims["sub"] == "ann"
    assert claims["roles"] == ["handler"]
    assert claims["forces"] == ["bedfordshire", "hertfordshire"]
    assert claims["site"] == "north"
    assert claims["homeForce"] == "hertfordshire"
    assert claims["exp"] - claims["iat"] == 60
    assert abs(claims["nbf"] - time.time()) < 5
    assert "alliance" not in claims


def test_a_token_of_another_key_does_not_verify(tmp_path: Path) -> None:
    token = make_token(tmp_path / "one", URL, roles=["handler"], forces=[], subject="ann")
    published = published_by(tmp_path / "two")
    with pytest.raises(JoseError):
        jwt.decode(token, published, algorithms=["ES256"])


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    assert signing_key(secrets).kid == signing_key(secrets).kid
    assert stat.S_IMODE((secrets / "issuer.jwk").stat().st_mode) == 0o600
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700


def test_what_is_published_holds_no_private_key(tmp_path: Path) -> None:
    key = signing_key(tmp_path)
    published = json.dumps(documents(URL, key))
    assert isinstance(key, ECKey)
    assert str(key.as_dict(private=True)["d"]) not in published
    assert '"d"' not in published


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_the_issuer_listens_on_this_machine_alone(tmp_path: Path, host: str) -> None:
    with pytest.raises(Trouble, match="this machine alone"):
        server(host, 0, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ("OIDC_ISSUER", "https://login.example.police.uk/realms/alliance"),
        ("OIDC_ISSUER_FILE", "/run/secrets/issuer"),
        ("DATABASE_URL_FILE", "/run/secrets/database"),
    ],
)
def test_the_issuer_does_not_start_where_there_is_a_mark_of_a_deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Trouble, match=f"no local run .*{name}"):
        server("127.0.0.1", 0, tmp_path)
    asked = [sys.executable, "-m", "deploy.local.token", "--role", "handler"]
    answer = subprocess.run(asked, capture_output=True, text=True, cwd=ROOT, env={**os.environ, name: value})
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert "no local run" in answer.stderr


def test_the_issuer_starts_where_the_services_believe_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OIDC_ISSUER", URL)
    server("127.0.0.1", 0, tmp_path).server_close()


def test_the_issuer_serves_its_documents_and_no_token(tmp_path: Path) -> None:
    running = server("127.0.0.1", 0, tmp_path)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{running.server_address[1]}"
    try:
        with urlopen(f"{base}/.well-known/openid-configuration") as answer:
            assert json.load(answer)["jwks_uri"].endswith("/jwks")
        with urlopen(f"{base}/jwks") as answer:
            assert [key["kty"] for key in json.load(answer)["keys"]] == ["EC"]
        for path in ("/token", "/", "/../secrets/issuer.jwk"):
            with pytest.raises(HTTPError, match="404"):
                urlopen(base + path)
    finally:
        running.shutdown()
        running.server_close()
