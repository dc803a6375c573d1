"""The log's tables and the service's own, as their `schema.sql` files have them."""

from libs.service.migrate import begin

revision = "0001"
down_revision = None


def upgrade() -> None:
    begin("directory", scoped=False)
