"""What one call may cost: for each endpoint the conditions it may have to look at, and the rules that none can prune.

A program goes in, `Cost` comes out by endpoint. A rule is told apart in a cell where `plan.index` can use one of its
clauses: an input is, or holds, a constant, or an address lies in a network. Such rules are counted as the index finds
them: together with those that share the constant.
Source: language.md 6.2 (discriminators), 4.6 (W816, E801).

Decision: 2026-11-21. The worst case takes for each attribute the one constant that finds the most: a caller who holds
every role at once is not what a budget is for. A rule without conditions costs nothing, so it is not counted.
Decision: 2026-11-21. What the index of a Casbin table leaves in the worst case is not known. A table counts as an atom
for a hundred rows, at least `LEAST_OF_TABLE` and at most `MOST_OF_TABLE`, so that a large one can be asked, and two of
them on one endpoint cannot; where some part of its matcher has no index, as an atom for each row. A table that is asked
for both votes on the same values counts once.
Decision: 2026-11-21. What the index uses is asked of the index itself, so that no rule is called cheap which is not:
`via w` alone, or a relation alone, tells no rules apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from policy_lang import ir
from policy_lang.ir.tables import Table
from policy_lang.meaning.tables import NO_FUNCTIONS
from policy_lang.plan.index import Asked, asked, is_told_apart
from policy_lang.plan.table_conjunctions import Conjunction, Distinct
from policy_lang.plan.table_stock import Design

Key = tuple[str, object]
"""An input, and the constant (or the ranges) that the index finds rules by."""

ROWS_AN_ATOM, LEAST_OF_TABLE, MOST_OF_TABLE = 100, 4, 256
"""What a Casbin table counts for."""

Ways = tuple[tuple[int, ...], ...]
"""The ways to find a rule: each by keys, which are numbered."""


class Cost(Struct, frozen=True):
    """The worst call of an endpoint: how many atoms it looks at, and the rules, by index, that it cannot pass over."""

    atoms: int
    unindexable: tuple[int, ...]


def costs(program: ir.Program) -> tuple[Cost, ...]:
    """The costs of the endpoints of a program, by index."""
    bodies = _Bodies(program)
    known: dict[tuple[int, ...], Cost] = {}
    worst = [Cost(0, ()) for _ in program.endpoints]
    for cell in program.cells:
        # The same groups are shared tuples, which live as long as the program.
        key = (id(cell.deny), id(cell.allow), id(cell.require), id(cell.shadow))
        cost = known.get(key)
        if cost is None:
            cost = known[key] = _cell_cost(ir.rules_of(cell), bodies)
        before = worst[cell.endpoint]
        rules = max(before.unindexable, cost.unindexable, key=len)
        worst[cell.endpoint] = Cost(max(before.atoms, cost.atoms), rules)
    return tuple(worst)


class _Bodies:
    """What bodies ask, each worked out once: its atoms, and the keys that an index may find it by, as numbers.

    `inputs` are the names of inputs by the number of a key.
    """

    def __init__(self, program: ir.Program) -> None:
        self.inputs: list[str] = []
        self._program = program
        self._rows = {table.id: _weight(table) for table in program.tables}
        self._numbers: dict[Key, int] = {}
        self._below: dict[int, frozenset[int]] = {}
        self._known: dict[int, tuple[frozenset[int], Ways]] = {}

    def of(self, index: int) -> tuple[frozenset[int], Ways]:
        """The atoms of a body, and one set of keys for each way to find it."""
        known = self._known.get(index)
        if known is None:
            body = self._program.bodies[index]
            guards = [clause.guard for clause in body.clauses]
            atoms = self._atoms((*guards, *(need.guard for need in body.needs)))
            conjuncts = asked(self._program, guards)
            told_apart = (_keys(each) for each in conjuncts.values() if is_told_apart(each))
            ways = tuple(tuple(self._number(key) for key in way) for way in told_apart)
            known = self._known[index] = (atoms, ways)
        return known

    def weight(self, atoms: Iterable[int]) -> int:
        """What some atoms count for."""
        if not self._rows:
            return len(set(atoms))
        return sum(self._rows[atom.table] if isinstance(atom, ir.Vote) else 1 for atom in self._each_once(atoms))

    def _each_once(self, atoms: Iterable[int]) -> Iterable[ir.Atom]:
        """The atoms of these indices; of those that ask a table about the same values, one."""
        found = (self._program.atoms[index] for index in sorted(atoms))
        return {replace(each, vote="allow") if isinstance(each, ir.Vote) else each: None for each in found}

    def _number(self, key: Key) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.inputs)
            self.inputs.append(key[0])
        return number

    def _atoms(self, guards: Iterable[int]) -> frozenset[int]:
        return frozenset().union(*(self._atoms_below(guard) for guard in guards))

    def _atoms_below(self, index: int) -> frozenset[int]:
        known = self._below.get(index)
        if known is None:
            guard = self._program.guards[index]
            below = frozenset((guard.atom,)) if isinstance(guard, ir.Lit) else self._atoms(guard.parts)
            known = self._below[index] = below
        return known


def _weight(table: Table) -> int:
    """What a table counts for."""
    rows = len(table.rows)
    if any(map(_walks, Design.of(table, NO_FUNCTIONS).parts)):
        return max(rows, LEAST_OF_TABLE)
    return max(LEAST_OF_TABLE, min(rows // ROWS_AN_ATOM, MOST_OF_TABLE))


def _walks(part: Conjunction) -> bool:
    """Whether a conjunction asks rows, or values of a column, one by one, and nothing leaves any of them out."""
    one_by_one = [key for key in part.keyed if isinstance(key, Distinct)]
    return bool(one_by_one or part.rest) and len(one_by_one) == len(part.keyed)


def _keys(of: Asked) -> tuple[Key, ...]:
    """What the index finds a rule by."""
    name = _name(of.attr)
    return ((name, of.ranges),) if of.how == "address" else tuple((name, value) for value in of.values)


def _name(attr: ir.Attr) -> str:
    return f"{attr.root} {attr.name}"


def _cell_cost(rules: Iterable[ir.CellRule], bodies: _Bodies) -> Cost:
    """The cost of one cell: what no index prunes, and for each attribute the constant that finds the most."""
    held = [(each.rule, *bodies.of(each.body)) for each in rules]
    always: set[int] = set()
    unindexable: list[int] = []
    shared = Counter(chain.from_iterable(chain.from_iterable(ways for _, _, ways in held)))
    found: dict[int, set[int]] = {}
    for rule, atoms, ways in held:
        if ways:
            # The way that leaves the fewest others beside it.
            way = ways[0] if len(ways) == 1 else min(ways, key=lambda way: sum(shared[key] for key in way))
            for key in way:
                found.setdefault(key, set()).update(atoms)
        elif atoms:
            unindexable.append(rule)
            always |= atoms
    most: dict[str, int] = {}
    for key, atoms_found in found.items():
        name = bodies.inputs[key]
        most[name] = max(most.get(name, 0), bodies.weight(atoms_found - always))
    return Cost(bodies.weight(always) + sum(most.values()), tuple(sorted(unindexable)))
