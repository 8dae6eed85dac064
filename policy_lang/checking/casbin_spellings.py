"""Texts of a Casbin table beside inputs that have one spelling: what is spelt otherwise is equal to none of them.

In go a table and the inputs that its parameters are bound to; out come the texts of rows, of links and of the matcher
that no value of theirs ever is, each with what to write. A row that denies by such a text denies nobody, and one that
asks for another value (`!=`) holds always.
INVARIANT: what is named here never is what the input has, in no call. Not all that never is has to be named.
Source: policy_lang/typesystem.py (how values look); contracts.md "Which service" (hosts); RFC 9110 9.1 (methods).

Decision (2026-11-21): a text that is another spelling of a value is named wherever it stands beside that input: in
comparisons, in lists, in role definitions and under functions of names. One that is no value at all (`*`, a value that
the enum lacks) is named where it is compared alone: in role definitions it may be a role, and where the matcher looks
at the column in another way too, that may be what it is for.
Decision (2026-11-21): patterns are looked into for upper case alone, outside of what takes anything; regular
expressions and globs with classes are not.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

from msgspec import Struct

from policy_lang import ir
from policy_lang.addresses import canonical
from policy_lang.casbin.parts import all_in, parts_of
from policy_lang.ir import tables
from policy_lang.ir.tables import Expression, Link, Row, Table
from policy_lang.meaning.patterns import capture_value
from policy_lang.typesystem import EnumType, IntType, RoleType, Scalar, SetType, Type

MOST_MISSPELT = 100
"""Texts that are named of one table."""

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_ANYTHING = re.compile(r":[^/]+|\{[^/{}]*\}")
"""What takes anything in a pattern of keyMatch2 to keyMatch5."""

_PORT = re.compile(r":[0-9]+$", re.ASCII)
_SIGNS = re.compile(r"[\[\](){}|?+^$\\]")
"""What may take characters of either case, in compat too."""


class Spelling(Struct, frozen=True):
    """How values of an input are spelt. `what` are its values, in words; `folded`: in lower case, whatever came."""

    what: str
    of: Type | ir.Attr
    folded: bool = False

    def spelt(self, text: str) -> str | None:
        """The text as the input would have it; None where it never has such a value."""
        match self.of:
            case ir.Attr(_, "host"):
                return _PORT.sub("", text.lower()).removesuffix(".")
            case ir.Attr():
                return text.upper() if text.upper() in _METHODS else text
            case Scalar.UUID:
                value = capture_value("uuid", text)
                return value if isinstance(value, str) else None
            case Scalar.IP:
                return canonical(text)
            case Scalar.WORKLOAD:
                scheme, sign, rest = text.partition("://")
                domain, slash, path = rest.partition("/")
                return f"{scheme.lower()}://{domain.lower()}{slash}{path}" if sign else text
            case EnumType(_, values):
                return text if text in values else None
            case Scalar() | IntType() | RoleType() | SetType():
                return text
            case _:
                assert_never(self.of)

    def remedy(self, wanted: str | None) -> str:
        """What to write in place of a text; None where nothing is meant by it."""
        if wanted is not None:
            return f"write `{wanted}`"
        if isinstance(self.of, EnumType):
            return f"write one of {', '.join(f'`{each}`' for each in self.of.values)}, or delete it"
        if self.of is Scalar.IP:
            return "write an address, or ask for a network by ipMatch"
        return f"write {self.what}, or delete it"


def spelling_of(operand: ir.Operand, type_: Type) -> Spelling | None:
    """How values of what a parameter is bound to are spelt; None where any text may be one."""
    match operand, type_:
        case ir.Attr("request", "host"), _:
            return Spelling("a host in lower case, without its port", operand, folded=True)
        case ir.Attr("request", "method"), _:
            return Spelling("a method in upper case", operand)
        case _, SetType(element):
            return spelling_of(operand, element)
        case _, Scalar.UUID:
            return Spelling("a `uuid` in lower case", type_, folded=True)
        case _, Scalar.IP:
            return Spelling("an address in its shortest form", type_)
        case _, Scalar.WORKLOAD:
            return Spelling("a SPIFFE id, its trust domain in lower case", type_)
        case _, EnumType():
            return Spelling(f"a value of `{type_}`", type_)
        case _:
            return None


class Misspelt(Struct, frozen=True):
    """A text that the parameter at `place` never is; `wanted` is what is meant, None where that is no value. It stands
    in a column of `at`, or at a place of a link of the graph named; `at` None: in the matcher.
    """

    place: int
    text: str
    wanted: str | None
    at: Row | Link | None = None
    column: int = 0
    graph: str = ""


def misspelt(table: Table, spellings: Mapping[int, Spelling]) -> Iterator[Misspelt]:
    """The texts beside parameters that have such a spelling, as many as are ever shown."""
    found: dict[tuple[int, int, int, str], Misspelt] = {}
    for each in _all_misspelt(table, spellings):
        found.setdefault((each.place, 0 if each.at is None else each.at.line, each.column, each.text), each)
        if len(found) == MOST_MISSPELT:
            break
    yield from found.values()


def _all_misspelt(table: Table, spellings: Mapping[int, Spelling]) -> Iterator[Misspelt]:
    if not spellings:
        return
    beside = _Beside(table, spellings, _read_otherwise(table, spellings), set())
    yield from beside.found(table.matcher, table.rows)
    written = {part.column for part in all_in(table.matcher) if isinstance(part, tables.Written)}
    holding: dict[str, list[Row]] = {}
    for row in table.rows:
        for text in {row.values[column] for column in written}:
            holding.setdefault(text, []).append(row)
    for text, expression in table.expressions:
        if expression is not None and text in holding:
            yield from beside.found(expression, holding[text])


_AnyText = frozenset[str] | None
"""Texts of a column that mean something to other parts of the matcher; None: any may."""


class _Beside(Struct, frozen=True):
    table: Table
    spellings: Mapping[int, Spelling]
    otherwise: Mapping[int, _AnyText]
    linked: set[tuple[int, int, int]]
    """Graphs whose links were looked at, with the place in them and the parameter that stands there."""

    def found(self, expression: Expression, rows: Sequence[Row]) -> Iterator[Misspelt]:
        """What is misspelt in the rows that are asked by this expression."""
        for part in all_in(expression):
            match part:
                case tables.Comparison("eq" | "ne", left, right):
                    for asked, beside in ((left, right), (right, left)):
                        yield from self._compared(asked, beside, rows)
                case tables.Within(item, tables.Listed(parts)):
                    for beside in parts:
                        yield from self._compared(item, beside, rows)
                case tables.Within(item, among):
                    yield from self._compared(among, item, rows)
                case tables.Linked(graph, arguments):
                    yield from self._linked(graph, arguments, rows)
                case tables.BuiltIn(function, (tables.Parameter(place), pattern)) if place in self.spellings:
                    yield from self._patterns(function, place, pattern, rows)
                case _:
                    pass

    def _compared(self, asked: Expression, beside: Expression, rows: Sequence[Row]) -> Iterator[Misspelt]:
        if not isinstance(asked, tables.Parameter) or asked.place not in self.spellings:
            return
        spelling = self.spellings[asked.place]
        match beside:
            case tables.Constant(str() as text) if text and spelling.spelt(text) != text:
                yield Misspelt(asked.place, text, spelling.spelt(text))
            case tables.Column(column):
                apart = self.otherwise.get(column, frozenset())
                for row in rows:
                    text = row.values[column]
                    wanted = spelling.spelt(text)
                    if wanted != text and (wanted is not None or (apart is not None and text not in apart)):
                        yield Misspelt(asked.place, text, wanted, row, column)
            case _:
                pass

    def _linked(self, graph: int, arguments: Sequence[Expression], rows: Sequence[Row]) -> Iterator[Misspelt]:
        """Names of a role definition: roles have names of their own, so that only other spellings are named."""
        of = self.table.graphs[graph]
        for at, asked in enumerate(arguments):
            if not isinstance(asked, tables.Parameter) or asked.place not in self.spellings:
                continue
            spelling = self.spellings[asked.place]
            before = (graph, at, asked.place) in self.linked
            self.linked.add((graph, at, asked.place))
            for link in () if before else of.links:
                text = (link.member, link.role, link.domain)[at]
                wanted = spelling.spelt(text)
                if wanted not in (None, text):
                    yield Misspelt(asked.place, text, wanted, link, at, of.name)
            beside = arguments[1 - at] if at < 2 else None
            if isinstance(beside, tables.Column):
                yield from (each for each in self._compared(asked, beside, rows) if each.wanted is not None)

    def _patterns(self, function: str, place: int, pattern: Expression, rows: Sequence[Row]) -> Iterator[Misspelt]:
        match pattern:
            case tables.Column(column):
                for row in rows:
                    wanted = self._pattern(function, place, row.values[column])
                    if wanted is not None:
                        yield Misspelt(place, row.values[column], wanted, row, column)
            case tables.Constant(str() as text) if (wanted := self._pattern(function, place, text)) is not None:
                yield Misspelt(place, text, wanted)
            case _:
                pass

    def _pattern(self, function: str, place: int, text: str) -> str | None:
        """What to write for a pattern that no value fits; None where some may."""
        spelling = self.spellings[place]
        if function == "ipMatch":
            return _unmapped(text) if self.table.mode == "compat" and spelling.of is Scalar.IP else None
        literal = text if function in {"keyMatch", "globMatch"} else _ANYTHING.sub("", text)
        if function == "regexMatch" or (function != "keyMatch" and _SIGNS.search(literal)):
            return None
        if not spelling.folded:
            exact = spelling.spelt(text)
            return None if exact == text else exact
        literal = literal.partition("*")[0] if function == "keyMatch" else literal
        return text.lower() if literal != literal.lower() else None


def _unmapped(text: str) -> str | None:
    """A network of IPv4 that is written as one of IPv6, which no address is of in compat; None for any other."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    return None if mapped is None or network.prefixlen < 96 else f"{mapped}/{network.prefixlen - 96}"


