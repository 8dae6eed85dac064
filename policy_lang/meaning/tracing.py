"""Why a guard came out as it did, as words and values: the trace of one rule in one call.

In come a rule of a cell and the inputs of a call, out goes a `RuleTrace`. The words are those of the atoms as they were
compiled, so conditions stand expanded; a clause's own text is the one written. Nothing here decides anything.

The name of a read is `token.accounts`, `path.account`, `signal.risk` and so on; `now` is the instant; a lookup reads
`shared_with(path.account, token.sub)`, true, false or None where the facts are not at hand.
Source: language.md 5.6.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import assert_never

from policy_lang.ir import (
    Age,
    All,
    AnyOf,
    Atom,
    Attr,
    CellRule,
    Compare,
    Const,
    Cover,
    Empty,
    Has,
    InNetwork,
    Like,
    Lit,
    Lookup,
    Member,
    Now,
    Operand,
    Overlap,
    Program,
    Shift,
    Truth,
    Value,
    operands_of,
)
from policy_lang.meaning.evaluation import Environment, parts_of, truth_of_atom, truths, value_of
from policy_lang.meaning.values import FALSE, TRUE, UNKNOWN, conjunction
from policy_lang.verdict import ClauseTrace, RuleTrace, Truth3

# ---------------------------------------------------------------- rules and clauses


def trace_rule(program: Program, cell_rule: CellRule, environment: Environment, *, whole: bool = False) -> RuleTrace:
    """The trace of a rule: its clauses up to the first that is false, or all of them where `whole`.

    `applies` is by the table of language.md 5.3: an allow applies where every clause is true, a deny or a require
    where none is false. The needs of a require that applies stand after its clauses, labelled `needs 1` and so on.
    """
    rule, body = program.rules[cell_rule.rule], program.bodies[cell_rule.body]
    clauses: list[ClauseTrace] = []
    for clause in body.clauses:
        clauses.append(trace_clause(program, clause.label, clause.text, clause.guard, environment))
        if clauses[-1].truth is FALSE and not whole:
            break
    worth = conjunction(clause.truth for clause in clauses)
    applies = worth is TRUE if rule.effect == "allow" else worth is not FALSE
    if applies:
        for number, need in enumerate(body.needs, start=1):
            clauses.append(trace_clause(program, f"needs {number}", need.text, need.guard, environment))
    place = f"{rule.place.file}:{rule.place.line}"
    return RuleTrace(rule.id, rule.effect, rule.because, place, applies, tuple(clauses), rule.shadow)


def trace_clause(program: Program, label: str, text: str, guard: int, environment: Environment) -> ClauseTrace:
    """The trace of one clause or need."""
    worth = truths(program, guard, environment)
    reads: dict[str, Value | None] = {}
    for index in parts_of(program, guard):
        node = program.guards[index]
        if isinstance(node, Lit):
            reads.update(_reads(program.atoms[node.atom], environment))
    return ClauseTrace(label, text, worth[guard], _failed(program, guard, worth), tuple(reads.items()))


def _failed(program: Program, guard: int, worth: dict[int, Truth3]) -> str:
    """The first atom, in the order of reading, that kept the guard from being true; "" where it is true."""
    while worth[guard] is not TRUE:
        node = program.guards[guard]
        match node:
            case Lit(atom, negated):
                return atom_text(program.atoms[atom], negated=negated)
            case All(parts) | AnyOf(parts):
                if not parts:
                    return "false"
                guard = next(part for part in parts if worth[part] is not TRUE)
            case _:
                assert_never(node)
    return ""


def _reads(atom: Atom, environment: Environment) -> Iterator[tuple[str, Value | None]]:
    for operand in operands_of(atom):
        yield from _operand_reads(operand, environment)
    if isinstance(atom, Age):
        yield "now", environment.now_ms
    if isinstance(atom, Lookup):
        found = truth_of_atom(atom, environment)
        yield atom_text(atom), None if found is UNKNOWN else found is TRUE


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


# ---------------------------------------------------------------- words


def attr_name(attr: Attr) -> str:
    """`token.accounts`; a signal by its plain name."""
    return f"{attr.root}.{attr.name.rpartition('.')[2] if attr.root == 'signal' else attr.name}"


_COMPARED = {("eq", False): "==", ("lt", False): "<", ("le", False): "<="}
_COMPARED |= {("eq", True): "!=", ("lt", True): ">=", ("le", True): ">"}


def atom_text(atom: Atom, *, negated: bool = False) -> str:
    """An atom, or its negation, as a policy would say it."""
    match atom:
        case Compare(op, left, right):
            return f"{operand_text(left)} {_COMPARED[op, negated]} {operand_text(right)}"
        case Member(item, among):
            return f"{operand_text(item)} {'not in' if negated else 'in'} {operand_text(among)}"
        case InNetwork(of, network, _):
            return f"{operand_text(of)} {'not in' if negated else 'in'} {network}"
        case Truth(of):
            return f"not {operand_text(of)}" if negated else operand_text(of)
        case Lookup():
            return f"not {_lookup_text(atom)}" if negated else _lookup_text(atom)
        case _:
            return f"not ({_plain_text(atom)})" if negated else _plain_text(atom)


def _plain_text(atom: Overlap | Cover | Empty | Like | Has | Age) -> str:
    match atom:
        case Overlap(left, right):
            return f"{operand_text(left)} overlaps {operand_text(right)}"
        case Cover(left, right):
            return f"{operand_text(left)} covers {operand_text(right)}"
        case Empty(of):
            return f"{operand_text(of)} is empty"
        case Like(of, pattern):
            return f"{operand_text(of)} like {_quoted(pattern)}"
        case Has(attr):
            return f"{attr.root} has {attr.name}"
        case Age(at, most_ms):
            if most_ms is None:
                return f"{operand_text(at)} not after now"
            span = f"{most_ms // 1000} s" if most_ms % 1000 == 0 else f"{most_ms} ms"
            return f"{operand_text(at)} within {span} of now"
        case _:
            assert_never(atom)


def _lookup_text(atom: Lookup) -> str:
    return f"{atom.relation.rpartition('.')[2]}({', '.join(operand_text(each) for each in atom.arguments)})"


def operand_text(operand: Operand) -> str:
    """An operand as a policy would say it; times and durations as milliseconds."""
    match operand:
        case Attr():
            return attr_name(operand)
        case Now():
            return "now"
        case Const(value):
            return value_text(value)
        case Shift(left, sign, right):
            subtracted = f"({operand_text(right)})" if isinstance(right, Shift) else operand_text(right)
            return f"{operand_text(left)} {'+' if sign == 1 else '-'} {subtracted}"
        case _:
            assert_never(operand)


def value_text(value: Value) -> str:
    """A value as a literal; a set in the order of its members' texts."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return _quoted(value)
        case frozenset():
            return f"[{', '.join(sorted(value_text(each) for each in value))}]"
        case _:
            assert_never(value)


def _quoted(text: str) -> str:
    """A string as a literal that is safe to show: what does not print is escaped."""
    return json.dumps(text, ensure_ascii=not text.isprintable()).replace("\x7f", "\\u007f")
