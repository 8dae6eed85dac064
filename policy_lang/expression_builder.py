"""Expressions: Lark's trees to the nodes of `policy_lang/tree.py`.

In goes a branch of the grammar's `expr` layer, a draft to report to, and the height already used; out comes a node.
INVARIANT: no path from the root of an expression to a leaf has more than `DEEPEST` + 1 nodes, so that every later
phase may recurse over it; what would be higher is E104. The walk itself recurses only as deep as that.

Decision: 2026-11-21. Chains of `and` and of `or` are built balanced, not left-deep (both are associative, also for
presence narrowing, and the order of operands is kept): 512 operands are 9 levels. Whoever wants the operands of a
chain walks down both sides while the class stays the same. Parentheses leave no node; a chain in parentheses that
opens a chain of the same word is one chain with it.
Specification: language.md 2.1 (Expressions); grammar.lark, the section on expressions.
"""

from __future__ import annotations

from collections.abc import Sequence

from lark import Token, Tree

from policy_lang.draft import Draft
from policy_lang.grammar import Branch, tree_of
from policy_lang.mistakes.syntax import ChainTooLong, TooDeep
from policy_lang.scan import DEEPEST
from policy_lang.source import Span
from policy_lang.tree import (
    And,
    Arithmetic,
    BoolLit,
    Call,
    Compare,
    CompareOp,
    DurationLit,
    Expr,
    Has,
    HasFactor,
    In,
    IntLit,
    IsEmpty,
    IsKind,
    Like,
    Not,
    Or,
    Ref,
    SetLit,
    SetTest,
    StringLit,
    TimeLit,
    UnsetLit,
)

LONGEST_CHAIN = 512
"""Operands that one chain of `and` or of `or` may join."""


def expression(draft: Draft, branch: Branch, height: int = 0) -> Expr:
    """Build the expression that `branch` holds, `height` levels below the root of the whole."""
    span = draft.span(branch)
    tree = tree_of(branch)
    if height + _rise(tree) > DEEPEST:
        draft.found.append(TooDeep(span=span, most=DEEPEST))
        return draft.placeholder(span)
    parts = tree.children
    below = height + 1
    match str(tree.data):
        case "or_" | "and_":
            return _chain(draft, tree, height)
        case "not_":
            return Not(draft.id(), span, expression(draft, parts[0], below))
        case "plus":
            return Arithmetic(draft.id(), span, "+", *_two(draft, parts, below))
        case "minus":
            return Arithmetic(draft.id(), span, "-", *_two(draft, parts, below))
        case "compare":
            return Compare(draft.id(), span, _comparison(parts[1]), *_two(draft, (parts[0], parts[2]), below))
        case "lt":
            return Compare(draft.id(), span, "<", *_two(draft, parts, below))
        case "in_":
            return In(draft.id(), span, *_two(draft, parts, below), negated=False)
        case "not_in":
            return In(draft.id(), span, *_two(draft, parts, below), negated=True)
        case "overlaps":
            return SetTest(draft.id(), span, "overlaps", *_two(draft, parts, below))
        case "covers":
            return SetTest(draft.id(), span, "covers", *_two(draft, parts, below))
        case "like":
            return Like(draft.id(), span, expression(draft, parts[0], below), draft.string(parts[1]))
        case "has":
            return Has(draft.id(), span, expression(draft, parts[0], below), draft.name(parts[1]))
        case "is_empty":
            return IsEmpty(draft.id(), span, expression(draft, parts[0], below))
        case "is_kind":
            return IsKind(draft.id(), span, expression(draft, parts[0], below), draft.name(parts[1]))
        case _:
            return _operand(draft, tree, below)


def reference(draft: Draft, tree: Tree[Token]) -> Ref:
    """A dotted reference such as `token.accounts`."""
    root, *rest = tree.children
    return Ref(draft.id(), draft.span(tree), draft.name(root), tuple(draft.name(part) for part in rest))


