"""Casbin tables: rows that vote on a request, by one matcher, over role graphs, under one effect.

A matcher is an expression over the parameters of a request (`r.sub`) and the columns of a row (`p.sub`). For one row it
comes out TRUE, FALSE or UNKNOWN (Kleene): unknown where a value is missing, a comparison is not defined for its values,
or somebody's own function raised. The rows stand in the order in which they rank, the first before the others; what the
table says is then, by `effect`:

    allow_override   allow by the first allow row that is TRUE, else nothing
    allow_and_deny   deny by the first deny row that is not FALSE, else allow by the first allow row that is TRUE, else
                     nothing
    deny_override    deny by the first deny row that is not FALSE, else allow by no row (only in compat)
    priority         by the first row that is an allow row and TRUE, or a deny row and not FALSE, else nothing

A table without rows says nothing, whatever its effect. Ignorance never grants: what is unknown passes an allow row over
and makes a deny row deny.
INVARIANT (held by `validity`): every place is in range, every graph, function and row expression that is named is
there, with as many arguments as it takes; every row has a value for each column.
Source: language.md 6.4, 6.6; Casbin's documentation, "Syntax for Models", "Effector", "Functions", "RBAC".

Decision (2026-11-21): a table keeps the matcher whole, and not a guard for each row: rows are data, and the work of
loading a table, of printing it and of proving two equal grows with what was written. What makes a decision fast, the
index over the rows, is the plan's (policy_lang/plan/tables.py), as it is for rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Mode = Literal["strict", "compat"]
"""`strict`: one meaning, the safe one, of what the front end lets through. `compat`: what Casbin documents."""

TableEffect = Literal["allow_override", "allow_and_deny", "deny_override", "priority"]

Vote = Literal["allow", "deny"]

TableScalar = bool | int | float | str

FunctionName = Literal[
    "keyMatch", "keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5",
    "keyGet", "keyGet2", "keyGet3",
    "regexMatch", "globMatch", "ipMatch", "timeMatch",
]  # fmt: skip
"""Casbin's own functions. The `keyGet` ones give a string, "" where the pattern does not fit; the others a truth."""

ARITY: Mapping[FunctionName, int] = {
    "keyMatch": 2, "keyMatch2": 2, "keyMatch3": 2, "keyMatch4": 2, "keyMatch5": 2,
    "keyGet": 2, "keyGet2": 3, "keyGet3": 3,
    "regexMatch": 2, "globMatch": 2, "ipMatch": 2, "timeMatch": 2,
}  # fmt: skip


# ---------------------------------------------------------------- expressions


class Parameter(Struct, frozen=True):
    """A parameter of the request, by its place: `r.sub`."""

    place: int


class Column(Struct, frozen=True):
    """A column of the row, by its place: `p.sub`. A string."""

    place: int


class Field(Struct, frozen=True):
    """A named part of a value: `r.sub.Age`. No value where the value has no such part, and in compat where a mapping
    has a method of that name, such as `items`, which Casbin for Python reads.
    """

    of: Expression
    name: str


class Constant(Struct, frozen=True):
    value: TableScalar


class Listed(Struct, frozen=True):
    """`('a', 'b')` or `['a', 'b']`; only on the right of `in`."""

    parts: tuple[Expression, ...]


class Not(Struct, frozen=True):
    of: Expression


class And(Struct, frozen=True):
    parts: tuple[Expression, ...]


class Or(Struct, frozen=True):
    parts: tuple[Expression, ...]


class Comparison(Struct, frozen=True):
    """`eq` and `ne` of any two values (of different types: not equal; whole and fractional numbers are one type); `lt`
    to `ge` of two numbers or two strings, of anything else unknown. A boolean is of another type than a number in
    strict; in compat it is 0 or 1, as in Python.
    """

    op: Literal["eq", "ne", "lt", "le", "gt", "ge"]
    left: Expression
    right: Expression


