"""Whose keys are believed, and what an issuer can do wrong."""

import asyncio
import json
from typing import Any

import pytest
from joserfc.jwk import OctKey, OKPKey, RSAKey

from libs.service import issuer as module
from libs.service.issuer import Issuer, Unfit, read_keys
from tests.unit.libs.service.issuing import ED25519, P256, RSA, LocalIssuer, public

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
DISCOVERY = "/.well-known/openid-configuration"


async def test_keys_are_found_by_discovery(local: LocalIssuer) -> None:
    issuer = Issuer(local.url)
    assert issuer.trouble() == "the issuer's keys have not been fetched yet"
    assert await issuer.fetch()
    assert {key.kid for key in issuer.keys} == {"ed", "ec", "rsa"}
    assert local.asked == [DISCOVERY, "/keys"]


async def test_many_who_ask_at_once_fetch_once(local: LocalIssuer) -> None:
    issuer = Issuer(local.url)
    assert await asyncio.gather(*(issuer.fetch() for _ in range(50))) == [True] * 50
    assert local.asked == [DISCOVERY, "/keys"]


async def test_who_gives_up_waiting_does_not_end_the_others_fetch(local: LocalIssuer) -> None:
    issuer = Issuer(local.url)
    impatient = asyncio.create_task(issuer.fetch())
    patient = asyncio.create_task(issuer.fetch())
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient


@pytest.mark.parametrize(
    ("path", "answer", "trouble"),
    [
        (DISCOVERY, {"issuer": "https://evil.example", "jwks_uri": "http://127.0.0.1:1/"}, "names another issuer"),
        (DISCOVERY, {"issuer": "SELF"}, "has no jwks_uri"),
        (DISCOVERY, {"issuer": "SELF", "jwks_uri": 7}, "has no jwks_uri"),
        (DISCOVERY, {"issuer": "SELF", "jwks_uri": "http://evil.example/"}, "jwks_uri is not https"),
        (DISCOVERY, {"issuer": "SELF", "jwks_uri": "file:///etc/passwd"}, "jwks_uri is not https"),
        (DISCOVERY, {"issuer": "SELF", "jwks_uri": "http://["}, "jwks_uri is not a URL"),
        (DISCOVERY, [], "not a JSON object"),
        ("/keys", {}, "no keys"),
        ("/keys", {"keys": {}}, "no keys"),
        ("/keys", {"keys": []}, "no key that can be used"),
        ("/keys", {"keys": ["x", 1, None, {}]}, "no key that can be used"),
        ("/keys", b"{", "not JSON"),
        ("/keys", b"\xff", "not JSON"),
        ("/keys", b"[" * 100_000, "not JSON"),
        ("/keys", b" " * (module.MAX_BYTES + 1), "is over 512 KiB"),
    ],
)
async def test_what_the_issuer_says_wrong_is_named_and_the_keys_stay(
    local: LocalIssuer, path: str, answer: Any, trouble: str
) -> None:
    issuer = Issuer(local.url)
    await issuer.fetch()
    kept = issuer.keys
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).replace("SELF", local.url).encode()
    local.answers[path] = raw
    assert not await issuer.fetch()
    assert issuer.keys is kept
    fresh = Issuer(local.url)
    assert not await fresh.fetch()
    assert trouble in str(fresh.trouble())


@pytest.mark.parametrize("status", ["302 Found\r\nlocation: http://127.0.0.1:1/", "404 Not Found", "500 Oops"])
async def test_nothing_but_200_is_an_answer(local: LocalIssuer, status: str) -> None:
    local.status = status
    issuer = Issuer(local.url)
    assert not await issuer.fetch()
    assert f"status {status[:3]}" in str(issuer.trouble())


async def test_it_keeps_trying_until_the_issuer_is_there(local: LocalIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    await local.stop()
    issuer = Issuer(local.url)
    keeping = asyncio.create_task(issuer.keep())
    try:
        async with asyncio.timeout(10):
            while issuer.trouble() != "the token issuer cannot be reached":
                await asyncio.sleep(0.02)
            await local.start()
            while issuer.trouble() is not None:
                await asyncio.sleep(0.02)
    finally:
        keeping.cancel()
    assert issuer.keys


def test_keys_that_cannot_verify_are_ignored() -> None:
    (ed,) = public(ED25519)
    (ec,) = public(P256)
    good = {**ed, "kid": "good"}
    bad: list[dict[str, Any]] = [
        {**ed, "use": "enc"},
        {**ed, "key_ops": ["sign"]},
        {**ed, "key_ops": "verify"},
        {**ed, "x": "AAAA"},
        {**ed, "x": 7},
        {**ed, "kid": 7},
        {**ed, "alg": "HS256"},
        {"kty": "OKP", "crv": "Ed25519"},
        {**ec, "crv": "P-384"},
        {**ec, "x": "AA"},
        {**ec, "alg": "RS256"},
        public(OKPKey.generate_key("X25519"))[0],
        public(OKPKey.generate_key("Ed448"))[0],
        public(RSAKey.generate_key(1024))[0],
        {"kty": "RSA", "n": "!!", "e": "AQAB"},
        dict(OctKey.generate_key(256).as_dict(private=True)),
    ]
    assert [key.kid for key in read_keys({"keys": [*bad, good]})] == ["good"]
    for jwk in bad:
        with pytest.raises(Unfit):
            read_keys({"keys": [jwk]})


def test_a_private_part_that_an_issuer_lets_slip_is_not_kept() -> None:
    (key,) = read_keys({"keys": [dict(RSA.as_dict(private=True))]})
    assert not key.key.is_private


def test_a_key_set_of_any_size_is_cut() -> None:
    (ed,) = public(ED25519)
    assert len(read_keys({"keys": [{**ed, "kid": str(i)} for i in range(1000)]})) == module.MAX_KEYS
