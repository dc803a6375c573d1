"""`make stop`: stop a local run from another terminal, and whatever a crashed one has left."""

from __future__ import annotations

import os
import signal
import time

from deploy.local import registry
from deploy.local.layout import Layout
from deploy.local.process import Trouble
from deploy.local.supervisor import holder

LIMIT_S = 90.0


def stop(layout: Layout) -> str:
    """Stop it; the sentence that says what was done. Raises Trouble when it does not stop."""
    running = holder(layout)
    if running is None:
        left = registry.sweep(layout.registry)
        return f"Stopped what a crash had left: {', '.join(left)}." if left else "Nothing is up."
    os.kill(running["pid"], signal.SIGTERM)
    deadline = time.monotonic() + LIMIT_S
    while holder(layout) is not None:
        if time.monotonic() > deadline:
            raise Trouble(f"It did not stop within {LIMIT_S:.0f} s: `kill -9 {running['pid']}` ends it and all it has.")
        time.sleep(0.1)
    return "Stopped; the data stays for the next run."


def main() -> None:
    try:
        print(stop(Layout.of_environment()))
    except Trouble as trouble:
        raise SystemExit(str(trouble)) from None


if __name__ == "__main__":
    main()
