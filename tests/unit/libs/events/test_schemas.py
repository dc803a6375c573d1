"""The committed schemas are the types', and a change that would misread stored facts is named."""

import copy
import json
import subprocess
import typing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.events.envelope import SCHEMA_BASE
from libs.events.schemas import __main__ as command
from libs.events.schemas.compatible import breaks, sets_break
from libs.events.schemas.documents import TRAFFIC
from libs.events.schemas.make import DIALECT, all_schemas, schema_of
from libs.events.types import FACTS, Fact
from libs.events.types.contacts import ContactReceived

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
"""By minutes, as ISO 8601 has them. A zone's name would bring hours that its clocks show twice, which equal nothing."""
st.register_type_strategy(datetime, st.datetimes(datetime(1970, 1, 2), datetime(2900, 1, 1), timezones=OFFSETS))
st.register_type_strategy(str, st.text(st.characters(codec="utf-8"), max_size=20))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(int, st.integers(-(2**53), 2**53))

SCHEMAS = all_schemas()


def register(kind: Any) -> None:
    """Let hypothesis make every member of a struct: by itself it would leave those out that have a default."""
    for part in typing.get_args(kind):
        register(part)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        members = {field.name: field.type for field in msgspec.structs.fields(kind)}
        for member in members.values():
            register(member)
        making = {name: st.from_type(member) for name, member in members.items()}
        st.register_type_strategy(kind, st.builds(kind, **making))


for each in FACTS:
    register(each)


