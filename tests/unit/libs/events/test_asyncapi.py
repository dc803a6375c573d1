"""Each service's AsyncAPI document is valid, says what the service's wiring does, and describes what is on the wire."""

import ast
import importlib
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import jsonschema
import pytest

from deploy.local.topics import READERS, SERVICES, TOPICS
from libs.events.envelope import Event, to_headers
from libs.events.schemas import __main__ as command
from libs.events.schemas.documents import KEYS, TRAFFIC, document_of
from libs.events.types import FACTS, access, keys
from libs.events.types.contacts import ContactEnded
from libs.events.types.erasures import ErasureConfirmed
from services.recording.projections import PROJECTIONS

ASYNCAPI = json.loads((Path(__file__).parent / "asyncapi-3.0.0.json").read_text("utf-8"))
UNUSED: set[str] = set()
"""Topics that stand in the table and that nobody writes to yet."""


@pytest.mark.parametrize("service", SERVICES)
def test_every_document_is_valid_asyncapi_3(service: str) -> None:
    assert ASYNCAPI["properties"]["asyncapi"] == {"type": "string", "const": "3.0.0"}
    validator = jsonschema.Draft7Validator(ASYNCAPI)
    assert [error.message for error in validator.iter_errors(document_of(service))] == []
    wrong = document_of(service)
    next(iter(wrong["operations"].values()))["action"] = "shout"
    assert list(validator.iter_errors(wrong))


@pytest.mark.parametrize("service", SERVICES)
def test_everything_that_is_referred_to_is_there(service: str) -> None:
    document = document_of(service)
    references = list(_references(document))
    assert references
    for reference in references:
        file, _, pointer = reference.partition("#")
        if file:
            assert (command.HERE / command.DOCUMENTS / file).is_file(), reference
        else:
            at: Any = document
            for step in pointer.strip("/").split("/"):
                at = at[step]


def test_sends_what_the_table_of_topics_says() -> None:
    assert set(TRAFFIC) == set(SERVICES)
    for topic in TOPICS:
        writers = {service for service in SERVICES if topic.name in _addresses(service, "send")}
        if topic.name in UNUSED:
            assert not writers
        else:
            assert writers == set(topic.written_by), topic.name
    assert {reader: service for service, traffic in TRAFFIC.items() for reader in traffic.readers} == READERS


@pytest.mark.parametrize("service", SERVICES)
def test_receives_what_the_wiring_reads(service: str) -> None:
    assert _addresses(service, "receive") == set(_read_by(service))


def test_every_fact_is_sent_by_one_service_under_a_key_that_is_described() -> None:
    """But for who looked at what, and who obeyed an erasure, which every service says that does."""
    sent = Counter(fact.TYPE for service in SERVICES for fact in FACTS if fact.__name__ in _sent_by(service))
    everybody = {ErasureConfirmed.TYPE: 3} | {fact.TYPE: 2 for fact in access.FACTS}
    assert sent == {fact.TYPE: 1 for fact in FACTS} | everybody
    assert set(KEYS) == {fact.TOPIC for fact in FACTS}


@pytest.mark.parametrize("full", [True, False])
def test_the_headers_on_the_wire_are_those_described(full: bool) -> None:
    more = {
        "force": "bedfordshire",
        "caused_by": UUID("0198c0de-0000-7000-8000-000000000001"),
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    fact = ContactEnded(reason="completed", ended_at=datetime.now(UTC))
    event = Event.of(fact, source="/intake", subject="a", version=1, **(more if full else {}))  # type: ignore[arg-type]
    headers = {name: value.decode() for name, value in to_headers(event)}
    document = document_of("intake")
    described = document["components"]["messages"]["ContactEnded"]["headers"]
    validator = jsonschema.Draft7Validator({**described, "components": document["components"]})
    validator.validate(headers)
    known = set(document["components"]["schemas"]["Envelope"]["properties"])
    assert headers.keys() == known if full else headers.keys() < known
    for name in document["components"]["schemas"]["Envelope"]["required"]:
        assert not validator.is_valid({other: value for other, value in headers.items() if other != name}), name
    assert not validator.is_valid(headers | {"ce_type": "uk.hueandcry.contact.received.v1"})


def _sent_by(service: str) -> set[str]:
    """The names of the messages that its document says it sends."""
    operations = document_of(service)["operations"].values()
    messages = [
        message
        for operation in operations
        if operation["action"] == "send"
        for message in operation.get("messages", ())
    ]
    return {message["$ref"].rpartition("/")[2] for message in messages}


def _addresses(service: str, action: str) -> set[str]:
    document = document_of(service)
    return {
        document["channels"][operation["channel"]["$ref"].removeprefix("#/channels/")]["address"]
        for operation in document["operations"].values()
        if operation["action"] == action
    }


def _read_by(service: str) -> Iterator[str]:
    """The topics of all readers that a service's `app.py` makes, its projections and its copy of the directory too."""
    app = importlib.import_module(f"services.{service}.app")
    for name in _calls(app, "topics"):
        yield from name
    if hasattr(app, "PROJECTIONS"):
        yield from (topic for projection in PROJECTIONS for topic in projection.topics)
    if hasattr(app, "Erasures"):
        yield importlib.import_module("libs.events.log.erasures").TOPIC
    if hasattr(app, "AllianceCopy"):
        copy = importlib.import_module("libs.alliance.copy")
        yield from (copy.TOPIC, copy.AREAS_TOPIC)
    if hasattr(app, "KeyCopies"):
        yield keys.TOPIC


def _calls(module: ModuleType, keyword: str) -> Iterator[Any]:
    """What is given under a keyword anywhere in a module."""
    assert module.__file__ is not None
    for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == keyword:
            yield eval(compile(ast.Expression(node.value), module.__file__, "eval"), vars(module))


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
