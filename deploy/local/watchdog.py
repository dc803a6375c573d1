"""Outlives the supervisor: when that is gone, however it went, stops all that it had started.

The supervisor holds the other end of our standard input and never writes to it; the kernel closes it when the
supervisor ends. After an orderly stop the registry is empty by then, and there is nothing to do.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from deploy.local.registry import sweep


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.buffer.read()
    sweep(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
