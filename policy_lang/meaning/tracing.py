"""Why a guard came out as it did, as words and values: the trace of one rule in one call.

In come a rule of a cell and a call that was admitted, out goes a `RuleTrace`. The words are those of the atoms as they
were compiled, so conditions stand expanded; a clause's own text is the one written. Nothing here decides anything.

The name of a read is `token.accounts`, `path.account`, `signal.risk` and so on; `now` is the instant; a lookup reads
`shared_with(path.account, token.sub)`, true, false or None where the facts are not at hand; a Casbin table
`wiki(token.sub, request.path)`, which is the row that cast the vote asked for, true where the vote was cast by no row,
false where it was not cast, None where an input is not known.
Source: language.md 5.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from policy_lang.ir import (
    Age,
    All,
    AnyOf,
    Atom,
    Attr,
    Body,
    CellRule,
    Const,
    Lit,
    Lookup,
    Now,
    Operand,
    Program,
    Shift,
    Value,
    Vote,
    atoms_of,
    operands_of,
)
from policy_lang.ir.reads import parts_of
from policy_lang.meaning.admission import Call
from policy_lang.meaning.evaluation import Environment, truth_of_atom, truths, value_of
from policy_lang.meaning.values import FALSE, TRUE, UNKNOWN, conjunction
from policy_lang.meaning.words import Words, asked_text, atom_text, attr_name
from policy_lang.verdict import ClauseTrace, RuleTrace, Truth3


def trace_rule(program: Program, cell_rule: CellRule, call: Call, *, whole: bool = False) -> RuleTrace:
    """The trace of a rule: its clauses up to the first that is false, or all of them where `whole`.

    `applies` is by the table of language.md 5.3: an allow applies where every clause is true, a deny or a require
    where none is false. The needs of a require that applies stand after its clauses, labelled `needs 1` and so on.
    """
    rule, body = program.rules[cell_rule.rule], program.bodies[cell_rule.body]
    words = Words.of(program, call.endpoint, call.kind, call.environment.columns)
    clauses: list[ClauseTrace] = []
    for clause in body.clauses:
        clauses.append(_trace_clause(program, clause.label, clause.text, clause.guard, call, words))
        if clauses[-1].truth is FALSE and not whole:
            break
    worth = conjunction(clause.truth for clause in clauses)
    applies = worth is TRUE if rule.effect == "allow" else worth is not FALSE
    if applies:
        for number, need in enumerate(body.needs, start=1):
            clauses.append(_trace_clause(program, f"needs {number}", need.text, need.guard, call, words))
    place = f"{rule.place.file}:{rule.place.line}"
    row = _row(program, body, clauses, words) if applies else ""
    return RuleTrace(rule.id, rule.effect, rule.because, place, applies, tuple(clauses), rule.shadow, row)


def _row(program: Program, body: Body, clauses: list[ClauseTrace], words: Words) -> str:
    """The row of a Casbin table by which a rule of this body applies, as its clauses read it."""
    for clause, traced in zip(body.clauses, clauses, strict=False):
        asked = {asked_text(atom, words) for atom in atoms_of(program, clause.guard) if isinstance(atom, Vote)}
        for name, value in traced.reads if asked else ():
            if name in asked and isinstance(value, str):
                return value
    return ""


def _trace_clause(program: Program, label: str, text: str, guard: int, call: Call, words: Words) -> ClauseTrace:
    """The trace of one clause or need."""
    environment = call.environment
    worth = truths(program, guard, environment)
    reads: dict[str, Value | None] = {}
    for index in parts_of(program, guard):
        node = program.guards[index]
        if isinstance(node, Lit):
            reads.update(_reads(program.atoms[node.atom], environment, words))
    failed = _failed(program, guard, worth, text, words)
    return ClauseTrace(label, text, worth[guard], failed, tuple(reads.items()))


def _failed(program: Program, guard: int, worth: dict[int, Truth3], text: str, words: Words) -> str:
    """The first atom, in the order of reading, that kept the guard from being true; "" where it is true. Of rows that
    would all have done, it is the one that the clause, whose text this is, names itself: a role, not one that holds it.
    """
    while worth[guard] is not TRUE:
        node = program.guards[guard]
        match node:
            case Lit(atom, negated):
                return atom_text(program.atoms[atom], words, negated=negated)
            case All(parts) | AnyOf(parts):
                if not parts:
                    return "false"
                failing = [part for part in parts if worth[part] is not TRUE]
                named = (part for part in failing if _is_named(program, part, text, words))
                guard = next(named, failing[0]) if isinstance(node, AnyOf) else failing[0]
            case _:
                assert_never(node)
    return ""


def _is_named(program: Program, guard: int, text: str, words: Words) -> bool:
    """Whether a guard is a lookup that a text has in its own words."""
    node = program.guards[guard]
    atom = program.atoms[node.atom] if isinstance(node, Lit) and not node.negated else None
    return isinstance(atom, Lookup) and atom_text(atom, words) in text


def _reads(atom: Atom, environment: Environment, words: Words) -> Iterator[tuple[str, Value | None]]:
    for operand in operands_of(atom):
        yield from _operand_reads(operand, environment)
    if isinstance(atom, Age):
        yield "now", environment.now_ms
    if isinstance(atom, Lookup):
        found = truth_of_atom(atom, environment)
        yield atom_text(atom, words), None if found is UNKNOWN else found is TRUE
    if isinstance(atom, Vote):
        values = [value_of(each, environment) for each in atom.arguments]
        yield asked_text(atom, words), environment.tables.told(atom, values, environment.now_ms)


def _operand_reads(operand: Operand, environment: Environment) -> Iterator[tuple[str, Value | None]]:
    match operand:
        case Attr():
            yield attr_name(operand), value_of(operand, environment)
        case Now():
            yield "now", environment.now_ms
        case Const():
            return
        case Shift(left, _, right):
            yield from _operand_reads(left, environment)
            yield from _operand_reads(right, environment)
        case _:
            assert_never(operand)
