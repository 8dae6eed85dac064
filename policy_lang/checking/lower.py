"""Checked rules to a program: atoms, guards and bodies each once in the bundle, one cell an endpoint and kind.

In comes a bundle without mistakes, out goes the `ir.Program` that means the same. Cells with the same rules share the
tuples that hold them, so memory grows with the differences between cells.
INVARIANT: two bundles that differ in the order of files and declarations only give programs that differ in places only.
Source: language.md 5.4 (the primary order), 6.1.

Decision: 2026-11-21. A clause that is true in a cell stays in it with the guard `All(())`, so that a trace shows every
clause as written; a rule one of whose clauses is false there is left out.
Decision: 2026-11-21. A rule reads a signal, and so stands behind those that read none, where its clauses, its needs or
the value of a header it sets do, in that cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from policy_lang import ir
from policy_lang.checking.environment import callers_of
from policy_lang.checking.guards import Interner, Key, operand_key, operand_reads_signal
from policy_lang.checking.policy import CheckedPolicy
from policy_lang.checking.rules import Extent, Placed, Variant
from policy_lang.declared.entries import Inventory

_DENY, _ALLOW, _REQUIRE, _SHADOW = range(4)
_GROUPS: dict[ir.Effect, int] = {"deny": _DENY, "allow": _ALLOW, "require": _REQUIRE}

Where = tuple[int, str | None]
Group = tuple[ir.CellRule, ...]


def lower(inventory: Inventory, policy: CheckedPolicy) -> ir.Program:
    """The program of a bundle in which no mistake was found.

    Errors: ValueError for a rule that was refused. SECURITY: a deny that stands for nothing must not come to run, even
        if a fault of ours kept its mistake from being reported.
    """
    refused = [rule.rule.id for rule in policy.rules if rule.refused]
    if refused:
        raise ValueError(f"rules with mistakes cannot be lowered: {', '.join(refused)}")
    bodies = _Bodies()
    places: dict[Extent, tuple[list[int], ...]] = {}
    numbers: dict[tuple[int, int], int] = {}
    for index, rule in enumerate(policy.rules):
        group = _SHADOW if rule.rule.shadow else _GROUPS[rule.rule.effect]
        for placed in sorted(rule.placed, key=_first):
            number = numbers.setdefault((index, bodies.place(placed.variant)), len(numbers))
            places.setdefault(placed.extent, ([], [], [], []))[group].append(number)
    cells = _Cells([ir.CellRule(*each) for each in numbers], bodies, tuple(places.values()))
    return ir.Program(
        version=ir.VERSION,
        modules=tuple(entry.name for entry in inventory.modules),
        kinds=tuple(entry.kind for entry in inventory.kinds),
        relations=inventory.relations,
        signals=inventory.signals,
        workloads=inventory.workloads,
        services=tuple(entry.service for entry in inventory.services),
        endpoints=tuple(entry.endpoint for entry in inventory.endpoints),
        atoms=bodies.interner.atoms,
        guards=bodies.interner.guards,
        rules=tuple(rule.rule for rule in policy.rules),
        bodies=bodies.all(),
        cells=tuple(cells.cell(where, found) for where, found in _held(inventory, places).items()),
        tables=policy.tables,
    )


def _held(inventory: Inventory, places: Iterable[Extent]) -> dict[Where, list[int]]:
    """Every cell, with the numbers of the places that it lies in."""
    held: dict[Where, list[int]] = {
        (endpoint, None if kind is None else kind.kind.id): []
        for endpoint, callers in enumerate(callers_of(inventory))
        for kind in callers
    }
    for place, (endpoints, kinds) in enumerate(places):
        for endpoint in endpoints:
            for kind in kinds:
                held[endpoint, kind].append(place)
    return held


def _first(placed: Placed) -> tuple[int, bool, str]:
    """The first cell of a variant, nobody's last: the order in which atoms, guards and bodies are numbered."""
    kind = min((each is None, each or "") for each in placed.kinds)
    return (placed.endpoints[0], *kind)


class _Bodies:
    """The bodies of one program, each once, with their guards."""

    def __init__(self) -> None:
        self.interner = Interner()
        self._index: dict[Key, int] = {}
        self._bodies: list[ir.Body] = []
        self._signals: list[bool] = []

    def place(self, variant: Variant) -> int:
        """The index of what a variant comes to."""
        body = ir.Body(
            tuple(ir.Clause(each.label, each.text, self.interner.guard(each.formula)) for each in variant.clauses),
            tuple(
                ir.Need(each.text, self.interner.guard(each.formula), each.challenge, each.within_s)
                for each in variant.needs
            ),
            variant.must,
            variant.should,
        )
        key = (
            body.clauses,
            body.needs,
            *(tuple(_duty_key(each) for each in part) for part in (body.must, body.should)),
        )
        index = self._index.get(key)
        if index is None:
            index = self._index[key] = len(self._bodies)
            self._bodies.append(body)
            self._signals.append(self._any_signal(body))
        return index

    def reads_signal(self, body: int) -> bool:
        """Whether a body reads a signal."""
        return self._signals[body]

    def all(self) -> tuple[ir.Body, ...]:
        """The bodies by index."""
        return tuple(self._bodies)

    def _any_signal(self, body: ir.Body) -> bool:
        guards = (*(each.guard for each in body.clauses), *(each.guard for each in body.needs))
        headers = (each for each in (*body.must, *body.should) if isinstance(each, ir.SetHeader))
        return any(self.interner.reads_signal(guard) for guard in guards) or any(
            operand_reads_signal(header.value) for header in headers
        )


def _duty_key(duty: ir.Obligation) -> object:
    """What makes two obligations one: a header set to `true` is not one set to `1`."""
    return (duty.name, operand_key(duty.value)) if isinstance(duty, ir.SetHeader) else duty


class _Cells:
    """Makes cells; groups that hold the same rules are one tuple."""

    def __init__(self, rules: list[ir.CellRule], bodies: _Bodies, places: Sequence[tuple[list[int], ...]]) -> None:
        self._rules = rules
        self._late = frozenset(number for number, rule in enumerate(rules) if bodies.reads_signal(rule.body))
        self._places = places
        self._known: dict[tuple[int, ...], tuple[Group, ...]] = {}
        self._joined: dict[tuple[int, tuple[int, ...]], Group] = {}
        self._shared: dict[tuple[int, ...], Group] = {}

    def cell(self, where: Where, held: Sequence[int]) -> ir.Cell:
        """The cell of one endpoint and kind, from the places it lies in."""
        key = tuple(held)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = tuple(self._group(group, key) for group in (_DENY, _ALLOW, _REQUIRE, _SHADOW))
        return ir.Cell(*where, *known)

    def _group(self, group: int, held: tuple[int, ...]) -> Group:
        """The rules of one group, whose numbers ascend as their ids do."""
        key = (group, tuple(place for place in held if self._places[place][group]))
        joined = self._joined.get(key)
        if joined is None:
            numbers = tuple(sorted(chain.from_iterable(self._places[place][group] for place in key[1])))
            joined = self._joined[key] = self._ordered(numbers)
        return joined

    def _ordered(self, numbers: tuple[int, ...]) -> Group:
        shared = self._shared.get(numbers)
        if shared is None:
            ordered = sorted(numbers, key=self._late.__contains__)
            shared = self._shared[numbers] = tuple(self._rules[number] for number in ordered)
        return shared
