"""Whom a rule is for: the formula of its `for` clause in one environment.

A clause and a checker go in, what holds of the caller and what that proves come out.
INVARIANT: an environment whose formula is false is one the clause does not admit.
Source: language.md 2.1 (`for`, `via`); contracts.md "Which service, which gateway, which caller".

Decision: 2026-11-21. `for workload w` holds where `request.peer` is w, whoever the caller is: a gateway's own identity
is not who calls. `via w` holds where the peer or the gateway is w. Both compare SPIFFE ids.
Decision: 2026-11-21. `via` ends the clause and is said of all its subjects, not of the last: of `for any user, any
partner via edge` the one reading lets by less than the other, and who means one of them writes two rules.
"""

from __future__ import annotations

from typing import assert_never

from policy_lang import ir, tree
from policy_lang.checking.environment import NOTHING
from policy_lang.checking.expressions import Checked, Checker, either, unconditional
from policy_lang.checking.guards import Formula, every, holds, some

PEER, GATEWAY = ir.Attr("request", "peer"), ir.Attr("request", "gateway")


def for_clause(clause: tree.ForClause | None, checker: Checker) -> Checked:
    """What the clause asks of a caller here; anyone will do without one."""
    if clause is None:
        return unconditional(formula=True, known=NOTHING)
    who = either([_subject(subject, checker) for subject in clause.subjects], NOTHING)
    if not clause.via:
        return who
    formula = every((who.formula, _is_one_of(clause.via, (PEER, GATEWAY), checker)))
    return Checked(formula, None if formula is False else who.when_true, None if formula is True else NOTHING)


def _subject(subject: tree.Subject, checker: Checker) -> Checked:
    match subject:
        case tree.Anyone():
            return unconditional(formula=True, known=NOTHING)
        case tree.AnyOfKind():
            wanted, kind = checker.names.kinds.get(subject.id), checker.environment.kind
            if wanted is None:
                return checker.refuse(NOTHING)
            return unconditional(kind is not None and kind.kind.id == wanted, NOTHING)
        case tree.OfRole(roles=roles):
            return either([checker.role(role, NOTHING) for role in roles], NOTHING)
        case tree.OfWorkload(workloads=workloads):
            return unconditional(_is_one_of(workloads, (PEER,), checker), NOTHING)
        case _:
            assert_never(subject)


def _is_one_of(names: tuple[tree.Name, ...], attrs: tuple[ir.Attr, ...], checker: Checker) -> Formula:
    """Whether one of the attributes is the identity of one of the workloads."""
    entries = [checker.names.workloads.get(name.id) for name in names]
    if None in entries:
        checker.refuse(NOTHING)
    identities = dict.fromkeys(entry.workload.identity for entry in entries if entry is not None)
    return some(tuple(holds(ir.Compare("eq", attr, ir.Const(each))) for each in identities for attr in attrs))
