"""What the tests of a policy have shown of its rules: which they name, and which conditions came out both ways.

A program and the results of its cases go in, `Coverage` comes out; `findings` says what no test has shown. A rule is
*named* by a case that passed, names it after `by` and was decided by it; a case that names only the decision shows
nothing of who made it. A require is named as well where a case expects an obligation that it asks for, since an allow
is never by a require. A rule is *blocked* in a case that looks at it and in which it does not apply.

Conditions are the clauses of a rule, its needs, and what those hold that hold several (policy_lang/trials/units.py).
One is seen where the rule came to it: no clause before it was false, and no step before the rule had decided. An
`unless` is true where the condition it names is. What is true or false before any call is asked (`for anyone`) is no
condition.
Source: language.md 4.5 (W813), 5.7.

Decision (2026-11-21): the same words within one clause are one condition of a rule, whatever the endpoints and kinds in
whose cells they stand: a person counts what is written. A `for` is one condition, and so is a factor that is needed. A
shadow rule decides nothing, so that only its conditions are asked for. A closed endpoint needs no case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from msgspec import Struct

from policy_lang.checking.guards import Formula
from policy_lang.ir import (
    Body,
    Cell,
    CellRule,
    Effect,
    IssueToken,
    LogDuty,
    Obligation,
    Place,
    Program,
    Redact,
    Rule,
    SetHeader,
    rules_of,
)
from policy_lang.meaning.admission import Call, Refused
from policy_lang.meaning.reference import Reference
from policy_lang.meaning.values import FALSE, TRUE, UNKNOWN, negation
from policy_lang.meaning.words import Words
from policy_lang.trials.cases import FixedDuty
from policy_lang.trials.runner import TestResult
from policy_lang.trials.units import Unit, Units
from policy_lang.verdict import RuleTrace, Truth3

LONGEST_TEXT = 200
"""Characters of a condition that are shown; a set may have a million members."""

_FACTOR = re.compile(r"factor \w+(?: within \w+)?")
NOTHING_WRITTEN: Mapping[Formula, str] = {}


class Condition(Struct, frozen=True):
    """A clause, a need or a part of one (`is_atom`). `label` is the clause's; how often it came out each way."""

    label: str
    text: str
    is_atom: bool
    true: int
    false: int
    unknown: int

    @property
    def lacks(self) -> tuple[Literal["true", "false"], ...]:
        """The ways in which it was never seen."""
        return (*(() if self.true else ("true",)), *(() if self.false else ("false",)))


class RuleCoverage(Struct, frozen=True):
    """One rule and its conditions in the order of reading."""

    id: str
    effect: Effect
    place: Place
    shadow: bool
    named: int
    applied: int
    blocked: int
    conditions: tuple[Condition, ...]

    @property
    def half_seen(self) -> tuple[Condition, ...]:
        """The conditions that were not seen both true and false."""
        return tuple(condition for condition in self.conditions if condition.lacks)


class EndpointCoverage(Struct, frozen=True):
    """How often an endpoint was called, and how that went."""

    id: str
    place: Place
    closed: bool
    allowed: int
    stepped_up: int
    refused: int


class Finding(Struct, frozen=True):
    """Something that no test has shown (W813)."""

    code: str
    place: Place
    message: str


class Coverage(Struct, frozen=True):
    """Rules and endpoints in the order of the program."""

    rules: tuple[RuleCoverage, ...]
    endpoints: tuple[EndpointCoverage, ...]

    @classmethod
    def of(
        cls, program: Program, results: Iterable[TestResult], written: Mapping[Formula, str] = NOTHING_WRITTEN
    ) -> Coverage:
        """What these results show of the program they are of; `written` as the compiler has it."""
        counting = _Counting(program, written)
        for result in results:
            counting.take(result)
        return cls(counting.rules(), counting.endpoints())

    def findings(self) -> tuple[Finding, ...]:
        """What is not shown yet, rule by rule, then endpoint by endpoint."""
        of_rules = (finding for rule in self.rules for finding in _of_rule(rule))
        never = (
            each for each in self.endpoints if not (each.closed or each.allowed or each.stepped_up or each.refused)
        )
        of_endpoints = (
            Finding("W813", each.place, f"endpoint `{each.id}` was never called in a test") for each in never
        )
        return (*of_rules, *of_endpoints)


