"""Which tokens are believed. Every forgery a token library has fallen for is tried here."""

import asyncio
import base64
import hmac
import json
import time
from typing import Any

import pytest
from joserfc.jwk import OKPKey, RSAKey
from prometheus_client import REGISTRY

from libs.service import tokens
from libs.service.caller import Caller
from libs.service.issuer import Issuer
from libs.service.problem import Unauthenticated, Unavailable
from libs.service.tokens import Verifier
from tests.unit.libs.service.issuing import AUDIENCE, ED25519, P256, RSA, STRANGER, LocalIssuer, public, sign


@pytest.fixture
async def verifier(local: LocalIssuer) -> Verifier:
    issuer = Issuer(local.url)
    assert await issuer.fetch()
    return Verifier(issuer, audience=AUDIENCE)


def _segment(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


async def refusal(verifier: Verifier, token: str) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as raised:
        await verifier.caller(token)
    problem = raised.value
    assert problem.headers["WWW-Authenticate"].startswith('Bearer realm="hueandcry", error="invalid_token"')
    assert problem.detail in problem.headers["WWW-Authenticate"]
    return problem


async def test_a_token_tells_who_calls(local: LocalIssuer, verifier: Verifier) -> None:
    token = local.token(
        roles=["handler", "king"], forces=["bedfordshire", "x'; --"], site="Hinchingbrooke", alliance=True
    )
    assert await verifier.caller(token) == Caller(
        subject="handler-1",
        roles=frozenset({"handler"}),  # a role we do not know gives nothing
        forces=frozenset({"bedfordshire"}),
        site="Hinchingbrooke",
        alliance=True,
    )


@pytest.mark.parametrize(
    ("claims", "home"),
    [
        ({"homeForce": "bedfordshire", "forces": ["bedfordshire", "essex"]}, "bedfordshire"),
        ({"forces": ["bedfordshire"]}, "bedfordshire"),  # the only one
        ({"homeForce": "x'; --", "forces": ["bedfordshire", "essex"]}, None),
        ({"forces": ["bedfordshire", "essex"]}, None),
    ],
)
async def test_a_token_tells_which_force_is_the_caller_s_own(
    local: LocalIssuer, verifier: Verifier, claims: dict[str, Any], home: str | None
) -> None:
    assert (await verifier.caller(local.token(**claims))).home == home


@pytest.mark.parametrize(
    ("key", "alg"),
    [(ED25519, "EdDSA"), (ED25519, "Ed25519"), (P256, "ES256"), (RSA, "RS256"), (RSA, "PS256")],
)
async def test_every_algorithm_of_the_list_is_taken(local: LocalIssuer, verifier: Verifier, key: Any, alg: str) -> None:
    assert (await verifier.caller(local.token(key, alg))).subject == "handler-1"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exp": time.time() - 3600}, "expired"),
        ({"nbf": time.time() + 3600}, "not valid yet"),
        ({"iat": time.time() + 3600}, "not valid yet"),
        ({"aud": "somebody-else"}, "audience hueandcry"),
        ({"aud": ["a", "b"]}, "audience hueandcry"),
        ({"aud": None}, "claims"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": None}, "claims"),
        ({"exp": None}, "claims"),
        ({"exp": True}, "claims"),
        ({"exp": "never"}, "claims"),
        ({"nbf": "now"}, "claims"),
        ({"sub": None}, "claims"),
        ({"sub": ""}, "subject"),
        ({"sub": "a\nb"}, "subject"),
        ({"sub": "x" * 256}, "subject"),
        ({"sub": 7}, "claims"),
        ({"roles": "administrator"}, "claims"),
        ({"roles": [1]}, "claims"),
        ({"forces": {"bedfordshire": True}}, "claims"),
        ({"alliance": "yes"}, "claims"),
    ],
)
async def test_a_claim_that_does_not_hold_is_named(
    local: LocalIssuer, verifier: Verifier, changes: dict[str, Any], says: str
) -> None:
    assert says in (await refusal(verifier, local.token(**changes))).detail


