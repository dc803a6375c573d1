"""Kafka's clients as we set them, in one place.

Groups come back fast: a copy that was killed is missed after three seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError, NoBrokersAvailable, TopicAuthorizationFailedError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields
from confluent_kafka import murmur2

from libs.events.log.broker import Broker

log = structlog.get_logger(__name__)

SESSION_TIMEOUT_MS = 3000
HEARTBEAT_MS = 1000
MAX_MESSAGE_BYTES = 1024 * 1024
REQUEST_TIMEOUT_MS = 10_000
STOP_S = 3.0
QUIET_MS = 500
"""How long the broker keeps a fetch that finds nothing. What comes meanwhile is answered at once, so that more would
only keep waiting what is asked next on the same connection, and what this copy is given by its group."""

UNREACHABLE: tuple[type[BaseException], ...] = (KafkaError, OSError, TimeoutError)
"""What a client raises when the broker is away, starting or stopping."""


Client = TypeVar("Client", AIOKafkaProducer, AIOKafkaConsumer)


@asynccontextmanager
async def started(client: Client) -> AsyncIterator[Client]:
    """The client while the block runs. However it ends, and also where it cannot start, the client is stopped.

    What stopping raises is nobody's business: aiokafka lets a CancelledError of its own out there, which would pass for
    ours.
    """
    try:
        await client.start()
        yield client
    finally:
        stopping = asyncio.create_task(client.stop())
        await asyncio.wait([stopping], timeout=STOP_S)
        if stopping.done() and not stopping.cancelled() and (error := stopping.exception()):
            log.info("client_stopped_badly", error=type(error).__name__)


def producer(broker: Broker, client_id: str) -> AIOKafkaProducer:
    """Idempotent and acknowledged by all: what it has sent is there once, in order."""
    return AIOKafkaProducer(
        **broker.options(),
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        max_batch_size=MAX_MESSAGE_BYTES - 64 * 1024,
        max_request_size=MAX_MESSAGE_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        retry_backoff_ms=50,
        metadata_max_age_ms=30_000,
    )


def consumer(
    broker: Broker, client_id: str, *, group: str | None = None, quiet_ms: int = QUIET_MS, least_bytes: int = 1
) -> AIOKafkaConsumer:
    """Reads from where it is told and nowhere else: offsets are kept in the database, or in memory.

    The broker keeps a fetch that finds less than `least_bytes` for `quiet_ms`.
    """
    return AIOKafkaConsumer(
        **broker.options(),
        client_id=client_id,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="none",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        max_poll_interval_ms=30_000,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        retry_backoff_ms=50,
        fetch_max_wait_ms=quiet_ms,
        fetch_min_bytes=least_bytes,
        max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
        metadata_max_age_ms=30_000,
    )


def partition_of(key: bytes, partitions: int) -> int:
    """The partition Kafka's own default partitioner gives a key (murmur2), as librdkafka has it: aiokafka's, which is
    in Python, takes fifty times as long, a third of all that the relay does for an event."""
    return murmur2(key, partitions)


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id_high", Int64),
                ("topic_id_low", Int64),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition_index", Int32),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("replica_nodes", CompactArray(Int32)),
                        ("isr_nodes", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("topic_authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id_high", Int64),
                ("topic_id_low", Int64),
                ("name", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc]
    """Kafka's Metadata request, version 12: the first that aiokafka lacks and topic ids need (KIP-516)."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        return request_struct_class([(0, 0, name, {}) for name in self._topics], False, False, {})


class Topic(NamedTuple):
    """A topic as the broker knows it. Made anew under its old name, it has another id."""

    id: UUID
    partitions: tuple[int, ...]


async def topics(client: AIOKafkaConsumer, names: Sequence[str]) -> dict[str, Topic]:
    """The topics that exist among the names. Raises what UNREACHABLE names, also where we may not use one of them."""
    node = client._client.get_random_node()
    if node is None:
        raise NoBrokersAvailable
    answer = await client._client.send(node, _MetadataRequest(names))
    for error, name, *_ in answer.topics:
        if error == TopicAuthorizationFailedError.errno:
            raise TopicAuthorizationFailedError(name)
    mask = (1 << 64) - 1
    return {
        name: Topic(UUID(int=(high & mask) << 64 | (low & mask)), tuple(sorted(p[1] for p in partitions)))
        for error, name, high, low, _, partitions, *_ in answer.topics
        if error == 0
    }
