"""One JSON Schema (2020-12) a fact type, from the msgspec types and their docstrings."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
import typing
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from libs.events.envelope import SCHEMA_BASE
from libs.events.types import FACTS, Fact

DIALECT = "https://json-schema.org/draft/2020-12/schema"

SEALED: dict[str, Any] = {
    "type": "string",
    "description": "Sealed: base64url of a byte 01, a nonce of 12 bytes, AES-256-GCM's ciphertext and tag. The key is "
    "on hueandcry.keys; `[source, subject, stream version, type]` as JSON is authenticated with it.",
}


def schema_of(fact: type[Fact]) -> dict[str, Any]:
    """The schema of a fact's JSON, self-contained."""
    (reference,), definitions = msgspec.json.schema_components([fact])
    for name, definition in definitions.items():
        _describe(definition, _struct_named(fact, name))
    root = definitions.pop(reference["$ref"].removeprefix("#/$defs/"))
    root.pop("title")
    if personal := root["properties"].get("personal"):
        personal["anyOf"] = [*personal["anyOf"], SEALED]
    schema = {
        "$schema": DIALECT,
        "$id": SCHEMA_BASE + fact.TYPE + ".json",
        "title": spaced(fact.__name__),
        **root,
    }
    if definitions:
        schema["$defs"] = dict(sorted(definitions.items()))
    plain: dict[str, Any] = json.loads(json.dumps(schema))  # as it is read back: a tuple is a list
    return plain


def all_schemas() -> dict[str, dict[str, Any]]:
    """Every fact's schema by its type."""
    return {fact.TYPE: schema_of(fact) for fact in FACTS}


def text_of(schema: dict[str, Any]) -> str:
    """As it is committed."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _describe(definition: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Say of each member what its docstring says, and that times are times: msgspec leaves both out."""
    for field in msgspec.structs.fields(struct):
        member = definition["properties"][field.encode_name]
        if text := _documented(struct).get(field.name):
            member["description"] = text
        kinds = [field.type, *typing.get_args(field.type)]
        if datetime in kinds:
            for alternative in member.get("anyOf", [member]):
                if alternative.get("type") == "string":
                    alternative["format"] = "date-time"


def _struct_named(fact: type[Fact], name: str) -> type[msgspec.Struct]:
    structs = {struct.__name__: struct for struct in _structs_in(msgspec.inspect.type_info(fact), set())}
    return structs[name]


def _structs_in(kind: Any, seen: set[type]) -> list[type[msgspec.Struct]]:
    found: list[type[msgspec.Struct]] = []
    if isinstance(kind, msgspec.inspect.StructType):
        if kind.cls in seen:
            return []
        seen.add(kind.cls)
        found.append(kind.cls)
        inner = [field.type for field in kind.fields]
    else:
        inner = [getattr(kind, name) for name in ("item_type", "key_type", "value_type", "type") if hasattr(kind, name)]
        inner += getattr(kind, "types", ())
        inner += getattr(kind, "item_types", ())
    for part in inner:
        found += _structs_in(part, seen)
    return found


@cache
def _documented(struct: type) -> dict[str, str]:
    """The strings that stand under a class's fields in its source: what each field means."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(struct))).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for statement, following in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            found[statement.target.id] = inspect.cleandoc(following.value.value).replace("\n", " ")
    return found


def spaced(name: str) -> str:
    """`ContactReceived` as people write it: `Contact received`."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).capitalize()
