from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from hypothesis import given
from hypothesis import strategies as st

from libs.service.access import allow
from libs.service.caller import Caller
from libs.service.problem import UnsupportedMedia
from services.intake.api import MessageBody
from services.intake.json_route import JsonRoute, read

JSON = b"application/json"


def test_a_body_is_read_strictly() -> None:
    body = read(MessageBody, b"Application/JSON; charset=utf-8", b'{"text": "hello", "emergency": true}')
    assert body == MessageBody(text="hello", emergency=True)


@pytest.mark.parametrize("content_type", [None, b"", b"text/plain", b"application/xml", b"application/jsonish"])
def test_what_is_not_said_to_be_json_is_refused(content_type: bytes | None) -> None:
    with pytest.raises(UnsupportedMedia):
        read(MessageBody, content_type, b'{"text": "hello"}')


def test_each_fault_names_its_place_and_keeps_what_was_sent_to_itself() -> None:
    with pytest.raises(RequestValidationError) as refusal:
        read(MessageBody, JSON, b'{"text": 7, "emergency": "planted"}')
    faults = refusal.value.errors()
    assert [fault["loc"] for fault in faults] == [("body", "text"), ("body", "emergency")]
    assert "planted" not in repr(faults)


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(body: bytes) -> None:
    with pytest.raises(RequestValidationError):
        read(MessageBody, JSON, body)


async def _without_guard(request: Request, body: MessageBody) -> Response:
    return Response()


async def _with_a_query(
    request: Request, body: MessageBody, caller: Annotated[Caller, Depends(allow("add_message"))], q: str = ""
) -> Response:
    return Response()


async def _without_a_body(request: Request, caller: Annotated[Caller, Depends(allow("add_message"))]) -> Response:
    return Response()


@pytest.mark.parametrize("operation", [_without_guard, _with_a_query, _without_a_body])
def test_an_operation_of_another_form_cannot_be_declared(operation: object) -> None:
    router = APIRouter(route_class=JsonRoute)
    with pytest.raises(TypeError, match="not of the form"):
        router.post("/x")(operation)  # type: ignore[type-var]
