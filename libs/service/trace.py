"""Traces of who looked at whose data, written before the answer goes out.

Invariants
  * An operation that may show who or where a person is, or the audit, answers when its trace is on disk, and not at
    all (503) where it cannot be written. `libs.service.seal` holds back what forgets.
  * Every trace is an event of the force whose data it is. Traces that are left while an append is on its way share the
    next one, an event a force, so that many reads cost one commit; each still says who, what, when and why.
  * A trace says nothing of a caller: it names things by their ids. What a reader wrote of his reasons is personal: such
    a trace has a stream of its own.

Only this process appends to its stream of traces, so its version needs no look-up. Whatever fails, the next goes to a
new one: a trace that was written all the same is one of a read that was not answered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, NamedTuple, TypeAlias, TypeVar, get_args
from uuid import UUID

import structlog
from fastapi import Depends, Header
from starlette.requests import Request
from uuid_utils import uuid7

from libs.events.envelope import Event
from libs.events.log.appender import Appender
from libs.events.log.errors import Conflict, Unavailable
from libs.events.log.keyring import Keyring
from libs.events.log.store import Append
from libs.events.types.access import Access, AccessPersonal, Act, DataAccessed, Emergency, Kind, Purpose
from libs.service import metrics, seal
from libs.service.access import ACCESS
from libs.service.caller import Caller
from libs.service.problem import Fault, Invalid

log = structlog.get_logger(__name__)

MAX_WORDS = 500
MAX_READS = 256
"""In one append: an event of so many is far below what an event may weigh."""

PURPOSE, BREAK_GLASS, IN_HAND = "Hueandcry-Purpose", "Hueandcry-Break-Glass", "Hueandcry-Contact-In-Hand"

_Code = TypeVar("_Code", bound=str)


# Why -----------------------------------------------------------------------------------------------------------------


class Why(NamedTuple):
    """For what a record is opened, as the request says."""

    purpose: Purpose | None = None
    purpose_words: str | None = None
    break_glass: Emergency | None = None
    break_glass_words: str | None = None
    in_hand: str | None = None
    """The contact in hand for which another record is opened; believed only where PostgreSQL knows it to be so."""


NO_REASON = Why()


async def read_why(
    purpose: Annotated[
        str | None,
        Header(
            alias=PURPOSE,
            json_schema_extra={"pattern": f"^({'|'.join(get_args(Purpose))})(; *[ -~]{{0,{MAX_WORDS}}})?$"},
            description="For what this is opened, where it is not in your hands, nor for a contact that is: one of "
            f"{', '.join(get_args(Purpose))}; after a semicolon, if need be, words of your own (UTF-8, at most "
            f"{MAX_WORDS} characters).",
        ),
    ] = None,
    break_glass: Annotated[
        str | None,
        Header(
            alias=BREAK_GLASS,
            json_schema_extra={"pattern": f"^({'|'.join(get_args(Emergency))}); *[!-~][ -~]{{0,{MAX_WORDS - 1}}}$"},
            description="Opens what a force of yours owns that is not your own, though nothing ties you to it, this "
            "once. A supervisor of that force reviews it the next day. One of "
            f"{', '.join(get_args(Emergency))}, a semicolon, and why, in your words (UTF-8, at most {MAX_WORDS} "
            "characters).",
        ),
    ] = None,
    in_hand: Annotated[
        UUID | None, Header(alias=IN_HAND, description="The id of the contact in your hands for which this is opened.")
    ] = None,
) -> Why:
    """A FastAPI dependency. Raises Invalid, naming the header."""
    said, of_purpose = _coded(PURPOSE, purpose, get_args(Purpose))
    emergency, of_glass = _coded(BREAK_GLASS, break_glass, get_args(Emergency))
    if emergency is not None and of_glass is None:
        raise _invalid(BREAK_GLASS, "say after a semicolon why, in your own words")
    return Why(said, of_purpose, emergency, of_glass, None if in_hand is None else str(in_hand))


WhyHeaders: TypeAlias = Annotated[Why, Depends(read_why)]


def _coded(header: str, text: str | None, codes: tuple[_Code, ...]) -> tuple[_Code | None, str | None]:
    """A header's code, and the words after it."""
    if text is None:
        return None, None
    code, _, words = text.partition(";")
    found = next((known for known in codes if known == code.strip()), None)
    if found is None:
        raise _invalid(header, f"must be one of {', '.join(codes)}")
    try:
        # A header's bytes come as Latin-1, in which half an à is a space: stripped when they are letters again.
        said = words.encode("latin-1").decode("utf-8").strip()
    except UnicodeError:
        raise _invalid(header, "the words must be UTF-8") from None
    if len(said) > MAX_WORDS or not said.isprintable():
        raise _invalid(header, f"the words must be printable and at most {MAX_WORDS} characters")
    return found, said or None


def _invalid(header: str, text: str) -> Invalid:
    return Invalid(f"{header}: {text}", faults=[Fault(text, parameter=header)])


# What ----------------------------------------------------------------------------------------------------------------


class Shown(NamedTuple):
    """What an answer shows of one force's data."""

    force: str | None
    """Whose data it is; None: nobody's yet, and so the alliance's."""
    kind: Kind
    ids: tuple[str, ...] = ()
    in_hand: str | None = None
    """The contact in the reader's hands for which it is shown."""
    broke_glass: bool = False
    searched_by: tuple[str, ...] = ()
    """The kinds of what it was looked for by."""


