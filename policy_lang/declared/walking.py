"""Walks over expressions, references as written, and the names that a test mentions.

Source: language.md 2.1, 5.7.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from policy_lang import tree

_LEAVES = (tree.StringLit, tree.IntLit, tree.Ref)


def walk(root: tree.Expr) -> Iterator[tree.Expr]:
    """Every node of an expression in source order, but for what `has` and `is` ask of; any depth."""
    todo: list[tree.Expr] = [root]
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, _LEAVES):  # a set of literals may have a million
            todo.extend(reversed(_children(node)))


def _children(node: tree.Expr) -> tuple[tree.Expr, ...]:
    match node:
        case tree.SetLit(members=parts) | tree.Call(arguments=parts):
            return parts
        case tree.Not(operand=operand) | tree.Like(operand=operand) | tree.IsEmpty(operand=operand):
            return (operand,)
        case tree.And(left=left, right=right) | tree.Or(left=left, right=right):
            return (left, right)
        case tree.Compare(left=left, right=right) | tree.SetTest(left=left, right=right):
            return (left, right)
        case tree.Arithmetic(left=left, right=right) | tree.In(item=left, among=right):
            return (left, right)
        case _:
            return ()


def dotted(ref: tree.Ref) -> str:
    """A reference as the policy writes it, without the blanks that may stand round its dots."""
    return ".".join((ref.root.text, *(part.text for part in ref.parts)))


def mentions(test: tree.TestDecl) -> Iterator[str]:
    """The plain names that a test mentions, some more than once, and some that nobody declares."""
    for given in test.given:
        yield from _in_given(given)
    for step in test.steps:
        if isinstance(step, tree.Case):
            yield from _in_call(step.call)
            for override in step.overrides:
                yield from _in_expressions((override.ref, override.value))
            yield from _in_outcome(step.expect)
        else:
            yield from _in_table(step)


def _in_table(table: tree.Table) -> Iterator[str]:
    yield from _in_expressions(head for head in table.head if isinstance(head, tree.Ref))
    for row in table.rows:
        for cell in row.cells:
            match cell:
                case tree.PathCall():
                    yield from _in_call(cell)
                case tree.Outcome():
                    yield from _in_outcome(cell)
                case _:
                    yield from _in_expressions((cell,))


def _in_given(given: tree.Given) -> Iterator[str]:
    match given:
        case tree.GivenToken(kind=kind, claims=pairs) | tree.GivenSubject(kind=kind, properties=pairs):
            yield kind.text
            yield from _in_expressions(value for _, value in pairs)
        case tree.GivenRequest(attributes=pairs):
            yield from _in_expressions(value for _, value in pairs)
        case tree.GivenSignal(name=name, value=value):
            yield name.text
            yield from _in_expressions((value,))
        case tree.GivenFact(relation=relation, values=values):
            yield relation.text
            yield from _in_expressions(values)
        case tree.GivenAnonymous() | tree.GivenNow():
            pass
        case _:
            assert_never(given)


def _in_call(call: tree.CallSpec) -> Iterator[str]:
    yield call.service.text
    if isinstance(call, tree.EndpointCall):
        yield from _in_expressions(value for _, value in call.arguments)


def _in_outcome(outcome: tree.Outcome) -> Iterator[str]:
    yield from _in_expressions(each.value for each in outcome.obligations if isinstance(each, tree.SetHeader))


def _in_expressions(roots: Iterable[tree.Expr]) -> Iterator[str]:
    for root in roots:
        for node in walk(root):
            match node:
                case tree.Ref(root=name, parts=()):
                    yield name.text
                case tree.Ref(root=tree.Name(text="signal"), parts=(name, *_)):
                    yield name.text
                case _:
                    pass
