"""Operands: values within one expression, in one environment, with the limits every walk keeps.

A tree node, the type wanted beside it and the inputs known present go in; a typed IR operand comes out, or None after
the mistake was reported. One `Operands` walks one rule in one environment; it also holds what is common to the walk:
the module whose names are meant, the arguments of the condition that is being expanded, the counts, the mistakes.
INVARIANT: an operand that comes out reads no input that may be missing where it stands.
INVARIANT: a network stands only right of `in`, a role only as an argument, so no operand is one.
Source: language.md 4.1, 4.2.

Decision: 2026-11-21. Expressions nest at most `MOST_NESTED` deep with their conditions expanded, and expand to at most
`MOST_NODES` nodes: doubling conditions are refused (E801) before they cost time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import assert_never

from msgspec.structs import replace

from policy_lang import addresses, ir, tree
from policy_lang.checking.environment import Bound, Environment, Facts
from policy_lang.checking.guards import Formula, shifted
from policy_lang.checking.memory import PARTS_A_STEP, ConditionKey, Expansion
from policy_lang.checking.written import said
from policy_lang.declared.entries import (
    ConditionEntry,
    Fixed,
    Names,
    NetworkEntry,
    Parameter,
    RelationEntry,
    RoleEntry,
    TagRead,
)
from policy_lang.declared.foreign_values import member_hint, pair_hint, value_hint
from policy_lang.declared.literals_typed import Typed, is_literal, literal_operand
from policy_lang.diagnostics import MOST_SHOWN, Diagnostic, Label
from policy_lang.mistakes.names import HostBits
from policy_lang.mistakes.types import (
    MayBeMissing,
    MissingHere,
    NotAValue,
    NotLiteral,
    NotScalar,
    OutOfPlace,
    TooLarge,
    TypesDiffer,
    UnsetOutsideTest,
    WrongType,
)
from policy_lang.typesystem import Scalar, ScalarType, SetType, Type, moved, same

MOST_NESTED = 100
"""Levels of an expanded expression: every later recursion over it stays far from Python's own limit."""

MOST_NODES = 20_000
"""Nodes of an expanded expression: a third of a second, and more than anyone has written by hand."""

MOST_MEMBERS = 128
"""Members of a set that is another one wherever it is used."""

_PLAIN = tree.StringLit | tree.IntLit | tree.BoolLit | tree.DurationLit | tree.TimeLit | tree.IpLit

_Joining = tree.Compare | tree.SetTest | tree.In | tree.Arithmetic

Argument = Typed | RoleEntry
"""What a parameter of a condition stands for."""


