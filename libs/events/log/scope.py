"""Whose contacts a caller may see (`scope.sql`), for those who set it and those who keep it.

Invariant: access is given and ended in the transaction that says why. A new contact's is given by the append that opens
it (`store.Append.access`), later changes by `keep`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from libs.events.log.database import Connection

ALLIANCE = ""
"""Stands among forces for the alliance itself: whatever is not, or not yet, any force's."""

Why: TypeAlias = Literal["owning", "presented", "answering", "involved", "alliance", "brought", "leg", "in-hands"]

_SET = "SELECT set_scope($1, $2)"
_KEEP = "SELECT keep_access($1, $2, $3, $4, $5, $6)"


class Scope(NamedTuple):
    """What a caller may see; the first two arguments of each SQL function that reads under it."""

    forces: Sequence[str]
    """With `ALLIANCE` among them, also what is the alliance's."""
    holder: str | None = None
    """Also what is this gateway's, or in this person's hands."""


class Access(NamedTuple):
    """Why a force (`ALLIANCE`: the alliance) or a holder may see a contact."""

    why: Why
    force: str | None = None
    holder: str | None = None


async def begin(connection: Connection, scope: Scope) -> None:
    """What this transaction reads from here on is read under the scope."""
    await connection.execute(_SET, *scope)


async def keep(connection: Connection, contacts: Mapping[str, Iterable[Access]], reasons: Sequence[Why]) -> None:
    """From now on these and nobody else may see each contact, as far as it is for these reasons.

    After it the caller's own scope may hold the contact no longer.
    """
    if contacts:
        rows = [(contact, *access) for contact, accesses in contacts.items() for access in accesses]
        await connection.execute(
            _KEEP,
            list(contacts),
            list(reasons),
            [contact for contact, _, _, _ in rows],
            [force for _, _, force, _ in rows],
            [holder for _, _, _, holder in rows],
            [why for _, why, _, _ in rows],
        )


async def give(connection: Connection, contacts: Mapping[str, Iterable[Access]]) -> None:
    """These may see each contact too; whoever may see it already still may."""
    rows = [(contact, *access) for contact, accesses in contacts.items() for access in accesses]
    if rows:
        of, whys, forces, holders = (list(column) for column in zip(*rows, strict=True))
        await connection.execute(_KEEP, [], [], of, forces, holders, whys)
