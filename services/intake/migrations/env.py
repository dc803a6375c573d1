"""Alembic's entry: everything is in `libs.service.migrate`."""

from libs.service.migrate import run_environment

run_environment()
