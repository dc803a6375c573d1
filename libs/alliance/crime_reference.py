"""How a force writes its crime references: a pattern with the year and the sequence, written and read back. Pure.

Invariant: of one pattern no two crimes have the same reference (with `{yy}`: within a hundred years), and what was
written is read back as what it was made of.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_LENGTH = 40
"""Of a pattern: a person says what comes of it on the phone."""
MAX_WIDTH = 12
_PLACE = re.compile(r"\{([^{}]*)\}")
_TEXT = re.compile(r"[A-Z0-9/.* -]*")
_SEQUENCE = re.compile(r"sequence(?::([0-9]{1,2}))?")


class Written(NamedTuple):
    """What a reference says."""

    year: int | None
    """None: the pattern has none."""
    sequence: int


class Pattern:
    """A force's, checked. Raises ValueError with what is wrong, for whoever wrote it."""

    def __init__(self, text: str, *, yearly: bool = True):
        if not 1 <= len(text) <= MAX_LENGTH:
            raise ValueError(f"this must have 1 to {MAX_LENGTH} characters")
        self.text = text
        self._parts: list[tuple[str, int]] = []
        """`text`, `year`, `yy` or `sequence`, with the width of a sequence."""
        expression, at = "", 0
        for place in _PLACE.finditer(text):
            expression += self._literal(text[at : place.start()]) + self._place(place[1])
            at = place.end()
        expression += self._literal(text[at:])
        kinds = [kind for kind, _ in self._parts]
        if kinds.count("sequence") != 1:
            raise ValueError("this must have {sequence} once: {sequence:6} writes at least six digits")
        if kinds.count("year") + kinds.count("yy") > 1:
            raise ValueError("this has the year twice")
        if yearly and not {"year", "yy"} & set(kinds):
            raise ValueError("this must have {year} or {yy}, for the sequence begins again with each year")
        self._expression = re.compile(expression)

    def _literal(self, text: str) -> str:
        if _TEXT.fullmatch(text) is None:
            raise ValueError("beside its places in braces this may hold capitals, digits, spaces, and / . * - alone")
        self._parts.append((text, -1))
        return re.escape(text)

    def _place(self, name: str) -> str:
        if name in ("year", "yy"):
            self._parts.append((name, 0))
            return r"(?P<year>[0-9]{4})" if name == "year" else r"(?P<yy>[0-9]{2})"
        if (sequence := _SEQUENCE.fullmatch(name)) is None:
            raise ValueError("there are the places {year}, {yy}, {sequence} and {sequence:6}")
        width = int(sequence[1] or 1)
        if not 1 <= width <= MAX_WIDTH:
            raise ValueError(f"a sequence has 1 to {MAX_WIDTH} digits")
        self._parts.append(("sequence", width))
        return f"(?P<sequence>[0-9]{{{width},}})"

    def write(self, year: int, sequence: int) -> str:
        """The reference. `sequence` is 0 or more; one that outgrows its digits has more of them."""
        made = {"year": f"{year:04}", "yy": f"{year % 100:02}"}
        return "".join(
            kind if width < 0 else f"{sequence:0{width}}" if kind == "sequence" else made[kind]
            for kind, width in self._parts
        )

    def read(self, reference: str, this_year: int) -> Written | None:
        """What the reference was made of, as long as it is as this pattern writes it. Of two digits the year is the
        latest that is not after `this_year`."""
        found = self._expression.fullmatch(reference) if reference.isascii() and len(reference) <= 80 else None
        if found is None:
            return None
        parts = found.groupdict()
        year: int | None = None
        if (full := parts.get("year")) is not None:
            year = int(full)
        elif (short := parts.get("yy")) is not None:
            year = this_year - (this_year - int(short)) % 100
        sequence = int(parts["sequence"])
        return Written(year, sequence) if self.write(year or 0, sequence) == reference else None
