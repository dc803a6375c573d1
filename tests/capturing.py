"""What a service logs, as it would stand on its stdout."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from libs.service import logs


def log_plainly() -> None:
    """What a test's own process logs: tracebacks as Python prints them. Drawn by rich, as structlog has them where
    nobody says otherwise, one takes seconds of processor time."""
    structlog.reset_defaults()
    *before, _ = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*before, plain])


@contextmanager
def logged(service_name: str = "things") -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers, root.level
    stream = io.StringIO()
    logs.configure(service_name, "INFO", stream=stream)
    structlog.configure(cache_logger_on_first_use=False)
    try:
        yield stream
    finally:
        log_plainly()
        logging.captureWarnings(False)
        root.handlers, root.level = before
