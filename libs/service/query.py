"""Query parameters that an operation does not know are refused: a misspelt filter must not show everything."""

from __future__ import annotations

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from starlette.requests import Request

from libs.service.problem import Fault, Invalid

MAX_NAME = 64
"""Of a name in a refusal: it is the client's own."""


def refuse_unknown(request: Request) -> None:
    """Raises Invalid naming each parameter of the query that the operation's document does not name."""
    if not request.scope["query_string"]:
        return
    route: APIRoute = request.scope["route"]
    # Of the route itself, not of the document: to make that takes a third of a second, in which nobody is answered.
    known = _names(route.dependant)
    unknown = [name[:MAX_NAME] for name in request.query_params if name not in known]
    if unknown:
        text = "is not known here"
        raise Invalid(f"{unknown[0]}: {text}", faults=[Fault(text, parameter=name) for name in unknown])


def _names(dependant: Dependant) -> set[str]:
    """Those of an operation and of what it depends on; of a model that stands for the query, its fields'."""
    own = get_flat_params(Dependant(query_params=dependant.query_params))
    return {field.alias for field in own}.union(*map(_names, dependant.dependencies))
