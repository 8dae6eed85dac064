"""The clauses of one rule or proof, sorted out, and what is wrong with them as such.

A tree goes in; `Shape` comes out with one clause where one may stand, and every mistake that needs no environment.
Source: language.md 2.1 (clauses), 4.6.

Decision: 2026-11-21. `for`, `on`, `until` and `because` stand at most once in a rule (E509): two of one read like *or*
to some and like *and* to others.
Decision: 2026-11-21. A proof without `for` is about anyone, one without `on` about every endpoint: that is the widest
claim, so leaving a clause out never makes a proof easier.
Decision: 2026-11-21. `tagged` narrows the one target before it, so behind others that have none it would be read by
some as narrowing them all: that is refused (E406). Who means one of them says it first, who means all says it of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeVar, assert_never

from msgspec import Struct

from policy_lang import tree
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.mistakes.rules import (
    BadChallenge,
    DutyOnAllow,
    NeedsOutsideRequire,
    NoBecause,
    NoFor,
    NoOn,
    NoProofClause,
    RepeatedClause,
    RequiresNothing,
    UnclearTag,
)
from policy_lang.source import Source, Span
from policy_lang.wording import as_written

_CHALLENGE = re.compile(r"[!#-\[\]-~]+")
_JOINED = "join the two with a comma, or make two rules"
_REPEATED = {
    "for": _JOINED,
    "on": _JOINED,
    "until": "keep one of them, or make two rules",
    "because": "keep one of them: a rule has one reason",
}
C = TypeVar("C", tree.ForClause, tree.OnClause, tree.UntilClause, tree.BecauseClause)


class Condition(Struct, frozen=True):
    """A `when` or an `unless`, numbered from 1 in one row."""

    label: str
    text: str
    expr: tree.Expr
    negated: bool


class Shape(Struct, frozen=True):
    """The clauses of a rule or a proof. `for_text` is what it says of whom it is for."""

    for_: tree.ForClause | None
    for_text: str
    on: tree.OnClause | None
    until: tree.UntilClause | None
    conditions: tuple[Condition, ...]
    needs: tuple[tree.NeedsClause, ...]
    because: tree.BecauseClause | None

    def exprs(self) -> list[tree.Expr]:
        """The expressions of the conditions and of the needs."""
        needs = [clause.need.condition for clause in self.needs if isinstance(clause.need, tree.ConditionNeed)]
        return [*(condition.expr for condition in self.conditions), *needs]

    def factors(self) -> list[tree.Name]:
        """The factors that `needs` names."""
        return [clause.need.name for clause in self.needs if isinstance(clause.need, tree.FactorNeed)]


def shape_of_rule(rule: tree.Rule, source: Source, found: list[Diagnostic]) -> Shape:
    """Sort the clauses of a rule."""
    shape = _sorted_out(rule.clauses, source, found)
    name = rule.name.text
    if shape.on is None:
        found.append(NoOn(span=rule.name.span, name=name))
    if rule.effect == "allow":
        if shape.for_ is None:
            found.append(NoFor(span=rule.name.span, name=name))
        found += [duty_on_allow(clause, "needs") for clause in shape.needs]
    if rule.effect != "require" and (shape.because is None or not shape.because.text.value.strip()):
        found.append(NoBecause(span=rule.name.span, name=name))
    if rule.effect == "deny":
        found += [NeedsOutsideRequire(span=clause.span) for clause in shape.needs]
    asks = any(isinstance(clause, tree.NeedsClause | tree.MustClause) for clause in rule.clauses)
    if rule.effect == "require" and not asks:
        found.append(RequiresNothing(span=rule.name.span, name=name))
    found += [
        BadChallenge(span=clause.need.challenge.span, challenge=clause.need.challenge.value)
        for clause in shape.needs
        if isinstance(clause.need, tree.ConditionNeed) and not _CHALLENGE.fullmatch(clause.need.challenge.value)
    ]
    return shape


def duty_on_allow(clause: tree.NeedsClause | tree.MustClause, word: str) -> DutyOnAllow:
    """The mistake of an allow that asks for more than it grants, at the word that does."""
    start = clause.span.start
    return DutyOnAllow(span=Span(clause.span.source, start, start + len(word)), clause=word)


def shape_of_proof(proof: tree.ProveDecl, source: Source, found: list[Diagnostic]) -> Shape:
    """Sort the clauses of a proof, which has no others but `for`, `on`, `when`, `unless`."""
    for clause in proof.clauses:
        word = _only_in_rules(clause)
        if word is not None:
            found.append(NoProofClause(span=clause.span, clause=word))
    legal = [clause for clause in proof.clauses if _only_in_rules(clause) is None]
    return _sorted_out(legal, source, found)


def _only_in_rules(clause: tree.Clause) -> str | None:
    match clause:
        case tree.ForClause() | tree.OnClause() | tree.WhenClause():
            return None
        case tree.UntilClause():
            return "until"
        case tree.NeedsClause():
            return "needs"
        case tree.MustClause():
            return "must"
        case tree.ShouldClause():
            return "should"
        case tree.BecauseClause():
            return "because"
        case _:
            assert_never(clause)


def _sorted_out(clauses: Sequence[tree.Clause], source: Source, found: list[Diagnostic]) -> Shape:
    for_ = _once([clause for clause in clauses if isinstance(clause, tree.ForClause)], "for", found)
    on = _once([clause for clause in clauses if isinstance(clause, tree.OnClause)], "on", found)
    found += () if on is None else _unclear_tags(on, source)
    when = [clause for clause in clauses if isinstance(clause, tree.WhenClause)]
    return Shape(
        for_=for_,
        for_text="anyone" if for_ is None else as_written(source, for_.span, "for"),
        on=on,
        until=_once([clause for clause in clauses if isinstance(clause, tree.UntilClause)], "until", found),
        conditions=tuple(
            Condition(
                f"{'unless' if clause.negated else 'when'} {number}",
                as_written(source, clause.span, "when", "unless"),
                clause.condition,
                clause.negated,
            )
            for number, clause in enumerate(when, 1)
        ),
        needs=tuple(clause for clause in clauses if isinstance(clause, tree.NeedsClause)),
        because=_once([clause for clause in clauses if isinstance(clause, tree.BecauseClause)], "because", found),
    )


def _unclear_tags(on: tree.OnClause, source: Source) -> Iterator[UnclearTag]:
    """The mistake of a `tagged` that may be read as said of a target before it, too; the first one."""
    bare: tree.Target | None = None
    for target in on.targets:
        if target.tagged is None:
            bare = bare or target
        elif bare is not None:
            tagged = as_written(source, target.tagged.span)
            whole, first = as_written(source, target.span), as_written(source, bare.span)
            others = (Label(bare.span, "not of this"),)
            yield UnclearTag(span=target.tagged.span, tagged=tagged, whole=whole, first=first, others=others)
            return


def _once(clauses: list[C], word: str, found: list[Diagnostic]) -> C | None:
    found += [
        RepeatedClause(
            span=again.span, clause=word, remedy=_REPEATED[word], others=(Label(clauses[0].span, "the first"),)
        )
        for again in clauses[1:]
    ]
    return clauses[0] if clauses else None