async def leave(request: Request, caller: Caller, *shown: Shown, why: Why = NO_REASON) -> None:
    """Return when it is on disk that the caller is about to be shown this. Nothing shown, nothing written.

    Raises Invalid where a purpose is wanted, Unavailable where it cannot be written.
    """
    owed = seal.owed(request)
    if (operation := owed.operation) is None:
        raise RuntimeError("a trace is left by an operation whose row in ACCESS names none")
    act = ACCESS[operation].trace
    assert act is not None, "what owes a trace has one in its row"
    if shown:
        if act == "read":
            _check_purpose(shown, why)
        tracer: Tracer = request.app.state.tracer
        await tracer.write(_traces(operation, act, caller, shown, why))
    owed.operation = None


def _check_purpose(shown: Sequence[Shown], why: Why) -> None:
    if why.purpose is None and any(one.in_hand is None and not one.broke_glass for one in shown):
        raise _invalid(PURPOSE, f"say for what, it is not in your hands: one of {', '.join(get_args(Purpose))}")


class Trace(NamedTuple):
    force: str | None
    access: Access
    words: str | None


def _traces(operation: str, act: Act, caller: Caller, shown: Sequence[Shown], why: Why) -> list[Trace]:
    id_, now, roles = str(uuid7()), datetime.now(UTC), tuple(sorted(caller.roles))
    traces = []
    for one in shown:
        access = Access(
            id=id_,
            at=now,
            reader=caller.subject,
            roles=roles,
            home_force=caller.home,
            act=act,
            operation=operation,
            kind=one.kind,
            ids=one.ids,
            searched_by=one.searched_by,
            in_hand=one.in_hand,
            purpose=why.purpose,
            break_glass=why.break_glass if one.broke_glass else None,
        )
        traces.append(Trace(one.force, access, why.break_glass_words if one.broke_glass else why.purpose_words))
    return traces


# Written -------------------------------------------------------------------------------------------------------------


class Tracer:
    """Writes the traces of one copy of a service, by group commit."""

    def __init__(self, appender: Appender, keyring: Keyring) -> None:
        self._appender = appender
        self._keyring = keyring
        self._pending: list[tuple[list[Trace], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._begin_stream()

    def _begin_stream(self) -> None:
        self._stream, self._version = f"reads/{uuid7()}", 0

    async def write(self, traces: list[Trace]) -> None:
        """Return when they are on disk. Raises Unavailable where that is not sure."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((traces, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        await future
        for _, access, _ in traces:
            if access.break_glass is not None:
                metrics.GLASS_BROKEN.labels(access.break_glass).inc()
                log.warning("glass_broken", access=access.id, operation=access.operation, code=access.break_glass)

    async def _write_all(self) -> None:
        """One append after the other, each with all that was left meanwhile, until nothing is."""
        try:
            while self._pending:
                batch, self._pending = self._pending[:MAX_READS], self._pending[MAX_READS:]
                try:
                    await self._append([trace for traces, _ in batch for trace in traces])
                except Exception as error:
                    log.error("traces_not_written", reads=len(batch), error=type(error).__name__)
                    metrics.TRACES_FAILED.inc(len(batch))
                    for _, future in batch:
                        if not future.done():
                            future.set_exception(Unavailable("what would be shown could not be written down"))
                else:
                    for _, future in batch:
                        if not future.done():
                            future.set_result(None)
        finally:
            self._writing = None

    async def _append(self, traces: list[Trace]) -> None:
        together: dict[str | None, list[Access]] = {}
        appends = []
        for force, access, words in traces:
            if words is None:
                together.setdefault(force, []).append(access)
            else:
                appends.append(self._append_alone(force, access, words))
        if together:
            appends.append(self._append_together(together))
        failed = [error for error in await asyncio.gather(*appends, return_exceptions=True) if error is not None]
        if failed:
            raise failed[0]

    async def _append_together(self, accesses: dict[str | None, list[Access]]) -> None:
        try:
            await self._appender.append(self._together(accesses))
        except Conflict:  # the last was written, and the word of it was lost
            self._begin_stream()
            await self._appender.append(self._together(accesses))
        except BaseException:
            self._begin_stream()
            raise
        self._version += len(accesses)

    async def _append_alone(self, force: str | None, access: Access, words: str) -> None:
        """Where one access shows several forces' data, each force has words and stream of its own."""
        subject = f"read/{access.id}" + (f"/{force}" if force is not None else "")
        fact = DataAccessed(accesses=(access,), personal=AccessPersonal(words=words))
        key = self._keyring.new(subject)
        event = Event.of(fact, source=self._keyring.source, subject=subject, version=1, force=force, key=key.secret)
        with contextlib.suppress(Conflict):  # only this very one can stand there: it was written, the word of it lost
            await self._appender.append(Append(subject, 0, (event,), key=key.new))

    def _together(self, accesses: dict[str | None, list[Access]]) -> Append:
        events = [
            Event.of(
                DataAccessed(accesses=tuple(of_force)),
                source=self._keyring.source,
                subject=self._stream,
                version=version,
                force=force,
            )
            for version, (force, of_force) in enumerate(accesses.items(), self._version + 1)
        ]
        return Append(self._stream, self._version, events)
