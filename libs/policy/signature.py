"""A policy's envelope: a JWS in the flattened JSON serialisation (RFC 7515, section 7.2.2; NENA-STA-010.3, 5.10).

i3 has two algorithms (its schema i3-common, `requiredAlgorithms`): EdDSA, whose key is of the curve Ed448 and comes
with its certificates in `x5c`, and `none` for what is not signed. The signature is checked over the very characters
that came, so no library takes the envelope apart and puts it together again.

Invariant: what is returned as signed was signed by the key of a certificate that chains to an authority that is
trusted, on this very day; whom it names is returned with it. No certificate is fetched: `x5u` is not followed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.x509.oid import ExtensionOID, NameOID

from libs.policy.refusals import Refused, refused

MAX_CHAIN = 5
ALGORITHMS = ("EdDSA", "none")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_HEADER = frozenset({"alg", "x5c", "x5t", "x5t#S256", "x5u", "typ", "cty", "kid"})
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)
"""Of the extensions that may be critical. Name constraints are not among them: such a chain is refused."""


@dataclass(frozen=True)
class Opened:
    """What an envelope holds."""

    document: bytes
    """Byte for byte what its owner wrote."""
    names: frozenset[str] | None
    """Whom the signer's certificate names, in lower case; None: it is not signed."""

    def signed_by(self, owner: str, domain: str) -> bool:
        """Whether the certificate names the policy's owner, or the domain that the owner is of."""
        return self.names is not None and not self.names.isdisjoint({owner.lower(), domain})


def authorities(pem: str) -> list[x509.Certificate]:
    """The certificates in a PEM text. Raises ValueError where there is none, or one is no authority's."""
    found = x509.load_pem_x509_certificates(pem.encode())
    if not all(_is_authority(certificate, below=0) for certificate in found):
        raise ValueError("a certificate is no authority's")
    return found


def unwrap(payload: str) -> bytes:
    """The document in an envelope, unverified: for one that was verified when it was stored. Raises Refused."""
    return _decoded(payload, "payload")


def open_envelope(
    payload: str, protected: str, signature: str, *, trusted: Sequence[x509.Certificate], now: datetime, signed: bool
) -> Opened:
    """The document, with whoever signed it. `signed`: an unsigned one is refused.

    Raises Refused: of kind `structure` where it is no JWS, `algorithm` where i3 has no such, `signature` where it was
    not signed by this key, or nobody whom we trust vouches for the key.
    """
    document = _decoded(payload, "payload")
    header = _header(_decoded(protected, "protected"))
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise refused("algorithm", "must be signed with EdDSA (Ed448)" + ("" if signed else ", or none"))
    if algorithm == "none":
        if signed:
            raise refused("algorithm", "must be signed with EdDSA (Ed448): its force takes no unsigned policies")
        if signature:
            raise refused("signature", "must have an empty signature where the algorithm is none")
        return Opened(document, None)
    chain = _chain(header.get("x5c"))
    key = chain[0].public_key()
    if not isinstance(key, Ed448PublicKey):
        raise refused("algorithm", "must be signed with a key of the curve Ed448")
    try:
        key.verify(_decoded(signature, "signature"), f"{protected}.{payload}".encode("ascii"))
    except InvalidSignature:
        raise refused("signature", "must bear the signature of its certificate's key") from None
    if (wrong := _mistrust(chain, trusted, now)) is not None:
        raise refused("signature", wrong)
    return Opened(document, _names(chain[0]))


def _decoded(text: str, member: str) -> bytes:
    """base64url without padding, in the one way to write it (RFC 7515, section 2). Raises Refused."""
    wrong = refused("structure", f"must have base64url without padding for its {member}")
    if not _BASE64URL.fullmatch(text):
        raise wrong
    try:
        found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise wrong from None
    if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != text:
        raise wrong
    return found


def _header(content: bytes) -> Mapping[str, Any]:
    try:
        header = msgspec.json.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise refused("structure", "must have a JSON object for its protected header")
    if header.keys() - _HEADER:  # among them `crit` and `b64`, which would change what is signed
        raise refused(
            "structure", f"must have no other members in its protected header than {', '.join(sorted(_HEADER))}"
        )
    return header


def _chain(x5c: Any) -> list[x509.Certificate]:
    """The signer's certificate first (RFC 7515, section 4.1.6: base64, not base64url, of DER). Raises Refused."""
    if not isinstance(x5c, list) or not 1 <= len(x5c) <= MAX_CHAIN:
        raise refused("signature", f"must bring its certificate in x5c, with up to {MAX_CHAIN - 1} of its authorities")
    try:
        return [x509.load_der_x509_certificate(base64.b64decode(one, validate=True)) for one in x5c]
    except (ValueError, TypeError):
        raise refused("signature", "must have certificates in x5c, base64 of DER each") from None


def _mistrust(chain: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate], now: datetime) -> str | None:
    """Why nobody whom we trust vouches for the first certificate; None where somebody does (RFC 5280, section 6, as far
    as such chains go)."""
    if not trusted:
        return "cannot be verified: the alliance names no authority for its policies' certificates"
    last = chain[-1]
    anchor = next((one for one in trusted if one == last or _issued(last, one)), None)
    if anchor is None:
        return "must have a certificate that chains to an authority of this alliance"
    path = [*chain, anchor] if anchor != last else list(chain)
    if anchor == chain[0]:
        return "must be signed by its owner's own key, not by an authority's"
    for number, certificate in enumerate(path):
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            return "must have certificates that are valid today"
        if number and not (_is_authority(certificate, below=number - 1) and _issued(path[number - 1], certificate)):
            return "must have a chain in which each certificate is signed by the next one's authority"
    return None if _may_sign(chain[0]) else "must be signed with a key that its certificate allows to sign"


def _issued(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_authority(certificate: x509.Certificate, *, below: int) -> bool:
    """Whether it may sign others, with so many authorities between it and the signer."""
    try:
        extensions = certificate.extensions
        basic = extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False
    usage = _usage(extensions)
    within = basic.path_length is None or basic.path_length >= below
    return basic.ca and within and _is_understood(extensions) and (usage is None or usage.key_cert_sign)


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        extensions = certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False
    usage = _usage(extensions)
    return _is_understood(extensions) and (usage is None or usage.digital_signature)


def _usage(extensions: x509.Extensions) -> x509.KeyUsage | None:
    try:
        return extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _is_understood(extensions: x509.Extensions) -> bool:
    return all(one.oid in _UNDERSTOOD for one in extensions if one.critical)


def _names(certificate: x509.Certificate) -> frozenset[str]:
    """Its common name, and its alternative names that are text (DNS, e-mail, URI)."""
    try:
        common = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        alternative: list[str] = []
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise Refused([*refused("signature", "must have a certificate that can be read").faults]) from error
    else:
        kinds = (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier)
        alternative = [value for kind in kinds for value in extension.value.get_values_for_type(kind)]
    return frozenset(name.lower() for name in (*common, *alternative))
