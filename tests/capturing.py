"""What a service logs, as it would stand on its stdout."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from libs.service import logs


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
        structlog.reset_defaults()
        logging.captureWarnings(False)
        root.handlers, root.level = before
