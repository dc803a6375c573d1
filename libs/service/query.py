"""Query parameters that an operation does not know are refused: a misspelt filter must not show everything."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import Request

from libs.service.problem import Fault, Invalid

MAX_NAME = 64
"""Of a name in a refusal: it is the client's own."""


def refuse_unknown(request: Request, operation_id: str) -> None:
    """Raises Invalid naming each parameter of the query that the operation's document does not name."""
    if not request.scope["query_string"]:
        return
    unknown = [name[:MAX_NAME] for name in request.query_params if name not in _known(request.app, operation_id)]
    if unknown:
        text = "is not known here"
        raise Invalid(f"{unknown[0]}: {text}", faults=[Fault(text, parameter=name) for name in unknown])


def _known(app: FastAPI, operation_id: str) -> frozenset[str]:
    by_operation: dict[str, frozenset[str]] | None = getattr(app.state, "query_parameters", None)
    if by_operation is None:
        by_operation = app.state.query_parameters = {
            operation["operationId"]: frozenset(
                p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"
            )
            for item in app.openapi()["paths"].values()
            for operation in item.values()
        }
    return by_operation.get(operation_id, frozenset())
