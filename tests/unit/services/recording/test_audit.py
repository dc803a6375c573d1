"""What enters the audit: `services/recording/audit.py`."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.types import BY_TYPE
from services.recording.accesses import ACCESSES
from services.recording.audit import AUDIT, without_personal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON), JSON)
def test_all_of_an_event_is_kept_but_what_is_personal(members: dict[str, object], personal: object) -> None:
    kept = {name: value for name, value in members.items() if name != "personal"}
    assert without_personal(msgspec.json.encode(members | {"personal": personal})) == kept


@pytest.mark.parametrize("data", [b"", b"Ada Wren", b'{"personal":', b'"Ada Wren"', b'["Ada Wren"]', b"\xff\xfe", b"7"])
def test_nothing_is_kept_of_data_that_cannot_be_read(data: bytes) -> None:
    assert without_personal(data) is None


def test_every_topic_of_facts_is_audited_but_geometry_and_what_has_a_read_model_of_its_own() -> None:
    assert set(AUDIT.topics) == {fact.TOPIC for fact in BY_TYPE.values()} - {"hueandcry.areas", *ACCESSES.topics}
