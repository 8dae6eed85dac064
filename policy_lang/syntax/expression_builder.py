"""Expressions: the parser's trees to the nodes of `policy_lang/tree`.

In goes a branch of the grammar's `expr` layer, a draft to report to, and the height already used; out comes a node.
INVARIANT: no path from the root of an expression to a leaf has more than `DEEPEST` + 1 nodes, so that every later
phase may recurse over it; what would be higher is E104. The walk itself recurses only as deep as that.

Decision: 2026-11-21. Chains of `and` and of `or` are built balanced, not left-deep (both are associative, also for
presence narrowing, and the order of operands is kept): 512 operands are 9 levels. Whoever wants the operands of a
chain walks down both sides while the class stays the same. Parentheses leave no node; a chain in parentheses that
opens a chain of the same word is one chain with it.
Decision: 2026-11-21. An address is kept in its canonical text, and one that cannot exist is E122, as is a range whose
address or length cannot exist; a range is otherwise kept as written, since its host bits are for a later phase (E121).
Specification: language.md 2.1 (Expressions); grammar.lark, the section on expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from policy_lang import addresses
from policy_lang.mistakes.syntax import ChainTooLong, NoSuchAddress, TooDeep
from policy_lang.source import Span
from policy_lang.syntax.draft import Draft
from policy_lang.syntax.grammar import Branch, Token, Tree, token_of, tree_of
from policy_lang.syntax.scan import DEEPEST
from policy_lang.tree import (
    And,
    Arithmetic,
    BoolLit,
    Call,
    CidrLit,
    Compare,
    CompareOp,
    DurationLit,
    Expr,
    Has,
    HasFactor,
    HasRole,
    In,
    IntLit,
    IpLit,
    IsEmpty,
    IsKind,
    Like,
    LiteralExpr,
    Name,
    Not,
    Or,
    Ref,
    SetLit,
    SetTest,
    StringLit,
    TimeLit,
    UnknownLit,
    UnsetLit,
)

LONGEST_CHAIN = 512
"""Operands that one chain of `and` or of `or` may join."""


def expression(draft: Draft, branch: Branch, height: int = 0) -> Expr:
    """Build the expression that `branch` holds, `height` levels below the root of the whole."""
    tree = tree_of(branch)
    kind = tree.data
    if kind == "ref":
        return reference(draft, tree)
    if kind == "lit":
        return _scalar(draft, tree)
    if kind in ("and_", "or_"):
        return _chain(draft, tree, height)
    if height >= DEEPEST and kind not in ("has_role", "has_factor"):
        return _too_deep(draft, tree)
    return _FORMS[kind](draft, tree, height + 1)


def reference(draft: Draft, branch: Branch) -> Ref:
    """A dotted reference such as `token.accounts`."""
    tree = tree_of(branch)
    parts = tree.children
    return Ref(draft.id(), draft.span(tree), draft.name(parts[0]), draft.names(parts[1:]))


def literal(draft: Draft, branch: Branch) -> LiteralExpr:
    """What stands where only a literal may."""
    tree = tree_of(branch)
    return _scalar(draft, tree) if tree.data == "lit" else _set(draft, tree, 1)


def address(draft: Draft, token: Token) -> IpLit:
    """An address, canonical; a placeholder where it was reported (E122)."""
    span = draft.span(token)
    text = addresses.canonical(str(token))
    if text is None:
        draft.found.append(NoSuchAddress(span=span, text=str(token), what="address"))
    return IpLit(draft.id(), span, text or "")


def address_range(draft: Draft, token: Token) -> CidrLit:
    """A range of addresses as written; E122 where its address or its length cannot be."""
    span = draft.span(token)
    first, _, bits = str(token).partition("/")
    if addresses.number(first) is None or int(bits) > (128 if ":" in first else 32):
        draft.found.append(NoSuchAddress(span=span, text=str(token), what="range of addresses"))
    return CidrLit(draft.id(), span, str(token))


def instant(draft: Draft, token: Branch) -> TimeLit:
    """A date or a timestamp."""
    return TimeLit(draft.id(), draft.span(token), draft.instant(token))


def within_of(draft: Draft, written: Sequence[Branch]) -> DurationLit | Name | None:
    """What stands behind the `within` of a factor, a duration or the name of a setting; None where nothing does."""
    if not written:
        return None
    token = token_of(written[0])
    if token.type == "NAME":
        return draft.name(token)
    return DurationLit(draft.id(), draft.span(token), draft.duration(token))


# ---------------------------------------------------------------- literals


def _scalar(draft: Draft, tree: Tree[Token]) -> LiteralExpr:
    token = token_of(tree.children[0])
    match token.type:
        case "STRING":
            return StringLit(draft.id(), draft.span(token), draft.characters(token))
        case "INT" | "NEG_INT":
            return IntLit(draft.id(), draft.span(token), draft.integer(token))
        case "TRUE" | "FALSE" as word:
            return BoolLit(draft.id(), draft.span(token), word == "TRUE")
        case "DURATION":
            return DurationLit(draft.id(), draft.span(token), draft.duration(token))
        case "DATE" | "TIMESTAMP":
            return instant(draft, token)
        case "IP":
            return address(draft, token)
        case "CIDR":
            return address_range(draft, token)
        case "UNSET":
            return UnsetLit(draft.id(), draft.span(token))
        case "UNKNOWN":
            return UnknownLit(draft.id(), draft.span(token))
        case other:
            raise TypeError(f"no literal of the grammar: {other}")


def _set(draft: Draft, tree: Tree[Token], below: int) -> SetLit:
    return SetLit(draft.id(), draft.span(tree), tuple([expression(draft, part, below) for part in tree.children]))


# ---------------------------------------------------------------- operators


def _two(draft: Draft, parts: Sequence[Branch], below: int) -> tuple[Expr, Expr]:
    return expression(draft, parts[0], below), expression(draft, parts[-1], below)


def _compare(draft: Draft, tree: Tree[Token], below: int) -> Compare:
    op = _comparison(tree.children[1])
    return Compare(draft.id(), draft.span(tree), op, *_two(draft, tree.children, below))


def _comparison(token: Branch) -> CompareOp:
    match str(token):
        case "==" | "!=" | "<=" | ">=" | ">" as op:
            return op
        case other:
            raise TypeError(f"no comparison of the grammar: {other}")


def _less(draft: Draft, tree: Tree[Token], below: int) -> Compare:
    return Compare(draft.id(), draft.span(tree), "<", *_two(draft, tree.children, below))


def _in(draft: Draft, tree: Tree[Token], below: int) -> In:
    return In(draft.id(), draft.span(tree), *_two(draft, tree.children, below), negated=tree.data == "not_in")


def _overlaps(draft: Draft, tree: Tree[Token], below: int) -> SetTest:
    return SetTest(draft.id(), draft.span(tree), "overlaps", *_two(draft, tree.children, below))


def _covers(draft: Draft, tree: Tree[Token], below: int) -> SetTest:
    return SetTest(draft.id(), draft.span(tree), "covers", *_two(draft, tree.children, below))


def _plus(draft: Draft, tree: Tree[Token], below: int) -> Arithmetic:
    return Arithmetic(draft.id(), draft.span(tree), "+", *_two(draft, tree.children, below))


def _minus(draft: Draft, tree: Tree[Token], below: int) -> Arithmetic:
    return Arithmetic(draft.id(), draft.span(tree), "-", *_two(draft, tree.children, below))


def _not(draft: Draft, tree: Tree[Token], below: int) -> Not:
    return Not(draft.id(), draft.span(tree), expression(draft, tree.children[0], below))


def _like(draft: Draft, tree: Tree[Token], below: int) -> Like:
    operand, pattern = tree.children
    return Like(draft.id(), draft.span(tree), expression(draft, operand, below), draft.string(pattern))


def _has(draft: Draft, tree: Tree[Token], below: int) -> Has:
    root, attribute = tree.children
    return Has(draft.id(), draft.span(tree), expression(draft, root, below), draft.name(attribute))


def _is_empty(draft: Draft, tree: Tree[Token], below: int) -> IsEmpty:
    return IsEmpty(draft.id(), draft.span(tree), expression(draft, tree.children[0], below))


def _is_kind(draft: Draft, tree: Tree[Token], below: int) -> IsKind:
    root, kind = tree.children
    return IsKind(draft.id(), draft.span(tree), expression(draft, root, below), draft.name(kind))


def _call(draft: Draft, tree: Tree[Token], below: int) -> Call:
    name, *arguments = tree.children
    built = tuple([expression(draft, argument, below) for argument in arguments])
    return Call(draft.id(), draft.span(tree), draft.name(name), built)


def _has_role(draft: Draft, tree: Tree[Token], _below: int) -> HasRole:
    return HasRole(draft.id(), draft.span(tree), draft.name(tree.children[0]))


def _has_factor(draft: Draft, tree: Tree[Token], _below: int) -> HasFactor:
    name, *within = tree.children
    return HasFactor(draft.id(), draft.span(tree), draft.name(name), within_of(draft, within))


_FORMS: Mapping[str, Callable[[Draft, Tree[Token], int], Expr]] = {
    "compare": _compare,
    "call": _call,
    "has": _has,
    "in_": _in,
    "not_in": _in,
    "not_": _not,
    "set_lit": _set,
    "lt": _less,
    "minus": _minus,
    "plus": _plus,
    "overlaps": _overlaps,
    "covers": _covers,
    "is_kind": _is_kind,
    "is_empty": _is_empty,
    "has_role": _has_role,
    "has_factor": _has_factor,
    "like": _like,
}
"""The forms that take a level of the tree each, by the alias of the grammar. A table, for speed: half of what a policy
holds comes by here."""


# ---------------------------------------------------------------- chains


def _chain(draft: Draft, tree: Tree[Token], height: int) -> Expr:
    operands = _operands(tree)
    if len(operands) > LONGEST_CHAIN:
        word = "and" if tree.data == "and_" else "or"
        span = draft.span(tree)
        draft.found.append(ChainTooLong(span=span, word=word, length=len(operands), most=LONGEST_CHAIN))
        return draft.placeholder(span)
    below = height + (len(operands) - 1).bit_length()
    if below > DEEPEST:
        return _too_deep(draft, tree)
    built = [(expression(draft, operand, below), draft.outer_span(operand)) for operand in operands]
    return _balanced(draft, And if tree.data == "and_" else Or, built)


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


def _balanced(draft: Draft, kind: type[And | Or], operands: Sequence[tuple[Expr, Span]]) -> Expr:
    if len(operands) == 1:
        return operands[0][0]
    middle = (len(operands) + 1) // 2
    left = _balanced(draft, kind, operands[:middle])
    right = _balanced(draft, kind, operands[middle:])
    return kind(draft.id(), operands[0][1].to(operands[-1][1]), left, right)


def _too_deep(draft: Draft, tree: Tree[Token]) -> Expr:
    span = draft.span(tree)
    draft.found.append(TooDeep(span=span, most=DEEPEST))
    return draft.placeholder(span)
