"""Alembic's entry: the schema by `libs.service.migrate`, then the read models, which keep schemas of their own."""

from alembic import context
from sqlalchemy import Connection

from libs.events.log.projection import ensure
from libs.service.migrate import run_environment
from services.recording.projections import PROJECTIONS

run_environment()
connection: Connection = context.config.attributes["connection"]
role: str = context.config.attributes["role"]
for projection in PROJECTIONS:
    # Each in a transaction of its own. Cut off here, the next migration makes what is missing.
    connection.connection.dbapi_connection.run_async(  # type: ignore[union-attr]
        lambda owner, projection=projection: ensure(owner, projection, role=role)
    )