class Within(Struct, frozen=True):
    """`in`: whether a sequence or a set has the item, as `eq` has it; of two strings, in compat, whether one holds the
    other. Of anything else unknown.
    """

    item: Expression
    among: Expression


class Arithmetic(Struct, frozen=True):
    """Of two numbers; `+` of two strings too. No value for anything else, and for division by nought."""

    op: Literal["+", "-", "*", "/", "%"]
    left: Expression
    right: Expression


class Linked(Struct, frozen=True):
    """`g(r.sub, p.sub)`, `g(r.sub, p.sub, r.dom)`: whether the first name is the second, or has it as a role, directly
    or through others. Arguments that are no strings: unknown.
    """

    graph: int
    arguments: tuple[Expression, ...]


class BuiltIn(Struct, frozen=True):
    """One of Casbin's own functions. What it cannot take (no strings, no address, no pattern) has no value. To
    `ipMatch` the address `::ffff:10.0.0.1` is 10.0.0.1 in strict, and one of IPv6 in compat. A name that ends with a
    line break has no value in compat for those that are regular expressions to Casbin.
    """

    function: FunctionName
    arguments: tuple[Expression, ...]


class Own(Struct, frozen=True):
    """A function that the embedding program gave, by name. What it raises, and what is no scalar, is no value."""

    function: str
    arguments: tuple[Expression, ...]


class Written(Struct, frozen=True):
    """`eval(p.sub_rule)`: the expression that the row has in this column, from `Table.expressions`."""

    column: int


Expression = (
    Parameter | Column | Field | Constant | Listed | Not | And | Or | Comparison | Within | Arithmetic | Linked
    | BuiltIn | Own | Written
)  # fmt: skip


# ---------------------------------------------------------------- roles


class Link(Struct, frozen=True):
    """`member` has `role`, in `domain` ("" in a graph without domains). `condition` is empty, or the two arguments of
    `timeMatch` that must hold at the instant of the decision. `line` of the policy, from 1; 0 where it has none.
    """

    member: str
    role: str
    domain: str = ""
    condition: tuple[str, ...] = ()
    line: int = 0


class RoleGraph(Struct, frozen=True):
    """A role definition and its links, in the order of the policy.

    A name has itself, known or not. It has the role of each link whose member is that name, or (`matching`) a pattern
    that the name fits; where the role of a link is a pattern, it has every name that fits it. Whether those have each
    other, which depends in Casbin on the order of the links, is unknown in compat. `matching` and `domain_matching` are
    functions of `FunctionName` with two arguments: name, pattern. Links of a domain hold in that domain, and in each
    that fits it as a pattern (`domain_matching`). `longest` is how many links lead to a role at the most; None: any
    number.
    """

    name: str
    domains: bool
    links: tuple[Link, ...]
    matching: FunctionName | None = None
    domain_matching: FunctionName | None = None
    longest: int | None = None


# ---------------------------------------------------------------- tables


class Row(Struct, frozen=True):
    """`vote` None: an effect that is neither; it says nothing (only in compat). `line` as in `Link`."""

    values: tuple[str, ...]
    vote: Vote | None
    line: int = 0


class Table(Struct, frozen=True):
    """`id` is that of the block, `module.name`; "" when embedded. `file` is the policy's, for places. `expressions` are
    the texts that stand in columns under `Written`, each once, with what they say; None is a text that says nothing
    that can be asked (only in compat; unknown). `own` are the names under `Own`. `zone` is the IANA name of the time
    zone of `timeMatch`.
    """

    id: str
    mode: Mode
    effect: TableEffect
    parameters: tuple[str, ...]
    columns: tuple[str, ...]
    matcher: Expression
    rows: tuple[Row, ...]
    graphs: tuple[RoleGraph, ...] = ()
    expressions: tuple[tuple[str, Expression | None], ...] = ()
    own: tuple[str, ...] = ()
    zone: str = "UTC"
    file: str = ""
