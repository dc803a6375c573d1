"""What is the same for everybody who asks: kept with its tag, and packed as browsers take it.

Invariant: a document of the same bytes has the same tag, in every copy of the service and after every start. The tag is
a weak one, since it stands for the packed forms too (RFC 9110, section 8.8.1).
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass

import brotli
from starlette.requests import Request
from starlette.responses import Response

PACKED_FROM = 1_024
"""Bytes under which packing saves nothing."""


@dataclass(frozen=True, eq=False)
class Kept:
    media_type: str
    etag: str
    forms: dict[str, bytes]
    """By content coding; `identity` is always there."""


def keep(content: bytes, media_type: str) -> Kept:
    """Packs it: a tenth of a second for half a megabyte."""
    forms = {"identity": content}
    if len(content) >= PACKED_FROM:
        forms = {"br": brotli.compress(content, quality=5), "gzip": gzip.compress(content, 6, mtime=0)} | forms
    return Kept(media_type, f'W/"{hashlib.sha256(content).hexdigest()[:32]}"', forms)


def answer(request: Request, kept: Kept, *, cache_control: str, headers: dict[str, str] | None = None) -> Response:
    """The document, or 304 where the client has it."""
    said = {"ETag": kept.etag, "Cache-Control": cache_control, "Vary": "Accept-Encoding", **(headers or {})}
    if _has_it(request.headers.get("if-none-match", ""), kept.etag):
        return Response(status_code=304, headers=said)
    coding = _coding(request.headers.get("accept-encoding", ""), kept)
    if coding != "identity":
        said["Content-Encoding"] = coding
    return Response(kept.forms[coding], headers=said, media_type=kept.media_type)


def _has_it(if_none_match: str, etag: str) -> bool:
    """By weak comparison (RFC 9110, section 13.1.2)."""
    given = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in given or etag.removeprefix("W/") in given


def _coding(accept_encoding: str, kept: Kept) -> str:
    """The best form that the client names without refusing it (`q=0`)."""
    accepted = set()
    for item in accept_encoding.lower().split(","):
        coding, _, weight = item.replace(" ", "").partition(";")
        if weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            accepted.add(coding)
    return next((coding for coding in kept.forms if coding in accepted), "identity")
