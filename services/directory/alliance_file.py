"""An alliance as people write it down: a TOML file, read and checked whole before anything is made of it.

Whatever is wrong is one sentence that names the file, the line and the key. Pure but for `find`, which looks for files.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, ValidationError

from libs.events.types.contacts import Channel, Line
from libs.policy import authorities
from services.directory import agreement_entries, manner_entries
from services.directory.agreement_entries import Agreement
from services.directory.forms import Domain, Entry, Id, Name, like
from services.directory.manner_entries import CrimeReferences, Greeting, Holidays, Hours

SHIPPED = Path(__file__).parents[2] / "deploy" / "alliances"
MAX_BYTES = 1024 * 1024


class Unusable(Exception):
    """The file cannot be loaded. Its message is one sentence for whoever wrote the file."""


def _authorities(value: str) -> str:
    try:
        authorities(value)
    except ValueError:
        raise ValueError("this must be certificates of authorities (PEM)") from None
    return value


class TheAlliance(Entry):
    id: Id
    name: Name
    default_queue: Id
    domain: Domain
    """Of its queues' URIs, where a queue names none of its own; and the alliance's own name as an agency."""
    policy_authorities: Annotated[str, AfterValidator(_authorities)] | None = None
    """Who vouches for whoever signs policies."""


class Force(Entry):
    id: Id
    name: Name
    pnc_code: Annotated[str, like(r"[0-9]{2}", "two digits in quotes")] | None = None
    ons_code: Annotated[str, like(r"[EWSN][0-9]{8}", "an ONS code (as E23000026)")] | None = None
    agency: Domain | None = None
    """The owner of its policies; `<id>.<the alliance's domain>` where it names none."""
    signed_policies: bool = False


class Site(Entry):
    id: Id
    name: Name


class Queue(Entry):
    id: Id
    name: Name
    uri: Annotated[str, like(r"(?=.{1,300}$)sips?:[^\s@]+@[^\s@]+", "a SIP URI")] | None = None
    force: Id | None = None
    line: Line | None = None
    channels: tuple[Channel, ...] = ()
    emergency: bool = False
    priority: int = Field(default=5, ge=1, le=10)
    max_length: int = Field(default=10_000, ge=1, le=1_000_000)


class TheLine(Entry):
    id: Id
    line: Line
    force: Id
    trunk: Annotated[str, like(r"[\x21-\x7e]{1,64}", "1 to 64 letters, digits and signs without spaces")] | None = None
    dialled_number: Annotated[str, like(r"\+[1-9][0-9]{6,14}", "an E.164 number (as +441632960001)")] | None = None


class AllianceFile(Entry):
    alliance: TheAlliance
    forces: tuple[Force, ...] = Field(min_length=1, max_length=100)
    sites: tuple[Site, ...] = Field(default=(), max_length=100)
    queues: tuple[Queue, ...] = Field(min_length=1, max_length=2_000)
    lines: tuple[TheLine, ...] = Field(default=(), max_length=10_000)
    hours: tuple[Hours, ...] = Field(default=(), max_length=10_000)
    holidays: tuple[Holidays, ...] = Field(default=(), max_length=200)
    greetings: tuple[Greeting, ...] = Field(default=(), max_length=2_000)
    crime_references: tuple[CrimeReferences, ...] = Field(default=(), max_length=100)
    agreements: tuple[Agreement, ...] = Field(default=(), max_length=200)


CALENDARS = ("england-and-wales", "scotland", "northern-ireland")
"""Those that come with the product (data/holidays.csv)."""
_Table = Literal["forces", "sites", "queues", "lines", "hours", "holidays", "greetings", "agreements"]
_SAID = {"extra_forbidden": "there is no such key", "missing": "this key is missing"}
"""Where pydantic's own words are not for people."""
_Place = tuple[str | int, ...]
"""Where a fault is: `("queues", 3, "priority")`, counting from 0."""


def find(name_or_path: str) -> Path:
    """The file itself, or the shipped one of that name. Raises Unusable, naming those there are."""
    for path in (Path(name_or_path), SHIPPED / f"{name_or_path}.toml"):
        if path.is_file():
            return path
    shipped = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.toml")))
    raise Unusable(f"There is no alliance file {name_or_path}: give the path of one, or one of these names: {shipped}.")


