"""Tables, requests and hostile objects for tests of tables: strategies that draw them, and a table that holds all."""

from __future__ import annotations

from collections import UserDict, UserList
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import get_args

from hypothesis import strategies as st

from policy_lang.ir import tables
from policy_lang.ir.tables import ARITY, Expression, Link, Mode, RoleGraph, Row, Table, TableEffect

PARAMETERS = ("sub", "obj", "act")
COLUMNS = ("sub", "obj")
NAMES = ("alice", "admin", "/a/b", "/a/*", "GET", "")
RULES = ("r.sub.Age > 18", "r.act == p.sub", "garbage")
GRAPHS = (
    RoleGraph("g", False, (Link("alice", "admin", line=3), Link("admin", "/a/*", "", ("_", "2030-01-01 00:00:00")))),
    RoleGraph("g2", True, (Link("alice", "admin", "/a/b"), Link("*", "GET", "*")), "keyMatch", "keyMatch2", 9),
)

# ---------------------------------------------------------------- drawing

SCALARS = (
    st.booleans()
    | st.integers(-3, 3)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number or 0.0)
    | st.sampled_from(NAMES)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
)
LEAVES: st.SearchStrategy[Expression] = (
    st.integers(0, len(PARAMETERS) - 1).map(tables.Parameter)
    | st.integers(0, len(COLUMNS) - 1).map(tables.Column)
    | SCALARS.map(tables.Constant)
)
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def larger(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    """Expressions made of others."""
    many = st.lists(inner, max_size=3).map(tuple)
    few = st.lists(inner, min_size=2, max_size=2).map(tuple)
    functions = st.sampled_from(sorted(ARITY)).flatmap(
        lambda name: st.builds(
            tables.BuiltIn, st.just(name), st.lists(inner, min_size=ARITY[name], max_size=ARITY[name]).map(tuple)
        )
    )
    return (
        st.builds(tables.Comparison, st.sampled_from(COMPARISONS), inner, inner)
        | st.builds(tables.And, many)
        | st.builds(tables.Or, many)
        | st.builds(tables.Not, inner)
        | st.builds(tables.Within, inner, inner | st.builds(tables.Listed, many))
        | st.builds(tables.Arithmetic, st.sampled_from("+-*/%"), inner, inner)
        | st.builds(tables.Field, inner, st.sampled_from(("Age", "_x", "items", "boom")))
        | st.builds(tables.Linked, st.just(0), few)
        | st.builds(tables.Linked, st.just(1), st.lists(inner, min_size=3, max_size=3).map(tuple))
        | st.builds(tables.Own, st.sampled_from(("own", "raising", "missing")), many)
        | functions
    )


EXPRESSIONS = st.recursive(LEAVES, larger, max_leaves=6)
WITH_RULES = st.recursive(LEAVES | st.just(tables.Written(1)), larger, max_leaves=6)
CONDITIONS = (
    st.builds(tables.Comparison, st.just("eq"), LEAVES, LEAVES)
    | st.builds(tables.Comparison, st.just("eq"), st.just(tables.Parameter(0)), st.just(tables.Column(0)))
    | WITH_RULES
)


def values() -> st.SearchStrategy[tuple[str, str]]:
    """The values of a row, an expression in the second column."""
    return st.tuples(st.sampled_from(NAMES), st.sampled_from(RULES))


# Made once: making a strategy takes longer than drawing from it.
_EFFECTS = {
    effects: st.sampled_from(effects) for effects in (get_args(TableEffect), ("allow_override", "allow_and_deny"))
}
_MODES: st.SearchStrategy[Mode] = st.sampled_from(("strict", "compat"))
_VOTES: Mapping[Mode, tuple[str | None, ...]] = {
    "strict": ("allow", "allow", "deny"),
    "compat": ("allow", "deny", None),
}
_ROWS = {
    mode: st.lists(st.builds(Row, values(), st.sampled_from(votes), st.integers(0, 9)), max_size=5)
    for mode, votes in _VOTES.items()
}
_WRITTEN = {
    "strict": st.tuples(EXPRESSIONS, EXPRESSIONS, EXPRESSIONS),
    "compat": st.tuples(EXPRESSIONS, EXPRESSIONS, st.none()),
}
_ZONES = st.sampled_from(("UTC", "Europe/Zurich", "Nowhere/At/All"))


@st.composite
def drawn_tables(draw: st.DrawFn, effects: tuple[TableEffect, ...] = get_args(TableEffect)) -> Table:
    """Tables that keep the invariant."""
    effect = draw(_EFFECTS[effects])
    mode: Mode = "compat" if effect == "deny_override" else draw(_MODES)
    rows = draw(_ROWS[mode])
    written = draw(_WRITTEN[mode])
    return Table(
        id="m.t",
        mode=mode,
        effect=effect,
        parameters=PARAMETERS,
        columns=COLUMNS,
        matcher=draw(CONDITIONS),
        rows=tuple(rows),
        graphs=GRAPHS,
        expressions=tuple(zip(RULES, written, strict=True)),
        own=("missing", "own", "raising"),
        zone=draw(_ZONES),
        file="policy.csv",
    )


# ---------------------------------------------------------------- objects that mean no good


class Raising:
    """Raises whatever is asked."""

    @property
    def Age(self) -> int:  # noqa: N802 - as in the models of Casbin's documentation
        raise RuntimeError("boom")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("boom")

    def __hash__(self) -> int:
        raise RuntimeError("boom")

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)

    def __bool__(self) -> bool:
        raise RuntimeError("boom")


