"""Logs: one line of JSON each, from everybody, that gives nothing away."""

import io
import json
import logging
from typing import Any
from uuid import UUID

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.service import logs


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_says_when_who_and_how_grave(logged: io.StringIO) -> None:
    structlog.get_logger("a").warning("it happened", count=3, id=UUID(int=1))
    (line,) = lines(logged)
    assert line["time"].endswith("Z")
    assert (line["level"], line["service"], line["event"]) == ("warning", "things", "it happened")
    assert (line["count"], line["id"]) == (3, "00000000-0000-0000-0000-000000000001")


def test_below_the_level_nothing_is_written(logged: io.StringIO) -> None:
    structlog.get_logger("a").debug("whisper")
    logging.getLogger("b").debug("whisper")
    assert logged.getvalue() == ""


def test_the_standard_library_speaks_the_same_way(logged: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info("Started %s", "server")
    logging.getLogger("py.warnings").warning("old")
    started, old = lines(logged)
    assert (started["event"], started["logger"], started["level"]) == ("Started server", "uvicorn.error", "info")
    assert old["logger"] == "py.warnings"


def test_uvicorn_s_access_log_is_silent(logged: io.StringIO) -> None:
    logging.getLogger("uvicorn.access").info('"GET /?number=07700900123"')
    logging.getLogger("httpx").info("GET https://issuer.example/?secret")
    assert logged.getvalue() == ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text(), st.text())
def test_no_text_makes_a_second_line_or_leaves_ascii(logged: io.StringIO, event: str, name: str, value: str) -> None:
    logged.truncate(logged.seek(0))
    structlog.get_logger("a").info(event, **{name or "x": value})
    logging.getLogger("b").info("%s", value)
    text = logged.getvalue()
    assert text.isascii()
    assert text.count("\n") == 2
    assert all(character.isprintable() or character == "\n" for character in text.replace("\x7f", ""))


@pytest.mark.parametrize("name", ["authorization", "Token", "password", "cookie", "body", "query", "personal"])
def test_secret_fields_are_never_written(logged: io.StringIO, name: str) -> None:
    structlog.get_logger("a").info("x", **{name: "07700900123"})
    assert "07700900123" not in logged.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "refused eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJoYW5kbGVyIn0.c2lnbmF0dXJlLXBhcnQ here",
        "cannot connect to postgresql://intake:signature-part@db.example/intake",
        "amqp://user:c2lnbmF0dXJlLXBhcnQ@host",
    ],
)
def test_tokens_and_passwords_in_a_text_are_blotted_out(logged: io.StringIO, text: str) -> None:
    structlog.get_logger("a").info(text)
    logging.getLogger("b").info(text)
    assert "c2lnbmF0dXJl" not in logged.getvalue()
    assert "signature-part" not in logged.getvalue()
    assert logged.getvalue().count("***") == 2


def test_what_has_no_form_in_json_is_named_by_its_type_alone(logged: io.StringIO) -> None:
    class Person:
        def __repr__(self) -> str:
            return "Mrs Secret"

    structlog.get_logger("a").info("x", who=Person(), among={"b", "a"}, raw=b"Mrs Secret")
    (line,) = lines(logged)
    assert (line["who"], line["among"], line["raw"]) == (
        "<test_what_has_no_form_in_json_is_named_by_its_type_alone.<locals>.Person>",
        ["a", "b"],
        "<bytes>",
    )


def test_an_exception_is_its_type_and_place_and_not_its_message(logged: io.StringIO) -> None:
    def inner() -> None:
        number = "07700900123"
        raise ValueError(f"bad number {number}")

    try:
        try:
            inner()
        except ValueError as error:
            raise LookupError("no Mrs Secret") from error
    except LookupError:
        structlog.get_logger("a").exception("failed")
        logging.getLogger("b").exception("failed")
    assert "07700900123" not in logged.getvalue()
    assert "Mrs Secret" not in logged.getvalue()
    for line in lines(logged):
        assert [entry["type"] for entry in line["exception"]] == ["builtins.LookupError", "builtins.ValueError"]
        assert line["exception"][1]["frames"][-1].endswith(" inner")


def test_an_exception_about_the_machine_may_speak(logged: io.StringIO) -> None:
    try:
        raise ConnectionRefusedError(111, "Connection refused")
    except OSError:
        structlog.get_logger("a").exception("failed")
    assert lines(logged)[0]["exception"][0]["message"] == "[Errno 111] Connection refused"


def test_asyncio_s_reports_end_before_they_show_what_was_raised(logged: io.StringIO) -> None:
    logging.getLogger("asyncio").error(
        "Task exception was never retrieved\nfuture: <Task exception=ValueError('Secret')>"
    )
    assert lines(logged)[0]["event"] == "Task exception was never retrieved"


def test_a_record_that_cannot_be_formatted_does_not_fail_who_logs(logged: io.StringIO) -> None:
    (ours,) = (handler for handler in logging.getLogger().handlers if isinstance(handler, logs._FromStdlib))
    ours.handle(logging.LogRecord("b", logging.INFO, __file__, 1, "%d", ("not a number",), None))
    assert lines(logged)[0]["event"] == "a log record could not be written"


def test_a_reader_that_has_gone_away_does_not_fail_who_logs(logged: io.StringIO) -> None:
    logged.close()
    structlog.get_logger("a").info("into the void")
