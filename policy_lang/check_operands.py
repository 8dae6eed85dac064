"""Operands: values within one expression, in one environment, with the limits every walk keeps.

A tree node, the type wanted beside it and the inputs known present go in; a typed IR operand comes out, or None after
the mistake was reported. One `Operands` walks one rule in one environment; it also holds what is common to the walk:
the arguments of the condition that is being expanded, the counts, and the list of mistakes.
INVARIANT: an operand that comes out reads no input that may be missing where it stands.
Source: language.md 4.1, 4.2.

Decision: 2026-11-21. Expressions nest at most `MOST_NESTED` deep with their conditions expanded, and expand to at most
`MOST_NODES` nodes: doubling conditions are refused (E801) before they cost time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import assert_never

from policy_lang import ir, tree
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.endpoints import EndpointEntry
from policy_lang.fields import Slot
from policy_lang.guards import shifted
from policy_lang.inventory import KindEntry
from policy_lang.literals_typed import Typed, is_literal, literal_operand
from policy_lang.mistakes.types import (
    MayBeMissing,
    MissingHere,
    NotAValue,
    TooLarge,
    TypesDiffer,
    UnsetOutsideTest,
    WrongType,
)
from policy_lang.names import Names, Parameter
from policy_lang.typesystem import Scalar, Type, moved, same

MOST_NESTED = 100
"""Levels of an expanded expression: every later recursion over it stays far from Python's own limit."""

MOST_NODES = 50_000
"""Nodes of an expanded expression: a tenth of a second, and more than anyone has written by hand."""

Facts = frozenset[ir.Attr]
NOTHING: Facts = frozenset()


@dataclass(frozen=True, slots=True)
class Environment:
    """One endpoint and one kind of principal; kind None is the anonymous caller, endpoint None a factor's condition."""

    kind: KindEntry | None
    endpoint: EndpointEntry | None

    def slot(self, attr: ir.Attr) -> Slot | None:
        """What is read by this name here; None where there is no such input."""
        match attr.root:
            case "token":
                return None if self.kind is None else self.kind.slots.get(attr.name)
            case "path":
                return None if self.endpoint is None else self.endpoint.path.get(attr.name)
            case "query":
                return None if self.endpoint is None else self.endpoint.query.get(attr.name)
            case "request":
                return Slot(Scalar.STRING, optional=False, declared=None)
            case _:
                assert_never(attr.root)


