"""Patterns and times that rows hold: what cannot be read, or means otherwise than it looks (E610).

In go a table and where its rows stand, out come diagnostics: for each row whose value stands under one of Casbin's
functions in the matcher or in the row's own expression, for constants there, and for the names under a matching
function. What is wrong with a pattern is for policy_lang/meaning/key_patterns.py to say.
Source: language.md 6.6, 7, 8, 11 to 13, 25.

Decision (2026-11-21): an error stands at each row; a warning once for each text, since the rows beside it are alike.
Decision (2026-11-21): a name that its matching function cannot read stands for itself, without a word under `ipMatch`,
where most names are no networks.
Decision (2026-11-21): `j.doe@x.org` under keyMatch2 to keyMatch5 is a name of somebody and no pattern: strict takes it
as itself, with one warning for a role definition, and refuses nobody for a dot. In Casbin the dot of a member stands
for any character, so that `jxdoe@x.org` has its roles too, and is denied what they are denied. What has a wildcard, a
star or another sign of regular expressions, or `.+`, is meant as a pattern, and is refused as in a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from policy_lang.casbin.findings import Findings
from policy_lang.casbin.parts import all_in
from policy_lang.casbin.rows import PolicyRows
from policy_lang.ir import tables
from policy_lang.ir.tables import Expression, FunctionName, Link, Mode, RoleGraph, Table
from policy_lang.meaning.clean_patterns import sign_in_name
from policy_lang.meaning.key_patterns import pattern
from policy_lang.meaning.key_signs import KeyFunction
from policy_lang.meaning.local_time import OPEN, LocalTime
from policy_lang.meaning.pattern_forms import Trap, TrapKind
from policy_lang.mistakes.casbin_rows import NoTime, NoTimePassed, TrickyPattern, TrickyPatternPassed
from policy_lang.source import Span

_MOST_REMEMBERED = 65_536
"""Texts whose verdict is kept, so that one that repeats is read once."""

_REMEDIES: Mapping[TrapKind, str] = {
    "unreadable": "write a pattern that the function can read",
    "metacharacter": "nothing escapes it here: put a wildcard in place of the segment, or compare by `regexMatch`",
    "star": "put it after a `/`, or compare by `keyMatch`",
    "name": "give the wildcard a segment of its own",
    "braces": "write a row for each of the two",
    "bracket": "close it, or write the pattern without it",
    "double_star": "give `**` a segment of its own, or write `*`",
    "first_star": "write the first segment out",
    "host_bits": "the bits behind the prefix are zero, as in `10.0.0.0/8`",
    "netmask": "write the number of bits, as in `10.0.0.0/8`",
    "both_families": "write a row for addresses of IPv4, and one for those of IPv6",
    "ignored": "leave it out, or compare by `keyMatch2`, which asks for it",
    "open_end": "write `$` at its end, or `.*` where more may follow",
}

_KEYS: Mapping[FunctionName, KeyFunction] = {
    "keyMatch2": "keyMatch2", "keyMatch3": "keyMatch3", "keyMatch4": "keyMatch4", "keyMatch5": "keyMatch5",
}  # fmt: skip

_TIMES = LocalTime.of(0, "UTC")


class Uses(Struct, frozen=True):
    """The columns and constants that stand where a function takes a pattern or a time."""

    columns: tuple[tuple[FunctionName, int], ...]
    constants: tuple[tuple[FunctionName, str], ...]


_NO_USES = Uses((), ())


def uses_in(expression: Expression) -> Uses:
    """What is used so in an expression, each once."""
    columns: dict[tuple[FunctionName, int], None] = {}
    constants: dict[tuple[FunctionName, str], None] = {}
    for part in all_in(expression):
        if not isinstance(part, tables.BuiltIn):
            continue
        for argument in part.arguments if part.function == "timeMatch" else part.arguments[1:2]:
            match argument:
                case tables.Column(column):
                    columns[part.function, column] = None
                case tables.Constant(str() as text):
                    constants[part.function, text] = None
                case _:
                    pass
    return Uses(tuple(columns), tuple(constants))


class Value(Struct, frozen=True):
    """A value of a row or a link: the one at `at`, of the values of the line."""

    kind: str
    line: int
    values: Sequence[str]
    at: int


class _Verdict(Struct, frozen=True):
    """What is wrong with a text; `warns` in strict too."""

    trap: Trap
    warns: bool


class Traps:
    """The texts of one policy as its functions read them. Lives as long as one table is made."""

    def __init__(self, rows: PolicyRows, mode: Mode, found: Findings) -> None:
        self._rows = rows
        self._strict = mode == "strict"
        self._found = found
        self._read: dict[tuple[FunctionName, str], _Verdict | None] = {}
        self._warned: set[tuple[FunctionName, str]] = set()

    def in_rows(self, table: Table, kind: str, texts: Mapping[str, Span]) -> None:
        """Those of rows of the type `kind`, and of the expressions they hold, of which `texts` says where each stands
        first.
        """
        always = uses_in(table.matcher).columns
        own = {text: uses_in(each) for text, each in table.expressions if each is not None}
        for text, uses in own.items():
            self.in_constants(uses, texts[text])
        evaluated = [part.column for part in all_in(table.matcher) if isinstance(part, tables.Written)]
        if not always and not any(uses.columns for uses in own.values()):
            return
        for row in table.rows:
            asked = dict.fromkeys(always)
            for column in evaluated:
                asked |= dict.fromkeys(own.get(row.values[column], _NO_USES).columns)
            for function, at in asked:
                verdict = self._verdict(function, row.values[at])
                if verdict is not None:
                    self._note(function, row.values[at], verdict, Value(kind, row.line, row.values, at))

    def in_constants(self, uses: Uses, span: Span) -> None:
        """Those that an expression names itself; `span` is its place."""
        for function, text in uses.constants:
            verdict = self._verdict(function, text)
            if verdict is not None:
                self._note(function, text, verdict, span)

    def in_links(self, graph: RoleGraph) -> None:
        """Those of the names, domains and conditions of links."""
        if graph.matching is None and graph.domain_matching is None and not any(each.condition for each in graph.links):
            return
        asked: list[tuple[FunctionName, int]] = []
        if graph.matching is not None:
            asked += [(graph.matching, 0), (graph.matching, 1)]
        if graph.domain_matching is not None:
            asked.append((graph.domain_matching, 2))
        warned = False
        for link in graph.links:
            values = values_of_link(link, domains=graph.domains)
            for function, at in asked:
                sign = self._sign_in_name(function, values[at])
                if sign and not warned:
                    self._note_name(function, values[at], sign, Value(graph.name, link.line, values, at))
                warned = warned or bool(sign)
                verdict = None if sign else self._verdict(function, values[at])
                if verdict is not None and not (function == "ipMatch" and verdict.trap.kind == "unreadable"):
                    self._note(function, values[at], verdict, Value(graph.name, link.line, values, at))
            for at in range(len(values) - len(link.condition), len(values)):
                verdict = self._verdict("timeMatch", values[at])
                if verdict is not None:
                    self._note("timeMatch", values[at], verdict, Value(graph.name, link.line, values, at))

    def _sign_in_name(self, function: FunctionName, text: str) -> str:
        """The sign of regular expressions in a name that strict takes as itself."""
        key = _KEYS.get(function) if self._strict else None
        return "" if key is None else sign_in_name(key, text)

    def _note_name(self, function: FunctionName, text: str, sign: str, where: Value) -> None:
        if self._found.wants("warning"):
            span = self._rows.place(where.kind, where.line, where.values, where.at)
            said = f"here `{sign}` is itself, also in other names; in Casbin it is a sign of regular expressions"
            remedy = f"write `\\{sign}` where Casbin is to read the same"
            self._found.add(TrickyPatternPassed(span=span, text=text, function=function, said=said, remedy=remedy))

    def _verdict(self, function: FunctionName, text: str) -> _Verdict | None:
        asked = (function, text)
        if asked in self._read:
            return self._read[asked]
        if len(self._read) >= _MOST_REMEMBERED:
            self._read.clear()
        verdict = self._read[asked] = _verdict_on(function, text)
        return verdict

    def _note(self, function: FunctionName, text: str, verdict: _Verdict, where: Span | Value) -> None:
        refused = self._strict and not verdict.warns
        if not refused:
            if (function, text) in self._warned:
                return
            self._warned.add((function, text))
        if not self._found.wants("error" if refused else "warning"):
            return
        span = where if isinstance(where, Span) else self._rows.place(where.kind, where.line, where.values, where.at)
        if function == "timeMatch":
            self._found.add((NoTime if refused else NoTimePassed)(span=span, text=text))
        else:
            made = TrickyPattern if refused else TrickyPatternPassed
            remedy = _REMEDIES[verdict.trap.kind]
            self._found.add(made(span=span, text=text, function=function, said=verdict.trap.said, remedy=remedy))


def _verdict_on(function: FunctionName, text: str) -> _Verdict | None:
    if function == "timeMatch":
        readable = text == OPEN or _TIMES.between(text, OPEN) is not None
        return None if readable else _Verdict(Trap("unreadable", "it is no time"), warns=False)
    read = pattern(function, text, mode="strict")
    if isinstance(read, Trap):
        return _Verdict(read, warns=False)
    return None if read.remark is None else _Verdict(read.remark, warns=True)


def values_of_link(link: Link, *, domains: bool) -> tuple[str, ...]:
    """The values of a link as its line holds them."""
    return (link.member, link.role, *([link.domain] if domains else []), *link.condition)