class Operands:
    """Reads the operands of one walk."""

    def __init__(self, bound: Bound, module: str, environment: Environment, found: list[Diagnostic]) -> None:
        self.environment = environment
        self._bound = bound
        self._module = module
        self._found = found
        self._arguments: Mapping[str, Argument | None] = {}
        self._used_at: tree.Node | None = None
        self._outermost: ConditionKey | None = None
        self._nested = 0
        self._nodes = 0
        self._deepest = 0
        self._overgrown = False

    @property
    def names(self) -> Names:
        """The bindings of the module in which the walk is."""
        return self._bound.names[self._module]

    def operand(self, expr: tree.Expr, expected: Type | None, known: Facts) -> Typed | None:
        """`expr` as a value; a literal takes the type `expected` where it can."""
        fits = self.enter(expr)
        try:
            return self._operand(expr, expected, known) if fits else None
        finally:
            self.leave()

    def _operand(self, expr: tree.Expr, expected: Type | None, known: Facts) -> Typed | None:
        match expr:
            case tree.StringLit() | tree.IntLit() | tree.BoolLit() | tree.DurationLit() | tree.TimeLit() | tree.IpLit():
                return self._constant(literal_operand(expr, expected))
            case tree.SetLit():
                return self._set(expr, expected)
            case tree.Ref():
                return self._read(expr, known)
            case tree.Arithmetic():
                return self._arithmetic(expr, known)
            case tree.UnsetLit():
                self.report(UnsetOutsideTest(span=expr.span, word="unset"))
            case tree.UnknownLit():
                self.report(UnsetOutsideTest(span=expr.span, word="unknown"))
            case tree.CidrLit(text=text):
                self._out_of_place(expr, f"the range `{text}`", _ONLY_RIGHT_OF_IN)
            case tree.Call() if self.callee(expr) is None:
                pass  # what it may be was asked where its name was reported
            case _:
                self.report(NotAValue(span=expr.span))
        return None

    def _constant(self, read: Typed | Diagnostic) -> Typed | None:
        if isinstance(read, Diagnostic):
            self.report(read)
            return None
        return read

    def _set(self, expr: tree.SetLit, expected: Type | None) -> Typed | None:
        key = (self._module, expr.id, expected)
        known = self._bound.memory.sets
        if key in known:
            return known[key]
        if all(isinstance(member, _PLAIN) for member in expr.members):
            known[key] = self._constant(literal_operand(expr, expected))
            return known[key]
        if any(isinstance(self.names.inputs.get(member.id), Parameter | TagRead) for member in expr.members):
            if len(expr.members) > MOST_MEMBERS:
                self.too_large(expr, f"a set that names a parameter or a tag has more than {MOST_MEMBERS} members")
                return None
            return self._set_of_names(expr, expected)
        known[key] = self._set_of_names(expr, expected)
        return known[key]

    def _set_of_names(self, expr: tree.SetLit, expected: Type | None) -> Typed | None:
        element = expected.element if isinstance(expected, SetType) else None
        values: set[ir.ScalarValue] = set()
        complete = True
        for member in expr.members:
            read = self._member(member, element)
            if read is None:
                complete = False
                continue
            value, type_ = read
            element = element or type_
            values.add(value)
        return Typed(ir.Const(frozenset(values)), SetType(element or Scalar.STRING)) if complete else None

    def _member(self, member: tree.Expr, element: ScalarType | None) -> tuple[ir.ScalarValue, ScalarType] | None:
        """One member of a set that holds names: a constant of the element's type."""
        if isinstance(member, tree.SetLit):
            self.report(NotScalar(span=member.span, where="a set", found="a set"))
            return None
        if isinstance(self.names.inputs.get(member.id), ir.Attr | ir.Now) or isinstance(member, tree.Arithmetic):
            self.report(NotLiteral(span=member.span))
            return None
        read = self.operand(member, element, frozenset())
        if read is None:
            return None
        constant = read.operand.value if isinstance(read.operand, ir.Const) else frozenset[ir.ScalarValue]()
        if isinstance(read.type, SetType) or isinstance(constant, frozenset):
            self.report(NotLiteral(span=member.span))
            return None
        if element is not None and not same(read.type, element):
            there = (f"`{read.type}`", f"`{element}`")
            hint = member_hint(member, element)
            self.report(TypesDiffer(span=member.span, form="[ ]", left=there[0], right=there[1], hint=hint))
            return None
        return constant, read.type

    def _read(self, ref: tree.Ref, known: Facts) -> Typed | None:
        bound = self.names.inputs.get(ref.id)
        match bound:
            case None:
                if ref.id in self.names.calls:
                    self.report(NotAValue(span=ref.span))
                return None
            case Parameter(name):
                argument = self._arguments.get(name)
                if isinstance(argument, RoleEntry):
                    self._out_of_place(ref, f"the role `{name}`", _ONLY_AN_ARGUMENT.format(name=name))
                    return None
                return argument
            case ir.Now():
                return Typed(bound, Scalar.TIME)
            case ir.Attr():
                return self._read_attr(ref, bound, known)
            case TagRead(root, name):
                tag = self.environment.tag(bound)
                if tag is None:
                    self._missing(ref, root, name)
                return tag
            case Fixed(value, type_):
                return Typed(ir.Const(value), type_)
            case NetworkEntry():
                self._out_of_place(ref, f"the network `{bound.name}`", _ONLY_RIGHT_OF_IN)
                return None
            case RoleEntry():
                self._out_of_place(ref, f"the role `{bound.name}`", _ONLY_AN_ARGUMENT.format(name=bound.name))
                return None
            case _:
                assert_never(bound)

    def _read_attr(self, ref: tree.Ref, attr: ir.Attr, known: Facts) -> Typed | None:
        slot = self.environment.slot(attr)
        if slot is None:
            self._missing(ref, attr.root, attr.name)
            return None
        if slot.optional and attr not in known:
            others = () if slot.declared is None else (Label(slot.declared, "declared optional here"),)
            self.report(MayBeMissing(span=ref.span, root=attr.root, name=attr.name, others=others))
            return None
        return Typed(attr, slot.type)

    def _missing(self, ref: tree.Ref, root: str, name: str) -> None:
        endpoint = self.environment.endpoint
        if root in {"token", "subject"}:
            where = f"for {self.environment.caller}"
            remedy = f"say whom the rule is `for`, or narrow it: {root} is KIND and …"
        elif endpoint is None:
            where, remedy = "in a factor", "a factor reads claims of its own kind, signals, and `now`"
        else:
            where = f"on `{endpoint.endpoint.id}`"
            remedy = "narrow the rule to endpoints that have it"
            if root not in {"request", "service"}:
                remedy += f", or write: {root} has {name} and …"
        self.report(MissingHere(span=ref.span, name=f"{root}.{name}", where=where, remedy=remedy))

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

    # ------------------------------------------------------------ what is no value of its own

    def is_network(self, expr: tree.Expr) -> bool:
        """Whether an expression is a network or a range, which stand right of `in`."""
        return isinstance(expr, tree.CidrLit) or isinstance(self.names.inputs.get(expr.id), NetworkEntry)

    def network(self, expr: tree.Expr) -> tuple[str, addresses.Intervals] | None:
        """A network as the policy calls it, and its ranges; None after a mistake."""
        bound = self.names.inputs.get(expr.id)
        if isinstance(bound, NetworkEntry):
            return bound.name, bound.ranges
        if not isinstance(expr, tree.CidrLit):
            return None
        interval = addresses.cidr(expr.text)
        if interval is None:
            self.report(HostBits(span=expr.span, text=expr.text))
            return None
        return expr.text, (interval,)

    def role(self, expr: tree.Expr) -> RoleEntry | None:
        """The role that an argument names; None after a mistake."""
        bound = self.names.inputs.get(expr.id)
        if isinstance(bound, RoleEntry):
            return bound
        if isinstance(bound, Parameter):
            argument = self._arguments.get(bound.name)
            if argument is None or isinstance(argument, RoleEntry):
                return argument  # None was reported where it was passed
        if bound is not None or not isinstance(expr, tree.Ref) or expr.id in self.names.calls:
            self.report(WrongType(span=expr.span, wanted="the name of a role", found="a value"))
        return None

    def form_of(self, kind: str) -> str:
        """Whether a kind of the bundle is a `token` or a `subject` kind."""
        return next((each.kind.form for each in self._bound.inventory.kinds if each.kind.id == kind), "token")

    def callee(self, expr: tree.Ref | tree.Call) -> ConditionEntry | RelationEntry | None:
        """The condition or relation that is applied, with arguments or, a condition, without."""
        return self.names.calls.get(expr.id)

    def wrote(self, expr: tree.Expr, formula: Formula) -> None:
        """Take down the words of a formula that is one condition, as it was first written."""
        written = self._bound.memory.written
        if formula not in written and not isinstance(self.names.calls.get(expr.id), ConditionEntry):
            written[formula] = said(expr, self._bound.sources[self._module], self._arguments)

    def argument(self, expr: tree.Expr, wanted: Type, known: Facts) -> Typed | None:
        """`expr` as an argument that must be of type `wanted`."""
        given = self.operand(expr, wanted, known)
        if given is None:
            return None
        if not same(given.type, wanted):
            hint = value_hint(expr, wanted)
            self.report(WrongType(span=expr.span, wanted=f"`{wanted}`", found=f"`{given.type}`", hint=hint))
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

    def _out_of_place(self, expr: tree.Expr, what: str, remedy: str) -> None:
        self.report(OutOfPlace(span=expr.span, what=what, remedy=remedy))

    def differ(self, expr: _Joining, form: str, left: Typed, right: Typed) -> None:
        """Report two operands whose types do not go together."""
        sides = (expr.item, expr.among) if isinstance(expr, tree.In) else (expr.left, expr.right)
        hint = pair_hint(form, *sides, left.type, right.type)
        self.report(TypesDiffer(span=expr.span, form=form, left=f"`{left.type}`", right=f"`{right.type}`", hint=hint))

    def report(self, mistake: Diagnostic) -> None:
        """Take down a mistake."""
        if self._used_at is not None:
            label = Label(self._used_at.span, "in the condition that is used here")
            mistake = replace(mistake, others=(*mistake.others, label))
        self._found.append(mistake)

    def known_too_large(self, condition: ConditionEntry) -> bool:
        """Whether a condition was the one in which some expression grew too large, which was reported then; or as many
        were as are ever shown, and nothing more is expanded.
        """
        too_large = self._bound.memory.too_large
        return len(too_large) >= MOST_SHOWN or (condition.module, condition.decl.id) in too_large

    @contextmanager
    def expanding(
        self, call: tree.Node, condition: ConditionEntry, arguments: Mapping[str, Argument | None]
    ) -> Iterator[None]:
        """Within: names are those of the condition's module, parameters are these arguments, and mistakes name the
        outermost call too.
        """
        before = self._module, self._arguments, self._used_at, self._outermost
        self._module, self._arguments = condition.module, arguments
        if self._used_at is None:
            self._used_at, self._outermost = call, (condition.module, condition.decl.id)
        try:
            yield
        finally:
            self._module, self._arguments, self._used_at, self._outermost = before

    def enter(self, expr: tree.Expr) -> bool:
        """Counts one node on the way down; false where it is one too many, which is reported once."""
        self._nodes += 1
        self._nested += 1
        self._bound.memory.steps -= 1
        self._deepest = max(self._deepest, self._nested)
        if self._nodes == MOST_NODES + 1:
            self.too_large(expr, f"it expands to more than {MOST_NODES} parts")
        elif self._nodes <= MOST_NODES and self._nested > MOST_NESTED:
            self.too_large(expr, f"it nests deeper than {MOST_NESTED}")
        return self._nodes <= MOST_NODES and self._nested <= MOST_NESTED

    def leave(self) -> None:
        """The node that was entered last is done with."""
        self._nested -= 1

    def spend(self, expr: tree.Expr, count: int) -> bool:
        """Counts the parts that one node comes to; false where they are too many, which is reported."""
        if self._nodes <= MOST_NODES < self._nodes + count:
            self.too_large(expr, f"it expands to more than {MOST_NODES} parts")
        self._nodes += count
        return self._nodes <= MOST_NODES

    def mark(self) -> tuple[int, int]:
        """Where the walk is, for `since`."""
        before = self._nodes, self._deepest
        self._deepest = self._nested
        return before

    def since(self, mark: tuple[int, int]) -> tuple[int, int] | None:
        """The parts walked since a mark at this level, and how deep they nest; None where some expression grew too
        large, so that what it came to says nothing of another place.
        """
        parts, depth = self._nodes - mark[0], self._deepest - self._nested
        self._deepest = max(self._deepest, mark[1])
        return None if self._overgrown else (parts, depth)

    def again(self, call: tree.Expr, kept: Expansion) -> bool:
        """Counts a condition that was expanded before; false where it is too much here, which is reported."""
        self._bound.memory.steps -= kept.parts // PARTS_A_STEP
        self._deepest = max(self._deepest, self._nested + kept.depth)
        if self._nodes <= MOST_NODES and self._nested + kept.depth > MOST_NESTED:
            self.too_large(call, f"it nests deeper than {MOST_NESTED}")
            return False
        return self.spend(call, kept.parts)

    def too_large(self, expr: tree.Expr, why: str) -> None:
        """Report an expression that is past a limit, and remember the condition in which it is."""
        self.report(TooLarge(span=expr.span, why=why))
        self._overgrown = True
        if self._outermost is not None:
            self._bound.memory.too_large.add(self._outermost)


_ONLY_RIGHT_OF_IN = "a network stands right of `in`: request.ip in NETWORK"
_ONLY_AN_ARGUMENT = "ask `role {name}`, or pass it where a relation or a condition takes a role"