class Operands:
    """Reads the operands of one walk."""

    def __init__(self, names: Names, environment: Environment, found: list[Diagnostic]) -> None:
        self.environment = environment
        self._names = names
        self._found = found
        self._arguments: Mapping[str, Typed | None] = {}
        self._used_at: tree.Call | None = None
        self._nested = 0
        self._nodes = 0

    def operand(self, expr: tree.Expr, expected: Type | None, known: Facts) -> Typed | None:
        """`expr` as a value; a literal takes the type `expected` where it can."""
        with self.counted(expr) as fits:
            return self._operand(expr, expected, known) if fits else None

    def _operand(self, expr: tree.Expr, expected: Type | None, known: Facts) -> Typed | None:
        match expr:
            case (
                tree.StringLit() | tree.IntLit() | tree.BoolLit() | tree.DurationLit() | tree.TimeLit() | tree.SetLit()
            ):
                read = literal_operand(expr, expected)
                if isinstance(read, Diagnostic):
                    self.report(read)
                    return None
                return read
            case tree.Ref():
                return self._read(expr, known)
            case tree.Arithmetic():
                return self._arithmetic(expr, known)
            case tree.UnsetLit():
                self.report(UnsetOutsideTest(span=expr.span))
                return None
            case _:
                self.report(NotAValue(span=expr.span))
                return None

    def _read(self, ref: tree.Ref, known: Facts) -> Typed | None:
        bound = self._names.inputs.get(ref.id)
        match bound:
            case None:
                return None
            case Parameter(name):
                return self._arguments.get(name)
            case ir.Now():
                return Typed(bound, Scalar.TIME)
            case ir.Attr(root, name):
                slot = self.environment.slot(bound)
                if slot is None:
                    self._missing(ref, bound)
                    return None
                if slot.optional and bound not in known:
                    others = () if slot.declared is None else (Label(slot.declared, "declared optional here"),)
                    self.report(MayBeMissing(span=ref.span, root=root, name=name, others=others))
                    return None
                return Typed(bound, slot.type)
            case _:
                assert_never(bound)

    def _missing(self, ref: tree.Ref, attr: ir.Attr) -> None:
        kind, endpoint = self.environment.kind, self.environment.endpoint
        name = f"{attr.root}.{attr.name}"
        if attr.root == "token":
            where = "for anonymous callers" if kind is None else f"for token kind `{kind.kind.id}`"
            remedy = "say whom the rule is `for`, or narrow it: token is KIND and …"
        elif endpoint is None:
            where, remedy = "in a factor", "a factor reads claims of its own token, and `now`"
        else:
            where = f"on `{endpoint.endpoint.id}`"
            remedy = f"narrow the rule to endpoints that have it, or write: {attr.root} has {attr.name} and …"
        self.report(MissingHere(span=ref.span, name=name, where=where, remedy=remedy))

    def _arithmetic(self, expr: tree.Arithmetic, known: Facts) -> Typed | None:
        left = self.operand(expr.left, None, known)
        right = self.operand(expr.right, None, known)
        if left is None or right is None:
            return None
        type_ = moved(left.type, expr.op, right.type)
        if type_ is None:
            self.differ(expr, expr.op, left, right)
            return None
        return Typed(shifted(left.operand, 1 if expr.op == "+" else -1, right.operand), type_)

    def argument(self, expr: tree.Expr, wanted: Type, known: Facts) -> Typed | None:
        """`expr` as an argument that must be of type `wanted`."""
        given = self.operand(expr, wanted, known)
        if given is None:
            return None
        if not same(given.type, wanted):
            self.report(WrongType(span=expr.span, wanted=f"`{wanted}`", found=f"`{given.type}`"))
            return None
        return Typed(given.operand, wanted)

    def pair(self, left: tree.Expr, right: tree.Expr, known: Facts) -> tuple[Typed, Typed] | None:
        """Two operands that stand beside each other: a literal takes the type of what is none."""
        if is_literal(left) and not is_literal(right):
            second = self.operand(right, None, known)
            first = self.operand(left, None if second is None else second.type, known)
        else:
            first = self.operand(left, None, known)
            second = self.operand(right, None if first is None else first.type, known)
        return None if first is None or second is None else (first, second)

    # ------------------------------------------------------------ mistakes and limits

    def differ(self, expr: tree.Expr, form: str, left: Typed, right: Typed) -> None:
        """Report two operands whose types do not go together."""
        self.report(TypesDiffer(span=expr.span, form=form, left=f"`{left.type}`", right=f"`{right.type}`"))

    def report(self, mistake: Diagnostic) -> None:
        """Take down a mistake."""
        if self._used_at is not None:
            label = Label(self._used_at.span, "in the condition that is used here")
            mistake = replace(mistake, others=(*mistake.others, label))
        self._found.append(mistake)

    @contextmanager
    def expanding(self, call: tree.Call, arguments: Mapping[str, Typed | None]) -> Iterator[None]:
        """Within: parameters mean these arguments, and mistakes name the outermost call too."""
        before = self._arguments, self._used_at
        self._arguments, self._used_at = arguments, self._used_at or call
        try:
            yield
        finally:
            self._arguments, self._used_at = before

    @contextmanager
    def counted(self, expr: tree.Expr) -> Iterator[bool]:
        """Counts one node; false where it is one too many, which is reported once."""
        self._nodes += 1
        self._nested += 1
        too_many = self._nodes > MOST_NODES
        if self._nodes == MOST_NODES + 1:
            self.report(TooLarge(span=expr.span, why=f"it expands to more than {MOST_NODES} parts"))
        elif not too_many and self._nested > MOST_NESTED:
            too_many = True
            self.report(TooLarge(span=expr.span, why=f"it nests deeper than {MOST_NESTED}"))
        try:
            yield not too_many
        finally:
            self._nested -= 1
