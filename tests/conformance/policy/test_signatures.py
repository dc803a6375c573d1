"""A policy's signature, by NENA-STA-010.3, sections 3.3 and 5.10, and RFC 7515; joserfc signs as others would."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jws
from joserfc.jwk import OKPKey

from libs.policy import Refused, authorities, open_envelope
from tests.policies import BEDS, Signer, a_policy, encoded, unsigned

AUTHORITY = Signer("The Authority", ca=True)
OWNER = Signer(BEDS, AUTHORITY)
POLICY = a_policy()


def opened(envelope: dict[str, str], *trusted: Signer, signed: bool = True) -> Any:
    anchors = [one.certificate for one in trusted or (AUTHORITY,)]
    return open_envelope(**envelope, trusted=anchors, now=datetime.now(UTC), signed=signed)


def kind(envelope: dict[str, str], *trusted: Signer, signed: bool = True) -> str:
    with pytest.raises(Refused) as refusal:
        opened(envelope, *trusted, signed=signed)
    return refusal.value.kind


def test_3_3_what_its_owner_signed_is_taken_byte_for_byte() -> None:
    content = b' {"policyOwner" : "a.test",\r\n\t"b": 1.0 }\n'
    found = opened(OWNER.sign(content))
    assert found.document == content
    assert found.names == {BEDS}
    assert found.signed_by(f"desk@{BEDS}", BEDS)
    assert not found.signed_by("essex.test", "essex.test")


def test_rfc_7515_what_joserfc_signs_is_taken() -> None:
    pem = OWNER.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    registry = jws.JWSRegistry(algorithms=["EdDSA"])
    registry.max_header_length = 64 * 1024
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RFC 9864 has newer names for it; i3 has this one
        made = jws.serialize_json(
            {"protected": {"alg": "EdDSA", "x5c": [OWNER.der]}},
            json.dumps(POLICY).encode(),
            OKPKey.import_key(pem),
            registry=registry,
        )
    assert json.loads(opened(dict(made)).document) == POLICY  # type: ignore[arg-type]


def test_3_3_one_that_is_not_signed_is_refused_where_it_must_be() -> None:
    assert kind(unsigned(POLICY)) == "algorithm"
    assert opened(unsigned(POLICY), signed=False).names is None
    assert kind(unsigned(POLICY) | {"signature": "AAAA"}, signed=False) == "signature"


@pytest.mark.parametrize("member", ["payload", "protected", "signature"])
def test_5_10_one_character_changed_is_no_signature(member: str) -> None:
    envelope = OWNER.sign(POLICY)
    other = OWNER.sign(a_policy(description="other"), typ="x")
    assert kind(envelope | {member: other[member]}) == "signature"
    assert kind(envelope | {"signature": ""}) == "signature"
    for text in ("=" * 4, "A", "AB", "a+b/", "ä", "AA AA"):
        assert kind(envelope | {member: text}) in ("structure", "signature", "algorithm")


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "RS256", "Ed448", "eddsa", "None", None, 7, ["EdDSA"]])
def test_5_10_no_other_algorithm_is_accepted(algorithm: Any) -> None:
    assert kind(OWNER.sign(POLICY, alg=algorithm), signed=False) == "algorithm"


def test_5_10_a_key_of_another_curve_is_not_accepted() -> None:
    assert kind(Signer(BEDS, AUTHORITY, key=Ed25519PrivateKey.generate()).sign(POLICY)) == "algorithm"


@pytest.mark.parametrize(
    "header", [{"crit": ["b64"], "b64": False}, {"b64": True}, {"jwk": {}}, {"jku": "https://a.test"}, {"exp": 1}]
)
def test_rfc_7515_header_members_that_change_what_is_signed_or_by_whom_are_refused(header: dict[str, Any]) -> None:
    assert kind(OWNER.sign(POLICY, **header)) == "structure"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"7", b'{"alg": "\\ud800"}', b"[" * 50_000])
def test_rfc_7515_a_header_is_an_object(content: bytes) -> None:
    assert kind(OWNER.sign(POLICY) | {"protected": encoded(content)}) == "structure"


@pytest.mark.parametrize("x5c", [None, [], "AAAA", ["AAAA"], [7], ["!"], [""], [OWNER.der] * 6, [{"a": 1}]])
def test_5_10_the_certificates_come_with_it(x5c: Any) -> None:
    assert kind(OWNER.sign(POLICY, x5c=x5c)) == "signature"
    assert kind(OWNER.sign(POLICY, x5c=None, x5u="https://a.test/cert.pem")) == "signature"


def test_3_3_the_certificate_is_traceable_to_the_authority() -> None:
    forger = Signer("The Authority", ca=True)
    assert kind(Signer(BEDS, forger).sign(POLICY)) == "signature"
    assert kind(Signer(BEDS, forger).sign(POLICY, forger)) == "signature"
    assert kind(Signer(BEDS).sign(POLICY)) == "signature"
    assert kind(AUTHORITY.sign(POLICY)) == "signature"
    with pytest.raises(Refused, match="names no authority"):
        open_envelope(**OWNER.sign(POLICY), trusted=[], now=datetime.now(UTC), signed=False)
    assert kind(OWNER.sign(POLICY, x5c=[OWNER.der, OWNER.der])) == "signature"
    # Somebody else's certificate, and one's own key.
    stolen = Signer("essex.test", forger)
    assert kind(stolen.sign(POLICY, x5c=[OWNER.der])) == "signature"


def test_rfc_5280_a_chain_leads_through_authorities_alone() -> None:
    between = Signer("Between", AUTHORITY, ca=True)
    assert opened(Signer(BEDS, between).sign(POLICY, between)).names == {BEDS}
    assert opened(Signer(BEDS, between).sign(POLICY, between, AUTHORITY)).names == {BEDS}
    assert kind(Signer(BEDS, between).sign(POLICY)) == "signature"
    nobody = Signer("essex.test", AUTHORITY)
    assert kind(Signer(BEDS, nobody).sign(POLICY, nobody)) == "signature"
    narrow = Signer("Narrow", ca=True, path_length=0)
    below = Signer("Below", narrow, ca=True)
    assert kind(Signer(BEDS, below).sign(POLICY, below), narrow) == "signature"
    assert opened(Signer(BEDS, narrow).sign(POLICY), narrow).names == {BEDS}


@pytest.mark.parametrize("days", [(-2, -1), (1, 2)])
def test_rfc_5280_certificates_are_valid_today(days: tuple[int, int]) -> None:
    assert kind(Signer(BEDS, AUTHORITY, days=days).sign(POLICY)) == "signature"
    stale = Signer("Stale", ca=True, days=days)
    assert kind(Signer(BEDS, stale).sign(POLICY), stale) == "signature"


def test_rfc_5280_what_a_certificate_does_not_allow_is_not_done() -> None:
    def usage(**given: bool) -> x509.KeyUsage:
        names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        more = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
        return x509.KeyUsage(**dict.fromkeys((*names, *more), False) | given)

    crl_only = Signer(BEDS, AUTHORITY, extensions=((usage(crl_sign=True), True),))
    assert kind(crl_only.sign(POLICY)) == "signature"
    may = Signer(BEDS, AUTHORITY, extensions=((usage(digital_signature=True), True),))
    assert opened(may.sign(POLICY)).names == {BEDS}
    constrained = Signer(
        "Constrained",
        AUTHORITY,
        ca=True,
        extensions=((x509.NameConstraints([x509.DNSName("essex.test")], None), True),),
    )
    assert kind(Signer(BEDS, constrained).sign(POLICY, constrained)) == "signature"


@pytest.mark.parametrize(
    "name", [x509.DNSName(BEDS), x509.RFC822Name(f"desk@{BEDS}"), x509.UniformResourceIdentifier(f"sip:desk@{BEDS}")]
)
def test_3_3_the_owner_is_whom_the_certificate_names(name: x509.GeneralName) -> None:
    found = opened(Signer("Somebody", AUTHORITY, alternative=name).sign(POLICY))
    assert found.names == {"somebody", str(name.value)}
    assert found.signed_by(str(name.value).upper(), BEDS)


def test_only_certificates_of_authorities_are_authorities() -> None:
    assert authorities(AUTHORITY.pem + Signer("Another", ca=True).pem)[0] == AUTHORITY.certificate
    for text in ("", "not PEM", OWNER.pem, AUTHORITY.pem + OWNER.pem):
        with pytest.raises(ValueError):
            authorities(text)
    assert isinstance(AUTHORITY.key, Ed448PrivateKey)
