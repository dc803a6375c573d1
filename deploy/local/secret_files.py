"""Secrets of a local run: made once, kept in files that only their owner can read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_urlsafe


def secret(folder: Path, name: str) -> str:
    """The secret of that name, made at the first call."""
    return password_file(folder, name).read_text()


def password_file(folder: Path, name: str) -> Path:
    """The file of the secret of that name, made at the first call."""
    return secret_file(folder, name, lambda: token_urlsafe(24))


def secret_file(folder: Path, name: str, make: Callable[[], str]) -> Path:
    """The file that holds a secret; it is made at the first call."""
    path = folder / name
    return path if path.exists() else keep_secret(folder, name, make())


def keep_secret(folder: Path, name: str, content: str) -> Path:
    """Write a secret whole or not at all: mode 0600, in a folder of mode 0700."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f".{name}.{os.getpid()}"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123
        file.write(content)
    return draft.replace(folder / name)
