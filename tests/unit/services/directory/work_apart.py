"""Work that is done in a process apart, well and badly."""

import os
import signal
import time

import msgspec

from services.directory.alliance_file import Unusable


class Done(msgspec.Struct, frozen=True):
    number: int
    pieces: tuple[bytes, ...]


def well(number: int) -> Done:
    return Done(number, (b"\x00\xff",))


def refuse(text: str) -> Done:
    raise Unusable(text)


def hang() -> Done:
    while True:
        time.sleep(0.01)


def burn() -> Done:
    while True:
        pass


def swell() -> Done:
    held = []
    while True:
        held.append(bytearray(64 * 2**20))


def crash() -> Done:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError("unreachable")


def fail() -> Done:
    raise KeyError("ours")


def lie() -> bytes:
    return msgspec.msgpack.encode({"number": "not a number"})
