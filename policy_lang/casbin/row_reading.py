"""One policy as it is read: in go the values of one line after another, out come rows, links, and what is wrong.

What a type asks of its rows (how many values, an effect) is held here; how values are told apart is `row_lines`'.
INVARIANT: a row or link that is taken has as many values as its definition has places.
Source: language.md 6.6, items 2, 17, 22; measured on pycasbin 2.8.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from policy_lang.casbin.definitions import Model, RoleDefinition
from policy_lang.casbin.findings import Findings
from policy_lang.casbin.row_lines import INVISIBLE, bracketed_values_of, line_span, span_of
from policy_lang.diagnostics import has_errors, nearest
from policy_lang.ir.tables import Link, Mode, Row, Vote
from policy_lang.mistakes.casbin_rows import (
    ColumnsCutPassed,
    HiddenInRow,
    HiddenInRowPassed,
    QuoteInValue,
    QuoteInValuePassed,
    RowWithoutType,
    StrayBracket,
    StrayBracketPassed,
    UndeclaredType,
    UndeclaredTypePassed,
    UnknownVote,
    UnknownVotePassed,
    WrongColumns,
)
from policy_lang.source import Source, Span

EFFECT_COLUMN = "eft"

_MOST_SHARED = 2**18
"""Different values that are remembered, so that one that repeats is kept once."""

_VOTES: Mapping[str, Vote] = {"allow": "allow", "deny": "deny"}


class _Shape(Struct, frozen=True):
    """What a type asks of a row. `written` is its definition; `eft` is the place of that column."""

    written: str
    takes: int
    eft: int | None = None
    role: RoleDefinition | None = None


class Reading:
    """Rows and links as they come. Lives as long as one policy is read."""

    def __init__(self, source: Source, model: Model, mode: Mode) -> None:
        self.source = source
        self.found = Findings(source)
        self.rows: dict[str, list[Row]] = {name: [] for name in model.policies}
        self.links: dict[str, list[Link]] = {name: [] for name in model.roles}
        self._strict = mode == "strict"
        self._understood = not has_errors(model.diagnostics)
        self._shapes = _shapes(model)
        self._shared: dict[str, str] = {}

    def take(self, line: int, values: list[str]) -> None:
        """One row or link, its type first."""
        kind = values[0] if values else ""
        shape = self._shapes.get(kind)
        if shape is None:
            self._undeclared(line, kind)
            return
        given = len(values) - 1
        if given != shape.takes:
            self._wrong_columns(line, kind, shape, given)
            if given < shape.takes or shape.role is None:
                return
        shared = self._shared
        if len(shared) < _MOST_SHARED:
            held = tuple([shared.setdefault(value, value) for value in values[1 : shape.takes + 1]])
        else:
            held = tuple([shared.get(value, value) for value in values[1 : shape.takes + 1]])
        if shape.role is None:
            self.rows[kind].append(Row(held, self._vote(line, kind, shape, held), line))
        else:
            self.links[kind].append(_link(held, line, domains=shape.role.domains))

    def _vote(self, line: int, kind: str, shape: _Shape, values: tuple[str, ...]) -> Vote | None:
        if shape.eft is None:
            return "allow"
        value = values[shape.eft]
        vote = _VOTES.get(value)
        if vote is None and self._wants():
            made = UnknownVote if self._strict else UnknownVotePassed
            span = span_of(self.source, line, (kind, *values), shape.eft + 1)
            self.found.add(made(span=span, value=value, hint=nearest(value.lower(), _VOTES)))
        return vote

    def _undeclared(self, line: int, kind: str) -> None:
        """Of a model that is refused nobody knows what it would have declared."""
        if not self._understood:
            return
        if not kind:
            if self.found.wants("error"):
                self.found.add(RowWithoutType(span=line_span(self.source, line)))
        elif self._wants():
            made = UndeclaredType if self._strict else UndeclaredTypePassed
            span = span_of(self.source, line, (kind,), 0)
            self.found.add(made(span=span, name=kind, hint=nearest(kind.lower(), self._shapes)))

    def _wrong_columns(self, line: int, kind: str, shape: _Shape, given: int) -> None:
        cut = shape.role is not None and given > shape.takes and not self._strict
        if self.found.wants("warning" if cut else "error"):
            made = ColumnsCutPassed if cut else WrongColumns
            words = f"{given} value" if given == 1 else f"{given} values"
            span = line_span(self.source, line)
            self.found.add(made(span=span, given=words, kind=kind, takes=shape.takes, written=shape.written))

    # ------------------------------------------------------------ odd lines

    def odd_values(self, start: int, line: str) -> list[str] | None:
        """The values of a line at offset `start` with brackets or quotation marks, or None where it is refused."""
        values, bracket = bracketed_values_of(line)
        if '"' in line and self._wants():
            self._quoted(start + line.index('"'))
        if bracket is None:
            return values
        refused = self._strict or bracket.fatal
        if self.found.wants("error" if refused else "warning"):
            made = StrayBracket if refused else StrayBracketPassed
            self.found.add(made(span=self._character(start + bracket.at), bracket=bracket.sign, why=bracket.why))
        return None if refused else values

    def look_for_hidden(self, start: int, line: str) -> None:
        """A line at offset `start` that may have a character that nobody sees."""
        found = INVISIBLE.search(line)
        if found is not None and self._wants():
            self._hidden(start + found.start(), found[0])

    def look_into_record(self, line: int, values: list[str]) -> None:
        """The same for the values of a record, and for quotation marks; brackets are nothing special in it."""
        for at, value in enumerate(values):
            found = INVISIBLE.search(value)
            if found is not None and self._wants():
                self._hidden(span_of(self.source, line, values, at).start + found.start(), found[0])
            if '"' in value and self._wants():
                self._quoted(span_of(self.source, line, values, at).start + value.index('"'))

    def _quoted(self, at: int) -> None:
        self.found.add((QuoteInValue if self._strict else QuoteInValuePassed)(span=self._character(at)))

    def _hidden(self, at: int, character: str) -> None:
        made = HiddenInRow if self._strict else HiddenInRowPassed
        self.found.add(made(span=self._character(at), named=f"U+{ord(character):04X}"))

    def _character(self, at: int) -> Span:
        return Span(self.source.name, at, at + 1)

    def _wants(self) -> bool:
        """Whether one more of what compat lets pass is wanted."""
        return self.found.wants("error" if self._strict else "warning")


def values_taken(model: Model) -> dict[str, int]:
    """How many values each type takes."""
    return {name: shape.takes for name, shape in _shapes(model).items()}


def _shapes(model: Model) -> dict[str, _Shape]:
    shapes = {
        name: _Shape(
            f"{name} = {', '.join(each.tokens)}",
            len(each.tokens),
            each.tokens.index(EFFECT_COLUMN) if EFFECT_COLUMN in each.tokens else None,
        )
        for name, each in model.policies.items()
    }
    return shapes | {name: _role_shape(each) for name, each in model.roles.items()}


def _role_shape(role: RoleDefinition) -> _Shape:
    names = ["_"] * (3 if role.domains else 2)
    asked = ", ".join(["_"] * role.conditions)
    written = f"{role.name} = {', '.join([*names, f'({asked})'] if asked else names)}"
    return _Shape(written, len(names) + role.conditions, role=role)


def _link(values: tuple[str, ...], line: int, *, domains: bool) -> Link:
    member, role, *rest = values
    domain = rest.pop(0) if domains else ""
    return Link(member, role, domain, tuple(rest), line)
