"""The meeting point: a compiled policy as flat, typed, serialisable values, and nothing of its syntax.

`lower` writes it from checked trees (a Casbin front end will, later); `reference` defines what it means; the service
loads it without parsing anything. Atoms and guards are hash-consed: equal ones stand once and are named by index, and
a guard's parts have smaller indices than itself, so that any walk ends.

A cell is one (endpoint, principal kind): its rules have everything static folded away. Kind None is the anonymous
caller. A guard index refers to `Program.guards`, a rule index to `Program.rules`, an endpoint index to
`Program.endpoints`. Negation stands only at literals.

INVARIANT: a cell lists every deny, allow and require rule that its endpoint and kind may meet; a rule left out of a
cell is one whose guard folded to false there.
Design: language.md 6.1. Compatibility: `VERSION` changes whenever an older reader would misread; a reader refuses
every version but its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from policy_lang.typesystem import Type

VERSION = 1

ScalarValue = bool | int | str
Value = ScalarValue | frozenset[ScalarValue]

Effect = Literal["allow", "deny", "require"]
LogLevel = Literal["minimal", "normal", "full"]
Root = Literal["token", "path", "query", "request"]

# ---------------------------------------------------------------- operands


@dataclass(frozen=True, slots=True)
class Attr:
    """An input: a declared claim (or `aud`, `scope`), a capture, a query parameter, or an attribute of the request."""

    root: Root
    name: str


@dataclass(frozen=True, slots=True)
class Now:
    """The instant of the decision, Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class Const:
    value: Value


@dataclass(frozen=True, slots=True)
class Shift:
    """Time and duration arithmetic: `left + right` (sign 1) or `left - right` (sign -1), in milliseconds."""

    left: Operand
    sign: Literal[1, -1]
    right: Operand


Operand = Attr | Now | Const | Shift

# ---------------------------------------------------------------- atoms


@dataclass(frozen=True, slots=True)
class Truth:
    """A boolean attribute."""

    of: Operand


@dataclass(frozen=True, slots=True)
class Compare:
    """`eq`, `lt` or `le`; the other three are negations or have their sides swapped."""

    op: Literal["eq", "lt", "le"]
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Member:
    item: Operand
    among: Operand


@dataclass(frozen=True, slots=True)
class Overlap:
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Cover:
    """Whether `left` holds every member of `right`."""

    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Empty:
    of: Operand


@dataclass(frozen=True, slots=True)
class Like:
    """`pattern` has `*` only as its first and/or its last character."""

    of: Operand
    pattern: str


@dataclass(frozen=True, slots=True)
class Has:
    """Whether an optional input is present."""

    attr: Attr


@dataclass(frozen=True, slots=True)
class Lookup:
    """Whether the row is among the facts of a relation; unknown where the facts are not at hand."""

    relation: str
    arguments: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Age:
    """-skew <= now - at <= `most_ms` (no upper end where None): freshness of a factor, with the platform's skew."""

    at: Operand
    most_ms: int | None


Atom = Truth | Compare | Member | Overlap | Cover | Empty | Like | Has | Lookup | Age

CLOCK_SKEW_MS = 30_000
"""How far an authentication instant may lie in our future (language.md 5.4)."""

# ---------------------------------------------------------------- guards


@dataclass(frozen=True, slots=True)
class Lit:
    """An atom, or its negation."""

    atom: int
    negated: bool


@dataclass(frozen=True, slots=True)
class All:
    """True where every part is; `All(())` is true."""

    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True where one part is; `AnyOf(())` is false."""

    parts: tuple[int, ...]


Guard = Lit | All | AnyOf

# ---------------------------------------------------------------- rules and cells


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the policy: file, line and column from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class LogDuty:
    level: LogLevel
    strict: bool


NORMAL_LOG = LogDuty("normal", strict=False)
"""What is recorded where no rule speaks (language.md, point E)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`id` is `module.name`, for ever."""

    id: str
    effect: Effect
    because: str
    place: Place
    log: LogDuty | None


@dataclass(frozen=True, slots=True)
class Clause:
    """One `for`, `when` or `unless` of a rule, with its text as written; `label` is `for`, `when 1`, `unless 2`."""

    label: str
    text: str
    guard: int


@dataclass(frozen=True, slots=True)
class Need:
    """What a require rule asks for; unmet unless its guard is true. `within_s` only of a factor that names one."""

    text: str
    guard: int
    challenge: str
    within_s: int | None


@dataclass(frozen=True, slots=True)
class CellRule:
    """A rule as it is in one cell. `needs` only on require rules."""

    rule: int
    clauses: tuple[Clause, ...]
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """What is asked for one endpoint and one kind of principal; each group sorted by rule id."""

    endpoint: int
    kind: str | None
    deny: tuple[CellRule, ...]
    allow: tuple[CellRule, ...]
    require: tuple[CellRule, ...]


# ---------------------------------------------------------------- the inventory


@dataclass(frozen=True, slots=True)
class FieldSchema:
    """A claim or a query parameter. `source` is the way to it from the outside, at least one step."""

    name: str
    type: Type
    optional: bool
    private: bool
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """A token kind; `id` is the plain name. One issuer has one kind."""

    id: str
    issuer: str
    claims: tuple[FieldSchema, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """`id` is `module.name`; facts are rows of these columns."""

    id: str
    columns: tuple[tuple[str, Type], ...]


CaptureType = Literal["string", "int", "uuid"]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A path segment that must be this text (decoded)."""

    text: str


