"""Rules: the parser's trees to the nodes of `policy_lang/tree/rules.py`.

In goes the tree of one rule and a draft to report to; out comes its node, which the caller drops where anything was
reported (the invariant of `policy_lang/syntax/draft.py`). Clauses keep the order of the text; which of them fit the
rule's effect, and how often, is for later phases.
Specification: language.md 2.1 (Rules), points D, E, F; grammar.lark, the section on rules.
"""

from __future__ import annotations

from collections.abc import Iterable

from policy_lang.syntax.draft import Draft
from policy_lang.syntax.expression_builder import expression, instant, within_of
from policy_lang.syntax.field_builder import names, strings
from policy_lang.syntax.grammar import Branch, Token, Tree, token_of, tree_of, words
from policy_lang.tree import (
    Alert,
    AnswerStatus,
    AnyOfKind,
    Anyone,
    BecauseClause,
    Clause,
    ConditionNeed,
    Effect,
    Everything,
    FactorNeed,
    ForClause,
    IssueToken,
    LogObligation,
    MustClause,
    Name,
    NeedsClause,
    Obligation,
    OfEndpoint,
    OfPattern,
    OfRole,
    OfService,
    OfWorkload,
    OnClause,
    Redact,
    RemoveHeader,
    Rule,
    SetHeader,
    ShouldClause,
    Subject,
    TagFilter,
    Target,
    UntilClause,
    WhenClause,
)


def rule(draft: Draft, tree: Tree[Token]) -> Rule:
    """`allow`, `deny` or `require`, `shadow` or not, with its clauses in the order of the text."""
    first = 1 if token_of(tree.children[0]).type == "SHADOW" else 0
    effect, name, *written = tree.children[first:]
    return Rule(draft.id(), draft.span(tree), first == 1, _effect(effect), draft.name(name), clauses(draft, written))


def clauses(draft: Draft, branches: Iterable[Branch]) -> tuple[Clause, ...]:
    """The clauses of a rule, or of a proof."""
    return tuple([_clause(draft, tree_of(branch)) for branch in branches])


def _effect(word: Branch) -> Effect:
    match str(word):
        case "allow" | "deny" | "require" as effect:
            return effect
        case other:
            raise TypeError(f"no effect of the grammar: {other}")


def _clause(draft: Draft, tree: Tree[Token]) -> Clause:
    span = draft.span(tree)
    first = tree.children[0]
    match tree.data:
        case "when_clause":
            return WhenClause(draft.id(), span, expression(draft, first), negated=False)
        case "on_clause":
            return targets(draft, tree)
        case "for_clause":
            return _for(draft, tree)
        case "because_clause":
            return BecauseClause(draft.id(), span, draft.string(first))
        case "unless_clause":
            return WhenClause(draft.id(), span, expression(draft, first), negated=True)
        case "needs_clause":
            return NeedsClause(draft.id(), span, _need(draft, tree_of(first)))
        case "must_clause":
            return MustClause(draft.id(), span, obligation(draft, first))
        case "should_clause":
            return ShouldClause(draft.id(), span, obligation(draft, first))
        case "until_clause":
            return UntilClause(draft.id(), span, instant(draft, first))
        case other:
            raise TypeError(f"no clause of the grammar: {other}")


# ---------------------------------------------------------------- who


def _for(draft: Draft, tree: Tree[Token]) -> ForClause:
    subjects: list[Subject] = []
    via: tuple[Name, ...] = ()
    for part in map(tree_of, tree.children):
        if part.data == "via":
            via = names(draft, part.children[0])
        else:
            subjects.append(_subject(draft, part))
    return ForClause(draft.id(), draft.span(tree), tuple(subjects), via)


def _subject(draft: Draft, tree: Tree[Token]) -> Subject:
    span = draft.span(tree)
    match tree.data:
        case "s_anyone":
            return Anyone(draft.id(), span)
        case "s_token_kind":
            return AnyOfKind(draft.id(), span, draft.name(tree.children[0]))
        case "s_role":
            return OfRole(draft.id(), span, draft.names(tree.children))
        case _:
            return OfWorkload(draft.id(), span, draft.names(tree.children))


# ---------------------------------------------------------------- where


def targets(draft: Draft, tree: Tree[Token]) -> OnClause:
    """The targets of a rule, of a proof, or of a `casbin` block."""
    return OnClause(draft.id(), draft.span(tree), tuple([_target(draft, tree_of(part)) for part in tree.children]))


def _target(draft: Draft, tree: Tree[Token]) -> Target:
    base, *tagged = tree.children
    chosen = _filter(draft, tree_of(tagged[0])) if tagged else None
    return Target(draft.id(), draft.span(tree), _base(draft, tree_of(base)), chosen)


def _base(draft: Draft, tree: Tree[Token]) -> Everything | OfService | OfEndpoint | OfPattern:
    span = draft.span(tree)
    match tree.children:
        case []:
            return Everything(draft.id(), span)
        case [service]:
            return OfService(draft.id(), span, draft.name(service))
        case [service, endpoint]:
            return OfEndpoint(draft.id(), span, draft.name(service), draft.name(endpoint))
        case [service, listed, path]:
            verbs = words(tree_of(listed))
            return OfPattern(draft.id(), span, draft.name(service), verbs, draft.verbatim(token_of(path)))
        case _:
            raise TypeError(f"no target of the grammar: {tree.data}")


def _filter(draft: Draft, tree: Tree[Token]) -> TagFilter:
    return TagFilter(draft.id(), draft.span(tree), draft.names(tree.children), tree.data == "tag_and")


# ---------------------------------------------------------------- needs and obligations


def _need(draft: Draft, tree: Tree[Token]) -> FactorNeed | ConditionNeed:
    span = draft.span(tree)
    if tree.data == "factor_need":
        name, *within = tree.children
        return FactorNeed(draft.id(), span, draft.name(name), within_of(draft, within))
    condition, challenge = tree.children
    return ConditionNeed(draft.id(), span, expression(draft, condition), draft.string(challenge))


def obligation(draft: Draft, branch: Branch) -> Obligation:
    """What a rule asks of the gateway or of the log, and what a test expects."""
    tree = tree_of(branch)
    span = draft.span(tree)
    parts = tree.children
    match tree.data:
        case "o_set_header":
            return SetHeader(draft.id(), span, draft.string(parts[0]), expression(draft, parts[1]))
        case "o_log":
            level, *mode = draft.names(parts)
            return LogObligation(draft.id(), span, level, mode[0] if mode else None)
        case "o_answer":
            return AnswerStatus(draft.id(), span, draft.integer(parts[0]))
        case "o_alert":
            return Alert(draft.id(), span, draft.string(parts[0]))
        case "o_remove_header":
            return RemoveHeader(draft.id(), span, draft.string(parts[0]))
        case "o_redact":
            return Redact(draft.id(), span, strings(draft, parts[0]))
        case "o_issue_token":
            return IssueToken(draft.id(), span, strings(draft, parts[0]) if parts else ())
        case other:
            raise TypeError(f"no obligation of the grammar: {other}")
