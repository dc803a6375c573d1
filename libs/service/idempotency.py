"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) as every operation reads it.

What a key belongs to, and how long it is kept, is each operation's own.
"""

from __future__ import annotations

import re

from libs.service.problem import BadRequest, Fault

HEADER = "Idempotency-Key"
MAX_LENGTH = 255

_PRINTABLE = re.compile(r"[ -~]{1,255}")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_ESCAPE = re.compile(r'\\(["\\])')


def read_key(header: str) -> str:
    """The key that the header holds: a quoted string as the draft has it (RFC 9651, section 3.3.3), or a bare one.

    Raises BadRequest.
    """
    text = header.strip()
    quoted = _QUOTED.fullmatch(text)
    key = _ESCAPE.sub(r"\1", quoted[1]) if quoted else text
    if not _PRINTABLE.fullmatch(key) or (not quoted and text.startswith('"')):
        raise BadRequest(
            f"{HEADER} is not a key.",
            faults=[Fault(f"1 to {MAX_LENGTH} printable ASCII characters, best a UUID.", parameter=HEADER)],
        )
    return key
