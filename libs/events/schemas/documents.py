"""One AsyncAPI 3.0 document a service: what it sends and what it receives on Kafka, in which envelope, under which key.

Payloads are the facts' own schemas, referred to as files beside; `TRAFFIC` is what a service's wiring does (the tests
hold it against that wiring and against the table that makes the topics).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

from libs.events.envelope import MAX_EVENT_BYTES, SCHEMA_BASE
from libs.events.schemas.make import spaced
from libs.events.types import FACTS, Fact, access, contacts, directory, erasures, keys, recording, routing

PAYLOAD_FORMAT = "application/schema+json;version=draft-2020-12"


@dataclass(frozen=True, slots=True)
class Traffic:
    what: str
    """What the service is for, in a sentence."""
    sends: tuple[str, ...] = ()
    receives: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    """Its shared readers: what one cannot apply goes to that reader's dead letters."""


TRAFFIC: Mapping[str, Traffic] = {
    "intake": Traffic(
        "Takes contacts on every channel, hears where they were routed and what they led to, and erases them.",
        sends=(contacts.TOPIC, keys.TOPIC, erasures.TOPIC, access.TOPIC),
        receives=(routing.TOPIC, recording.TOPIC, keys.TOPIC, erasures.TOPIC),
        readers=("intake", "intake-erasures"),
    ),
    "router": Traffic(
        "Decides which force owns a contact and in which queue it waits, by its own copy of the directory.",
        sends=(routing.TOPIC, erasures.TOPIC),
        receives=(contacts.TOPIC, keys.TOPIC, directory.TOPIC, directory.AREAS_TOPIC, erasures.TOPIC),
        readers=("router", "router-erasures"),
    ),
    "directory": Traffic(
        "Says what the alliance is: forces, sites, queues, lines, policies and boundaries.",
        sends=(directory.TOPIC, directory.AREAS_TOPIC),
    ),
    "recording": Traffic(
        "Keeps what every contact came to, the incidents, and the audit of all of it.",
        sends=(recording.TOPIC, keys.TOPIC, erasures.TOPIC, access.TOPIC),
        receives=(
            contacts.TOPIC,
            keys.TOPIC,
            routing.TOPIC,
            directory.TOPIC,
            directory.AREAS_TOPIC,
            recording.TOPIC,
            erasures.TOPIC,
            access.TOPIC,
        ),
        readers=("recording", "audit", "incidents", "recording-erasures", "access"),
    ),
}

KEYS: Mapping[str, str] = {
    contacts.TOPIC: "The contact's id, a UUIDv7: the stream's subject. A contact's events are in order.",
    routing.TOPIC: "The contact's id, a UUIDv7: the stream's subject. A contact's decisions are in order.",
    directory.TOPIC: (
        "The entity, as `force/bedfordshire`, `queue/alliance-default` or `policy/…`; the latest of a key holds."
    ),
    directory.AREAS_TOPIC: "`area/` and the SHA-256 of the piece's content.",
    recording.TOPIC: "The incident's id; the contact's for its disposition. Both are UUIDv7.",
    erasures.TOPIC: "`erasure/` and the contact's id.",
    access.TOPIC: "`reads/` and an id of the service's copy that answered; `read/` or `review/` and the access's id.",
}

_TEXT = {"type": "string"}
_UUID = {"type": "string", "format": "uuid"}
ENVELOPE: dict[str, Any] = {
    "type": "object",
    "title": "Envelope",
    "description": (
        "CloudEvents 1.0 in Kafka's binary content mode: the attributes are headers, UTF-8 text each. Readers tolerate "
        "headers they do not know."
    ),
    "required": [
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_source",
        "ce_subject",
        "ce_time",
        "ce_dataschema",
        "content-type",
        "ce_streamversion",
    ],
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {**_UUID, "description": "The event's own: the same again is a duplicate."},
        "ce_type": _TEXT,
        "ce_source": {
            **_TEXT,
            "description": "Whose stream it is, as `/intake`. A second site's copy has a source of its own.",
        },
        "ce_subject": {**_TEXT, "description": "What it is about, and the message's key."},
        "ce_time": {"type": "string", "format": "date-time", "description": "When it became known, UTC."},
        "ce_dataschema": {"type": "string", "format": "uri"},
        "content-type": {"const": "application/json"},
        "ce_streamversion": {
            "type": "string",
            "pattern": "^[1-9][0-9]{0,17}$",
            "description": "Counts from 1 without a gap within source and subject.",
        },
        "ce_causationid": {**_UUID, "description": "The `ce_id` of the event that led to this one."},
        "ce_force": {**_TEXT, "description": "The force it concerns, as far as was known then."},
        "traceparent": {**_TEXT, "description": "W3C Trace Context."},
    },
}


