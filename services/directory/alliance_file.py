"""An alliance as people write it down: a TOML file, read and checked whole before anything is made of it.

Whatever is wrong is one sentence that names the file, the line and the key. Pure but for `find`, which looks for files.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from libs.events.types.contacts import Channel, Line
from libs.policy import authorities

SHIPPED = Path(__file__).parents[2] / "deploy" / "alliances"
MAX_BYTES = 1024 * 1024


def _like(pattern: str, what: str) -> AfterValidator:
    """Text of this form, and what to call it to people."""

    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError(f"this must be {what}")
        return value

    return AfterValidator(check)


Id = Annotated[
    str,
    _like(r"(?=.{1,64}$)[a-z0-9]+(-[a-z0-9]+)*", "lower-case letters, digits and hyphens, at most 64 (as north-999)"),
]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Unusable(Exception):
    """The file cannot be loaded. Its message is one sentence for whoever wrote the file."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _authorities(value: str) -> str:
    try:
        authorities(value)
    except ValueError:
        raise ValueError("this must be certificates of authorities (PEM)") from None
    return value


Domain = Annotated[str, _like(r"(?=.{1,253}$)[a-z0-9-]+(\.[a-z0-9-]+)*", "a domain name (as queues.example.org)")]


class TheAlliance(_Entry):
    id: Id
    name: Name
    default_queue: Id
    domain: Domain
    """Of its queues' URIs, where a queue names none of its own; and the alliance's own name as an agency."""
    policy_authorities: Annotated[str, AfterValidator(_authorities)] | None = None
    """Who vouches for whoever signs policies."""


class Force(_Entry):
    id: Id
    name: Name
    pnc_code: Annotated[str, _like(r"[0-9]{2}", "two digits in quotes")] | None = None
    ons_code: Annotated[str, _like(r"[EWSN][0-9]{8}", "an ONS code (as E23000026)")] | None = None
    agency: Domain | None = None
    """The owner of its policies; `<id>.<the alliance's domain>` where it names none."""
    signed_policies: bool = False


class Site(_Entry):
    id: Id
    name: Name


class Queue(_Entry):
    id: Id
    name: Name
    uri: Annotated[str, _like(r"(?=.{1,300}$)sips?:[^\s@]+@[^\s@]+", "a SIP URI")] | None = None
    force: Id | None = None
    line: Line | None = None
    channels: tuple[Channel, ...] = ()
    emergency: bool = False
    priority: int = Field(default=5, ge=1, le=10)
    max_length: int = Field(default=10_000, ge=1, le=1_000_000)


class TheLine(_Entry):
    id: Id
    line: Line
    force: Id
    trunk: Annotated[str, _like(r"[\x21-\x7e]{1,64}", "1 to 64 letters, digits and signs without spaces")] | None = None
    dialled_number: Annotated[str, _like(r"\+[1-9][0-9]{6,14}", "an E.164 number (as +441632960001)")] | None = None


class AllianceFile(_Entry):
    alliance: TheAlliance
    forces: tuple[Force, ...] = Field(min_length=1, max_length=100)
    sites: tuple[Site, ...] = Field(default=(), max_length=100)
    queues: tuple[Queue, ...] = Field(min_length=1, max_length=2_000)
    lines: tuple[TheLine, ...] = Field(default=(), max_length=10_000)


_Table = Literal["forces", "sites", "queues", "lines"]
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
    tables: tuple[_Table, ...] = ("forces", "sites", "queues", "lines")
    for table in tables:
        yield from _repeated(file, table, "id")
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


def _repeated(file: AllianceFile, table: _Table, key: str) -> Iterator[tuple[_Place, str]]:
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
    name = re.escape(str(table))
    if not path:
        header, skip = rf'\s*("?{name}"?\s*=|\[+\s*{name}\s*\])', 0
    elif isinstance(path[0], int):
        header, skip = rf"\s*\[\[\s*{name}\s*\]\]", path[0]
    else:
        header, skip = rf"\s*\[\s*{name}\s*\]", 0
    key = next((part for part in path if isinstance(part, str)), None)
    found: int | None = None
    for at, line in enumerate(text.splitlines(), 1):
        if found is None:
            if re.match(header, line):
                found, skip = (at, 0) if skip == 0 else (None, skip - 1)
        elif re.match(r"\s*\[", line):
            break
        elif key is not None and re.match(rf'\s*"?{re.escape(key)}"?\s*=', line):
            return at
    return found
