"""Whether a new schema still reads everything that the old one allowed: stored facts are never rewritten.

Broken by: a type, a member or an enumerated value removed; a member made required, or a new one that is required; a
type or a limit narrowed; and another default, because a member that has its default is left out of the JSON, so that
old facts would change their meaning. Members, alternatives and values may be added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

_ABSENT = object()
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_EXACT = ("format", "pattern", "contentEncoding", "multipleOf", "uniqueItems")


def breaks(old: Schema, new: Schema) -> list[str]:
    """What of `old` the schema `new` no longer reads; a sentence each, empty where it reads all."""
    return list(_Comparison(old, new).compare(old, new, ""))


def sets_break(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> list[str]:
    """The same for all facts, by type."""
    found = [f"{kind}: the type is gone" for kind in sorted(old.keys() - new.keys())]
    for kind in sorted(old.keys() & new.keys()):
        found += [f"{kind}: {sentence}" for sentence in breaks(old[kind], new[kind])]
    return found


class _Comparison:
    def __init__(self, old_root: Schema, new_root: Schema) -> None:
        self._old_root = old_root
        self._new_root = new_root
        self._under_way: set[tuple[str, str]] = set()

    def compare(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        pair = (old.get("$ref", ""), new.get("$ref", ""))
        if all(pair):
            if pair in self._under_way:
                return
            self._under_way.add(pair)
        try:
            yield from self._alternatives(_resolve(old, self._old_root), _resolve(new, self._new_root), at)
        finally:
            self._under_way.discard(pair)

    def _alternatives(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        olds = [_resolve(s, self._old_root) for s in old.get("anyOf", [old])]
        news = [_resolve(s, self._new_root) for s in new.get("anyOf", [new])]
        if len(olds) == 1 and len(news) == 1:
            yield from self._one(olds[0], news[0], at)
            return
        for alternative in olds:
            answers = [list(self._one(alternative, candidate, at)) for candidate in news]
            if all(answers):
                alike = [answer for answer, new in zip(answers, news, strict=True) if _alike(alternative, new)]
                yield from alike[0] if alike else [f"{_place(at)} may no longer be {_name(alternative)}"]

    def _one(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        if "enum" in new or "const" in new:
            yield from _values(old, new, at)
            return
        wanted = new.get("type", _ABSENT)
        if wanted is _ABSENT:
            return  # it takes anything
        kind = _type(old)
        if kind != wanted and (kind, wanted) != ("integer", "number"):
            yield f"{_place(at)} was {_name(old)} and must now be {_name(new)}"
            return
        yield from _limits(old, new, at)
        if kind == "array":
            yield from self._items(old, new, at)
        if kind == "object":
            yield from self._members(old, new, at)

    def _items(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        before, after = old.get("prefixItems", []), new.get("prefixItems", [])
        if len(before) != len(after):
            yield f"{_place(at)} had {len(before)} fixed items and now has {len(after)}"
            return
        for i, (was, now) in enumerate(zip(before, after, strict=True)):
            yield from self.compare(was, now, f"{at}/{i}")
        was, now = old.get("items", True), new.get("items", True)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from self.compare(was, now, f"{at}/*")
        elif was is not False and now is False:
            yield f"{_place(at)} may no longer hold more items"
        elif was is True and isinstance(now, Mapping) and now:
            yield f"{_place(at)} held items of any type"

    def _members(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        was, now = old.get("properties", {}), new.get("properties", {})
        for name in was.keys() - now.keys():
            yield f"{_place(f'{at}/{name}')} is gone"
        required = set(new.get("required", ())) - set(old.get("required", ()))
        for name in sorted(required):
            yield f"{_place(f'{at}/{name}')} is now required"
        for name in (n for n in was if n in now):
            yield from self.compare(was[name], now[name], f"{at}/{name}")
            before, after = was[name].get("default", _ABSENT), now[name].get("default", _ABSENT)
            if before is not _ABSENT and after is not _ABSENT and before != after:
                yield f"{_place(f'{at}/{name}')} had the default {before!r} and now has {after!r}"
        values, wanted = old.get("additionalProperties", True), new.get("additionalProperties", True)
        if isinstance(values, Mapping) and isinstance(wanted, Mapping):
            yield from self.compare(values, wanted, f"{at}/*")
        elif values is not False and wanted is False:
            yield f"{_place(at)} may no longer have other members"
        elif values is True and isinstance(wanted, Mapping) and wanted:
            yield f"{_place(at)} had other members of any type"


def _resolve(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        found: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def _allowed(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values: list[Any] | None = schema.get("enum")
    return values


def _values(old: Schema, new: Schema, at: str) -> Iterator[str]:
    was, now = _allowed(old), _allowed(new) or []
    if was is None:
        yield f"{_place(at)} was {_name(old)} and must now be one of {now}"
        return
    for value in was:
        if value not in now:
            yield f"{_place(at)} may no longer be {value!r}"


def _type(schema: Schema) -> str | None:
    if (values := _allowed(schema)) is None:
        kind: str | None = schema.get("type")
        return kind
    kinds = {"string" if isinstance(value, str) else "integer" for value in values}
    return kinds.pop() if len(kinds) == 1 else None


def _alike(old: Schema, new: Schema) -> bool:
    """Whether the one is meant to be the other's successor: the same struct, or the same plain type."""
    if _type(old) == "object":
        return old.get("title") == new.get("title")
    return _type(old) is not None and _type(old) == _type(new)


def _limits(old: Schema, new: Schema, at: str) -> Iterator[str]:
    for limit in _UPPER:
        if limit in new and (limit not in old or new[limit] < old[limit]):
            yield f"{_place(at)} is narrower: {limit} {old.get(limit, 'unlimited')} became {new[limit]}"
    for limit in _LOWER:
        if limit in new and (limit not in old or new[limit] > old[limit]):
            yield f"{_place(at)} is narrower: {limit} {old.get(limit, 'unlimited')} became {new[limit]}"
    for limit in _EXACT:
        if limit in new and new[limit] != old.get(limit):
            yield f"{_place(at)} is narrower: {limit} {old.get(limit, 'any')} became {new[limit]}"


def _place(at: str) -> str:
    return at or "the fact"


def _name(schema: Schema) -> str:
    """What people call it: `string`, `one of […]`, or the struct's name."""
    if (values := _allowed(schema)) is not None:
        return f"one of {values}"
    return str(schema.get("title") or schema.get("type") or "anything")