def document_of(service: str) -> dict[str, Any]:
    """The document of one service."""
    traffic = TRAFFIC[service]
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for action, topics in (("send", traffic.sends), ("receive", traffic.receives)):
        for topic in topics:
            if topic == keys.TOPIC:
                channels["keys"] = _KEYS_CHANNEL
                operations[action + "Keys"] = _operation(action, "keys", ["StreamKey"])
                messages["StreamKey"] = _STREAM_KEY
                continue
            name, facts = _name(topic), [fact for fact in facts_on(topic) if action == "receive" or says(service, fact)]
            channels[name] = _channel(topic, facts)
            operations[action + name.capitalize()] = _operation(action, name, [fact.__name__ for fact in facts])
            messages.update((fact.__name__, _message(fact)) for fact in facts)
    for reader in traffic.readers:
        name = f"deadletter-{reader}"
        channels[name] = {
            "address": f"hueandcry.deadletter.{reader}",
            "description": f"What the reader `{reader}` could not apply, for people to look at.",
            "messages": {"DeadLetter": {"$ref": "#/components/messages/DeadLetter"}},
        }
        operations[f"sendDeadletter-{reader}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": "At least once each, when the event is parked.",
        }
        messages["DeadLetter"] = _DEAD_LETTER
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"Hue and Cry: {service}",
            "version": version("hueandcry"),
            "description": (
                f"{traffic.what} Delivery is at least once: skip what has a `ce_id` you have applied. Order holds "
                "within a key of one topic, and not across topics. Readers tolerate members they do not know. An event "
                f"weighs at most {MAX_EVENT_BYTES // 1024} KiB on the wire."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": {"Envelope": ENVELOPE}},
    }


def all_documents() -> dict[str, dict[str, Any]]:
    """Every service's document by the service's name."""
    return {service: document_of(service) for service in TRAFFIC}


def facts_on(topic: str) -> list[type[Fact]]:
    return [fact for fact in FACTS if topic == fact.TOPIC]


def says(service: str, fact: type[Fact]) -> bool:
    """Whether a service that sends on the fact's topic states this one: everybody confirms, intake alone erases."""
    return fact is not erasures.SubjectErased or service == "intake"


def _name(topic: str) -> str:
    return topic.removeprefix("hueandcry.")


def _channel(topic: str, facts: Iterable[type[Fact]]) -> dict[str, Any]:
    return {
        "address": topic,
        "messages": {fact.__name__: {"$ref": f"#/components/messages/{fact.__name__}"} for fact in facts},
    }


def _operation(action: str, channel: str, messages: Iterable[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"} for message in messages],
    }


def _message(fact: type[Fact]) -> dict[str, Any]:
    said = cleandoc(fact.__dict__.get("__doc__") or "").replace("\n", " ")
    consts = {"ce_type": fact.TYPE, "ce_dataschema": f"{SCHEMA_BASE}{fact.TYPE}.json"}
    return {
        "name": fact.TYPE,
        "title": spaced(fact.__name__),
        **({"summary": said} if said else {}),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "allOf": [
                {"$ref": "#/components/schemas/Envelope"},
                {"properties": {name: {"const": value} for name, value in consts.items()}},
            ],
        },
        "payload": {"schemaFormat": PAYLOAD_FORMAT, "schema": {"$ref": f"../{fact.TYPE}.json"}},
        "bindings": {"kafka": {"key": {"type": "string", "description": KEYS[fact.TOPIC]}, "bindingVersion": "0.5.0"}},
    }


_KEYS_CHANNEL: dict[str, Any] = {
    "address": keys.TOPIC,
    "description": "The keys that open `personal`, the latest of each stream: compacted.",
    "messages": {"StreamKey": {"$ref": "#/components/messages/StreamKey"}},
}
_STREAM_KEY: dict[str, Any] = {
    "name": "stream-key",
    "title": "Stream key",
    "summary": (
        "The key of a stream, there before the first event that needs it. What is not on the topic once it was read to "
        "its end, the end asked for after such an event was seen, is gone for good. Without a value: destroyed."
    ),
    "contentType": "application/octet-stream",
    "headers": {
        "type": "object",
        "properties": {keys.OF_TOPIC: {**_TEXT, "description": "The topic of the events that it opens."}},
    },
    "payload": {
        "description": "A byte that counts the master key's id, the id, then the key as `personal` is sealed: under "
        "that master key, with `[id, source, subject]` as JSON authenticated."
    },
    "bindings": {
        "kafka": {
            "key": {"type": "string", "description": "The stream: its source, a space, its subject."},
            "bindingVersion": "0.5.0",
        }
    },
}

_DEAD_LETTER: dict[str, Any] = {
    "name": "dead-letter",
    "title": "Dead letter",
    "summary": "A message as it was read, byte for byte: key, value and headers, one header added.",
    "headers": {
        "type": "object",
        "required": ["deadletter-origin"],
        "properties": {"deadletter-origin": {**_TEXT, "description": "Topic, partition and offset, with slashes."}},
    },
    "payload": {"description": "Whatever it was: it may not even be JSON."},
    "bindings": {"kafka": {"key": {"type": "string", "description": "As the source's."}, "bindingVersion": "0.5.0"}},
}