def _of_rule(rule: RuleCoverage) -> Iterator[Finding]:
    """What is not shown: a rule that was never looked at is one finding, and so is a clause that is half seen."""
    if not rule.named and not rule.shadow:
        asked = ", or an obligation of it" if rule.effect == "require" else ""
        yield Finding("W813", rule.place, f"no passing test names rule `{rule.id}` after `by`{asked}")
    whole = {condition.label for condition in rule.half_seen if not condition.is_atom}
    for condition in rule.half_seen if rule.applied or rule.blocked or rule.shadow else ():
        if not (condition.is_atom and condition.label in whole):
            ways = " and never ".join(condition.lacks)
            message = f"`{condition.text}` ({condition.label} of `{rule.id}`) was never {ways} in a test"
            yield Finding("W813", rule.place, message)


class _Key(NamedTuple):
    """A condition of a rule: the clause itself, or a part of it."""

    rule: int
    label: str
    text: str
    is_atom: bool


class _Counting:
    """Counts as results come."""

    def __init__(self, program: Program, written: Mapping[Formula, str]) -> None:
        self._program = program
        self._admission = Reference.of(program).admission
        self._taken_apart = Units(program, written)
        self._units: dict[int, tuple[tuple[Unit, ...], ...]] = {}
        self._keys = self._conditions()
        self._seen: Counter[tuple[_Key, Truth3]] = Counter()
        self._named: Counter[int] = Counter()
        self._applied: Counter[int] = Counter()
        self._blocked: Counter[int] = Counter()
        self._outcomes: Counter[tuple[str, str]] = Counter()

    def _conditions(self) -> dict[int, dict[_Key, None]]:
        """The conditions of every rule, by its index."""
        cells: dict[tuple[int, int], Cell] = {}
        for cell in self._program.cells:
            for each in rules_of(cell):
                cells.setdefault((each.rule, each.body), cell)
        keys: dict[int, dict[_Key, None]] = {index: {} for index in range(len(self._program.rules))}
        for (rule, body), cell in cells.items():
            guards = _guards(self._program.bodies[body])
            for (label, text, _), units in zip(guards, self._units_of(body, cell), strict=True):
                if units:
                    keys[rule][_Key(rule, label, text, is_atom=False)] = None
                for unit in units if len(units) > 1 and not _is_one(label, text) else ():
                    keys[rule][_part(rule, label, unit)] = None
        return keys

    def _units_of(self, body: int, cell: Cell) -> tuple[tuple[Unit, ...], ...]:
        """What the clauses and needs of a body are made of, in the words of a cell that has it."""
        if body not in self._units:
            kind = self._admission.kinds.get(cell.kind or "")
            words = Words.of(self._program, self._program.endpoints[cell.endpoint], kind, self._admission.columns)
            guards = _guards(self._program.bodies[body])
            self._units[body] = tuple(self._taken_apart.of(guard, text, words) for _, text, guard in guards)
        return self._units[body]

    # ------------------------------------------------------------ one result

    def take(self, result: TestResult) -> None:
        """Count one result."""
        verdict = result.verdict
        if verdict.endpoint is not None:
            self._outcomes[verdict.endpoint, verdict.outcome] += 1
        call = None if result.question is None else self._admission.admit(result.question)
        if call is None or isinstance(call, Refused):
            return
        here = {_named(self._program.rules[each.rule]): each for each in rules_of(call.cell)}
        for trace in verdict.rules:
            cell_rule = here[_named(trace)]
            self._count(cell_rule, trace, result)
            self._look(cell_rule, trace, call)

    def _count(self, cell_rule: CellRule, trace: RuleTrace, result: TestResult) -> None:
        (self._applied if trace.applies else self._blocked)[cell_rule.rule] += 1
        if not (result.passed and trace.applies) or trace.shadow:
            return
        named = trace.id in result.case.expected.by and trace.id in result.verdict.by
        if named or (trace.effect == "require" and _asks_for(self._program.bodies[cell_rule.body], result)):
            self._named[cell_rule.rule] += 1

    def _look(self, cell_rule: CellRule, trace: RuleTrace, call: Call) -> None:
        """Count the conditions that the rule came to."""
        guards, units = _guards(self._program.bodies[cell_rule.body]), self._units[cell_rule.body]
        for (label, text, _), clause, parts in zip(guards, trace.clauses, units, strict=False):
            if parts:
                named = negation(clause.truth) if label.startswith("unless ") else clause.truth
                self._seen[_Key(cell_rule.rule, label, text, is_atom=False), named] += 1
            for unit in parts:
                self._seen[_part(cell_rule.rule, label, unit), unit.truth(call.environment)] += 1
            if clause.truth is FALSE and not clause.label.startswith("needs "):
                return

    # ------------------------------------------------------------ all of them

    def rules(self) -> tuple[RuleCoverage, ...]:
        """The count of every rule."""
        return tuple(
            RuleCoverage(
                rule.id,
                rule.effect,
                rule.place,
                rule.shadow,
                self._named[index],
                self._applied[index],
                self._blocked[index],
                tuple(self._condition(key) for key in self._keys[index]),
            )
            for index, rule in enumerate(self._program.rules)
        )

    def _condition(self, key: _Key) -> Condition:
        true, false, unknown = (self._seen[key, truth] for truth in (TRUE, FALSE, UNKNOWN))
        return Condition(key.label, key.text, key.is_atom, true, false, unknown)

    def endpoints(self) -> tuple[EndpointCoverage, ...]:
        """The count of every endpoint."""
        return tuple(
            EndpointCoverage(
                each.id,
                each.place,
                each.closed,
                self._outcomes[each.id, "allow"],
                self._outcomes[each.id, "step_up"],
                self._outcomes[each.id, "deny"],
            )
            for each in self._program.endpoints
        )


