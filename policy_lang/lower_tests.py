"""`test` blocks to cases: names resolved, values typed, overrides applied, claims in the JSON a token would hold.

Modules with their inventory go in, `cases.TestCase` values come out in the order of the files, and every mistake.
Source: language.md 5.7, points C and K.

Decision: 2026-11-21. `given now` counts for a whole test wherever it stands among the givens; `with now = …` sets the
instant of one call, while claims keep what the given instant made of them. A claim that is required may be left out or
unset: that is how a test asks for a refusal by `schema`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from policy_lang import ir, tree
from policy_lang.case_values import claim_json, value_in_test
from policy_lang.cases import DEFAULT_NOW_MS, Expected, TestCase
from policy_lang.check_rules import log_duty
from policy_lang.diagnostics import Diagnostic, Label, hint_for
from policy_lang.endpoints import place_of
from policy_lang.fields import IMPLICIT_CLAIMS
from policy_lang.inventory import DECIDERS, Inventory, KindEntry, ModuleEntry
from policy_lang.mistakes.cases import (
    CannotSet,
    DuplicateTest,
    GivenTwice,
    NotAMethod,
    UnknownChallenge,
    UnknownDecider,
)
from policy_lang.mistakes.names import UnknownAttribute, UnknownName, UnknownService
from policy_lang.mistakes.types import ArgumentCount
from policy_lang.typesystem import Scalar
from policy_lang.verdict import Facts, Json, Row
from policy_lang.wording import as_written

Claims = Mapping[str, Json]
"""Values by the name of the claim, not yet at the place its declaration says."""


def lower_tests(inventory: Inventory, challenges: frozenset[str], found: list[Diagnostic]) -> tuple[TestCase, ...]:
    """The cases of all modules. `challenges` are the names a step-up of this bundle may carry."""
    rules = frozenset(f"{entry.name}.{rule}" for entry in inventory.modules for rule in entry.rules)
    cases: list[TestCase] = []
    for entry in inventory.modules:
        titles: dict[str, tree.Text] = {}
        for decl in entry.module.declarations:
            if isinstance(decl, tree.TestDecl):
                title = decl.title.value
                if title in titles:
                    others = (Label(titles[title].span, "the other one"),)
                    found.append(DuplicateTest(span=decl.title.span, title_=title, others=others))
                titles.setdefault(title, decl.title)
                cases += _Lowering(entry, inventory, rules, challenges, found).test(decl)
    return tuple(cases)


@dataclass(frozen=True, slots=True)
class _Given:
    kind: KindEntry | None
    claims: Claims
    now_ms: int
    facts: Facts


class _Lowering:
    """Lowers the tests of one module."""

    def __init__(
        self,
        entry: ModuleEntry,
        inventory: Inventory,
        rules: frozenset[str],
        challenges: frozenset[str],
        found: list[Diagnostic],
    ) -> None:
        self._entry = entry
        self._inventory = inventory
        self._rules = rules
        self._challenges = challenges
        self._found = found

    def test(self, decl: tree.TestDecl) -> list[TestCase]:
        """The cases of one test; those with a mistake are left out."""
        given = self._given(decl.given)
        cases = [self._case(decl, case, given) for case in decl.cases]
        return [case for case in cases if case is not None]

    # ------------------------------------------------------------ what is given

    def _given(self, givens: Iterable[tree.Given]) -> _Given:
        now_ms: int | None = None
        caller: tree.GivenToken | tree.GivenAnonymous | None = None
        facts: list[tree.GivenFact] = []
        for given in givens:
            match given:
                case tree.GivenNow(at=at):
                    if now_ms is not None:
                        self._found.append(GivenTwice(span=given.span, what="`now`"))
                    now_ms = at.milliseconds
                case tree.GivenToken() | tree.GivenAnonymous():
                    if caller is not None:
                        self._found.append(GivenTwice(span=given.span, what="the caller"))
                    caller = given
                case tree.GivenFact():
                    facts.append(given)
                case _:
                    assert_never(given)
        at_ms = DEFAULT_NOW_MS if now_ms is None else now_ms
        kind, claims = self._token(caller, at_ms) if isinstance(caller, tree.GivenToken) else (None, {})
        return _Given(kind, claims, at_ms, self._facts(facts, at_ms))

    def _token(self, given: tree.GivenToken, now_ms: int) -> tuple[KindEntry | None, Claims]:
        kind = self._entry.kinds.get(given.kind.text)
        if kind is None:
            if given.kind.text not in self._entry.broken:
                hint = hint_for(given.kind.text, self._entry.kinds, self._found)
                self._found.append(
                    UnknownName(span=given.kind.span, what="token kind", name=given.kind.text, hint=hint)
                )
            return None, {}
        claims: dict[str, Json] = {}
        seen: set[str] = set()
        for name, expr in given.claims:
            if name.text in seen:
                self._found.append(GivenTwice(span=name.span, what=f"`{name.text}`"))
            seen.add(name.text)
            self._set_claim(claims, kind, name, expr, now_ms)
        return kind, claims

    def _set_claim(
        self, claims: dict[str, Json], kind: KindEntry, name: tree.Name, expr: tree.Expr, now_ms: int
    ) -> None:
        slot = kind.slots.get(name.text)
        if slot is None:
            if ("token", name.text) not in self._inventory.broken:
                why = f"token kind `{kind.kind.id}` has no such claim"
                hint = hint_for(name.text, kind.slots, self._found)
                self._found.append(UnknownAttribute(span=name.span, name=f"token.{name.text}", why=why, hint=hint))
            return
        if isinstance(expr, tree.UnsetLit):
            claims.pop(name.text, None)
            return
        value = value_in_test(expr, slot.type, now_ms)
        json = value if isinstance(value, Diagnostic) else claim_json(value, slot.type, expr, name.text)
        if isinstance(json, Diagnostic):
            self._found.append(json)
        else:
            claims[name.text] = json

    def _facts(self, givens: Iterable[tree.GivenFact], now_ms: int) -> Facts:
        rows: dict[str, set[Row]] = {relation.id: set() for relation in self._inventory.relations}
        for given in givens:
            name = given.relation.text
            entry = self._entry.relations.get(name)
            if entry is None:
                if name not in self._entry.broken:
                    hint = hint_for(name, self._entry.relations, self._found)
                    span = given.relation.span
                    self._found.append(UnknownName(span=span, what="relation", name=name, hint=hint))
                continue
            row = self._row(given, entry.relation, now_ms)
            if row is not None:
                rows[entry.relation.id].add(row)
        return {relation: frozenset(held) for relation, held in rows.items()}

    def _row(self, given: tree.GivenFact, relation: ir.Relation, now_ms: int) -> Row | None:
        wanted = len(relation.columns)
        if len(given.values) != wanted:
            name = given.relation.text
            self._found.append(ArgumentCount(span=given.span, name=name, wanted=wanted, found=len(given.values)))
            return None
        row: list[ir.ScalarValue] = []
        for expr, (_, type_) in zip(given.values, relation.columns, strict=True):
            value = value_in_test(expr, type_, now_ms)
            if isinstance(value, Diagnostic):
                self._found.append(value)
            elif not isinstance(value, frozenset):
                row.append(value)
        return tuple(row) if len(row) == wanted else None

    # ------------------------------------------------------------ one call

    def _case(self, decl: tree.TestDecl, case: tree.Case, given: _Given) -> TestCase | None:
        before = len(self._found)
        name = case.service.text
        if name not in self._entry.services and name not in self._entry.broken:
            hint = hint_for(name, self._entry.services, self._found)
            self._found.append(UnknownService(span=case.service.span, name=name, hint=hint))
        if case.method == "ANY":
            self._found.append(NotAMethod(span=case.span, method=case.method))
        claims = dict(given.claims)
        now_ms = given.now_ms
        seen: set[str] = set()
        for override in case.overrides:
            written = as_written(self._entry.module.source, override.ref.span)
            if written in seen:
                self._found.append(GivenTwice(span=override.span, what=f"`{written}`"))
            seen.add(written)
            now_ms = self._override(override, written, claims, given, now_ms)
        nested = self._nested(case, given.kind, claims)
        expected = self._expected(case.expect)
        if len(self._found) > before:
            return None
        source = self._entry.module.source
        return TestCase(
            title=decl.title.value,
            place=place_of(source, case.span),
            text=as_written(source, case.span),
            kind=None if given.kind is None else given.kind.kind.id,
            claims=nested,
            facts=given.facts,
            now_ms=now_ms,
            service=name,
            method=case.method,
            target=case.path.value,
            expected=expected,
        )

    def _override(
        self, override: tree.Override, written: str, claims: dict[str, Json], given: _Given, now_ms: int
    ) -> int:
        """Apply one `with`; the instant of the call comes back."""
        ref = override.ref
        match ref.root.text, ref.parts:
            case "now", ():
                value = value_in_test(override.value, Scalar.TIME, given.now_ms)
                if isinstance(value, Diagnostic):
                    self._found.append(value)
                elif isinstance(value, int):
                    return value
            case "token", (name,):
                if given.kind is None:
                    self._cannot_set(ref, written, "the test gives no token")
                else:
                    self._set_claim(claims, given.kind, name, override.value, given.now_ms)
            case _:
                self._cannot_set(ref, written, "a call sets claims of the token, and `now`")
        return now_ms

    def _cannot_set(self, node: tree.Node, name: str, why: str) -> None:
        self._found.append(CannotSet(span=node.span, name=name, why=why))

    def _nested(self, case: tree.Case, kind: KindEntry | None, claims: Claims) -> Claims:
        """The claims where their declarations say they come from."""
        if kind is None:
            return {}
        ways = {field.name: field.source for field in kind.kind.claims} | {name: (name,) for name in IMPLICIT_CLAIMS}
        token: dict[str, Json] = {}
        for name, value in claims.items():
            *steps, last = ways[name]
            at = token
            for step in steps:
                inner = at.setdefault(step, {})
                if not isinstance(inner, dict):
                    self._cannot_set(case, f"token.{name}", f"another claim stands at `{step}`")
                    return {}
                at = inner
            if last in at and at[last] != value:
                self._cannot_set(case, f"token.{name}", f"another claim stands at `{last}`")
                return {}
            at[last] = value
        return token

    # ------------------------------------------------------------ what is expected

    def _expected(self, outcome: tree.Outcome) -> Expected:
        by = tuple(self._decider(name) for name in outcome.by)
        challenge = outcome.challenge
        if challenge is not None and challenge.text not in self._challenges:
            hint = hint_for(challenge.text, self._challenges, self._found)
            self._found.append(UnknownChallenge(span=challenge.span, name=challenge.text, hint=hint))
        log = None if outcome.log is None else log_duty(outcome.log, self._found)
        return Expected(outcome.decision, by, None if challenge is None else challenge.text, log)

    def _decider(self, name: tree.Text) -> str:
        if name.value in DECIDERS or name.value in self._rules:
            return name.value
        full = f"{self._entry.name}.{name.value}"
        if full not in self._rules:
            hint = hint_for(name.value, self._entry.rules, self._found)
            self._found.append(UnknownDecider(span=name.span, name=name.value, words=" ".join(DECIDERS), hint=hint))
        return full