def changed(*path: Any, to: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of ContactReceived as it is, and with what lies at `path` set, or removed where `to` is None."""
    old = SCHEMAS[ContactReceived.TYPE]
    new = copy.deepcopy(old)
    at: Any = new
    for step in path[:-1]:
        at = at[step]
    if to is None:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return old, new


def obj(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "title": "Thing", "properties": properties, "required": required or []}


def test_the_committed_schemas_are_those_of_the_types() -> None:
    assert command.stale() == []


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.TYPE)
def test_every_schema_is_a_schema_with_a_name_and_an_address(fact: type[Fact]) -> None:
    schema = SCHEMAS[fact.TYPE]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT
    assert schema["$id"] == f"{SCHEMA_BASE}{fact.TYPE}.json"
    assert schema["title"]
    assert schema["type"] == "object"


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.TYPE)
def test_every_fact_that_can_be_written_is_valid_and_comes_back(fact: type[Fact]) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMAS[fact.TYPE])

    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.from_type(fact))
    def holds(made: Fact) -> None:
        written = msgspec.json.encode(made)
        validator.validate(json.loads(written))
        assert msgspec.json.decode(written, type=fact) == made

    holds()


def test_what_stands_under_a_member_in_the_source_describes_it_in_the_schema() -> None:
    properties = schema_of(ContactReceived)["properties"]
    assert properties["presentedAt"]["description"].startswith("When the network presented the call")
    assert {"type": "string", "format": "date-time"} in properties["presentedAt"]["anyOf"]
    definitions = SCHEMAS["uk.hueandcry.contact.located.v1"]["$defs"]
    assert definitions["Location"]["description"].startswith("What may be kept for ever")


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_a_schema_is_compatible_with_itself(kind: str) -> None:
    assert breaks(SCHEMAS[kind], SCHEMAS[kind]) == []


@pytest.mark.parametrize(
    ("path", "to", "named"),
    [
        (["properties", "trunk"], None, "/trunk is gone"),
        (["required"], ["reference", "channel", "medium", "gateway", "trunk"], "/trunk is now required"),
        (["properties", "channel", "enum"], ["online", "web"], "/channel may no longer be 'telephone'"),
        (["properties", "line", "anyOf", 0, "enum"], ["999"], "/line may no longer be '101'"),
        (["properties", "line", "anyOf"], [{"enum": ["101", "999"]}], "/line may no longer be null"),
        (["properties", "trunk", "anyOf", 0], {"enum": ["A"]}, "/trunk was string and must now be one of ['A']"),
        (["properties", "gateway"], {"type": "integer"}, "/gateway was string and must now be integer"),
        (["properties", "gateway"], {"type": "string", "maxLength": 9}, "/gateway is narrower: maxLength unlimited"),
        (["properties", "gateway"], {"type": "string", "pattern": "^g"}, "/gateway is narrower: pattern any became"),
        (["properties", "emergency", "default"], True, "/emergency had the default False and now has True"),
        (["properties", "locations", "items"], {"type": "string"}, "/locations/* was Location and must now be string"),
        (["$defs", "Location", "properties", "of"], None, "/locations/*/of is gone"),
        (["$defs", "Location", "required"], ["id", "of", "source", "takenAt"], "/locations/*/takenAt is now required"),
        (["$defs", "Circle", "properties", "radiusM"], {"type": "integer"}, "/radiusM was number and must now be"),
        (
            ["$defs", "ReceivedPersonal", "properties", "shapes", "additionalProperties", "anyOf"],
            [{"$ref": "#/$defs/Point"}],
            "may no longer be Circle",
        ),
        (
            ["$defs", "Polygon", "properties", "exterior", "items", "prefixItems"],
            [{"type": "number"}],
            "had 2 fixed items and now has 1",
        ),
    ],
)
def test_what_would_misread_a_stored_fact_is_named(path: list[Any], to: Any, named: str) -> None:
    found = breaks(*changed(*path, to=to))
    assert any(named in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (["properties", "weather"], {"type": "string", "default": "fair"}),
        (["properties", "channel", "enum"], ["online", "pigeon", "telephone", "web"]),
        (["properties", "line", "anyOf"], [{"enum": ["101", "111", "999"]}, {"type": "null"}]),
        (["properties", "gateway"], {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}),
        (["properties", "gateway"], {}),
        (["required"], ["reference", "channel", "medium"]),
        (["properties", "gateway", "description"], "Other words."),
        (["properties", "trunk", "anyOf"], [{"type": "null"}, {"type": "string"}]),
        (["title"], "Another title"),
        (["$defs", "Location", "properties", "altitudeM"], {"type": "number", "default": 0}),
    ],
)
def test_what_reads_every_stored_fact_is_allowed(path: list[Any], to: Any) -> None:
    assert breaks(*changed(*path, to=to)) == []


def test_a_new_member_that_is_required_breaks() -> None:
    old, new = obj(a={"type": "string"}), obj(["b"], a={"type": "string"}, b={"type": "string"})
    assert breaks(old, new) == ["/b is now required"]


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        ({"type": "integer"}, {"type": "number"}, False),
        ({"type": "number"}, {"type": "integer"}, True),
        ({"enum": ["a"]}, {"type": "string"}, False),
        ({"enum": ["a"]}, {"type": "integer"}, True),
        ({"const": "a"}, {"enum": ["a", "b"]}, False),
        ({"type": "integer", "minimum": 1}, {"type": "integer", "minimum": 2}, True),
        ({"type": "integer", "minimum": 2}, {"type": "integer", "minimum": 1}, False),
        ({"type": "string", "format": "date-time"}, {"type": "string"}, False),
        ({"type": "string"}, {"type": "string", "format": "date-time"}, True),
        ({"type": "string", "contentEncoding": "base64"}, {"type": "string", "contentEncoding": "base16"}, True),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}, True),
        ({"type": "array", "items": {"type": "string"}}, {"type": "array", "items": False}, True),
        ({"type": "array", "maxItems": 5}, {"type": "array", "maxItems": 4}, True),
        ({"type": "object"}, {"type": "object", "additionalProperties": False}, True),
        ({"type": "object"}, {"type": "object", "additionalProperties": {"type": "string"}}, True),
        ({}, {"type": "string"}, True),
    ],
)
def test_narrower_breaks_and_wider_does_not(old: dict[str, Any], new: dict[str, Any], broken: bool) -> None:
    assert bool(breaks(obj(a=old), obj(a=new))) is broken


def test_a_schema_that_holds_itself_is_compared_once() -> None:
    tree = {
        "$ref": "#/$defs/Tree",
        "$defs": {"Tree": obj(children={"type": "array", "items": {"$ref": "#/$defs/Tree"}})},
    }
    cut = copy.deepcopy(tree)
    del cut["$defs"]["Tree"]["properties"]["children"]  # type: ignore[index]
    assert breaks(tree, tree) == []
    assert breaks(tree, cut) == ["/children is gone"]


def test_a_type_that_is_gone_breaks_and_a_new_one_does_not() -> None:
    assert sets_break({"a.v1": obj()}, {}) == ["a.v1: the type is gone"]
    assert sets_break({}, {"a.v1": obj()}) == []


def test_writing_mends_what_is_stale_missing_or_of_no_type(tmp_path: Path) -> None:
    assert len(command.write(tmp_path)) == len(FACTS) + len(TRAFFIC)
    assert command.write(tmp_path) == []
    kind = ContactReceived.TYPE
    (tmp_path / f"{kind}.json").write_text("{}")
    (tmp_path / "uk.hueandcry.gone.v1.json").write_text("{}")
    assert command.stale(tmp_path) == [
        "uk.hueandcry.gone.v1.json is of no type we have",
        f"{kind}.json is not as its type is",
    ]
    command.write(tmp_path)
    assert command.stale(tmp_path) == []


def test_the_check_holds_a_change_against_what_was_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    folder = tmp_path / "libs" / "events" / "schemas"
    folder.mkdir(parents=True)
    monkeypatch.setattr(command, "HERE", folder)
    monkeypatch.setattr(command, "REPOSITORY", tmp_path)
    monkeypatch.setattr(command, "stale", list)
    git("init", "-b", "main")
    assert command.check(None) == []  # nothing was committed yet
    command.write(folder)
    wider = folder / f"{ContactReceived.TYPE}.json"
    schema = json.loads(wider.read_text())
    schema["properties"]["once"] = {"type": "string"}
    wider.write_text(json.dumps(schema))
    git("add", "-A")
    git("commit", "-m", "with a member that the types no longer have")
    assert any("/once is gone" in sentence for sentence in command.check(None))
    command.write(folder)
    git("commit", "-am", "without it")
    assert any("/once is gone" in sentence for sentence in command.check(None))  # against the commit before
    git("commit", "--allow-empty", "-m", "something else")
    assert command.check(None) == []
    assert any("/once is gone" in sentence for sentence in command.check("HEAD~2"))
