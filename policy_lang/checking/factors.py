"""The factors of every kind, each worked out once: what it asks of the caller, and when it was proved.

Declarations go in; `Factor` comes out by kind and name, with a mistake for each that cannot be.
Source: language.md 2.1 (`factor`), 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping

from policy_lang import ir, tree
from policy_lang.checking.environment import NOTHING, Bound, Environment, Factor
from policy_lang.checking.expressions import Checker
from policy_lang.checking.guards import Formula
from policy_lang.checking.outcomes import always_warnings, settled
from policy_lang.declared.entries import KindEntry
from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.types import NotAClaim, WrongType
from policy_lang.typesystem import Scalar


def check_factors(bound: Bound, found: list[Diagnostic]) -> Mapping[tuple[str, str], Factor]:
    """The factors of the bundle by kind and name; mistakes and warnings are appended to `found`."""
    return {
        (kind.kind.id, name): _factor(kind, decl, bound, found)
        for kind in bound.inventory.kinds
        for name, decl in kind.factors.items()
    }


def _factor(kind: KindEntry, decl: tree.FactorDecl, bound: Bound, found: list[Diagnostic]) -> Factor:
    """A factor of one kind; what it reads is checked against that kind alone."""
    environment = Environment(kind, None, bound.signals)
    checker = Checker(bound, kind.module, environment, found)
    when: Formula = True
    proves = NOTHING
    if decl.when is not None:
        checked = checker.condition(decl.when, NOTHING)
        when, proves = checked.formula, NOTHING if checked.when_true is None else checked.when_true
        came_to = settled(when, environment)
        found += always_warnings(decl.when, {came_to if isinstance(came_to, bool) else None})
    read = checker.names.inputs.get(decl.at.id)
    if read is not None and not (isinstance(read, ir.Attr) and read.root in {"token", "subject", "path", "resource"}):
        name = ".".join((decl.at.root.text, *(part.text for part in decl.at.parts)))
        found.append(NotAClaim(span=decl.at.span, name=name))
        return Factor(when, proves, None)
    at = checker.operand(decl.at, Scalar.TIME, proves)
    if at is not None and at.type != Scalar.TIME:
        found.append(WrongType(span=decl.at.span, wanted="`time`", found=f"`{at.type}`"))
        at = None
    return Factor(when, proves, None if at is None or checker.refused else at.operand)