class Proxy:
    """Says that it is of another class, by raising."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise RuntimeError("outside of a request")


class Posing:
    """Says that it is a string."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return str


class Meta(type):
    """A class of classes that cannot be hashed."""

    def __eq__(cls, other: object) -> bool:
        raise RuntimeError("boom")

    __hash__ = None  # type: ignore[assignment]


class Unhashed(metaclass=Meta):
    """An object of such a class."""


class Endless(UserList[int]):
    """A sequence that goes on and on."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[int]:
        while True:
            yield 1


class Short(UserList[int]):
    """A sequence that has no length."""

    def __len__(self) -> int:
        raise RuntimeError("boom")


class Torn(UserDict[str, object]):
    """A mapping that cannot be read."""

    def __getitem__(self, key: str) -> object:
        raise RuntimeError("boom")

    def get(self, key: object, default: object = None) -> object:
        raise RuntimeError("boom")


class Agreeing(UserList[str]):
    """A sequence that is equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Shadowing(UserDict[str, object]):
    """A mapping with attributes of its own."""

    Age = 7
    _x = 7


class Equal:
    """Is equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Vague:
    """Is equal to everything, in a way."""

    def __eq__(self, other: object) -> str:  # type: ignore[override]
        return "yes"

    __hash__ = None  # type: ignore[assignment]


class Odd(str):
    """A string that compares by throwing."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("boom")

    def __lt__(self, other: object) -> bool:
        raise RuntimeError("boom")

    __hash__ = str.__hash__


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    TWO = 2


@dataclass
class Person:
    """As in ABAC."""

    Age: int = 19
    _x: int = 1

    @property
    def Older(self) -> int:  # noqa: N802
        return self.Age + 1

    def method(self) -> int:
        return self.Age


@dataclass(slots=True, init=False)
class Unset:
    """A field that was never filled."""

    Age: int


def cyclic() -> list[object]:
    """A list within itself."""
    inner: list[object] = []
    inner.append(inner)
    return inner