def _read_otherwise(table: Table, spellings: Mapping[int, Spelling]) -> Mapping[int, _AnyText]:
    """For each column that is not compared with such parameters alone, what the other ways are for."""
    found: dict[int, _AnyText] = {}
    written = (expression for _, expression in table.expressions if expression is not None)
    for part in (part for expression in (table.matcher, *written) for part in all_in(expression)):
        for column, texts in _other_ways(part, spellings):
            before = found.get(column, frozenset())
            found[column] = None if texts is None or before is None else before | texts
        if isinstance(part, tables.Written):
            found[part.column] = None
    return found


def _other_ways(part: Expression, spellings: Mapping[int, Spelling]) -> Iterator[tuple[int, _AnyText]]:
    others = parts_of(part)
    for each in others:
        if not isinstance(each, tables.Column):
            continue
        beside = [other for other in others if other is not each]
        match part, beside:
            case tables.Comparison("eq" | "ne"), [tables.Parameter(place)] if place in spellings:
                pass
            case tables.Within(tables.Column(), tables.Parameter(place)), _ if place in spellings:
                pass
            case tables.Comparison("eq" | "ne"), [tables.Constant(str() as text)]:
                yield each.place, frozenset((text,))
            case tables.Within(tables.Column()), [tables.Listed(parts)]:
                yield each.place, frozenset(_constants(parts))
            case _:
                yield each.place, None


def _constants(parts: Sequence[Expression]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, tables.Constant) and isinstance(part.value, str):
            yield part.value
