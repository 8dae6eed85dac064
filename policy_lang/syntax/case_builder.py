"""Tests and proofs: the parser's trees to the nodes of `policy_lang/tree/cases.py`.

In goes the tree of one declaration, a draft to report to and the text of the file; out comes its node, which the caller
drops where anything was reported (the invariant of `policy_lang/syntax/draft.py`). Tables are kept as written: that
each row has the cells its head asks for is for a later phase.
Specification: language.md 5.7 (Tests), 8.2 (Proofs), points B and C; grammar.lark, the section on tests and proofs.
"""

from __future__ import annotations

from policy_lang.mistakes.syntax import Repeated
from policy_lang.syntax.draft import Draft
from policy_lang.syntax.expression_builder import expression, instant, reference
from policy_lang.syntax.grammar import Branch, Token, Tree, token_of, tree_of, trees
from policy_lang.syntax.rule_builder import clauses, obligation
from policy_lang.tree import (
    AnswerStatus,
    CallHead,
    CallSpec,
    Case,
    Cell,
    EndpointCall,
    ExpectHead,
    Expr,
    Given,
    GivenAnonymous,
    GivenFact,
    GivenNow,
    GivenRequest,
    GivenSignal,
    GivenSubject,
    GivenToken,
    GrpcCall,
    Head,
    LogObligation,
    Name,
    Obligation,
    Outcome,
    Override,
    PathCall,
    ProveDecl,
    Table,
    TableRow,
    TestDecl,
    Text,
)

Pairs = tuple[tuple[Name, Expr], ...]


def test(draft: Draft, tree: Tree[Token], text: str) -> TestDecl:
    """A `test` block: its fixtures, then its calls and tables in the order of the text."""
    title, *rest = tree.children
    given: list[Given] = []
    steps: list[Case | Table] = []
    for part in map(tree_of, rest):
        match part.data:
            case "case":
                steps.append(_case(draft, part))
            case "table":
                steps.append(_table(draft, part, text))
            case _:
                given.append(_given(draft, part))
    return TestDecl(draft.id(), draft.span(tree), draft.string(title), tuple(given), tuple(steps))


def proof(draft: Draft, tree: Tree[Token], text: str) -> ProveDecl:
    """A `prove` statement, with the clauses that a rule may have."""
    title, quantifier, *written = tree.children
    never = text.startswith("never", draft.span(quantifier).start)
    return ProveDecl(
        draft.id(), draft.span(tree), draft.string(title), "never" if never else "always", clauses(draft, written)
    )


# ---------------------------------------------------------------- fixtures


def _given(draft: Draft, tree: Tree[Token]) -> Given:
    span = draft.span(tree)
    parts = tree.children
    match tree.data:
        case "g_token":
            return GivenToken(draft.id(), span, draft.name(parts[0]), _pairs(draft, parts[1]))
        case "g_fact":
            name, *values = parts
            return GivenFact(draft.id(), span, draft.name(name), tuple([expression(draft, each) for each in values]))
        case "g_now":
            return GivenNow(draft.id(), span, instant(draft, parts[0]))
        case "g_request":
            return GivenRequest(draft.id(), span, _pairs(draft, parts[0]))
        case "g_signal":
            return GivenSignal(draft.id(), span, draft.name(parts[0]), expression(draft, parts[1]))
        case "g_subject":
            return GivenSubject(draft.id(), span, draft.name(parts[0]), _pairs(draft, parts[1]))
        case _:
            return GivenAnonymous(draft.id(), span)


def _pairs(draft: Draft, branch: Branch) -> Pairs:
    pairs = [tree_of(pair).children for pair in tree_of(branch).children]
    return tuple([(draft.name(name), expression(draft, value)) for name, value in pairs])


# ---------------------------------------------------------------- calls


def _case(draft: Draft, tree: Tree[Token]) -> Case:
    call, *changes, expected = map(tree_of, tree.children)
    overrides = tuple([_override(draft, change) for change in changes])
    return Case(draft.id(), draft.span(tree), _call(draft, call), overrides, _outcome(draft, expected))


def _call(draft: Draft, tree: Tree[Token]) -> CallSpec:
    span = draft.span(tree)
    service, *rest = tree.children
    match tree.data:
        case "call_path":
            return _path_call(draft, tree)
        case "call_endpoint":
            arguments = _pairs(draft, rest[1]) if len(rest) > 1 else ()
            return EndpointCall(draft.id(), span, draft.name(service), draft.name(rest[0]), arguments)
        case _:
            return GrpcCall(draft.id(), span, draft.name(service), draft.verbatim(token_of(rest[0])))


def _path_call(draft: Draft, tree: Tree[Token]) -> PathCall:
    service, method, path = tree.children
    return PathCall(draft.id(), draft.span(tree), draft.name(service), str(method), draft.verbatim(token_of(path)))


def _override(draft: Draft, tree: Tree[Token]) -> Override:
    ref, value = tree.children
    return Override(draft.id(), draft.span(tree), reference(draft, ref), expression(draft, value))


# ---------------------------------------------------------------- outcomes


def _outcome(draft: Draft, tree: Tree[Token]) -> Outcome:
    span = draft.span(tree)
    by: tuple[Text, ...] = ()
    expected: list[Obligation] = []
    for part in trees(tree):
        if part.data == "by":
            by = tuple([draft.dotted(tree_of(name)) for name in part.children])
        else:
            expected.append(obligation(draft, part.children[0]))
    _check_said_once(draft, expected)
    match tree.data:
        case "out_allow":
            return Outcome(draft.id(), span, "allow", None, by, tuple(expected))
        case "out_deny":
            return Outcome(draft.id(), span, "deny", None, by, tuple(expected))
        case _:
            return Outcome(draft.id(), span, "step_up", draft.name(tree.children[0]), by, tuple(expected))


def _check_said_once(draft: Draft, expected: list[Obligation]) -> None:
    """A decision has one level of its log and one status: two of them can never both be."""
    for kind, what in ((LogObligation, "`and log`"), (AnswerStatus, "`and answer`")):
        same = [each for each in expected if isinstance(each, kind)]
        draft.found.extend(Repeated(span=again.span, what=what) for again in same[1:])


# ---------------------------------------------------------------- tables


def _table(draft: Draft, tree: Tree[Token], text: str) -> Table:
    head, *rows = map(tree_of, tree.children)
    columns = tuple([_column_head(draft, tree_of(column), text) for column in head.children])
    return Table(draft.id(), draft.span(tree), columns, tuple([_row(draft, row) for row in rows]))


def _column_head(draft: Draft, tree: Tree[Token], text: str) -> Head:
    if tree.children:
        return reference(draft, tree.children[0])
    span = draft.span(tree)
    return CallHead(draft.id(), span) if text.startswith("call", span.start) else ExpectHead(draft.id(), span)


def _row(draft: Draft, tree: Tree[Token]) -> TableRow:
    return TableRow(draft.id(), draft.span(tree), tuple([_cell(draft, tree_of(cell)) for cell in tree.children]))


def _cell(draft: Draft, tree: Tree[Token]) -> Cell:
    if len(tree.children) > 1:
        return _path_call(draft, tree)
    content = tree_of(tree.children[0])
    return _outcome(draft, content) if content.data.startswith("out_") else expression(draft, content)
