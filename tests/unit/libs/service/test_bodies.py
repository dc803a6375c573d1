"""The words and names that bodies hold: libs/service/bodies.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from libs.service.bodies import Name, Slug, Words


def read(kind: Any, text: object) -> Any:
    return TypeAdapter(kind).validate_json(json.dumps(text), strict=True)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_words_are_taken_as_they_are_but_for_control_characters(text: str) -> None:
    words, name = read(Words, text), read(Name, text)
    assert len(words) == len(name) == len(text)
    assert not any(character in "\x00\x07\x1b\x7f" for character in words)
    assert "\n" not in name
    assert all(kept in (given, "\N{REPLACEMENT CHARACTER}") for kept, given in zip(words, text, strict=True))


@pytest.mark.parametrize("text", ["Bedfordshire", "bedford shire", "-a", "a-", "a--b", "", "a" * 65, "a\n"])
def test_what_is_no_force_id_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        read(Slug, text)
