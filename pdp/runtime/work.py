"""How much there is to trace in a cell: by it is decided whether its decisions are explained and compared at all.

A program comes in, out go steps by cell. A step is a rule, a clause or need, or a node of a condition; four members of
a set that is written in one count as a step, since a trace writes them out, and a row of a Casbin table that is asked
as several. Measured at 6 to 14 µs a step.
State: what was worked out once for a body or a cell; there are no more of them than the program has.

Decision: 2026-11-21. Steps are counted, and not rules: a rule with a hundred conditions costs what forty plain ones do.
"""

from __future__ import annotations

from policy_lang.ir import Cell, CellRule, Const, Lit, Program, Vote, operands_of, rules_of

MOST_TRACED = 1_500
"""Steps that are traced while calls wait: some 15 ms, 200 rules of three conditions."""

MOST_COUNTED = 20_000
"""Counting ends beyond it."""

MEMBERS_A_STEP = 4

STEPS_A_ROW = 4
"""A row is asked twice in a trace, for the truth of its clause and for its place; each time takes some 25 µs."""


class Work:
    """The steps of the cells and rules of one program."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._rows = {table.id: len(table.rows) for table in program.tables}
        self._of_cells: dict[tuple[int, str | None], int] = {}
        self._of_bodies: dict[int, int] = {}

    def of_cell(self, cell: Cell) -> int:
        """The steps of all rules of a cell; of more than `MOST_COUNTED` it is only known that they are more."""
        place = (cell.endpoint, cell.kind)
        if place not in self._of_cells:
            steps = 0
            for rule in rules_of(cell):
                steps += self.of_rule(rule)
                if steps > MOST_COUNTED:
                    break
            self._of_cells[place] = steps
        return self._of_cells[place]

    def of_rule(self, rule: CellRule) -> int:
        """The steps of one rule, with the same bound."""
        if rule.body not in self._of_bodies:
            body = self._program.bodies[rule.body]
            guards = [*(clause.guard for clause in body.clauses), *(need.guard for need in body.needs)]
            self._of_bodies[rule.body] = 1 + len(guards) + self._nodes(guards)
        return self._of_bodies[rule.body]

    def _nodes(self, guards: list[int]) -> int:
        """The nodes of guards, each as often as it is met."""
        counted, todo = 0, list(guards)
        while todo and counted <= MOST_COUNTED:
            counted += 1
            node = self._program.guards[todo.pop()]
            if isinstance(node, Lit):
                atom = self._program.atoms[node.atom]
                counted += STEPS_A_ROW * self._rows[atom.table] if isinstance(atom, Vote) else 0
                sets = [each.value for each in operands_of(atom) if isinstance(each, Const)]
                counted += sum(len(value) // MEMBERS_A_STEP for value in sets if isinstance(value, frozenset))
            else:
                todo.extend(node.parts)
        return counted
