"""A contact's short reference: eight characters in two groups that a person can read out and another can write down.

Invariants
  * No character looks like another: none of 0 O Q, 1 I L, 2 Z, 5 S, 6 G, 8 B, U V; and there is no vowel, so no word.
  * The last character is a check over the other seven, modulo the prime 23: a wrong character anywhere, or two
    exchanged, is always noticed.
  * Unique within one intake's database by the claim `reference/<reference>`, which the contact's first append takes.

There are 3.4 thousand million: a country's contacts of a year use half a per cent of them, and when one that is drawn
is taken, another is drawn.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

ALPHABET = "23456789CDFHJKMNPRTVWXY"
BASE = len(ALPHABET)
DIGITS = 7
_VALUE = {character: value for value, character in enumerate(ALPHABET)}
_PAIRS = [(ALPHABET[a] + ALPHABET[b], a + b, 2 * a + 3 * b) for b in range(BASE) for a in range(BASE)]
"""Two digits' characters, their sum, and their part of the check if they are the first two: each pair after them weighs
two more a digit (`_check`). By pairs a reference is drawn in a third of the time."""
_MISREAD = str.maketrans({"Z": "2", "S": "5", "G": "6", "B": "8", "U": "V", " ": None, "-": None})


def draw() -> str:
    """A reference by chance, as `7KD4-WX2M`: nobody can guess the next one."""
    return of(next(_chances) % BASE**DIGITS)


def _numbers() -> Iterator[int]:
    """Secret numbers of 64 bits, each given once; taken from the system by the page, which costs a call of it. Of the
    thousand millions below them each remainder is as likely as any other, to one in five thousand million."""
    while True:
        yield from struct.unpack("512Q", os.urandom(4096))


_chances = _numbers()


def of(number: int) -> str:
    """The reference of a number below 23⁷."""
    rest, first = divmod(number, BASE**2)
    rest, second = divmod(rest, BASE**2)
    last, third = divmod(rest, BASE**2)
    one, _, check_1 = _PAIRS[first]
    two, sum_2, check_2 = _PAIRS[second]
    three, sum_3, check_3 = _PAIRS[third]
    check = (check_1 + check_2 + 2 * sum_2 + check_3 + 4 * sum_3 + 8 * last) % BASE
    return f"{one}{two}-{three}{ALPHABET[last]}{ALPHABET[check]}"


def read(text: str) -> str | None:
    """A reference as somebody wrote it down (small letters, no hyphen, S for 5), or None where it cannot be one."""
    characters = text.upper().translate(_MISREAD)
    if len(characters) != DIGITS + 1 or any(character not in _VALUE for character in characters):
        return None
    *values, check = (_VALUE[character] for character in characters)
    return f"{characters[:4]}-{characters[4:]}" if check == _check(values) else None


def claim_key(reference: str) -> str:
    return f"reference/{reference}"


def _check(values: list[int]) -> int:
    """Weights differ from each other and from the check's own, so that no exchange of two goes unnoticed."""
    return sum(weight * value for weight, value in enumerate(values, 2)) % BASE
