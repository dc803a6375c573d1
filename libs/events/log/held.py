"""What a reader has set aside: replayed when people ask, fed to the dead-letter topic, watched for gaps.

Invariant: a held event leaves its row only in the transaction that applies it.
"""

from __future__ import annotations

import structlog

from libs.events.log import kafka, metrics
from libs.events.log.broker import Broker
from libs.events.log.database import Connection, Database
from libs.events.log.inbox import Message, held_message

log = structlog.get_logger(__name__)

GAP_ALARM_S = 5.0

_REPLAY = """
SELECT DISTINCT s.subject
FROM held AS h JOIN reader_stream AS s ON s.id = h.stream
WHERE h.reader = $1 AND h.replay_at IS NOT NULL
LIMIT 100
"""
_LOCK = "SELECT id FROM reader_stream WHERE reader = $1 AND subject = $2 ORDER BY id FOR UPDATE"
_TAKE_BACK = """
DELETE FROM held AS h USING reader_stream AS s
WHERE s.id = h.stream AND h.reader = $1 AND s.reader = $1 AND s.subject = $2
RETURNING h.id, h.attempts, h.topic, h.partition, h."offset", h.key, h.value, h.header_names, h.header_values
"""
_DEAD = """
SELECT id, topic, partition, "offset", key, value, header_names, header_values, error
FROM held WHERE reader = $1 AND why = 'parked' AND dead_lettered_at IS NULL
ORDER BY id LIMIT 100
"""
_FED = "UPDATE held SET dead_lettered_at = now() WHERE id = ANY ($1)"
_WATCH = """
SELECT why, count(*) AS count, extract(epoch FROM now() - min(held_at))::float8 AS oldest_s
FROM held WHERE reader = $1 GROUP BY why
"""


async def subjects_to_replay(database: Database, reader: str) -> list[str]:
    """The subjects of which somebody asked for a parked event to be tried again."""
    return [row["subject"] for row in await database.fetch(_REPLAY, reader)]


async def take_back(connection: Connection, reader: str, subject: str) -> tuple[list[Message], int]:
    """All that is held of a subject, in the order it came, out of its rows; and how often its first was tried."""
    await connection.fetch(_LOCK, reader, subject)
    rows = sorted(await connection.fetch(_TAKE_BACK, reader, subject), key=lambda row: int(row["id"]))
    return [held_message(row) for row in rows], max((row["attempts"] for row in rows), default=0)


def dead_letter_topic(reader: str) -> str:
    """Of a read model's readers, which are named for their generation (`audit.2`), one for all: `…deadletter.audit`."""
    return f"hueandcry.deadletter.{reader.partition('.')[0]}"


async def feed_dead_letters(database: Database, reader: str, broker: Broker) -> None:
    """Publish what is parked and not yet published, each with where it came from. At least once."""
    rows = await database.fetch(_DEAD, reader)
    if not rows:
        return
    topic = dead_letter_topic(reader)
    try:
        async with kafka.started(kafka.producer(broker, f"deadletter.{reader}")) as producer:
            for row in rows:
                origin = f"{row['topic']}/{row['partition']}/{row['offset']}".encode()
                headers = [*zip(row["header_names"], row["header_values"], strict=True), ("deadletter-origin", origin)]
                await producer.send_and_wait(topic, row["value"], key=row["key"], headers=headers)
        await database.execute(_FED, [row["id"] for row in rows])
    except kafka.UNREACHABLE as error:
        log.warning("dead_letters_wait", reader=reader, error=type(error).__name__)


async def watch(database: Database, reader: str) -> None:
    """Measure what is held, and raise the alarm over a gap that stays open."""
    held = {row["why"]: row for row in await database.fetch(_WATCH, reader)}
    for why in ("gap", "parked", "behind"):
        metrics.HELD.labels(reader, why).set(held[why]["count"] if why in held else 0)
    oldest = held["gap"]["oldest_s"] if "gap" in held else 0.0
    metrics.OLDEST_GAP_S.labels(reader).set(oldest)
    if oldest > GAP_ALARM_S:
        log.error("gap_open", reader=reader, events=held["gap"]["count"], oldest_s=round(oldest, 1))