async def test_clocks_may_differ_by_half_a_minute(local: LocalIssuer, verifier: Verifier) -> None:
    await verifier.caller(local.token(exp=time.time() - 20))
    await verifier.caller(local.token(nbf=time.time() + 20))


async def test_one_of_several_audiences_is_enough(local: LocalIssuer, verifier: Verifier) -> None:
    await verifier.caller(local.token(aud=["elsewhere", AUDIENCE]))


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"{", b"\xff", b'{"exp":1e999}', b"[" * 50_000])
async def test_a_payload_that_is_no_claims_is_refused(verifier: Verifier, payload: bytes) -> None:
    await refusal(verifier, sign(payload))


async def test_a_stranger_s_signature_is_refused(local: LocalIssuer, verifier: Verifier) -> None:
    assert "signature" in (await refusal(verifier, local.token(STRANGER))).detail


async def test_a_changed_payload_is_refused(local: LocalIssuer, verifier: Verifier) -> None:
    header, _, signature = local.token().split(".")
    payload = _segment(local.claims(roles=["administrator"]))
    assert "signature" in (await refusal(verifier, f"{header}.{payload}.{signature}")).detail


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
async def test_a_token_without_a_signature_is_refused(local: LocalIssuer, verifier: Verifier, alg: str) -> None:
    header = _segment({"alg": alg, "kid": "ed"})
    payload = local.token().split(".")[1]
    await refusal(verifier, f"{header}.{payload}.")
    await refusal(verifier, f"{header}.{payload}.AAAA")


async def test_a_public_key_is_no_hmac_secret(local: LocalIssuer, verifier: Verifier) -> None:
    header, payload = (_segment({"alg": "HS256", "kid": "rsa"}), _segment(local.claims()))
    for secret in (RSA.as_pem(private=False), RSA.as_der(private=False), json.dumps(public(RSA)[0]).encode()):
        mac = hmac.digest(secret, f"{header}.{payload}".encode(), "sha256")
        token = f"{header}.{payload}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert "algorithm" in (await refusal(verifier, token)).detail


async def test_a_strong_algorithm_that_is_not_on_the_list_is_refused(local: LocalIssuer, verifier: Verifier) -> None:
    assert "algorithm" in (await refusal(verifier, local.token(RSA, "RS512"))).detail


async def test_a_key_is_used_for_its_own_algorithm_only(local: LocalIssuer, verifier: Verifier) -> None:
    assert "does not fit" in (await refusal(verifier, local.token(header={"kid": "rsa"}))).detail
    local.keys = public(RSAKey.import_key(RSA.as_dict(private=True), {"kid": "rsa", "alg": "PS256"}))
    await verifier.issuer.fetch()
    assert "does not fit" in (await refusal(verifier, local.token(RSA, "RS256"))).detail
    await verifier.caller(local.token(RSA, "PS256"))


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": ["b64"], "b64": True},
        {"typ": "dpop+jwt"},
        {"typ": "logout+jwt"},
    ],
)
async def test_a_header_that_asks_for_more_is_refused(
    local: LocalIssuer, verifier: Verifier, header: dict[str, Any]
) -> None:
    given = {"alg": "EdDSA", "kid": "ed", "typ": "JWT"} | header
    _, payload, signature = local.token().split(".")
    await refusal(verifier, f"{_segment(given)}.{payload}.{signature}")


@pytest.mark.parametrize("header", [{"jwk": public(STRANGER)[0]}, {"jku": "https://evil.example/keys"}])
async def test_a_key_that_the_token_brings_itself_is_not_used(
    local: LocalIssuer, verifier: Verifier, header: dict[str, Any]
) -> None:
    assert "signature" in (await refusal(verifier, local.token(STRANGER, header=header))).detail


