"""The clock on the wall of every force here. Stored is UTC; people's days and hours are London's."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")


def start_of(day: date) -> datetime:
    """When the day begins in London, in UTC. Raises OverflowError at the very ends of the calendar."""
    return datetime.combine(day, time.min, LONDON).astimezone(UTC)
