"""Values in a test: literals, names, `now` and arithmetic on it, worked out; and how they travel in a call.

An expression and the type wanted go in; a run-time value comes out, or None with the mistake in `found`. `claim_json`
and `wire_text` write a value as a token or a request holds it.
Source: language.md 5.7; RFC 7519 2 (NumericDate).

Decision (2026-11-21): a workload is given by its name or by its SPIFFE id, so that a test can call as a workload that
the policy does not know.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.declared.entries import EnumValue, ModuleEntry, RoleEntry, SettingEntry, WorkloadEntry
from policy_lang.declared.foreign_names import NULLS
from policy_lang.declared.foreign_values import role_hint, value_hint
from policy_lang.declared.literals_typed import literal_operand
from policy_lang.diagnostics import Diagnostic, hint_for
from policy_lang.meaning import values
from policy_lang.mistakes.cases import CannotSet, NotATestValue
from policy_lang.mistakes.names import BadText, UnknownName
from policy_lang.mistakes.types import LiteralMisfit, NotScalar, TypesDiffer, WrongType
from policy_lang.spiffe import identity_fault
from policy_lang.typesystem import INT_MAX, INT_MIN, IntType, RoleType, Scalar, ScalarType, SetType, Type, moved, same
from policy_lang.verdict import Json

_LEFT_OUT = "there is no `null`: leave the claim out, or take it away on one call, `with token.email = unset`"

NO_ROLES: Mapping[str, str] = {}


class Known(Struct, frozen=True):
    """A value that a test works out, and its type."""

    value: ir.Value
    type: Type


class Values:
    """What the expressions of one test come to: `entry` is its module, `now_ms` its instant."""

    def __init__(self, entry: ModuleEntry, now_ms: int, found: list[Diagnostic]) -> None:
        self._entry = entry
        self._now_ms = now_ms
        self._found = found

    def value(self, expr: tree.Expr, wanted: Type, roles: Mapping[str, str] = NO_ROLES) -> ir.Value | None:
        """The value of `expr`, which must be of type `wanted`; `roles` are the ids of those a role column may hold."""
        known = self.known(expr, wanted)
        if known is None:
            return None
        mistake = self._misfit(expr, known, wanted, roles)
        if mistake is not None:
            self._found.append(mistake)
            return None
        return known.value

    def known(self, expr: tree.Expr, wanted: Type | None) -> Known | None:
        """The value of `expr` whatever its type; a literal adopts `wanted` where it can."""
        worked = self._worked_out(expr, wanted)
        if isinstance(worked, Diagnostic):
            self._found.append(worked)
            return None
        return worked

    def _misfit(self, expr: tree.Expr, known: Known, wanted: Type, roles: Mapping[str, str]) -> Diagnostic | None:
        """Why a value is not of the type wanted. A role must be what the relation of its column means by the name."""
        if isinstance(wanted, RoleType) and isinstance(known.type, RoleType) and isinstance(known.value, str):
            entry = self._entry.scope.get(known.value)
            if isinstance(entry, RoleEntry) and roles.get(entry.name) == entry.id:
                return None
            one_of = f"one of the roles {', '.join(wanted.names)}"
            return WrongType(span=expr.span, wanted=one_of, found=f"`{known.value}`")
        if not same(known.type, wanted):
            role = known.value if isinstance(known.type, RoleType) and isinstance(known.value, str) else ""
            hint = role_hint(role, wanted) if role else value_hint(expr, wanted)
            return WrongType(span=expr.span, wanted=f"`{wanted}`", found=f"`{known.type}`", hint=hint)
        if isinstance(wanted, IntType) and not _in_range(known.value, wanted):
            return LiteralMisfit(span=expr.span, value=str(known.value), wanted=f"`{wanted}`")
        return None

    def _worked_out(self, expr: tree.Expr, wanted: Type | None) -> Known | Diagnostic | None:
        """The value, or the mistake; None of a name whose own mistake is reported already."""
        match expr:
            case tree.StringLit(value=text) if wanted is Scalar.WORKLOAD:
                why = identity_fault(text)
                if why is None:
                    return Known(text, Scalar.WORKLOAD)
                hint = "the name of a declared workload stands without quotes"
                return BadText(span=expr.span, what="workload", value=text, why=why, hint=hint)
            case tree.StringLit() | tree.IntLit() | tree.BoolLit() | tree.DurationLit() | tree.TimeLit():
                typed = literal_operand(expr, wanted)
                if isinstance(typed, Diagnostic):
                    return typed
                return Known(typed.operand.value, typed.type) if isinstance(typed.operand, ir.Const) else None
            case tree.IpLit(address=address):
                return Known(address, Scalar.IP)
            case tree.SetLit():
                return self._set(expr, wanted.element if isinstance(wanted, SetType) else None)
            case tree.Ref(root=tree.Name(text="now"), parts=()):
                return Known(self._now_ms, Scalar.TIME)
            case tree.Ref(parts=()):
                return self._named(expr)
            case tree.Arithmetic():
                return self._shifted(expr)
            case _:
                return NotATestValue(span=expr.span)

    def _named(self, ref: tree.Ref) -> Known | Diagnostic | None:
        name = ref.root.text
        match self._entry.scope.get(name):
            case EnumValue(type=type_, value=value):
                return Known(value, type_)
            case SettingEntry(type=type_, value=value) if type_ is not None and not isinstance(value, tuple):
                return Known(value, type_)
            case WorkloadEntry(workload=workload):
                return Known(workload.identity, Scalar.WORKLOAD)
            case RoleEntry():
                return Known(name, RoleType((name,)))
            case None if name in self._entry.broken:
                return None
            case None:
                hint = _LEFT_OUT if name in NULLS else hint_for(name, self._entry.scope, self._found)
                return UnknownName(span=ref.span, what="name", name=name, hint=hint)
            case _:
                return NotATestValue(span=ref.span)

    def _set(self, expr: tree.SetLit, element: ScalarType | None) -> Known | Diagnostic | None:
        members: set[ir.ScalarValue] = set()
        for member in expr.members:
            known = self._worked_out(member, element)
            if not isinstance(known, Known):
                return known
            if isinstance(known.value, frozenset) or isinstance(known.type, SetType):
                return NotScalar(span=member.span, where="a set", found="a set")
            element = element or known.type
            mistake = self._misfit(member, known, element, NO_ROLES)
            if mistake is not None:
                return mistake
            members.add(known.value)
        return Known(frozenset(members), SetType(element or Scalar.STRING))

    def _shifted(self, expr: tree.Arithmetic) -> Known | Diagnostic | None:
        left, right = self._worked_out(expr.left, None), self._worked_out(expr.right, None)
        if not isinstance(left, Known):
            return left
        if not isinstance(right, Known):
            return right
        type_ = moved(left.type, expr.op, right.type)
        if type_ is None:
            there = (f"`{left.type}`", f"`{right.type}`")
            return TypesDiffer(span=expr.span, form=expr.op, left=there[0], right=there[1])
        result = values.shift(left.value, 1 if expr.op == "+" else -1, right.value)
        if result is None:
            return LiteralMisfit(span=expr.span, value="the result", wanted=f"`{type_}`")
        return Known(result, type_)

    # ------------------------------------------------------------ as a call carries them

    def claim_json(self, value: ir.Value, type_: Type, expr: tree.Expr, name: str) -> Json:
        """A claim or a property as JSON holds it: instants and durations in seconds, a set as a sorted list.

        `name` is how the test says it (`token.age`); null, with a mistake, where JSON cannot hold the value.
        """
        if not isinstance(value, frozenset):
            return self._scalar_json(value, type_, expr, name)
        element = type_.element if isinstance(type_, SetType) else Scalar.STRING
        return [self._scalar_json(each, element, expr, name) for each in sorted(value)]

    def _scalar_json(self, value: ir.ScalarValue, type_: Type, expr: tree.Expr, name: str) -> Json:
        if type_ not in {Scalar.TIME, Scalar.DURATION} or not isinstance(value, int):
            return value
        if value % 1000 == 0:
            return value // 1000
        if type_ is Scalar.DURATION:
            self._found.append(CannotSet(span=expr.span, name=name, why="a duration there has whole seconds"))
            return None
        return value / 1000

    def wire_texts(self, value: ir.Value, type_: Type, expr: tree.Expr, name: str) -> tuple[str, ...]:
        """A parameter or a header as texts, one for each member of a set; instants and durations in seconds."""
        if not isinstance(value, frozenset):
            return (self._wire_text(value, type_, expr, name),)
        element = type_.element if isinstance(type_, SetType) else Scalar.STRING
        return tuple(self._wire_text(each, element, expr, name) for each in sorted(value))

    def _wire_text(self, value: ir.ScalarValue, type_: Type, expr: tree.Expr, name: str) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int) and type_ in {Scalar.TIME, Scalar.DURATION}:
            if value % 1000:
                self._found.append(CannotSet(span=expr.span, name=name, why=f"a {type_} there has whole seconds"))
            return str(value // 1000)
        return str(value)


def _in_range(value: ir.Value, wanted: IntType) -> bool:
    lowest = INT_MIN if wanted.lowest is None else wanted.lowest
    highest = INT_MAX if wanted.highest is None else wanted.highest
    return isinstance(value, int) and lowest <= value <= highest


def placed(given: Mapping[str, Json], ways: Mapping[str, tuple[str, ...]]) -> dict[str, Json] | str:
    """Values by name at the places their declarations say, or the first name whose place another value takes.

    `ways` are from the outside; a name without one stands at its own name.
    """
    whole: dict[str, Json] = {}
    for name, value in given.items():
        *steps, last = ways.get(name, (name,))
        at = whole
        for step in steps:
            inner = at.setdefault(step, {})
            if not isinstance(inner, dict):
                return name
            at = inner
        if last in at and at[last] != value:
            return name
        at[last] = value
    return whole