async def test_access_tokens_as_rfc_9068_types_them_are_taken(local: LocalIssuer, verifier: Verifier) -> None:
    await verifier.caller(local.token(header={"typ": "at+JWT"}))
    await verifier.caller(local.token(header={"typ": None}))


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "é.b.c",
        "\ud800.b.c",
        "a b.c.d",
        "eyJhbGciOiJFZERTQSJ9",
        "e30.e30.e30",
        "[" * 99,
    ],
)
async def test_what_is_no_token_is_refused(verifier: Verifier, token: str) -> None:
    await refusal(verifier, token)


async def test_a_token_over_eight_kilobytes_is_refused_unread(local: LocalIssuer, verifier: Verifier) -> None:
    assert "8 KiB" in (await refusal(verifier, local.token(forces=["f" * 50] * 300))).detail


async def test_without_a_kid_the_keys_that_fit_are_tried(local: LocalIssuer, verifier: Verifier) -> None:
    await verifier.caller(local.token(header={"kid": None}))
    assert "signature" in (await refusal(verifier, local.token(STRANGER, header={"kid": None}))).detail


async def test_a_rotated_key_is_fetched_when_a_token_names_it(local: LocalIssuer, verifier: Verifier) -> None:
    new = OKPKey.generate_key("Ed25519", {"kid": "new"})
    verifier.issuer = Issuer(local.url, min_interval_s=0)
    await verifier.issuer.fetch()
    old_token = local.token()
    await verifier.caller(old_token)
    local.keys = public(ED25519, new)
    assert (await verifier.caller(local.token(new))).subject == "handler-1"
    await verifier.caller(old_token)  # the old key is still listed


async def test_strangers_cannot_make_us_ask_the_issuer_often(local: LocalIssuer, verifier: Verifier) -> None:
    """They wait for one another, and no longer than until it may be asked again; then each is refused at once."""
    verifier.issuer._min_interval_s = 0.5
    await verifier.issuer.fetch()
    asked = len(local.asked)
    forged = [local.token(header={"kid": f"unknown-{i}"}) for i in range(20)]
    for _ in range(2):
        refusals = await asyncio.gather(*(refusal(verifier, token) for token in forged))
        assert {problem.status for problem in refusals} == {401}
        assert len(local.asked) == asked + 2, "once: its discovery document and its keys"
        verifier.issuer._min_interval_s = 3600


async def test_a_key_that_is_used_as_soon_as_it_is_listed_is_fetched_though_the_keys_are_seconds_old(
    local: LocalIssuer, verifier: Verifier
) -> None:
    """A gateway's calls are not refused because a stranger had the keys fetched a moment before they were rotated."""
    verifier.issuer._min_interval_s = 0.5
    await verifier.issuer.fetch()
    new = OKPKey.generate_key("Ed25519", {"kid": "new"})
    local.keys = public(ED25519, new)
    assert (await verifier.caller(local.token(new))).subject == "handler-1"


class Retiring:
    """A verifier whose issuer has just ceased to list the Ed25519 key; `later(s)` lets time pass."""

    def __init__(self, local: LocalIssuer, retired_key_s: float) -> None:
        self.passed = 0.0
        self.issuer = Issuer(local.url, min_interval_s=0, retired_key_s=retired_key_s, clock=self.now)
        self.verifier = Verifier(self.issuer, audience=AUDIENCE, clock=self.now)

    def now(self) -> float:
        return time.time() + self.passed


async def retiring(local: LocalIssuer, retired_key_s: float = 3600) -> Retiring:
    made = Retiring(local, retired_key_s)
    await made.issuer.fetch()
    local.keys = public(P256)
    await made.issuer.fetch()
    return made


async def test_a_key_that_is_no_longer_listed_verifies_what_it_signed_before_until_that_expires(
    local: LocalIssuer,
) -> None:
    before = local.token(exp=time.time() + 600)
    made = await retiring(local)
    assert (await made.verifier.caller(before)).subject == "handler-1"
    made.passed = 500
    await made.issuer.fetch()  # whatever is fetched meanwhile
    await made.verifier.caller(before)
    made.passed = 700
    assert "expired" in (await refusal(made.verifier, before)).detail


