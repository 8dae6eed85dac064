"""`test` blocks to cases: names resolved, values typed, overrides and tables applied.

Modules with their inventory go in, `cases.TestCase` values come out in the order of the files, and every mistake. What
is given is `lower_given`'s, a call `lower_calls`', what it expects `lower_expected`'s, a table `lower_tables`'.
Source: language.md 5.7, points B, C, F.

Decision (2026-11-21): `with now = …` sets the instant of one call, while claims keep what the given instant made of
them. A name that a test uses is one of its module: what it declares and what it imports.
"""

from __future__ import annotations

from policy_lang import ir, tree
from policy_lang.declared.endpoints import place_of
from policy_lang.declared.entries import Inventory, ModuleEntry
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.mistakes.cases import CannotSet, DuplicateTest, GivenTwice
from policy_lang.trials.calls import Acted, Calls, Draft
from policy_lang.trials.cases import TestCase
from policy_lang.trials.expected import Deciders, Expectations
from policy_lang.trials.given import Fixture, Givens, instant_of
from policy_lang.trials.tables import Written, written_cases
from policy_lang.trials.values import Values
from policy_lang.typesystem import Scalar
from policy_lang.wording import as_written


def lower_tests(inventory: Inventory, challenges: frozenset[str], found: list[Diagnostic]) -> tuple[TestCase, ...]:
    """The cases of all modules. `challenges` are the names a step-up of this bundle may carry."""
    rules = {f"{entry.name}.{name}": rule.shadow for entry in inventory.modules for name, rule in entry.rules.items()}
    rules |= {f"{entry.name}.{name}": False for entry in inventory.modules for name in entry.blocks}
    deciders = Deciders(rules, challenges)
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
                cases += _Lowering(entry, inventory, deciders, decl, found).cases()
    return tuple(cases)


class _Lowering:
    """Lowers one test."""

    def __init__(
        self,
        entry: ModuleEntry,
        inventory: Inventory,
        deciders: Deciders,
        decl: tree.TestDecl,
        found: list[Diagnostic],
    ) -> None:
        self._entry = entry
        self._decl = decl
        self._found = found
        self._now_ms = instant_of(decl.given, found)
        self._values = Values(entry, self._now_ms, found)
        self._givens = Givens(entry, inventory, self._values, found)
        self._calls = Calls(entry, self._values, found)
        self._expectations = Expectations(entry, deciders, self._values, found)

    def cases(self) -> list[TestCase]:
        """The cases of the test; those with a mistake are left out."""
        given = self._givens.fixture(self._decl.given, self._now_ms)
        source = self._entry.module.source
        written = (each for step in self._decl.steps for each in written_cases(step, source, self._found))
        cases = [self._case(each, given.copy()) for each in written]
        return [case for case in cases if case is not None]

    def _case(self, written: Written, fixture: Fixture) -> TestCase | None:
        before = len(self._found)
        case = written.case
        draft = self._calls.draft(case.call)
        seen: set[str] = set()
        for override in case.overrides:
            name = as_written(self._entry.module.source, override.ref.span)
            if name in seen:
                self._found.append(GivenTwice(span=override.span, what=f"`{name}`"))
            seen.add(name)
            self._override(override, name, fixture, draft)
        caller = self._givens.caller(fixture, case)
        call = None if draft is None else self._calls.finished(draft, fixture.host, case)
        expected = self._expectations.expected(case.expect, fixture, draft)
        if draft is None or call is None or len(self._found) > before:
            return None
        return TestCase(
            title=self._decl.title.value,
            place=self._place(case),
            text=written.text,
            service=draft.service.service.id,
            call=call,
            caller=caller,
            origin=fixture.origin,
            facts=fixture.facts,
            signals=fixture.signals,
            now_ms=fixture.now_ms,
            expected=expected,
        )

    def _place(self, case: tree.Case) -> ir.Place:
        return place_of(self._entry.module.source, case.span)

    # ------------------------------------------------------------ `with`

    def _override(self, override: tree.Override, written: str, fixture: Fixture, draft: Draft | None) -> None:
        """Apply one `with`."""
        ref, value = override.ref, override.value
        match ref.root.text, ref.parts:
            case "now", ():
                at = self._values.value(value, Scalar.TIME)
                fixture.now_ms = at if isinstance(at, int) else fixture.now_ms
            case ("token" | "subject") as form, (name,):
                if fixture.kind is None or fixture.kind.kind.form != form:
                    self._cannot(ref, written, f"the test gives no {form}")
                else:
                    self._givens.set_claim(fixture, name, value)
            case "request", (name,):
                self._givens.set_request(fixture, name, value)
            case "signal", (name,):
                self._givens.set_signal(fixture, name, value)
            case ("query" | "header" | "resource") as root, (name,):
                if draft is not None and isinstance(draft.call, Acted) != (root == "resource"):
                    what = "action on a resource" if root == "resource" else "request with a path"
                    self._cannot(ref, written, f"the call is no {what}")
                elif draft is not None:
                    self._calls.set_input(draft, root, name, value)
            case "path", (_,):
                self._cannot(ref, written, "the call says the path")
            case _:
                self._cannot(ref, written, "a call changes what it, the caller or a signal says, and `now`")

    def _cannot(self, node: tree.Node, name: str, why: str) -> None:
        self._found.append(CannotSet(span=node.span, name=name, why=why))
