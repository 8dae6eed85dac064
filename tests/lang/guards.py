"""The guards of a program as text, for tests of what a rule comes to."""

from __future__ import annotations

from policy_lang import ir
from policy_lang.ir.printer import print_atom


def guard_text(program: ir.Program, index: int) -> str:
    """A guard on one line, its atoms as the printer of programs writes them."""
    match program.guards[index]:
        case ir.Lit(atom, negated):
            return f"{'not ' if negated else ''}{print_atom(program.atoms[atom])}"
        case ir.All(parts):
            return f"all({', '.join(guard_text(program, part) for part in parts)})"
        case ir.AnyOf(parts):
            return f"any({', '.join(guard_text(program, part) for part in parts)})"