def _rise(tree: Tree[Token]) -> int:
    """The levels that `tree` itself adds above its operands."""
    match str(tree.data):
        case "ref" | "lit" | "has_factor" | "has_role":
            return 0
        case "and_" | "or_":
            return (len(_operands(tree)) - 1).bit_length()
        case _:
            return 1


def _operand(draft: Draft, tree: Tree[Token], below: int) -> Expr:
    span = draft.span(tree)
    parts = tree.children
    match str(tree.data):
        case "ref":
            return reference(draft, tree)
        case "call":
            arguments = tuple(expression(draft, part, below) for part in parts[1:])
            return Call(draft.id(), span, draft.name(parts[0]), arguments)
        case "set_lit":
            return SetLit(draft.id(), span, tuple(expression(draft, part, below) for part in parts))
        case "has_factor":
            within = draft.duration(parts[1]) if len(parts) > 1 else None
            return HasFactor(draft.id(), span, draft.name(parts[0]), within)
        case "has_role":
            draft.unavailable("`role`", span)
            return draft.placeholder(span)
        case "lit":
            return _literal(draft, parts[0], span)
        case other:
            raise TypeError(f"no expression of the grammar: {other}")


def _literal(draft: Draft, token: Branch, span: Span) -> Expr:
    match token:
        case Token(type="STRING"):
            return StringLit(draft.id(), span, draft.characters(token))
        case Token(type="INT" | "NEG_INT"):
            return IntLit(draft.id(), span, draft.integer(token))
        case Token(type="DURATION"):
            return DurationLit(draft.id(), span, draft.duration(token))
        case Token(type="DATE" | "TIMESTAMP"):
            return TimeLit(draft.id(), span, draft.instant(token))
        case Token(type="TRUE" | "FALSE" as word):
            return BoolLit(draft.id(), span, word == "TRUE")
        case Token(type="UNSET"):
            return UnsetLit(draft.id(), span)
        case Token(type="UNKNOWN"):
            draft.unavailable("`unknown`", span)
        case Token(type="IP"):
            draft.unavailable("an address literal", span)
        case _:
            draft.unavailable("a network literal", span)
    return draft.placeholder(span)


def _two(draft: Draft, parts: Sequence[Branch], height: int) -> tuple[Expr, Expr]:
    left, right = parts
    return expression(draft, left, height), expression(draft, right, height)


def _comparison(token: Branch) -> CompareOp:
    match str(token):
        case "==" | "!=" | "<=" | ">=" | ">" as op:
            return op
        case other:
            raise TypeError(f"no comparison of the grammar: {other}")


def _operands(tree: Tree[Token]) -> list[Branch]:
    """What a chain of one word joins, in the order of the text."""
    operands: list[Branch] = []
    left: Branch = tree
    while isinstance(left, Tree) and left.data == tree.data:
        operands.append(left.children[1])
        left = left.children[0]
    operands.append(left)
    operands.reverse()
    return operands


def _chain(draft: Draft, tree: Tree[Token], height: int) -> Expr:
    operands = _operands(tree)
    if len(operands) > LONGEST_CHAIN:
        word = "and" if tree.data == "and_" else "or"
        span = draft.span(tree)
        draft.found.append(ChainTooLong(span=span, word=word, length=len(operands), most=LONGEST_CHAIN))
        return draft.placeholder(span)
    below = height + _rise(tree)
    built = [(expression(draft, operand, below), draft.outer_span(operand)) for operand in operands]
    return _balanced(draft, And if tree.data == "and_" else Or, built)


def _balanced(draft: Draft, kind: type[And | Or], operands: Sequence[tuple[Expr, Span]]) -> Expr:
    if len(operands) == 1:
        return operands[0][0]
    middle = (len(operands) + 1) // 2
    left = _balanced(draft, kind, operands[:middle])
    right = _balanced(draft, kind, operands[middle:])
    return kind(draft.id(), operands[0][1].to(operands[-1][1]), left, right)
