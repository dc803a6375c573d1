"""What a member of a policy may be: times, names and addresses, as the standard writes them.

NENA-STA-010.3, section 2.3 (timestamps: a numeric offset from UTC, never `Z`), section 3.3.3.1.1 (times of a day: RFC
3339's partial-time, 24:00:00 for the day's end), section 3.3.1 (a policyOwner is, or contains, a domain name). The text
of the standard is not public; where it is quoted here, it is by NENA's own schemas (github.com/NENA911/Policy-Store,
i3-Common) and by the public conformance tests of NG911 (tamu-edu/ng911-dev), which name its clauses.

A check says in a few words what would be right; None where the value is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

Check: TypeAlias = Callable[[Any], "str | None"]

MAX_TEXT = 4_000
MAX_LOCATION = 100_000
"""A PIDF-LO document."""
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
"""As `datetime.weekday()` counts them."""
DAY_S = 24 * 60 * 60

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})+"
_DOMAIN_NAME = re.compile(_DOMAIN)
_USER = r"[A-Za-z0-9_!~*'()&=+$,;?/%-](?:[A-Za-z0-9_.!~*'()&=+$,;?/%-]*[A-Za-z0-9_!~*'()&=+$,;?/%-])?"
_ADDRESS = re.compile(rf"({_USER})@({_DOMAIN})")
_OF_SCHEME = re.compile(rf"(?:sips?:(?:{_USER}@)?|https?://)({_DOMAIN})(?::[0-9]{{1,5}})?(?:[/;?#]\S*)?")
_SIP = re.compile(
    rf"sips?:{_USER}@(?:{_DOMAIN}|{_LABEL}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::([0-9]{{1,5}}))?(?:;[^\s<>@\"]*)?"
)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:[^\s<>\"{}|\\^`\x00-\x1f\x7f]+")
_URN = re.compile(r"urn:[a-z0-9][a-z0-9-]{0,31}:[A-Za-z0-9._:-]+")
_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?([+-])([0-9]{2}):([0-9]{2})"
)
_PARTIAL_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{1,9})?")


def text(value: Any) -> str | None:
    if isinstance(value, str) and len(value) <= MAX_TEXT:
        return None
    return f"must be text of at most {MAX_TEXT} characters"


def some_text(value: Any) -> str | None:
    return text(value) if value != "" else "must not be empty"


def boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def integer(least: int, most: int) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return None
        return f"must be an integer from {least} to {most}"

    return check


def one_of(*values: str) -> Check:
    def check(value: Any) -> str | None:
        return None if isinstance(value, str) and value in values else f"must be one of {', '.join(values)}"

    return check


def texts(value: Any) -> str | None:
    if isinstance(value, list) and 1 <= len(value) <= 100 and all(some_text(one) is None for one in value):
        return None
    return "must be a list of 1 to 100 texts"


def uri(value: Any) -> str | None:
    if isinstance(value, str) and len(value) <= MAX_TEXT and _URI.fullmatch(value):
        return None
    return "must be a URI"


def urn(value: Any) -> str | None:
    if isinstance(value, str) and len(value) <= 200 and _URN.fullmatch(value):
        return None
    return "must be a service URN, as urn:service:sos"


def sip_uri(value: Any) -> str | None:
    """A queue's name (section 4.2.1.2: a queue is named by a URI that leads to it)."""
    if isinstance(value, str) and len(value) <= 300 and (found := _SIP.fullmatch(value)):
        port = found[1]
        if port is None or 0 < int(port) <= 65535:
            return None
    return "must be a SIP URI with a user and a host, as sip:queue@example.org"


def location(value: Any) -> str | None:
    """Section 3.3.3.1.5; NENA's schema has one object, others write a list of them: any one of which will do."""
    places = value if isinstance(value, list) else [value]
    if not 1 <= len(places) <= 20:
        return "must be a location, or a list of up to 20"
    for place in places:
        if not isinstance(place, dict) or place.keys() - {"lo", "profile", "label", "lang", "extension"}:
            return "must be an object of lo, profile, label and lang"
        if not isinstance(place.get("lo"), str) or not 1 <= len(place["lo"]) <= MAX_LOCATION:
            return "must hold a PIDF-LO document in lo"
        if place.get("profile") not in ("civic", "geodetic"):
            return "must have civic or geodetic for its profile"
        if any(text(place.get(name, "")) is not None for name in ("label", "lang")):
            return "must have text for label and lang"
    return None


def preference(value: Any) -> str | None:
    if isinstance(value, dict) and value.keys() == {"langList", "langTest"}:
        named, test = value["langList"], value["langTest"]
        if some_text(test) is None and (some_text(named) is None or texts(named) is None):
            return None
    return "must be an object of langList and langTest"


def weekdays(value: Any) -> str | None:
    """Section 3.3.3.1.1.1: names of two letters, in either case, with commas, after which there may be space."""
    if isinstance(value, str) and len(value) <= 100 and days_of(value) is not None:
        return None
    return f"must be days with commas between, of {', '.join(DAYS)}"


def days_of(value: str) -> frozenset[str] | None:
    names = [name.strip().upper() for name in value.split(",")]
    return frozenset(names) if all(name in DAYS for name in names) else None


def timestamp(value: Any) -> str | None:
    if isinstance(value, str) and time_of(value) is not None:
        return None
    return "must be a time with its offset from UTC, as 2026-03-29T01:00:00+00:00, that there is"


def time_of(value: str) -> datetime | None:
    """The moment a timestamp names; None for what is none, or is at an offset that no place has."""
    found = _TIMESTAMP.fullmatch(value)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    ahead = timedelta(hours=int(found[9]), minutes=int(found[10]))
    offset = ahead if found[8] == "+" else -ahead
    real = timedelta(hours=-12) <= offset <= timedelta(hours=14) and int(found[10]) in (0, 30, 45)
    if not real or (found[8] == "-" and not offset) or not 1970 <= year <= 9998:
        return None
    try:
        return datetime(
            year, month, day, hour, minute, second, int((found[7] or "0").ljust(6, "0")[:6]), timezone(offset)
        )
    except ValueError:
        return None


def partial_time(value: Any) -> str | None:
    if isinstance(value, str) and second_of_day(value) is not None:
        return None
    return "must be a time of day, from 00:00:00 to 24:00:00"


def second_of_day(value: str) -> int | None:
    found = _PARTIAL_TIME.fullmatch(value)
    if found is None:
        return None
    hour, minute, second = int(found[1]), int(found[2]), int(found[3])
    if hour > 24 or minute > 59 or second > 59 or (hour == 24 and (minute or second)):
        return None
    return hour * 3600 + minute * 60 + second


def domain_of(owner: str) -> str | None:
    """The domain name that a policyOwner is or contains, in lower case; None where there is none.

    A domain name, one with a user before it, or a SIP or HTTP URI: `beds.example`, `desk@beds.example`,
    `sip:desk@beds.example`.
    """
    if len(owner) > 300:
        return None
    if _DOMAIN_NAME.fullmatch(owner):
        found = owner
    elif match := _ADDRESS.fullmatch(owner):
        found = match[2]
    elif match := _OF_SCHEME.fullmatch(owner):
        found = match[1]
    else:
        return None
    return found.lower() if len(found) <= 253 else None