@dataclass(frozen=True, slots=True)
class Capture:
    name: str
    type: CaptureType


@dataclass(frozen=True, slots=True)
class AnySegment:
    """`*`: exactly one segment."""


@dataclass(frozen=True, slots=True)
class Rest:
    """`**`: all that follows, perhaps nothing; only last."""


Segment = Fixed | Capture | AnySegment | Rest


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`id` is `service.name`. `route` is the pattern as written; `trailing_slash` is part of the pattern, exact."""

    id: str
    service: str
    methods: tuple[str, ...]
    route: str
    segments: tuple[Segment, ...]
    trailing_slash: bool
    scopes: tuple[str, ...]
    labels: tuple[str, ...]
    query: tuple[FieldSchema, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Service:
    """`audiences` empty is `audience none`: no token opens it. `hosts` are lower case, without port or final dot."""

    id: str
    audiences: tuple[str, ...]
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """One compiled policy."""

    version: int
    modules: tuple[str, ...]
    kinds: tuple[Kind, ...]
    relations: tuple[Relation, ...]
    services: tuple[Service, ...]
    endpoints: tuple[Endpoint, ...]
    atoms: tuple[Atom, ...]
    guards: tuple[Guard, ...]
    rules: tuple[Rule, ...]
    cells: tuple[Cell, ...]


# ---------------------------------------------------------------- what a cell reads


def atoms_of(program: Program, guard: int) -> Iterator[Atom]:
    """Every atom below a guard, each index once."""
    seen: set[int] = set()
    todo = [guard]
    while todo:
        index = todo.pop()
        if index in seen:
            continue
        seen.add(index)
        node = program.guards[index]
        if isinstance(node, Lit):
            yield program.atoms[node.atom]
        else:
            todo.extend(node.parts)


def operands_of(atom: Atom) -> tuple[Operand, ...]:
    """The operands of an atom."""
    match atom:
        case Truth(of) | Empty(of) | Like(of, _):
            return (of,)
        case Compare(_, left, right) | Overlap(left, right) | Cover(left, right):
            return (left, right)
        case Member(item, among):
            return (item, among)
        case Has(attr):
            return (attr,)
        case Lookup(_, arguments):
            return arguments
        case Age(at, _):
            return (at,)


def attrs_of(operand: Operand) -> Iterator[Attr]:
    """The inputs an operand reads."""
    match operand:
        case Attr():
            yield operand
        case Shift(left, _, right):
            yield from attrs_of(left)
            yield from attrs_of(right)
        case Now() | Const():
            return


def guards_of(cell: Cell) -> Iterator[int]:
    """Every guard of a cell, its clauses' and its needs'."""
    for rule in (*cell.deny, *cell.allow, *cell.require):
        for clause in rule.clauses:
            yield clause.guard
        for need in rule.needs:
            yield need.guard


def reads_of(program: Program, cell: Cell) -> frozenset[Attr]:
    """The static read set of a cell: every input that any of its guards may read."""
    return frozenset(
        attr
        for guard in guards_of(cell)
        for atom in atoms_of(program, guard)
        for operand in operands_of(atom)
        for attr in attrs_of(operand)
    )


def lookups_of(program: Program, cell: Cell) -> frozenset[Lookup]:
    """Every relation lookup that the guards of a cell may make."""
    return frozenset(atom for guard in guards_of(cell) for atom in atoms_of(program, guard) if isinstance(atom, Lookup))
