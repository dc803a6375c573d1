"""From published areas to an atlas: which chunks to keep, when a generation is whole, and how it is read.

Invariant: of every chunk that was seen, the content is held, or it is remembered that it was let go, so that whoever
fills the shelf learns that he must read the areas from the start again. Chunks may come before the activation that
names them, or after it; both orders end alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set
from typing import NamedTuple, Protocol

from libs.events.types.directory import AreaChunkPublished, AreaRef, OverlayActivated
from libs.places import Atlas, decode_area
from libs.places.overlays import Overlay, decode_features


class Damaged(Exception):
    """A chunk whose content is not what its name says."""


class Generation(Protocol):
    """A generation of boundaries: imported, activated, or a `Drawing`."""

    @property
    def generation(self) -> str: ...
    @property
    def accuracy_m(self) -> float: ...
    @property
    def areas(self) -> tuple[AreaRef, ...]: ...


class Drawing(NamedTuple):
    """All of a generation that makes its atlas: those that agree in it are the same to whoever decides by them."""

    generation: str
    accuracy_m: float
    areas: tuple[AreaRef, ...]

    @classmethod
    def of(cls, boundaries: Generation) -> Drawing:
        return cls(boundaries.generation, boundaries.accuracy_m, boundaries.areas)


def named_by(boundaries: Generation) -> set[str]:
    """The hashes of every chunk of a generation."""
    return {sha256 for area in boundaries.areas for sha256 in area.hashes}


def read_atlas(boundaries: Generation, chunks: Mapping[str, bytes]) -> Atlas:
    """The atlas of a generation whose chunks are all in `chunks`. Takes seconds: not for an event loop.

    Raises KeyError for a chunk that is not there, ValueError for areas that cannot be read.
    """

    def content(area: AreaRef) -> list[bytes]:
        return [chunks[sha256] for sha256 in area.hashes]

    return Atlas.build(
        boundaries.generation,
        boundaries.accuracy_m,
        {area.force: decode_area(content(area)) for area in boundaries.areas},
    )


def read_overlay(activated: OverlayActivated, chunks: Mapping[str, bytes]) -> Overlay:
    """Raises KeyError for a chunk that is not there, ValueError for places that cannot be read."""
    places = decode_features([chunks[sha256] for sha256 in activated.hashes])
    if len(places) != len(activated.features):
        raise ValueError(f"{activated.id}: {len(places)} places for {len(activated.features)} names")
    return Overlay(places, activated.within_m)


class Shelf:
    """The chunks that the generation in use, the one announced, the one that is got ready, or one to come may need."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}
        self._ever_named: set[str] = set()
        self._needed: set[str] = set()
        self._dropped: set[str] = set()

    def announce(self, boundaries: Generation) -> None:
        """A generation is to be used, or got ready. What the others need is kept until `settle`."""
        names = named_by(boundaries)
        self._ever_named |= names
        self._needed |= names

    def add(self, chunk: AreaChunkPublished) -> None:
        """Raises Damaged where the content does not bear the name."""
        if hashlib.sha256(chunk.content).hexdigest() != chunk.sha256:
            raise Damaged(chunk.sha256)
        if chunk.sha256 in self._ever_named and chunk.sha256 not in self._needed:
            self._dropped.add(chunk.sha256)
        else:
            self._held[chunk.sha256] = chunk.content
            self._dropped.discard(chunk.sha256)

    def forgo(self, hashes: Set[str]) -> None:
        """These are named by what is not wanted here: they are kept only as far as a generation needs them."""
        self._ever_named |= hashes
        unneeded = (hashes - self._needed) & self._held.keys()
        for sha256 in unneeded:
            del self._held[sha256]
        self._dropped |= unneeded

    def missing(self, boundaries: Generation) -> set[str]:
        return named_by(boundaries) - self._held.keys()

    def chunks(self, boundaries: Generation) -> dict[str, bytes]:
        """What `read_atlas` needs; only where nothing is `missing`."""
        return {sha256: self._held[sha256] for sha256 in named_by(boundaries)}

    def settle(self, *in_use_or_announced: Generation) -> None:
        """Let go of what only generations of the past named. What none has named yet belongs to one to come."""
        self._needed = set().union(*map(named_by, in_use_or_announced))
        past = (self._ever_named - self._needed) & self._held.keys()
        for sha256 in past:
            del self._held[sha256]
        self._dropped |= past

    def expect_again(self, missing: set[str]) -> bool:
        """True, once, where some of the missing were let go: only reading the areas from the start brings them back."""
        again = missing & self._dropped
        self._dropped -= again
        return bool(again)

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(map(len, self._held.values()))