def read(path: Path) -> AllianceFile:
    """The file's content, checked. Raises Unusable."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > MAX_BYTES:
        raise Unusable(f"{path} is over {MAX_BYTES // 1024} KiB: that is no alliance file.")
    try:
        return parse(content.decode(), str(path))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Unusable(f"{path}, line {line}: this is not UTF-8.") from None


def parse(text: str, name: str) -> AllianceFile:
    """Raises Unusable; `name` is what its sentence calls the file."""
    try:
        file = AllianceFile.model_validate(tomllib.loads(text))
    except RecursionError:
        raise Unusable(f"{name}: this is nested too deeply for an alliance file.") from None
    except tomllib.TOMLDecodeError as error:
        where = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error), re.DOTALL)
        if where is None:
            raise Unusable(f"{name}: this is not TOML: {error}.") from None
        raise Unusable(f"{name}, line {where[2]}, column {where[3]}: this is not TOML: {where[1]}.") from None
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        message = _SAID.get(fault["type"], fault["msg"].removeprefix("Value error, "))
        raise Unusable(_sentence(text, name, fault["loc"], message)) from None
    for place, message in _inconsistencies(file):
        raise Unusable(_sentence(text, name, place, message))
    return file


def _inconsistencies(file: AllianceFile) -> Iterator[tuple[_Place, str]]:
    """What each entry alone cannot show."""
    for table in get_args(_Table):
        yield from _repeated(file, table, "id")
    yield from _repeated(file, "crime_references", "force")
    yield from _repeated(file, "lines", "trunk")
    yield from _repeated(file, "lines", "dialled_number")
    yield from _repeated(file, "queues", "uri")
    yield from _repeated(file, "forces", "agency")

    forces = {force.id for force in file.forces}
    queues = {queue.id: queue for queue in file.queues}
    default = queues.get(file.alliance.default_queue)
    if default is None:
        yield ("alliance", "default_queue"), f"there is no queue {file.alliance.default_queue} in this file"
    elif default.line is not None or default.channels or default.force is not None:
        place = ("queues", file.queues.index(default), "id")
        yield place, "the default queue is the alliance's own and takes everything: it has no force, line or channels"
    for number, force in enumerate(file.forces):
        if force.agency == file.alliance.domain:
            yield ("forces", number, "agency"), f"{force.agency} is the alliance's own domain"
        if force.signed_policies and file.alliance.policy_authorities is None:
            place = ("forces", number, "signed_policies")
            yield place, "nobody could verify them: the alliance names no policy_authorities"
    for number, queue in enumerate(file.queues):
        if queue.force is not None and queue.force not in forces:
            yield ("queues", number, "force"), f"{queue.force} is none of this file's forces"
    for number, line in enumerate(file.lines):
        if line.force not in forces:
            yield ("lines", number, "force"), f"{line.force} is none of this file's forces"
        if line.trunk is None and line.dialled_number is None:
            yield ("lines", number, "id"), "a line has a trunk, a dialled_number, or both"
    yield from manner_entries.inconsistencies(
        *(file.hours, file.holidays, file.greetings, file.crime_references),
        known={"force": forces, "queue": queues, "line": {line.id for line in file.lines}},
        shipped=CALENDARS,
    )
    yield from agreement_entries.inconsistencies(file.agreements, forces)


def _repeated(file: AllianceFile, table: str, key: str) -> Iterator[tuple[_Place, str]]:
    seen = set()
    for number, entry in enumerate(getattr(file, table)):
        value = getattr(entry, key)
        if value in seen:
            yield (table, number, key), f"{value} is here twice"
        if value is not None:
            seen.add(value)


def _sentence(text: str, name: str, place: _Place, message: str) -> str:
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    line = _line_of(text, place)
    where = name if line is None else f"{name}, line {line}"
    return f"{where}: {key}: {message}."


def _line_of(text: str, place: _Place) -> int | None:
    """The line of the key, or of the table it is missing from; None where the file is not written in plain tables."""
    table, *path = place
    lines = text.splitlines()
    begins, ends = 0, len(lines)
    if path and isinstance(path[0], int):
        begins, ends = _table(lines, str(table), path.pop(0), begins, ends)
        if begins and len(path) > 1 and isinstance(path[0], str) and isinstance(path[1], int):
            inner, inner_ends = _table(lines, f"{table}.{path[0]}", path[1], begins, ends)
            if inner:
                begins, ends, path = inner, inner_ends, path[2:]
    else:
        name = re.escape(str(table))
        begins = _first(lines, rf"\s*\[+\s*{name}\s*\]" if path else rf'\s*("?{name}"?\s*=|\[+\s*{name}\s*\])', 0, ends)
    if not begins:
        return None
    key = next((part for part in path if isinstance(part, str)), None)
    if key is None:
        return begins
    until = _first(lines, r"\s*\[\s*\[?\s*[A-Za-z_.\"-]+\s*\]", begins, ends) or ends + 1
    return _first(lines, rf'\s*"?{re.escape(key)}"?\s*=', begins, until - 1) or begins


def _table(lines: list[str], name: str, number: object, begins: int, ends: int) -> tuple[int, int]:
    """The line of the header of the table of that name and number, counted after `begins`, and its last line; 0: there
    is none."""
    header = rf"\s*\[\[\s*{re.escape(name)}\s*\]\]"
    at = begins
    for _ in range(int(str(number)) + 1):
        at = _first(lines, header, at, ends)
        if not at:
            return 0, ends
    return at, (_first(lines, header, at, ends) or ends + 1) - 1


def _first(lines: list[str], pattern: str, after: int, until: int) -> int:
    """The first line that matches after one and up to another, counted from 1; 0: none does."""
    return next((n for n in range(after + 1, until + 1) if re.match(pattern, lines[n - 1])), 0)
