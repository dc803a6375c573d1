"""What is kept for everybody: one tag for the same bytes, and the form that a client takes."""

from __future__ import annotations

import gzip

import brotli
import pytest
from starlette.requests import Request

from services.directory.kept import answer, keep

CONTENT = b"the same for everybody. " * 200


def asked(**headers: str) -> Request:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": given})


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("BR", "br"),
        ("", None),
        ("identity", None),
        ("br; q=0.0, gzip; q=0", None),
    ],
)
def test_it_is_packed_as_the_client_takes_it(accepted: str, coding: str | None) -> None:
    given = answer(asked(accept_encoding=accepted), keep(CONTENT, "text/plain"), cache_control="no-cache")
    assert given.headers.get("content-encoding") == coding
    unpack = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}[coding]
    assert unpack(bytes(given.body)) == CONTENT


def test_who_has_it_is_told_so_and_nobody_else() -> None:
    kept = keep(CONTENT, "text/plain")
    bare = kept.etag.removeprefix("W/")
    for known in (kept.etag, bare, f'"other", {kept.etag}', "*"):
        given = answer(asked(if_none_match=known), kept, cache_control="no-cache")
        assert (given.status_code, bytes(given.body), given.headers["etag"]) == (304, b"", kept.etag)
    for other in ("", '"other"', bare.strip('"')):
        assert answer(asked(if_none_match=other), kept, cache_control="no-cache").status_code == 200


def test_the_same_bytes_have_one_tag_and_others_another() -> None:
    assert keep(CONTENT, "text/plain").etag == keep(CONTENT, "text/plain").etag
    assert keep(CONTENT, "text/plain").etag != keep(CONTENT + b".", "text/plain").etag


def test_what_is_small_is_not_packed() -> None:
    assert set(keep(b"small", "text/plain").forms) == {"identity"}
