"""What the log refuses, and what it cannot do now.

Unavailable     PostgreSQL or Kafka cannot be reached: nothing is acknowledged, try again
Conflict        the stream has moved on: load it and decide again
ClaimTaken      another append holds the name
EventTooLarge   over 512 KiB on the wire
Stopped         a reader must not go on: a fork, a topic made anew, too much parked
"""

import traceback
from pathlib import Path


def described(error: BaseException) -> str:
    """An error for logs and tables: its type and where it was raised, never its message, which may quote a person."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    last = frames[-1]
    return f"{type(error).__name__} in {last.name} ({Path(last.filename).name}:{last.lineno})"


class Unavailable(Exception):
    """It cannot be reached now. What was asked may or may not have happened: ask again with the same key."""


class Conflict(Exception):
    """The stream is not at the version the decision was made on."""

    def __init__(self, subject: str, expected: int) -> None:
        super().__init__(f"{subject} is not at version {expected}")
        self.subject = subject
        self.expected = expected


class ClaimTaken(Exception):
    """One of the append's claims is held already; `libs.events.log.store.holder` says by whom."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__("taken: one of " + ", ".join(keys))
        self.keys = keys


class EventTooLarge(Exception):
    """The event is over 512 KiB on the wire."""


class Stopped(Exception):
    """A reader must not go on before people have looked."""
