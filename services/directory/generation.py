"""A generation of boundaries as read, and in force: what it says, its geometry, and since when it rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from libs.alliance.generations import Drawing
from libs.events.types.directory import BoundariesActivated
from libs.places import Atlas


@dataclass(frozen=True, eq=False)
class Read:
    drawing: Drawing
    atlas: Atlas
    chunks: Mapping[str, bytes]
    """Every piece of its geometry, by hash, as published."""


@dataclass(frozen=True, eq=False)
class InForce:
    boundaries: BoundariesActivated
    atlas: Atlas
    chunks: Mapping[str, bytes]
    """Every piece of its geometry, by hash, as published."""
    since: datetime

    @property
    def read(self) -> Read:
        return Read(Drawing.of(self.boundaries), self.atlas, self.chunks)
