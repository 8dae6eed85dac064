"""Types as written, and the fields that have them: claims, properties, query parameters, headers.

Tree nodes and the scope of their module go in, types and `ir.FieldSchema` come out, or None where something is wrong.
Source: language.md 4.1, point K; contracts.md "Requests".

Decision: 2026-11-21. The type `role` stands only in a column of a relation and a parameter of a condition; a claim that
holds roles is a set of string, which `roles for` reads.
Decision: 2026-11-21. The name of a header is folded to lower case; without `from` it is the field's, `_` read as `-`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Literal, assert_never

from msgspec import Struct

from policy_lang import tree
from policy_lang.declared.entries import EnumEntry
from policy_lang.declared.fields import IMPLICIT_CLAIMS, IMPLICIT_PROPERTIES, Slot, duplicate, header_fault
from policy_lang.declared.foreign_names import type_hint
from policy_lang.declared.scopes import NOT_HERE, Scope
from policy_lang.diagnostics import Diagnostic, hint_for
from policy_lang.ir import FieldSchema
from policy_lang.mistakes.names import BadHeader, BadText, MisplacedRole, ShadowedName, UnknownType
from policy_lang.mistakes.types import EmptyRange, NotScalar
from policy_lang.typesystem import INT_MAX, INT_MIN, IntType, RoleType, Scalar, ScalarType, SetType, Type

_TYPES = ("int", "set", *(scalar.value for scalar in Scalar))

Part = Literal["claim", "property", "query", "header"]
"""What a field is. Only what comes as JSON is nested."""


def declared_type(scope: Scope, written: tree.TypeExpr, *, role: bool = False) -> Type | None:
    """The type that is written; None, with a mistake, where there is no such type, or not here."""
    match written.word:
        case "int":
            return _int_type(written, scope.found)
        case "set":
            element = None if written.element is None else scalar_type(scope, written.element, "a set")
            return None if element is None else SetType(element)
        case "bool" | "string" | "uuid" | "time" | "duration" | "ip" | "workload" as word:
            return Scalar(word)
        case "role":
            return _role_type(scope, written, allowed=role)
        case word:
            return _enum_type(scope, written, word)


def _int_type(written: tree.TypeExpr, found: list[Diagnostic]) -> IntType | None:
    if written.lowest is None or written.highest is None:
        return IntType()
    if not INT_MIN <= written.lowest <= written.highest <= INT_MAX:
        found.append(EmptyRange(span=written.span, lowest=written.lowest, highest=written.highest))
        return None
    return IntType(written.lowest, written.highest)


def _role_type(scope: Scope, written: tree.TypeExpr, *, allowed: bool) -> RoleType | None:
    if allowed and scope.roles().ids:
        return scope.roles().type
    if allowed and (scope.declares_roles or scope.missed_imports() or not scope.whole):
        return None  # what would have been one was reported
    why = "no role is declared in this module or imported" if allowed else "it holds values that come from outside"
    scope.found.append(MisplacedRole(span=written.span, why=why))
    return None


def _enum_type(scope: Scope, written: tree.TypeExpr, word: str) -> Type | None:
    scope.mention(word)
    entry = scope.find(word)
    if isinstance(entry, EnumEntry):
        return entry.type
    if not scope.is_broken(word):
        instead = scope.instead(word)
        where = "" if instead == NOT_HERE else instead
        hint = type_hint(word) or hint_for(word, chain(_TYPES, scope.names_of(EnumEntry)), scope.found)
        scope.found.append(UnknownType(span=written.span, word=word, where=where, hint=hint))
    return None


def scalar_type(scope: Scope, written: tree.TypeExpr, where: str, *, role: bool = False) -> ScalarType | None:
    """The same for a place that holds single values only; `where` names it."""
    type_ = declared_type(scope, written, role=role)
    if isinstance(type_, SetType):
        scope.found.append(NotScalar(span=written.span, where=where, found=f"`{type_}`"))
        return None
    return type_


class Fields(Struct, frozen=True):
    """Their schemas in order, what expressions meet, where each is declared, and the names that went wrong."""

    schemas: tuple[FieldSchema, ...]
    slots: Mapping[str, Slot]
    first: Mapping[str, tree.Name]
    broken: frozenset[str]


NO_NAMES: Mapping[str, tree.Name] = {}


def fields_of(
    scope: Scope, written: Sequence[tree.Field], part: Part, before: Mapping[str, tree.Name] = NO_NAMES
) -> Fields:
    """The fields of one declaration; names of those `before` them cannot be declared again."""
    schemas: list[FieldSchema] = []
    slots: dict[str, Slot] = {}
    broken: set[str] = set()
    first = dict(before)
    implicit = _implicit(part)
    for field in written:
        name = field.name.text
        if name in implicit:
            scope.found.append(ShadowedName(span=field.name.span, name=name, meaning=_meaning(part)))
        elif name in first:
            scope.found.append(duplicate(field.name, first[name]))
        else:
            first[name] = field.name
            type_ = declared_type(scope, field.type)
            way = _way(field, part, scope.found)
            if type_ is None or way is None:
                broken.add(name)
            else:
                schemas.append(FieldSchema(name, type_, field.optional, field.private, way))
                slots[name] = Slot(type_, field.optional, field.name.span)
    return Fields(tuple(schemas), slots, first, frozenset(broken))


def _implicit(part: Part) -> tuple[str, ...]:
    match part:
        case "claim":
            return IMPLICIT_CLAIMS
        case "property":
            return IMPLICIT_PROPERTIES
        case "query" | "header":
            return ()
        case _:
            assert_never(part)


def _meaning(part: Part) -> str:
    return "every token has it, a set of string" if part == "claim" else "it is there without being declared, a string"


def _way(field: tree.Field, part: Part, found: list[Diagnostic]) -> tuple[str, ...] | None:
    way = field.source or (field.name.text,)
    if "" in way:
        found.append(BadText(span=field.span, what="way to a value", value="", why="a step is empty"))
        return None
    if part in {"query", "header"} and len(way) > 1:
        why = f"a {'query parameter' if part == 'query' else 'header'} is not nested"
        found.append(BadText(span=field.span, what="way to a value", value=" ".join(way), why=why))
        return None
    if part != "header":
        return way
    header = (field.source[0] if field.source else field.name.text.replace("_", "-")).lower()
    fault = header_fault(header)
    if fault is not None:
        found.append(BadHeader(span=field.span, header=header, why=fault))
        return None
    return (header,)
