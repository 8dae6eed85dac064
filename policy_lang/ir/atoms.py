"""Values, operands, atoms and guards: what a condition is made of.

Source: language.md 6.1.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from policy_lang.ir import tables

VERSION = 3


ScalarValue = bool | int | str


Value = ScalarValue | frozenset[ScalarValue]


Effect = Literal["allow", "deny", "require"]


LogLevel = Literal["minimal", "normal", "full"]


Root = Literal["token", "subject", "resource", "path", "query", "header", "request", "signal"]


class Attr(Struct, frozen=True):
    """An input: a declared claim (or `aud`, `scope`), a property of the subject or the resource (or its `id`), a
    capture, a query parameter, a header, an attribute of the request, or a signal by its id.
    """

    root: Root
    name: str


class Now(Struct, frozen=True):
    """The instant of the decision, Unix milliseconds."""


class Const(Struct, frozen=True):
    value: Value


class Shift(Struct, frozen=True):
    """Time and duration arithmetic: `left + right` (sign 1) or `left - right` (sign -1), in milliseconds."""

    left: Operand
    sign: Literal[1, -1]
    right: Operand


Operand = Attr | Now | Const | Shift


class Truth(Struct, frozen=True):
    """A boolean attribute."""

    of: Operand


class Compare(Struct, frozen=True):
    """`eq`, `lt` or `le`; the other three are negations or have their sides swapped."""

    op: Literal["eq", "lt", "le"]
    left: Operand
    right: Operand


class Member(Struct, frozen=True):
    item: Operand
    among: Operand


class Overlap(Struct, frozen=True):
    left: Operand
    right: Operand


class Cover(Struct, frozen=True):
    """Whether `left` holds every member of `right`."""

    left: Operand
    right: Operand


class Empty(Struct, frozen=True):
    of: Operand


class Like(Struct, frozen=True):
    """`pattern` has `*` only as its first and/or its last character."""

    of: Operand
    pattern: str


class Has(Struct, frozen=True):
    """Whether an optional input is present."""

    attr: Attr


class InNetwork(Struct, frozen=True):
    """Whether an address lies in one of these ranges of numbers in the 128-bit space: (first, last), both included,
    ascending, disjoint and not adjacent. `network` is how the policy calls it.
    """

    of: Operand
    network: str
    ranges: tuple[tuple[int, int], ...]


class Lookup(Struct, frozen=True):
    """Whether the row is among the facts of a relation; unknown where the facts are not at hand."""

    relation: str
    arguments: tuple[Operand, ...]


class Age(Struct, frozen=True):
    """-skew <= now - at <= `most_ms` (no upper end where None): freshness of a factor, with the platform's skew."""

    at: Operand
    most_ms: int | None


class Vote(Struct, frozen=True):
    """Whether a Casbin table, by its id, casts this vote on a request of these values, one for each of its parameters;
    unknown where one of them has no value.
    """

    table: str
    vote: tables.Vote
    arguments: tuple[Operand, ...]


Atom = Truth | Compare | Member | Overlap | Cover | Empty | Like | Has | InNetwork | Lookup | Age | Vote


CLOCK_SKEW_MS = 30_000
"""How far an authentication instant may lie in our future (language.md 5.4)."""


class Lit(Struct, frozen=True):
    """An atom, or its negation."""

    atom: int
    negated: bool


class All(Struct, frozen=True):
    """True where every part is; `All(())` is true."""

    parts: tuple[int, ...]


class AnyOf(Struct, frozen=True):
    """True where one part is; `AnyOf(())` is false."""

    parts: tuple[int, ...]


Guard = Lit | All | AnyOf