def _named(rule: Rule | RuleTrace) -> tuple[str, Effect]:
    """What no two rules have in common: of one `casbin` block there may be an allow and a deny."""
    return rule.id, rule.effect


def _is_one(label: str, text: str) -> bool:
    """Whether a clause is one condition, whatever it is made of: a `for`, or a need for a factor."""
    return label == "for" or (label.startswith("needs ") and _FACTOR.fullmatch(text) is not None)


def _part(rule: int, label: str, unit: Unit) -> _Key:
    text = unit.text if len(unit.text) <= LONGEST_TEXT else f"{unit.text[:LONGEST_TEXT]}…"
    return _Key(rule, label, text, is_atom=True)


def _guards(body: Body) -> tuple[tuple[str, str, int], ...]:
    """Label, text and guard of the clauses and then of the needs, as a trace lists them."""
    clauses = ((clause.label, clause.text, clause.guard) for clause in body.clauses)
    needs = ((f"needs {number}", need.text, need.guard) for number, need in enumerate(body.needs, start=1))
    return (*clauses, *needs)


def _asks_for(body: Body, result: TestResult) -> bool:
    """Whether a rule asks for an obligation that the case expects."""
    expected = result.case.expected
    headers = {header.name for header in expected.headers}
    asked = (*body.must, *body.should)
    return any(isinstance(each, SetHeader) and each.name in headers for each in asked) or any(
        _is_same(each, wanted) for each in asked for wanted in expected.obligations
    )


def _is_same(asked: Obligation, wanted: FixedDuty) -> bool:
    """Whether an obligation of a rule is of what a case expects; levels and scopes are merged, so their kind counts."""
    if isinstance(asked, Redact) and isinstance(wanted, Redact):
        return not set(asked.pointers).isdisjoint(wanted.pointers)
    return asked == wanted or (type(asked) is type(wanted) and isinstance(asked, LogDuty | IssueToken))
