"""Intake whose reads leave no trace: `python -m tests.bench.peers.untraced`, with intake's settings.

The same application, guards, scopes, answers and wire; only what is to be written down of a read is made and forgotten.
"""

from __future__ import annotations

from libs.service.run import serve
from libs.service.trace import Trace, Tracer
from services.intake import app


class Nowhere(Tracer):
    async def write(self, traces: list[Trace]) -> None:
        pass


if __name__ == "__main__":
    app.Tracer = Nowhere  # type: ignore[misc]
    settings = app.IntakeSettings.read()
    serve(app.make_app(settings), settings)
