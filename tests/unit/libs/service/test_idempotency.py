"""What a key is, and what stands under it: libs/service/idempotency.py."""

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.cipher import new_key
from libs.service.idempotency import Keyed, read_key
from libs.service.problem import BadRequest, Conflicting, IdempotencyMismatch

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(st.text(max_size=8), values, max_size=5)


def _shuffled(value: Any, random: Any) -> Any:
    if isinstance(value, dict):
        items = [(name, _shuffled(inner, random)) for name, inner in value.items()]
        random.shuffle(items)
        return dict(items)
    return [_shuffled(inner, random) for inner in value] if isinstance(value, list) else value


def _request(body: bytes = b"{}", **other: str) -> Keyed:
    return Keyed.of(
        other.get("key", "k-1"),
        subject=other.get("subject", "gateway-1"),
        operation=other.get("operation", "receive_web"),
        body=body,
        target=other.get("target", ""),
    )


@given(bodies, st.randoms())
def test_the_same_body_written_another_way_is_answered_with_what_was_made(body: dict[str, Any], random: Any) -> None:
    contact, made = str(uuid4()), str(uuid4())
    first = _request(json.dumps(body).encode())
    again = _request(json.dumps(_shuffled(body, random), indent=3, ensure_ascii=False).encode())
    claim = first.claim(contact, made)
    assert again.claim_key == claim.key
    assert again.made(contact, claim.fingerprint) == made


@given(bodies, bodies)
def test_another_body_under_the_same_key_is_refused(one: dict[str, Any], other: dict[str, Any]) -> None:
    contact, made = str(uuid4()), str(uuid4())
    claim = _request(json.dumps(one).encode()).claim(contact, made)
    second = _request(json.dumps(other).encode())
    if json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True):
        assert second.made(contact, claim.fingerprint) == made
    else:
        with pytest.raises(IdempotencyMismatch):
            second.made(contact, claim.fingerprint)


def test_a_key_used_for_another_contact_is_refused() -> None:
    contact, made = str(uuid4()), str(uuid4())
    request = _request()
    claim = request.claim(contact, made)
    assert request.made(contact, claim.fingerprint, of=contact) == made
    with pytest.raises(IdempotencyMismatch):
        request.made(contact, claim.fingerprint, of=str(uuid4()))


@given(st.text(" -~".replace("-", ""), min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_a_key_belongs_to_one_subject_and_one_operation(key: str, subject: str, operation: str) -> None:
    mine = _request(key="k", subject=subject, operation=operation)
    assert mine.claim_key != _request(key="k", subject=subject + "x", operation=operation).claim_key
    assert mine.claim_key != _request(key="k", subject=subject, operation=operation + "x").claim_key
    assert mine.claim_key != _request(key="k2", subject=subject, operation=operation).claim_key


def test_subject_and_operation_cannot_be_shifted_into_each_other() -> None:
    assert _request(subject="ab", operation="c").claim_key != _request(subject="a", operation="bc").claim_key


def test_equal_bodies_leave_equal_traces_nowhere() -> None:
    one, other = _request(b'{"callingNumber":"+447700900123"}'), _request(b'{"callingNumber":"+447700900123"}')
    made = str(uuid4())
    assert one.claim(str(uuid4()), made).fingerprint != other.claim(str(uuid4()), made).fingerprint


def test_neither_key_nor_body_can_be_read_from_the_claim() -> None:
    claim = _request(b'{"name":"Ada Planted"}', key="planted-key").claim(str(uuid4()), str(uuid4()))
    assert "planted" not in claim.key
    assert b"Planted" not in claim.fingerprint


def test_a_key_used_for_another_queue_is_refused() -> None:
    contact = str(uuid4())
    claim = _request(b"", target="bedfordshire-999").claim(contact, contact)
    assert _request(b"", target="bedfordshire-999").made(contact, claim.fingerprint) == contact
    with pytest.raises(IdempotencyMismatch):
        _request(b"", target="bedfordshire-101").made(contact, claim.fingerprint)


@given(st.binary(max_size=4), st.binary(max_size=4))
def test_target_and_body_cannot_be_shifted_into_each_other(one: bytes, other: bytes) -> None:
    contact = str(uuid4())
    claims = [
        _request(json.dumps(body.hex()).encode(), target=target.hex()).claim(contact, contact).fingerprint
        for target, body in ((one, other), (one + other, b""), (b"", one + other))
    ]
    assert len(set(claims)) == len({(one, other), (one + other, b""), (b"", one + other)})


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ('"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (r'"a \"quoted\" \\ key"', r'a "quoted" \ key'),
        ("  bare ", "bare"),
        ("k" * 255, "k" * 255),
    ],
)
def test_a_key_is_read_quoted_or_bare(header: str, key: str) -> None:
    assert read_key(header) == key


@pytest.mark.parametrize(
    "header", ["", "  ", '""', '"open', "k" * 256, '"' + "k" * 256 + '"', "naïve", "a\tb", '"a"b"']
)
def test_what_is_no_key_is_refused(header: str) -> None:
    with pytest.raises(BadRequest):
        read_key(header)


def test_a_fingerprint_tells_nobody_without_the_contact_s_key_what_was_asked() -> None:
    contact, made, key, other = str(uuid4()), str(uuid4()), new_key(), new_key()
    request = _request(b'{"callingNumber":"+447700900123"}')
    claim = request.claim(contact, made, key=key)
    assert request.made(contact, claim.fingerprint, key=key) == made
    for guessed in (None, other):
        with pytest.raises(IdempotencyMismatch):
            request.made(contact, claim.fingerprint, key=guessed)
    elsewhere = _request(b'{"callingNumber":"+447700900123"}', subject="gateway-2")
    assert elsewhere.claim(contact, made, key=key).fingerprint != claim.fingerprint


def test_a_request_about_a_contact_that_was_erased_is_told_so() -> None:
    contact = str(uuid4())
    request = _request()
    claim = request.claim(contact, contact, key=new_key())
    with pytest.raises(Conflicting, match="erased"):
        request.made(contact, claim.fingerprint, key=b"")
