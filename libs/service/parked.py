"""What a service's readers could not apply: shown to administrators, tried again when they ask.

Only what may be logged is shown: where an event came from and what kind of error it met, never what it says.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request

from libs.events.log.database import Database
from libs.service.access import Caller, allow
from libs.service.bodies import Answer
from libs.service.problem import Conflicting, NotFound, responses

router = APIRouter(prefix="/v1/parked", tags=["operations"])

MAX_ID = 2**63 - 1

_LIST = """
SELECT h.id, h.reader, s.source, s.subject, h.version, h.why, h.error, h.attempts, h.held_at, h.replay_at,
       h.dead_lettered_at, h.topic, h.partition, h."offset", h.header_names, h.header_values,
       (SELECT count(*) FROM held AS b WHERE b.stream = h.stream AND b.why = 'behind') AS behind
FROM held AS h JOIN reader_stream AS s ON s.id = h.stream
WHERE h.id > $1 AND h.why = ANY ($2)
ORDER BY h.id
LIMIT $3
"""
_REPLAY = """
WITH found AS (
    SELECT id, why FROM held WHERE id = $1
), asked AS (
    UPDATE held AS h SET replay_at = coalesce(h.replay_at, now()) FROM found AS f
    WHERE h.id = f.id AND f.why = 'parked'
    RETURNING h.replay_at
)
SELECT f.why, a.replay_at FROM found AS f LEFT JOIN asked AS a ON true
"""


class ParkedEvent(Answer):
    id: int
    reader: str
    why: Literal["parked", "gap", "behind"]
    """`parked`: it could not be applied. `behind`: it waits for a parked one. `gap`: a version before it is missing."""
    type: str | None
    """Its CloudEvents type, where that could be read."""
    source: str
    subject: str
    version: int
    error: str | None
    """The kind of error it met last."""
    attempts: int
    behind: int
    """How many later events of its stream wait for it."""
    held_at: datetime
    replay_at: datetime | None
    """When another try was asked for."""
    dead_lettered_at: datetime | None
    topic: str
    partition: int
    offset: int


class ParkedEvents(Answer):
    items: list[ParkedEvent]
    after: int | None
    """Where the next page begins; null: this was the last."""


class Replay(Answer):
    replay_at: datetime


@router.get("", responses=responses(422))
async def list_parked(
    request: Request,
    caller: Annotated[Caller, Depends(allow("list_parked"))],
    why: Annotated[list[Literal["parked", "gap", "behind"]], Query(max_length=3)] = ["parked"],  # noqa: B006
    after: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> ParkedEvents:
    """Events that this service's readers have set aside, the oldest first."""
    database: Database = request.app.state.database
    rows = await database.fetch(_LIST, after, why, limit + 1)
    items = [_shown(row) for row in rows[:limit]]
    return ParkedEvents(items=items, after=items[-1].id if len(rows) > limit else None)


@router.post("/{id}/replay", status_code=202, responses=responses(404, 409, 422))
async def replay_parked(
    request: Request,
    id: Annotated[int, Path(ge=1, le=MAX_ID)],  # noqa: A002  # the name in the address
    caller: Annotated[Caller, Depends(allow("replay_parked"))],
) -> Replay:
    """Have a parked event, and what waits behind it, tried again within a second or so. Asking twice asks once."""
    database: Database = request.app.state.database
    row = await database.fetchrow(_REPLAY, id)
    if row is None:
        raise NotFound("No event is held under this id: it has been applied, or never was parked.")
    if row["why"] != "parked":
        raise Conflicting(
            f"This event is not parked ({row['why']}): it follows by itself when what it waits for has come."
        )
    return Replay(replay_at=row["replay_at"])


def _shown(row: Any) -> ParkedEvent:
    headers = dict(zip(row["header_names"], row["header_values"], strict=True))
    kind = headers.get("ce_type")
    return ParkedEvent(
        **{name: row[name] for name in row.keys() if name not in ("header_names", "header_values", "error")},  # noqa: SIM118
        type=None if kind is None else kind.decode("utf-8", "replace")[:200],
        error=None if row["error"] is None else row["error"].partition("(")[0].partition(":")[0][:200],
    )
