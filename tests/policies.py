"""Policies, envelopes and those who sign them, for tests."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

BEDS = "bedfordshire.queues.bch.example"
QUEUE = "sip:bedfordshire-101@queues.bch.example"
CATCH_ALL: dict[str, Any] = {
    "id": "last",
    "priority": 0,
    "actions": [{"actionType": "RouteAction", "recipientUri": "sip:last@queues.bch.example"}],
}


def a_policy(**members: Any) -> dict[str, Any]:
    """A policy for a queue of Bedfordshire's; None leaves a member out."""
    plain = {"policyOwner": BEDS, "policyType": "OriginationRoutePolicy", "policyQueueName": QUEUE}
    return {
        name: value for name, value in (plain | {"policyRules": [CATCH_ALL]} | members).items() if value is not None
    }


def rule(id_: str, priority: int, *conditions: dict[str, Any], **action: Any) -> dict[str, Any]:
    """A rule that routes to a recipient named for it, unless another action is given."""
    default = {"actionType": "RouteAction", "recipientUri": f"sip:{id_}@queues.bch.example"}
    return {"id": id_, "priority": priority, "conditions": list(conditions), "actions": [action or default]}


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def unsigned(policy: dict[str, Any] | bytes) -> dict[str, str]:
    """The envelope of a policy that nobody signed."""
    content = policy if isinstance(policy, bytes) else json.dumps(policy).encode()
    return {"payload": encoded(content), "protected": encoded(b'{"alg":"none"}'), "signature": ""}


class Signer:
    """A key of the curve Ed448 and its certificate, by an authority or its own."""

    def __init__(
        self,
        name: str,
        by: Signer | None = None,
        *,
        ca: bool = False,
        days: tuple[float, float] = (-1, 1),
        path_length: int | None = None,
        alternative: x509.GeneralName | None = None,
        extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
        key: Any = None,
    ) -> None:
        self.key = key or Ed448PrivateKey.generate()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(by.certificate.subject if by else subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
        )
        if ca:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        if alternative is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        self.certificate = builder.sign(by.key if by else self.key, None)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def der(self) -> str:
        return base64.b64encode(self.certificate.public_bytes(Encoding.DER)).decode()

    def sign(self, policy: dict[str, Any] | bytes, *chain: Signer, **header: Any) -> dict[str, str]:
        """The envelope; `chain`: whose certificates go with the signer's own."""
        content = policy if isinstance(policy, bytes) else json.dumps(policy).encode()
        protected = {"alg": "EdDSA", "x5c": [self.der, *(one.der for one in chain)]} | header
        head = encoded(json.dumps({name: value for name, value in protected.items() if value is not None}).encode())
        signature = self.key.sign(f"{head}.{encoded(content)}".encode())
        return {"payload": encoded(content), "protected": head, "signature": encoded(signature)}