async def test_a_key_that_is_no_longer_listed_verifies_nothing_that_was_issued_after(local: LocalIssuer) -> None:
    made = await retiring(local)
    made.passed = 100
    for issued in ({"iat": made.now()}, {"iat": None}):
        token = local.token(exp=made.now() + 600, nbf=None, **issued)
        assert "lists no more" in (await refusal(made.verifier, token)).detail


async def test_a_key_that_is_no_longer_listed_verifies_nothing_after_its_bound(local: LocalIssuer) -> None:
    """However long its tokens were to last: a thief of the key dates them as he likes."""
    token = local.token(exp=time.time() + 86_400)
    made = await retiring(local, retired_key_s=900)
    made.passed = 880
    await made.verifier.caller(token)  # and is known for a minute, were it not for the bound
    made.passed = 901
    assert "does not list" in (await refusal(made.verifier, token)).detail


async def test_where_removal_is_to_revoke_a_key_that_is_no_longer_listed_ends_its_tokens_at_once(
    local: LocalIssuer,
) -> None:
    token = local.token()
    made = await retiring(local, retired_key_s=0)
    assert "does not list" in (await refusal(made.verifier, token)).detail


async def test_a_key_that_is_listed_again_is_a_key_again(local: LocalIssuer) -> None:
    made = await retiring(local)
    local.keys = public(P256, ED25519)
    await made.issuer.fetch()
    made.passed = 5000
    await made.verifier.caller(local.token(iat=made.now(), nbf=None, exp=made.now() + 60))
    assert [key.kid for key in made.issuer.retired] == ["rsa"]


async def test_an_outage_of_the_issuer_changes_nothing_for_known_keys(local: LocalIssuer, verifier: Verifier) -> None:
    await local.stop()
    assert not await verifier.issuer.fetch()
    await verifier.caller(local.token())
    assert verifier.issuer.trouble() is None


async def test_without_any_keys_the_answer_is_come_again(local: LocalIssuer) -> None:
    token = local.token()
    await local.stop()
    verifier = Verifier(Issuer(local.url, min_interval_s=0), audience=AUDIENCE)
    with pytest.raises(Unavailable) as raised:
        await verifier.caller(token)
    assert raised.value.headers["Retry-After"] == "5"
    assert verifier.issuer.trouble() == "the token issuer cannot be reached"
    await local.start()
    assert (await verifier.caller(token)).subject == "handler-1"
    assert verifier.issuer.trouble() is None


async def test_an_unknown_key_during_an_outage_is_not_called_forged(local: LocalIssuer, verifier: Verifier) -> None:
    await local.stop()
    verifier.issuer._min_interval_s = 0
    with pytest.raises(Unavailable):
        await verifier.caller(local.token(header={"kid": "newer"}))


async def test_a_token_is_verified_once_a_minute_and_never_known_past_its_end(local: LocalIssuer) -> None:
    issuer = Issuer(local.url)
    await issuer.fetch()
    now = time.time()
    verifier = Verifier(issuer, audience=AUDIENCE, clock=lambda: now)
    token = local.token(exp=now + 90)
    first = await verifier.caller(token)
    assert await verifier.caller(token) is first
    now += 61
    again = await verifier.caller(token)
    assert again is not first
    assert again == first
    now += 28
    assert await verifier.caller(token) is again
    now += 2  # past exp: verified anew, within the skew
    assert await verifier.caller(token) is not again
    now += 30
    assert "expired" in (await refusal(verifier, token)).detail


async def test_the_cache_is_bounded_and_keeps_what_is_used(
    local: LocalIssuer, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "CACHE_SIZE", 3)
    used = local.token()
    first = await verifier.caller(used)
    for i in range(10):
        await verifier.caller(local.token(sub=f"other-{i}"))
        assert await verifier.caller(used) is first
    assert len(verifier._known) == 3


async def test_refusals_are_counted_by_why(local: LocalIssuer, verifier: Verifier) -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("hueandcry_tokens_refused_total", {"why": "expired"}) or 0.0

    before = count()
    await refusal(verifier, local.token(exp=1))
    assert count() == before + 1
