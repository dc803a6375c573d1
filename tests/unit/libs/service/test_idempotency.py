"""Which headers are keys."""

import pytest

from libs.service.idempotency import read_key
from libs.service.problem import BadRequest


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
