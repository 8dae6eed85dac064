"""Single declared things: a written type, a claim, a query parameter, a host; each checked on its own.

Tree nodes go in, types and `ir.FieldSchema` come out, or None where something is wrong; mistakes are appended to the
list that is passed along.
Source: language.md 4.1, point K; contracts.md "Which service…" (hosts), "Requests" (query); RFC 6749 3.3 (scopes).

Decision: 2026-11-21. A host is compared with what the service makes of a Host header, so it is declared as that comes
out: lower case, no port, no final dot; an IPv6 address in brackets, written shortest.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policy_lang import tree
from policy_lang.diagnostics import Diagnostic, Label, hint_for
from policy_lang.ir import FieldSchema
from policy_lang.mistakes.names import BadText, DuplicateName, ShadowedName, UnknownType
from policy_lang.mistakes.types import EmptyRange, NotScalar
from policy_lang.source import Span
from policy_lang.typesystem import INT_MAX, INT_MIN, IntType, Scalar, ScalarType, SetType, Type

IMPLICIT_CLAIMS = ("aud", "scope")
"""Sets of string that every token has, present always."""

_TYPES = ("int", "set", *(scalar.value for scalar in Scalar))
_SCOPE_TOKEN = re.compile(r"[!#-\[\]-~]+")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
LONGEST_NAME = 253
"""Characters of a host name (RFC 1035 2.3.4, without the final dot)."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What an expression meets where it reads an input: its type, whether it may be missing, where it is declared."""

    type: Type
    optional: bool
    declared: Span | None


def declared_type(written: tree.TypeExpr, found: list[Diagnostic]) -> Type | None:
    """The type that is written; None, with a mistake, where there is no such type."""
    match written.word:
        case "int":
            return _int_type(written, found)
        case "set":
            return _set_type(written, found)
        case "bool" | "string" | "uuid" | "time" | "duration" as word:
            return Scalar(word)
        case word:
            found.append(UnknownType(span=written.span, word=word, hint=hint_for(word, _TYPES, found)))
            return None


def _int_type(written: tree.TypeExpr, found: list[Diagnostic]) -> IntType | None:
    if written.lowest is None or written.highest is None:
        return IntType()
    if not INT_MIN <= written.lowest <= written.highest <= INT_MAX:
        found.append(EmptyRange(span=written.span, lowest=written.lowest, highest=written.highest))
        return None
    return IntType(written.lowest, written.highest)


def _set_type(written: tree.TypeExpr, found: list[Diagnostic]) -> SetType | None:
    element = None if written.element is None else scalar_type(written.element, "a set", found)
    return None if element is None else SetType(element)


def scalar_type(written: tree.TypeExpr, where: str, found: list[Diagnostic]) -> ScalarType | None:
    """The same for a place that holds single values only; `where` names it."""
    type_ = declared_type(written, found)
    if isinstance(type_, SetType):
        found.append(NotScalar(span=written.span, where=where, found=f"`{type_}`"))
        return None
    return type_


@dataclass(frozen=True, slots=True)
class Fields:
    """Claims or query parameters: their schemas in order, what expressions meet, and the names that went wrong."""

    schemas: tuple[FieldSchema, ...]
    slots: Mapping[str, Slot]
    broken: frozenset[str]


def fields_of(
    written: Sequence[tree.Field], implicit: Sequence[str], longest_way: int | None, found: list[Diagnostic]
) -> Fields:
    """The fields of one declaration. `implicit` names may not be declared; a way in may have `longest_way` steps."""
    schemas: list[FieldSchema] = []
    slots: dict[str, Slot] = {}
    broken: set[str] = set()
    first: dict[str, tree.Name] = {}
    for field in written:
        name = field.name.text
        if name in implicit:
            meaning = "every token has it, a set of string"
            found.append(ShadowedName(span=field.name.span, name=name, meaning=meaning))
        elif name in first:
            found.append(duplicate(field.name, first[name]))
        else:
            first[name] = field.name
            type_ = declared_type(field.type, found)
            way = _way(field, longest_way, found)
            if type_ is None or way is None:
                broken.add(name)
            else:
                schemas.append(FieldSchema(name, type_, field.optional, field.private, way))
                slots[name] = Slot(type_, field.optional, field.name.span)
    return Fields(tuple(schemas), slots, frozenset(broken))


def _way(field: tree.Field, longest: int | None, found: list[Diagnostic]) -> tuple[str, ...] | None:
    way = field.source or (field.name.text,)
    if "" in way:
        found.append(BadText(span=field.span, what="way to a value", value="", why="a step is empty"))
        return None
    if longest is not None and len(way) > longest:
        why = "a query parameter is not nested"
        found.append(BadText(span=field.span, what="way to a value", value=" ".join(way), why=why))
        return None
    return way


def duplicate(again: tree.Name, first: tree.Name) -> DuplicateName:
    """The mistake of a name that is declared twice."""
    return DuplicateName(span=again.span, name=again.text, others=(Label(first.span, "declared here"),))


def checked_text(text: tree.Text, what: str, found: list[Diagnostic]) -> str | None:
    """A text that must say something."""
    if text.value.strip():
        return text.value
    found.append(BadText(span=text.span, what=what, value=text.value, why="it is empty"))
    return None


def checked_scope(text: tree.Text, found: list[Diagnostic]) -> str | None:
    """A scope as a token can hold it: visible ASCII, no space, no quote, no backslash."""
    if _SCOPE_TOKEN.fullmatch(text.value):
        return text.value
    found.append(BadText(span=text.span, what="scope", value=text.value, why="no token can hold it (RFC 6749 3.3)"))
    return None


def is_canonical_host(host: str) -> bool:
    """Whether a host is written as canonicalisation leaves one."""
    if host.startswith("[") and host.endswith("]"):
        try:
            address = ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return False
        return address.ipv4_mapped is None and address.compressed == host[1:-1] and address.scope_id is None
    labels = host.split(".")
    if len(host) > LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        return False
    return not _NUMBER.fullmatch(labels[-1]) or _is_ipv4(host)


def _is_ipv4(host: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(host)) == host
    except ValueError:
        return False
