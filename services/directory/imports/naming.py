"""Whose area a feature is: by the code ONS gave the force, else by its name, else by its id at data.police.uk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from services.directory.forces import KnownForce

_CODE = re.compile(r"pfa[0-9]{0,4}cd|ons_?code|code", re.IGNORECASE)
_NAME = re.compile(r"pfa[0-9]{0,4}nmw?|name|force|force_?name|id|slug|force_?id|file|folder[0-9]{0,2}", re.IGNORECASE)
_POLICE = ("police", "constabulary", "service", "force")


class Names:
    """What the known forces are called."""

    def __init__(self, known: Iterable[KnownForce]) -> None:
        self._codes: dict[str, str] = {}
        self._names: dict[str, str] = {}
        for force in known:
            self._codes[force.ons_code.upper()] = force.id
            for name in (force.id, force.name):
                self._names[_plain(name)] = force.id

    def force_of(self, properties: Mapping[str, str]) -> str | None:
        """The force that these properties name; None where they name none."""
        for pattern, known, plain in ((_CODE, self._codes, str.upper), (_NAME, self._names, _plain)):
            for key, value in properties.items():
                if pattern.fullmatch(key):
                    found = known.get(plain(value))
                    if found is not None:
                        return found
        return None


def _plain(name: str) -> str:
    """The name without what is written one way here and another there: case, punctuation, `&`, the order of
    "London, City of", and the word for what all of them are."""
    before, comma, after = name.partition(", ")
    turned = f"{after} {before}" if comma else name
    words = re.findall(r"[a-z0-9]+", turned.lower().replace("&", " and "))
    while words and words[-1] in _POLICE:
        words.pop()
    return " ".join(words)


def called(properties: Mapping[str, str]) -> str:
    """What to call a feature that is no known force's: its code or name as it stands there."""
    for pattern in (_CODE, _NAME):
        for key, value in properties.items():
            if pattern.fullmatch(key):
                return value
    return "(without a code or name)"
