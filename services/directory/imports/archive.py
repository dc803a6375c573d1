"""A zip file from outside: only looked into, never unpacked to disk, and never further than its limits.

Invariant: what an entry says of its own size is not believed; reading stops at the limit.
"""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib

from services.directory.alliance_file import Unusable

MAX_ENTRIES = 5_000
MAX_UNPACKED = 512 * 1024 * 1024
"""Of all entries together, bytes."""
MAX_RATIO = 200
"""How many times its packed size an entry may have. Coordinates seldom shrink to less than a tenth."""
_SMALL = 64 * 1024
"""Below this the ratio says nothing."""
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    ValueError,
    LookupError,
    OverflowError,
    RuntimeError,
    EOFError,
    OSError,
)
"""What zipfile raises at bytes that are none."""


class Archive:
    """The zip file in these bytes. Every method raises Unusable."""

    def __init__(self, content: bytes) -> None:
        self._left = MAX_UNPACKED
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except _UNREADABLE as error:
            raise Unusable(f"This is no zip file that can be read: {_said(error)}.") from None
        entries = [entry for entry in self._zip.infolist() if not entry.filename.endswith("/")]
        if len(entries) > MAX_ENTRIES:
            raise Unusable(f"The zip file has over {MAX_ENTRIES} entries.")
        self._entries = {entry.filename: entry for entry in entries if not entry.filename.startswith("__MACOSX/")}

    def ending(self, ending: str) -> list[str]:
        """The names of the entries that end so, whatever their case, sorted."""
        return sorted(name for name in self._entries if name.lower().endswith(ending))

    def read(self, name: str) -> bytes:
        """The entry, unpacked."""
        entry = self._entries[name]
        most = min(self._left, max(_SMALL, entry.compress_size * MAX_RATIO))
        try:
            with self._zip.open(entry) as file:
                content = file.read(most + 1)
        except _UNREADABLE as error:
            raise Unusable(f"{shown(name)} in the zip file cannot be unpacked: {_said(error)}.") from None
        if len(content) > most:
            raise Unusable(
                f"{shown(name)} in the zip file unpacks to too much: at most {MAX_UNPACKED // 2**20} MiB in all, and "
                f"{MAX_RATIO} times its packed size."
            )
        self._left -= len(content)
        return content


def shown(name: str) -> str:
    """An entry's name, fit to be shown."""
    return repr(name[-100:])


def _said(error: Exception) -> str:
    """Not all of it: it may repeat what was sent."""
    return str(error)[:100].rstrip(".")