HOSTILE: Mapping[str, object] = {
    "raises whatever is asked": Raising(),
    "raises when its class is asked": Proxy(),
    "poses as a string": Posing(),
    "is of a class that cannot be hashed": Unhashed(),
    "goes on without end": Endless([1]),
    "has no length": Short([1]),
    "a mapping that cannot be read": Torn(Age=19),
    "is equal to everything": Equal(),
    "a sequence that is equal to everything": Agreeing("a"),
    "has a vague equality": Vague(),
    "a list within itself": cyclic(),
    "a string that compares by throwing": Odd("alice"),
    "a field that was never filled": Unset(),
    "a class": Person,
    "a generator": (each for each in "ab"),
    "bytes": b"alice",
    "not a number": float("nan"),
    "infinite": float("inf"),
    "a number of 10,000 digits": 10**10_000,
    "half a character": "\ud800",
}


@dataclass(frozen=True)
class Hidden:
    """A hostile object by name: what draws and shows values must not look at the object itself."""

    case: str


def shown(request: tuple[object, ...]) -> tuple[object, ...]:
    """A drawn request as it is asked."""
    return tuple(HOSTILE[each.case] if isinstance(each, Hidden) else each for each in request)


VALUES = (
    st.sampled_from(NAMES)
    | st.sampled_from(list(HOSTILE)).map(Hidden)
    | st.none()
    | SCALARS
    | st.just(Person())
    | st.lists(st.sampled_from(NAMES) | st.integers(0, 2), max_size=3)
    | st.dictionaries(st.sampled_from(("Age", "items", "x")), SCALARS, max_size=2)
    | st.frozensets(st.sampled_from(NAMES), max_size=3)
)
REQUESTS = st.tuples(VALUES, VALUES, VALUES)
NAMED = st.tuples(*[st.sampled_from(NAMES)] * 3)
INSTANTS = st.integers(0, 2**41) | st.sampled_from((-(10**30), 10**30))


def raising(*arguments: object) -> bool:
    """A function of somebody's own."""
    raise RuntimeError("boom")


FUNCTIONS = {"own": lambda *arguments: len(arguments) == 1, "raising": raising}

# ---------------------------------------------------------------- one of each

A, B = tables.Parameter(0), tables.Column(0)
EVERY: tuple[Expression, ...] = (
    tables.Comparison("eq", tables.Field(A, "Age"), tables.Constant(0.1)),
    tables.Comparison("ne", tables.Constant(True), tables.Constant(1)),
    tables.Comparison("lt", tables.Constant(1.0), tables.Constant(-(2**63))),
    tables.Comparison("le", A, B),
    tables.Comparison("gt", A, B),
    tables.Not(tables.Comparison("ge", A, B)),
    tables.Within(A, tables.Listed((tables.Constant("a"), B))),
    tables.Within(A, B),
    tables.Within(B, tables.Parameter(1)),
    tables.Or((tables.Linked(0, (A, B)), tables.Linked(1, (A, B, tables.Parameter(1))), tables.And(()))),
    tables.BuiltIn("keyMatch2", (tables.Parameter(1), tables.Column(1))),
    tables.Comparison("eq", tables.BuiltIn("keyGet2", (A, B, tables.Constant("id"))), tables.Constant("é\u2028")),
    *(
        tables.Comparison("eq", tables.Arithmetic(op, A, tables.Constant(2)), tables.Constant(5e-324))
        for op in ("+", "-", "*", "/", "%")
    ),
    tables.Own("own", (A,)),
    tables.Written(1),
)
ONE_OF_EACH = Table(
    id="m.t",
    mode="compat",
    effect="priority",
    parameters=PARAMETERS,
    columns=COLUMNS,
    matcher=tables.And(EVERY),
    rows=(Row(("alice", RULES[0]), "allow", 1), Row(("x,y", RULES[1]), "deny", 2), Row(("", RULES[1]), None)),
    graphs=GRAPHS,
    expressions=((RULES[0], tables.Comparison("gt", tables.Field(A, "Age"), tables.Constant(18))), (RULES[1], None)),
    own=("own",),
    zone="Europe/Zurich",
    file="rules/policy.csv",
)
